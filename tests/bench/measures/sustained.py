"""Accepting and draining at once."""

import time
from collections.abc import Iterator

from generators import Load, wrk
from samples import Sample
from sides import Meter, Side

PROBES = 4
HOLDS = 2


def sustained(bench) -> Iterator[Sample]:
    """POST at the highest rate at which draining keeps pace."""
    sides = [side for side in bench.api_sides if side.workers]
    for side in sides:
        side.start()
        highest_rate(bench, side)
        side.stop()
    for _ in bench.rounds(0.6):
        for side in sides:
            side.start()
            yield _hold(bench, side)
            side.stop()


def _hold(bench, side: Side) -> Sample:
    rate = bench.highest_rates[side.name]
    for _ in range(HOLDS):
        settle(bench, side)
        meter, before = Meter(side, bench.servers), bench.servers.documents()
        load, lag = _offer(bench, side, rate, bench.hold_seconds)
        held = _holds(load, rate, lag, rate)
        taken = bench.servers.documents() - before
        if held:
            break
        rate *= 0.85
        bench.highest_rates[side.name] = rate
    note = (
        f"{bench.hold_seconds:.0f} s; {lag} orders behind at the end; "
        f"sent up to {load.late_p99_ms:.0f} ms late (p99)"
    )
    cpu = meter.per_1000(taken, load.cpu_seconds)
    if not held:
        load.per_second, note = 0.0, "no rate that was tried held; " + note
    return Sample.of("sustained rate", side.name, load, cpu=cpu, note=note)


def highest_rate(bench, side: Side) -> None:
    """Found for the other measures too: bench.highest_rates. By bisection between what is stored and what
    is accepted when as much is sent as is answered."""
    before, started = bench.servers.documents(), time.monotonic()
    flat_out = wrk(side.url, 512, bench.seconds, POST="orders")
    stored = (bench.servers.documents() - before) / (time.monotonic() - started)
    low, high = max(1.0, min(stored, flat_out.per_second)), max(stored, flat_out.per_second)
    for _ in range(PROBES):
        if high - low < 0.05 * high:
            break
        settle(bench, side)
        rate = (low + high) / 2
        load, lag = _offer(bench, side, rate, bench.seconds)
        if _holds(load, rate, lag, rate / 2):
            low = rate
        else:
            high = rate
    bench.highest_rates[side.name] = low


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


def settle(bench, side: Side) -> None:
    """The backlog is drained; when that takes long, the side starts anew."""
    end = time.monotonic() + 5
    while bench.servers.depth() > 0 or bench.servers.documents() != bench.servers.rows():
        side.check()
        if time.monotonic() > end:
            side.start()
            return
        time.sleep(0.2)
