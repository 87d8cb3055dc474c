"""Draining: a full queue until every order is a row and a document."""

import dataclasses
import os
import secrets
import time
from collections.abc import Iterator

from generators import Load, ceiling
from processes import cpu_seconds
from samples import GENERATOR, Sample
from servers import CEILING_INDEX, CEILING_QUEUE, QUEUE
from sides import Meter, Side
from system import free_ports

FILL_WINDOW = 2000
OURS_LIMIT_S = 120


def drain(bench) -> Iterator[Sample]:
    """A full queue → all rows and documents, also with CURVE; ceilings: each part alone, and their sum."""
    orders = bench.size(200_000, quick=40_000)
    for _ in bench.rounds():
        yield from _parts(bench, orders // 2)
        for side in bench.sides:
            if side.workers:
                yield drain_once(bench, side, "drain", orders)
                side.stop()
        endpoint = f"tcp://127.0.0.1:{free_ports(3)}"
        links = {"BRIDGE_BIND": endpoint, "BRIDGE_ENDPOINTS": endpoint, "LINK_KEY": secrets.token_hex(32)}
        sample = drain_once(bench, bench.ours, "drain", orders, **links)
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
        sample = bare(servers, f"drain: {arguments[0]} alone", server, *arguments, count)
        cpu_per_order += sum(sample.cpu.values()) / 1000
        yield sample
    yield Sample("drain", "ceiling", os.cpu_count() / cpu_per_order, note="cores ÷ CPU of the three parts")


def bare(servers, label: str, server: str, *arguments: object) -> Sample:
    """One of our bare clients, with its own CPU and its server's."""
    before = cpu_seconds(servers.pids[server])
    load: Load = ceiling(servers.env, *arguments)
    used = cpu_seconds(servers.pids[server]) - before
    cpu = {server: used / load.count * 1000, GENERATOR: load.cpu_seconds / load.count * 1000}
    client_us, server_us = cpu[GENERATOR] * 1000, cpu[server] * 1000
    note = f"µs of CPU an order: {client_us:.1f} of the bare client, {server_us:.1f} of {server}"
    latency = {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms} if load.p99_ms else {}
    return Sample(
        label, "ceiling", load.per_second, cpu=cpu, note=note, generator_cores=load.cores, **latency
    )


def _fill(bench, side: Side, count: int) -> None:
    ceiling(bench.servers.env, "publish", QUEUE, side.queue_type, FILL_WINDOW, count)


def drain_once(bench, side: Side, label: str, count: int, keep: bool = False, **settings: str) -> Sample:
    """From the first orders stored to the last: start-up is measured elsewhere. `keep` what is stored, then
    the side runs already. `settings`: others than the side's own."""
    servers = bench.servers
    if keep:
        stored, indexed = servers.rows(), servers.indexed()
        side.stop(side.workers)
    else:
        stored = indexed = 0
        side.reset()
        for program in side.others:
            program.start()
        if side is bench.ours:
            servers.wait_ledger()  # a drain writes it, too
    _fill(bench, side, count)
    for program in side.workers:
        program.start(**settings)
    first, started = _wait_indexed(bench, side, indexed + 1, 60)
    meter = Meter(side, servers)
    limit = OURS_LIMIT_S if side is bench.ours else bench.peer_seconds
    last, ended = _wait_indexed(bench, side, indexed + count, limit)
    cpu = meter.per_1000(last - first)
    done = last - indexed
    note = ""
    if done >= count:
        servers.wait_stored(stored + count)
    else:
        note = f"{done:,} of {count:,} after {ended - started:.0f} s; "
    own = sum(cpu.get(program.name, 0.0) for program in side.workers) * 1000
    note += f"{own:.1f} µs of own CPU an order"
    # All at once, or none any more: there is no rate then.
    rate = (last - first) / (ended - started) if last > first else 0.0
    return Sample(label, side.name, rate, cpu=cpu, note=note)


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
