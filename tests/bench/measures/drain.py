"""Draining: a full queue until every order is a row and a document."""

import dataclasses
import os
import secrets
import time
from collections.abc import Iterator

from generators import CEILINGS, Load, Running, ceiling
from processes import cpu_seconds
from samples import Sample
from servers import CEILING_INDEX, CEILING_QUEUE, INDEX, QUEUE
from sides import Meter, Side
from system import free_ports

FILL_WINDOW = 2000
PEER_LIMIT_S = 15


def drain(bench) -> Iterator[Sample]:
    """A full queue → all rows and documents, also with CURVE; ceilings: each part alone, and their sum."""
    orders = bench.size(200_000, quick=40_000)
    for _ in bench.rounds():
        yield from _parts(bench, orders // 2)
        for side in bench.sides:
            if not side.workers:
                continue
            # A peer is measured on fewer: its rate does not depend on it.
            yield _drain(bench, side, "drain", orders if side is bench.ours else orders // 8)
            side.stop()
        endpoint = f"tcp://127.0.0.1:{free_ports(3)}"
        links = {"BRIDGE_BIND": endpoint, "BRIDGE_ENDPOINTS": endpoint, "LINK_KEY": secrets.token_hex(32)}
        sample = _drain(bench, bench.ours, "drain", orders, **links)
        bench.ours.stop()
        yield dataclasses.replace(sample, side="ours, CURVE")


def _parts(bench, count: int) -> Iterator[Sample]:
    servers = bench.servers
    servers.wipe()
    servers.make_index(CEILING_INDEX)
    ceiling(servers.env, "publish", CEILING_QUEUE, "quorum", FILL_WINDOW, count)
    cpu_per_order = 0.0
    for server, arguments in (
        ("rabbitmq", ("consume", CEILING_QUEUE)),
        ("postgres", ("insert",)),
        ("elasticsearch", ("bulk", CEILING_INDEX)),
    ):
        before = cpu_seconds(servers.pids[server])
        load: Load = ceiling(servers.env, *arguments, count)
        each = (cpu_seconds(servers.pids[server]) - before + load.cpu_seconds) / count
        cpu_per_order += each
        note = f"{each * 1e6:.1f} µs of CPU an order, client and server"
        yield Sample(f"drain: {arguments[0]} alone", "ceiling", load.per_second, note=note)
    yield Sample("drain", "ceiling", os.cpu_count() / cpu_per_order, note="cores ÷ CPU of the three parts")


def _fill(bench, side: Side, count: int) -> None:
    ceiling(bench.servers.env, "publish", QUEUE, side.queue_type, FILL_WINDOW, count)


def _drain(bench, side: Side, label: str, count: int, stored: int = 0, **settings: str) -> Sample:
    """From the first orders stored to the last: start-up is measured elsewhere. `stored`: there before, then
    the side runs already. `settings`: others than the side's own."""
    servers = bench.servers
    if stored:
        indexed = servers.indexed()
        side.stop(side.workers)
        _fill(bench, side, count)
    else:
        indexed = 0
        side.reset()
        _fill(bench, side, count)
    for program in side.workers:
        program.start(**settings)
    first, started = _wait_indexed(bench, side, indexed + 1, 60)
    meter = Meter(side, servers)
    last, ended = _wait_indexed(bench, side, indexed + count, 120 if side is bench.ours else PEER_LIMIT_S)
    cpu = meter.per_1000(last - first)
    done = last - indexed
    note = ""
    if done >= count:
        servers.wait_stored(stored + count)
    else:
        note = f"{done:,} of {count:,} after {ended - started:.0f} s"
    own = sum(cpu[program.name] for program in side.workers) * 1000
    note += f"{'; ' if note else ''}{own:.1f} µs of own CPU an order"
    return Sample(label, side.name, (last - first) / (ended - started), cpu=cpu, note=note)


def _wait_indexed(bench, side: Side, wanted: int, limit: float) -> tuple[int, float]:
    """How many are indexed, and when that was seen: as soon as it is `wanted`, or when the time is over."""
    end = time.monotonic() + limit
    while True:
        indexed, now = bench.servers.indexed(), time.monotonic()
        if indexed >= wanted:
            return indexed, now
        side.check()
        if now > end:
            if side is bench.ours:
                raise RuntimeError(f"{indexed} of {wanted} orders were stored in {limit} s")
            return indexed, now
        time.sleep(0.1)


def growth(bench) -> Iterator[Sample]:
    """Draining when two million orders are stored already, beside draining into empty stores."""
    side, servers = bench.ours, bench.servers
    orders, stored = bench.size(60_000, quick=20_000), bench.size(2_000_000, quick=200_000)
    label = f"drain at {stored:,} stored"
    for _ in bench.rounds(0.4):
        sample = _drain(bench, side, label, orders)
        yield Sample(label, "ours at zero", sample.value)
    side.start(side.programs)
    side.stop(side.workers)
    servers.insert_rows(stored)
    fillers = [
        Running([CEILINGS, "bulk", INDEX, stored // 2], servers.env, 300),
        Running([CEILINGS, "bulk", INDEX, stored // 2], servers.env, 300),
    ]
    for filler in fillers:
        filler.finish()
    servers.wait_merged()
    for _ in bench.rounds():
        yield _drain(bench, side, label, orders, stored)
        stored += orders
    side.stop()
