"""What becomes of an order: its status, and waiting for its row."""

import contextlib
import json
import socket
import statistics
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import requests

from generators import ceiling, percentile, wrk
from samples import Sample
from servers import INDEX
from sides import Meter

CONNECTIONS = 64
WAITERS = 2000
WAIT_S = 10
ORDER = {"product_name": "Desk", "amount": 349}


def status(bench) -> Iterator[Sample]:
    """Status of stored orders, beside a bare client that asks PostgreSQL and Elasticsearch; 64 at once."""
    ids = bench.size(20_000, quick=5_000)
    count = bench.size(20_000, quick=5_000)
    side = bench.ours
    side.start()
    bench.servers.insert_rows(ids)
    insert_documents(bench.servers, ids)

    def look_up(count: int):
        return ceiling(bench.servers.env, "look-up", INDEX, CONNECTIONS, ids, count)

    look_up(count)  # the JVM compiles
    for _ in bench.rounds():
        yield Sample.of("status", "ceiling", look_up(count))
        load = wrk(side.url, CONNECTIONS, bench.seconds, IDS=ids, SUFFIX="/status")
        yield Sample.of("status", side.name, load)
    side.stop()


def insert_documents(servers, count: int) -> None:
    """Of the orders that insert_rows() makes."""
    for first in range(1, count + 1, 1000):
        lines = []
        for number in range(first, min(first + 1000, count + 1)):
            order_id = f"00000000-0000-0000-0000-{number:012}"
            lines += [{"index": {"_id": order_id}}, ORDER | {"id": order_id}]
        body = "".join(json.dumps(line) + "\n" for line in lines)
        headers = {"Content-Type": "application/x-ndjson"}
        url = f"{servers.env['ELASTICSEARCH_URL']}/{INDEX}/_bulk?filter_path=errors"
        if requests.post(url, body, headers=headers, timeout=60).json() != {"errors": False}:
            raise RuntimeError("some documents were not stored")
    if servers.documents() != count:
        raise RuntimeError("some documents are not found")


def wait(bench) -> Iterator[Sample]:
    """POST with Prefer: wait until 201, in turn with plain POSTs whose row another client looks for."""
    side = bench.ours
    side.start()
    url = side.url + "/api/orders"
    with requests.Session() as session, psycopg.connect(bench.servers.env["POSTGRES_DSN"]) as postgres:
        postgres.autocommit = True
        for _ in range(20):
            time_to_row_ms(session, url, postgres)
        for _ in bench.rounds():
            waited, rows = [], []
            for _ in range(bench.size(200, quick=50)):
                waited.append(time_of_wait_ms(session, url))
                rows.append(time_to_row_ms(session, url, postgres))
            more = statistics.median(waited) - statistics.median(rows)
            yield ms_sample("ours", waited, f"{more:.1f} ms after the row")
            yield ms_sample("time to the row", rows)
    side.stop()


def ms_sample(side: str, times_ms: list[float], note: str = "") -> Sample:
    p50_ms = statistics.median(times_ms)
    return Sample("Prefer: wait", side, p50_ms, "ms", p50_ms, percentile(times_ms, 99), note=note)


def time_of_wait_ms(session: requests.Session, url: str) -> float:
    started = time.monotonic()
    answer = session.post(url, json=ORDER, headers={"Prefer": f"wait={WAIT_S}"}, timeout=30)
    if answer.status_code != 201:
        raise RuntimeError(f"answered {answer.status_code}: {answer.text[:200]}")
    return (time.monotonic() - started) * 1000


def time_to_row_ms(session: requests.Session, url: str, postgres: psycopg.Connection) -> float:
    started = time.monotonic()
    order_id = session.post(url, json=ORDER, timeout=30).json()["order_id"]
    query = "SELECT FROM orders WHERE id = %s"
    while postgres.execute(query, (order_id,)).fetchone() is None:
        if time.monotonic() > started + 30:
            raise RuntimeError(f"order {order_id} has no row")
    return (time.monotonic() - started) * 1000


def waiting(bench) -> Iterator[Sample]:
    """POST → 202 without Prefer, in turn alone and while 2,000 requests wait for rows that do not come."""
    side = bench.ours
    side.start(side.api)
    wrk(side.url, CONNECTIONS, 1, POST="orders")
    for _ in bench.rounds():
        yield accept(bench, "none waits")
        with waiters(side.url, WAITERS):
            yield accept(bench, "ours", note=f"{WAITERS:,} wait")
    side.stop()


def accept(bench, side: str, **more: object) -> Sample:
    meter = Meter(bench.ours, bench.servers)
    load = wrk(bench.ours.url, CONNECTIONS, bench.seconds, POST="orders")
    cpu = meter.per_1000(load.count, load.cpu_seconds)
    return Sample.of("accept while others wait", side, load, cpu=cpu, **more)


@contextlib.contextmanager
def waiters(url: str, count: int) -> Iterator[None]:
    """So many requests wait during the block; each is answered 202 in the end."""
    address = urlsplit(url)
    body = json.dumps(ORDER)
    head = f"POST /api/orders HTTP/1.1\r\nHost: bench\r\nPrefer: wait={WAIT_S}\r\nContent-Length: {len(body)}"
    request = f"{head}\r\nConnection: close\r\n\r\n{body}".encode()
    with contextlib.ExitStack() as opened:
        sockets = []
        for _ in range(count):
            one = socket.create_connection((address.hostname, address.port), 30)
            sockets.append(opened.enter_context(one))
            one.sendall(request)
        time.sleep(0.5)
        yield
        for one in sockets:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                raise RuntimeError(f"answered too soon: {one.recv(200)!r}")
        for one in sockets:
            one.settimeout(30)
            answer = one.recv(200)
            if not answer.startswith(b"HTTP/1.1 202 "):
                raise RuntimeError(f"a waiter was answered: {answer!r}")
