"""What the sales ledger costs PostgreSQL."""

from collections.abc import Iterator

from generators import pgbench
from measures.drain import drain_once
from processes import cpu_seconds
from samples import Sample

DRAIN, SINGLE = "PostgreSQL's CPU of an order: drain", "PostgreSQL's CPU of an order: one a statement"
CONNECTIONS = 8
INSERT_ORDER = """INSERT INTO orders (id, product_name, amount, created_at)
VALUES (gen_random_uuid(), 'Laptop', 1299.99, now());
"""


def ledger(bench) -> Iterator[Sample]:
    """PostgreSQL's CPU of an order with the sales ledger and without it: in a drain, and one a statement."""
    side, servers = bench.ours, bench.servers
    for _ in bench.rounds():
        for name in ("no ledger", side.name):
            side.start()
            servers.wait_ledger()
            side.stop(side.others)  # a scheduler would put the triggers back
            if name != side.name:
                servers.sql("ALTER TABLE orders DISABLE TRIGGER USER")
            drained = drain_once(bench, side, DRAIN, bench.size(200_000, quick=20_000), keep=True)
            yield Sample(
                DRAIN, name, drained.cpu["postgres"] * 1000, "µs", note=f"{drained.value:,.0f} orders/s"
            )
            side.stop(side.workers)
            yield _one_a_statement(servers, name, bench.size(40_000, quick=10_000))
            side.stop()


def _one_a_statement(servers, name: str, count: int) -> Sample:
    before = cpu_seconds(servers.pids["postgres"])
    load = pgbench(servers.env["POSTGRES_DSN"], INSERT_ORDER, CONNECTIONS, count)
    used = cpu_seconds(servers.pids["postgres"]) - before
    latency = {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms}
    return Sample(
        SINGLE, name, used / load.count * 1e6, "µs", note=f"{load.per_second:,.0f} orders/s", **latency
    )
