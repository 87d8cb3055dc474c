"""Refreshing the sales view while it is read."""

import time
from collections.abc import Iterator

from generators import wrk_meanwhile
from measures.reads import refresh_view
from samples import Sample

READS_A_SECOND = 1000
STATEMENT = "REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales_mv"


def refresh(bench) -> Iterator[Sample]:
    """A refresh of a million rows while the dashboard is read, beside the bare statement."""
    for _ in bench.rounds():
        for side in bench.api_sides:
            side.start()
            bench.servers.insert_rows(1_000_000)
            refresh_view(bench, side)  # the first one is not CONCURRENTLY
            label = "refresh, 1 million rows"
            yield _timed(side, label, "ceiling", lambda: bench.servers.sql(STATEMENT))
            yield _timed(side, label, side.name, lambda side=side: refresh_view(bench, side))
            side.stop()


def _timed(side, label: str, name: str, work) -> Sample:
    """Seconds that `work` takes while the side's dashboard is read."""
    with wrk_meanwhile(side.url + "/api/dashboard/sales", 16, RATE=READS_A_SECOND) as seen:
        time.sleep(0.5)
        started = time.monotonic()
        work()
        seconds = time.monotonic() - started
    note = f"{seen[0].per_second:.0f} dashboards/s meanwhile, p99 {seen[0].p99_ms:.1f} ms"
    return Sample(label, name, seconds, "s", note=note)
