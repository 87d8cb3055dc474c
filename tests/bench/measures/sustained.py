"""Accepting and draining at once."""

import statistics
import time
from collections.abc import Iterator

import requests

from generators import Load, percentile, wrk, wrk_meanwhile
from samples import Sample
from servers import INDEX
from sides import Meter, Side

PROBES = 4
HOLDS = 2


def sustained(bench) -> Iterator[Sample]:
    """POST at the highest rate at which draining keeps pace; accept → searchable by id at half of it."""
    for side in bench.api_sides:
        if not side.workers:
            continue
        side.start()
        rate = _highest_rate(bench, side)
        for _ in range(HOLDS):
            _settle(bench, side)
            meter, before = Meter(side, bench.servers), bench.servers.documents()
            load, lag = _offer(bench, side, rate, bench.hold_seconds)
            held = _holds(load, rate, lag, rate)
            taken = bench.servers.documents() - before
            if held:
                break
            rate *= 0.85
        note = (
            f"{bench.hold_seconds:.0f} s; {lag} orders behind at the end; "
            f"sent up to {load.late_p99_ms:.0f} ms late (p99)"
        )
        cpu = meter.per_1000(taken, load.cpu_seconds)
        if not held:
            load.per_second, note = 0.0, "no rate that was tried held; " + note
        yield Sample.of("sustained rate", side.name, load, cpu=cpu, note=note)
        _settle(bench, side)
        latencies_ms = _searchable_ms(bench, side, rate / 2)
        yield Sample(
            "accept → searchable by id, at half of it",
            side.name,
            rate / 2,
            p50_ms=statistics.median(latencies_ms),
            p99_ms=percentile(latencies_ms, 99),
            note=f"{len(latencies_ms)} orders looked for",
        )
        side.stop()


def _highest_rate(bench, side: Side) -> float:
    """By bisection between what is stored and what is accepted when as much is sent as is answered."""
    before, started = bench.servers.documents(), time.monotonic()
    flat_out = wrk(side.url, 512, bench.seconds, POST="orders")
    stored = (bench.servers.documents() - before) / (time.monotonic() - started)
    low, high = max(1.0, min(stored, flat_out.per_second)), max(stored, flat_out.per_second)
    for _ in range(PROBES):
        if high - low < 0.05 * high:
            break
        _settle(bench, side)
        rate = (low + high) / 2
        load, lag = _offer(bench, side, rate, bench.seconds)
        if _holds(load, rate, lag, rate / 2):
            low = rate
        else:
            high = rate
    return low


def _connections(rate: float) -> int:
    """Enough that one is free whenever the schedule of load.lua wants one, and each used every few
    seconds: a server closes those that are not."""
    return max(1, min(512, int(rate / 4)))


def _offer(bench, side: Side, rate: float, seconds: float) -> tuple[Load, int]:
    """The load, and how many orders that it sent were not stored at its end."""
    before = bench.servers.documents()
    load = wrk(side.url, _connections(rate), seconds, POST="orders", RATE=rate)
    return load, max(0, before + load.count - bench.servers.documents())


def _holds(load: Load, rate: float, lag: int, allowed_lag: float) -> bool:
    return load.per_second >= 0.97 * rate and lag <= allowed_lag


def _settle(bench, side: Side) -> None:
    """The backlog is drained; when that takes long, the side starts anew."""
    end = time.monotonic() + 5
    while bench.servers.depth() > 0 or bench.servers.documents() != bench.servers.rows():
        side.check()
        if time.monotonic() > end:
            side.start()
            return
        time.sleep(0.2)


def _searchable_ms(bench, side: Side, rate: float) -> list[float]:
    latencies_ms = []
    session = requests.Session()
    end = time.monotonic() + 2 * bench.seconds
    with wrk_meanwhile(side.url, _connections(rate), POST="orders", RATE=rate):
        while time.monotonic() < end:
            answer = session.post(
                side.url + "/api/orders", json={"product_name": "Probe", "amount": 1.5}, timeout=15
            )
            accepted = time.monotonic()
            url = f"{bench.servers.env['ELASTICSEARCH_URL']}/{INDEX}/_doc/{answer.json()['order_id']}"
            while session.head(url, timeout=5).status_code != 200:
                if time.monotonic() - accepted > 30:
                    raise RuntimeError(f"{url} is not there after 30 s")
                time.sleep(0.002)
            latencies_ms.append((time.monotonic() - accepted) * 1000)
    return latencies_ms
