"""What becomes slower when much is stored."""

from collections.abc import Iterator

from generators import CEILINGS, Running, wrk
from measures.drain import drain_once
from measures.reads import refresh_view, search_once
from samples import Sample
from servers import INDEX

EMPTY = 10_000  # reads need some
CONNECTIONS = 64
SLOWEST = 2000  # documents a second that Elasticsearch takes, and then merges; below it is a failure


def stages(bench) -> list[int]:
    if bench.quick:
        return [EMPTY, 100_000]
    return [EMPTY, 1_000_000, 2_000_000, *([10_000_000] if bench.growth_10m else [])]


def growth(bench) -> Iterator[Sample]:
    """Accept, drain, reads, refresh, live sales as orders are stored: to 2 million (10 with --growth-10m)."""
    # What is stored stays, so stages cannot alternate: the first one is measured at the end again.
    yield from _grow(bench, stages(bench))
    yield from _grow(bench, [EMPTY])


def label(what: str, stored: int) -> str:
    return f"growth: {what} at {stored:,}"


def _grow(bench, numbers: list[int]) -> Iterator[Sample]:
    side, servers = bench.ours, bench.servers
    side.start()
    stored = 0
    for number in numbers:
        _store(bench, stored, number)
        stored = number
        refresh_view(bench, side)  # the very first one is not CONCURRENTLY
        for _ in bench.rounds(1 / len(numbers)):
            yield from _measure(bench, number)
            servers.check()
    side.stop()


def _store(bench, stored: int, number: int) -> None:
    """Rows and as many documents, past the services. They have the ids of their own."""
    servers, more = bench.servers, number - stored
    for first in range(stored, number, 1_000_000):
        servers.insert_rows(min(first + 1_000_000, number), first)
    limit_s = 120 + more / SLOWEST
    fillers = [Running([CEILINGS, "bulk", INDEX, more // 2], servers.env, limit_s) for _ in range(2)]
    for filler in fillers:
        filler.finish()
    servers.wait_merged(limit_s)


def _measure(bench, number: int) -> Iterator[Sample]:
    side, servers = bench.ours, bench.servers
    side.stop(side.workers)
    load = wrk(side.url, CONNECTIONS, bench.seconds, POST="orders")
    yield Sample.of(label("accept", number), side.name, load)
    servers.purge()  # else the drain has more than it counts
    yield drain_once(bench, side, label("drain", number), bench.size(60_000, quick=20_000), keep=True)

    servers.cache().flushall()
    load = wrk(side.url, CONNECTIONS, bench.seconds, IDS=number)
    yield Sample.of(label("GET", number), side.name, load)
    yield search_once(bench, side, label("search", number))
    refresh_view(bench, side)
    yield Sample(label("refresh", number), side.name, servers.last_refresh_ms(), "ms")
    load = wrk(side.url + "/api/dashboard/sales?live=true", 1, bench.seconds)
    yield Sample(label("live sales", number), side.name, load.p50_ms, "ms")
