"""How long an order takes while others come at a fixed rate, however slow the answers are (open loop).

The 202 counts from when the order was due: what waits for a free connection has waited. Of some orders
another client asks until it sees the row in PostgreSQL, and until a search finds the document; both count
from the 202. What it sees is there for everybody, and was there up to one of its questions earlier: the
note says how far apart these are.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import requests

from generators import PERCENTILES, Load, open_loop_result, percentile, start_open_loop
from measures.sustained import highest_rate, settle
from samples import Sample
from servers import INDEX

SHARES = (25, 50, 75)  # percent of the highest rate
CONNECTIONS = 2048  # at most
TRACKED_A_SECOND = 200  # more would load the servers that are measured
ASKED_AT_ONCE = 500
ROW_PAUSE_S, SEARCH_PAUSE_S = 0.001, 0.02
LIMIT_S = 30


def latency(bench) -> Iterator[Sample]:
    """202, stored and searchable at 25, 50 and 75 % of the highest rate, orders sent on a schedule."""
    sides = [side for side in bench.api_sides if side.workers]
    for side in sides:
        if side.name not in bench.highest_rates:
            side.start()
            highest_rate(bench, side)
            side.stop()
    for _ in bench.rounds():
        for side in sides:
            side.start()
            for share in SHARES:
                settle(bench, side)
                rate = bench.highest_rates[side.name] * share / 100
                yield from _at(bench, side, f"latency at {share} %", rate)
            side.stop()


def _at(bench, side, label: str, rate: float) -> Iterator[Sample]:
    count = max(1, int(rate * bench.latency_seconds))
    every = max(1, round(rate / TRACKED_A_SECOND))
    load, rows, documents = _run(bench, side, rate, count, every)
    sent = f"{rate:,.0f}/s; sent up to {load.late_p99_ms:.1f} ms late (p99)"
    yield _sample(f"{label}: 202", side.name, load.percentiles_ms, sent, load.cores)
    for what, watched in (("stored", rows), ("searchable", documents)):
        note = f"{len(watched.times_ms):,} orders, asked for every {watched.gap_ms():.1f} ms"
        times_ms = [percentile(watched.times_ms, percent) for percent in PERCENTILES]
        yield _sample(f"{label}: {what} after 202", side.name, times_ms, note)


def _sample(measure: str, side: str, percentiles_ms: list[float], note: str, cores: float | None = None):
    p50_ms, p99_ms = (percentiles_ms[PERCENTILES.index(percent)] for percent in (50, 99))
    return Sample(
        measure,
        side,
        p50_ms,
        "ms",
        p50_ms,
        p99_ms,
        note=note,
        generator_cores=cores,
        percentiles_ms=percentiles_ms,
    )


def _run(bench, side, rate: float, count: int, every: int) -> tuple[Load, "Watched", "Watched"]:
    servers = bench.servers
    with (
        psycopg.connect(servers.env["POSTGRES_DSN"], autocommit=True) as postgres,
        requests.Session() as http,
    ):
        query = f"SELECT id::text FROM orders WHERE id = ANY(%s::{servers.id_type()}[])"
        url = f"{servers.env['ELASTICSEARCH_URL']}/{INDEX}/_search"
        options = {"ignore_unavailable": "true", "filter_path": "hits.hits._id"}

        def rows(ids: list[str]) -> list[str]:
            return [row[0] for row in postgres.execute(query, (ids,)).fetchall()]

        def documents(ids: list[str]) -> list[str]:
            body = {"query": {"ids": {"values": ids}}, "_source": False, "size": len(ids)}
            answer = http.post(url, params=options, json=body, timeout=LIMIT_S)
            if answer.status_code == 503:  # a peer's index that is just being made has no shard yet
                return []
            answer.raise_for_status()
            return [hit["_id"] for hit in answer.json().get("hits", {}).get("hits", [])]

        with Watched(rows, ROW_PAUSE_S) as stored, Watched(documents, SEARCH_PAUSE_S) as searchable:
            running = start_open_loop(side.url, CONNECTIONS, rate, count, every)
            last = ""
            for line in running.lines():
                last = line
                if line.startswith("ID "):
                    _, answered, order_id = line.split()
                    for watched in (stored, searchable):
                        watched.expect(order_id, float(answered))
            running.finish()
            load = open_loop_result(last)
    side.check()
    return load, stored, searchable


class Watched:
    """Asks for the ids that are expected until all were seen; notes how long each took."""

    def __init__(self, ask: Callable[[list[str]], list[str]], pause_s: float):
        self._ask, self._pause_s = ask, pause_s
        self._answered: dict[str, float] = {}  # id → when its 202 came, of those not seen yet
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._gaps_ms: list[float] = []
        self._thread = threading.Thread(target=self._watch)
        self.times_ms: list[float] = []

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        end = time.monotonic() + (0 if exception[0] else LIMIT_S)
        while self._answered and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        self._over.set()
        self._thread.join()
        if exception[0]:
            return
        if self._failure:
            raise self._failure
        if self._answered or not self.times_ms:
            raise RuntimeError(f"{len(self._answered)} orders were not seen in {LIMIT_S} s")

    def expect(self, order_id: str, answered: float) -> None:
        with self._lock:
            self._answered[order_id] = answered

    def gap_ms(self) -> float:
        """Between two questions, the median."""
        return statistics.median(self._gaps_ms) if self._gaps_ms else 0.0

    def _watch(self) -> None:
        asked_before = None
        try:
            while not self._over.wait(self._pause_s):
                with self._lock:
                    ids = list(self._answered)[:ASKED_AT_ONCE]
                if not ids:
                    asked_before = None
                    continue
                asked = time.monotonic()
                if asked_before is not None:
                    self._gaps_ms.append((asked - asked_before) * 1000)
                asked_before = asked
                found = self._ask(ids)
                seen = time.monotonic()
                with self._lock:
                    for order_id in found:
                        # The question may overtake the line that tells of the answer.
                        self.times_ms.append(max(0.0, seen - self._answered.pop(order_id)) * 1000)
        except Exception as failure:
            self._failure = failure
