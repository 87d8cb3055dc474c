"""Reading orders, the dashboard, and search; beside the same questions put to the servers themselves."""

import time
from collections.abc import Iterator

import requests

from generators import ceiling, pgbench, redis_benchmark, wrk
from samples import Sample
from servers import INDEX
from sides import Side

CONNECTIONS = 64
CACHED = 10_000
SELECT_ORDER = """\\set n random(1, {rows})
SELECT id, product_name, amount, created_at FROM orders
WHERE id = ('00000000-0000-0000-0000-' || lpad(:n::text, 12, '0'))::{type};
"""
QUERY = '{"query":{"match":{"product_name":"laptop"}},"size":10,"from":0,"track_total_hits":true}'
SELECT_DASHBOARD = "SELECT sale_date, total_revenue FROM daily_sales_mv ORDER BY sale_date DESC LIMIT 30;\n"


def reads(bench) -> Iterator[Sample]:
    """Cached GET beside redis-benchmark; uncached GET and dashboard beside pgbench; 64 connections each."""
    rows = bench.size(300_000, quick=100_000)
    seconds = bench.size(2, quick=1)
    count = 50_000 * seconds  # questions put to a server itself
    dsn, cache = bench.servers.env["POSTGRES_DSN"], bench.servers.cache()
    for _ in bench.rounds():
        for side in bench.api_sides:
            side.start()
            bench.servers.insert_rows(rows)
            refresh_view(bench, side)
            cache.flushall()
            load = wrk(side.url, CONNECTIONS, seconds, IDS=rows)
            if side is bench.ours and not 0.9 * load.count < cache.dbsize() < rows:
                raise RuntimeError(
                    f"{cache.dbsize()} orders in the cache after {load.count} reads: not all were misses"
                )
            yield Sample.of("GET, uncached", side.name, load)
            script = SELECT_ORDER.format(rows=rows, type=bench.servers.id_type())
            yield Sample.of("GET, uncached", "ceiling", pgbench(dsn, script, CONNECTIONS, count // 3))

            wrk(side.url, CONNECTIONS, 1, IDS=CACHED)  # fills the cache
            yield Sample.of("GET, cached", side.name, wrk(side.url, CONNECTIONS, seconds, IDS=CACHED))
            bare = redis_benchmark(bench.servers.env["REDIS_ADDR"], CONNECTIONS, count, CACHED)
            yield Sample.of("GET, cached", "ceiling", bare)

            load = wrk(side.url + "/api/dashboard/sales", CONNECTIONS, seconds)
            yield Sample.of("dashboard", side.name, load)
            yield Sample.of("dashboard", "ceiling", pgbench(dsn, SELECT_DASHBOARD, CONNECTIONS, count // 3))
            side.stop()


def refresh_view(bench, side: Side) -> None:
    headers = {"Authorization": f"Bearer {bench.servers.env['ADMIN_TOKEN']}"}
    end = time.monotonic() + 10
    while True:
        answer = requests.post(side.url + "/api/admin/refresh", headers=headers, timeout=300)
        if answer.status_code != 503 or time.monotonic() > end:
            break
        time.sleep(0.2)  # a gateway that has just begun does not know yet that a scheduler is there
    answer.raise_for_status()


def search(bench) -> Iterator[Sample]:
    """Search for one of six products, beside the same query put to Elasticsearch itself; 16 connections."""
    for _ in bench.rounds():
        for side in bench.api_sides:
            side.start()
            fill_search(bench)
            url = (
                f"{bench.servers.env['ELASTICSEARCH_URL']}/{INDEX}/_search?allow_partial_search_results=false"
            )
            wrk(url, 16, bench.seconds, BODY=QUERY)  # until the JVM has compiled
            yield Sample.of("search", "ceiling", wrk(url, 16, bench.seconds, BODY=QUERY))
            yield search_once(bench, side, "search")
            side.stop()


def fill_search(bench) -> None:
    ceiling(bench.servers.env, "bulk", INDEX, bench.size(100_000, quick=20_000))
    bench.servers.documents()
    bench.servers.wait_merged()


def search_once(bench, side: Side, label: str) -> Sample:
    return Sample.of(label, side.name, wrk(side.url + "/api/search?q=laptop", 16, bench.seconds))
