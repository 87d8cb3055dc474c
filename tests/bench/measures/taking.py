"""Taking orders: POST until RabbitMQ has confirmed."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from generators import percentile, wrk
from measures.drain import bare
from processes import rss_mib
from proxy import Proxy
from samples import Sample
from servers import CEILING_QUEUE
from sides import Meter, Side

CONNECTIONS = (1, 64, 512)
CROWD = 5000  # more than the orders that the gateway has unconfirmed at once
SLOW_LINK = 1_000_000  # bytes a second: about 3,000 orders


def accept(bench) -> Iterator[Sample]:
    """POST → 202, drain stopped and running; the ceiling publishes as many with confirms, same window."""
    # A guess that sizes the first round of the ceiling; the others know better.
    expected = {connections: 500.0 * connections**0.5 for connections in CONNECTIONS}
    for _ in bench.rounds():
        for connections in CONNECTIONS:
            label = f"accept, {connections} connection{'s' if connections > 1 else ''}"
            count = max(200, int(expected[connections] * bench.seconds / 2))
            publish = ("publish", CEILING_QUEUE, "quorum", connections, count)
            sample = bare(bench.servers, label, "rabbitmq", *publish)
            expected[connections] = sample.value
            bench.servers.delete_queue(CEILING_QUEUE)
            yield sample
            for side in bench.api_sides:
                side.start(side.api)
                yield _accept(bench, side, label, connections)
                side.stop()
            if connections == 1:
                continue
            yield dataclasses.replace(sample, measure=f"{label}, drain running")
            for side in bench.api_sides:
                if side.workers:
                    yield from _accept_and_drain(bench, side, f"{label}, drain running", connections)


def _accept(bench, side: Side, label: str, connections: int) -> Sample:
    meter = Meter(side, bench.servers)
    load = wrk(side.url, connections, bench.seconds, POST="orders")
    cpu = meter.per_1000(load.count, load.cpu_seconds)
    return Sample.of(label, side.name, load, cpu=cpu)


def _accept_and_drain(bench, side: Side, label: str, connections: int) -> Iterator[Sample]:
    side.start()
    wrk(side.url, connections, 1, POST="orders")  # so that there is something to drain from the beginning
    before, started = bench.servers.indexed(), time.monotonic()
    yield _accept(bench, side, label, connections)
    stored = (bench.servers.indexed() - before) / (time.monotonic() - started)
    yield Sample(f"{label}: stored meanwhile", side.name, stored)
    side.stop()


def overload(bench) -> Iterator[Sample]:
    """Three times as many as a slow broker takes: what is accepted, and how soon the rest is refused."""
    # At full speed the load generator has no processor left for more than is taken.
    target = urlsplit(bench.servers.env["RABBITMQ_URL"])
    with contextlib.closing(Proxy(target.hostname, target.port, SLOW_LINK)) as link:
        url = target._replace(netloc=f"{target.username}:{target.password}@127.0.0.1:{link.port}").geturl()
        yield from _overload(bench, url)


def _overload(bench, broker_url: str) -> Iterator[Sample]:
    for _ in bench.rounds():
        for side in bench.api_sides:
            side.start(side.api, RABBITMQ_URL=broker_url)
            best = wrk(side.url, 512, bench.seconds, POST="orders")
            if not best.count:
                raise RuntimeError(f"{side.name} has accepted nothing")
            yield Sample("overload: accepted", f"{side.name} at its best", best.per_second)
            with Prober(side) as prober:
                load = wrk(side.url, CROWD, 5, refusing=True, POST="orders", RATE=3 * best.per_second)
            offered = (load.per_second + load.refused_per_second) / best.per_second
            yield Sample(
                "overload: accepted",
                side.name,
                load.per_second,
                note=f"{offered:.1f} times the best was offered",
            )
            refused_ms = prober.refused_ms
            yield Sample(
                "overload: refused with 503",
                side.name,
                load.refused_per_second,
                p50_ms=percentile(refused_ms, 50) if refused_ms else None,
                p99_ms=percentile(refused_ms, 99) if refused_ms else None,
                note=prober.memory(),
            )
            side.stop()


class Prober:
    """One more client during an overload: how soon is it refused? Also watches the API's memory."""

    def __init__(self, side: Side):
        self._side = side
        self._rss: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._probe)
        self._failure: Exception | None = None
        self.refused_ms: list[float] = []

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._over.set()
        self._thread.join()
        if self._failure:
            raise self._failure

    def memory(self) -> str:
        middle, end = self._rss[len(self._rss) // 2], self._rss[-1]
        return f"RSS {self._rss[0]:.1f} MiB before, {middle:.1f} half-way, {end:.1f} at the end"

    def _probe(self) -> None:
        session = requests.Session()
        order = {"product_name": "Probe", "amount": 1}
        try:
            while not self._over.wait(0.02):
                self._rss.append(rss_mib(self._side.api[0].pid))
                started = time.monotonic()
                answer = session.post(self._side.url + "/api/orders", json=order, timeout=30)
                if answer.status_code == 503:
                    self.refused_ms.append((time.monotonic() - started) * 1000)
                elif answer.status_code != 202:
                    raise RuntimeError(f"a probe was answered {answer.status_code}: {answer.text[:200]}")
        except Exception as failure:
            self._failure = failure
