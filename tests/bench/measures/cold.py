"""What Elasticsearch bounds, each on an Elasticsearch that has just been started. The same measures
without "cold" in the name are on a warm one."""

from collections.abc import Iterator

from measures.drain import bare, drain_once
from measures.reads import fill_search, search_once
from measures.reindex import rebuild
from samples import Sample
from servers import CEILING_INDEX


def cold(bench) -> Iterator[Sample]:
    """Drain, _bulk, search and reindex right after Elasticsearch was started."""
    servers, orders = bench.servers, bench.size(100_000, quick=20_000)
    for _ in bench.rounds():
        servers.restart_elasticsearch()
        servers.make_index(CEILING_INDEX)
        yield bare(servers, "drain: bulk alone, cold", "elasticsearch", "bulk", CEILING_INDEX, orders)
        for side in bench.sides:
            if side.workers:
                servers.restart_elasticsearch()
                yield drain_once(bench, side, "drain, cold", orders)
                side.stop()
        if bench.quick:
            continue
        yield _search(bench)
        yield _reindex(bench, orders)


def _restart(bench) -> None:
    """Elasticsearch anew; our services find it ready, and have not waited for it."""
    bench.ours.stop()
    bench.servers.restart_elasticsearch()
    bench.ours.launch(bench.ours.programs)


def _search(bench) -> Sample:
    side = bench.ours
    side.start()
    fill_search(bench)
    _restart(bench)
    sample = search_once(bench, side, "search, cold")
    side.stop()
    return sample


def _reindex(bench, rows: int) -> Sample:
    side = bench.ours
    side.start()
    bench.servers.insert_rows(rows)
    _restart(bench)
    swapped, _ = rebuild(bench)
    side.stop()
    return Sample("reindex, cold", side.name, rows / swapped)
