"""One client takes all that it can get; the others are served."""

import contextlib
import http.client
import json
import pathlib
import re
import resource
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
import requests

from system import SERVICES
from wait import eventually

pytestmark = pytest.mark.attack

P99_SECONDS = 0.1
BODY_BUDGET_MIB = 64
GREEDY = pathlib.Path(__file__).with_name("greedy.py")
ORDER = '{"product_name": "Laptop", "amount": 1299.99}'
REQUESTS = {
    "cached order": "GET /api/orders/{id} HTTP/1.1\r\nHost: x\r\n\r\n",
    "post": f"POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ORDER)}\r\n\r\n{ORDER}",
    "metrics": "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "not found": "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
}


@contextlib.contextmanager
def greedy(kind, url, *request):
    """Returns a dict, in which the answered statuses are at the end."""
    address = urlsplit(url)
    command = [sys.executable, GREEDY, kind, address.hostname, str(address.port), *request]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    statuses = {}
    try:
        assert process.stdout.readline() == "started\n"
        yield statuses
        answer, _ = process.communicate("end\n", timeout=60)
        statuses.update(json.loads(answer))
    finally:
        process.kill()
        process.wait()


def p99_of_reads(api, order_id, seconds=5):
    """Of one client that reads an order again and again."""
    address = urlsplit(api.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    took = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends or len(took) < 100:
        begun = time.monotonic()
        connection.request("GET", f"/api/orders/{order_id}")
        answer = connection.getresponse()
        assert answer.read()
        assert answer.status == 200
        took.append(time.monotonic() - begun)
        time.sleep(0.005)
    connection.close()
    return sorted(took)[len(took) * 99 // 100]


def served(attempt, tries=5):
    """`attempt()` returns the p99, and how many time-outs of Redis were counted meanwhile. A machine that
    stands still for a moment is no greedy client: there are a few tries."""
    seen = []
    while len(seen) < tries:
        seen.append(attempt())
        p99, timeouts = seen[-1]
        if p99 <= P99_SECONDS and timeouts == 0:
            return
    raise AssertionError(f"p99 never within {P99_SECONDS} s without a time-out, but {seen}")


@pytest.mark.parametrize("requested", REQUESTS)
def test_pipelined_requests_of_50_connections(system, api, unique, requested):
    order_id = api.accept(unique)
    api.read_from_cache(order_id)

    def timeouts():
        return system.metric("gateway-1", "redis_timeouts_total")

    def attempt():
        before = timeouts()
        return p99_of_reads(api, order_id), timeouts() - before

    with greedy("pipeline", api.url, REQUESTS[requested].replace("{id}", order_id)) as statuses:
        served(attempt)
    assert sum(statuses.values()) > 1000, statuses


def memory_mib(pid, name="VmHWM"):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024


def test_unfinished_bodies(system, api, unique):
    order_id = api.accept(unique)
    api.read_from_cache(order_id)
    pid = system.pid("gateway-1")
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew

    def attempt():
        with greedy("bodies", api.url) as statuses:
            p99 = p99_of_reads(api, order_id)
        assert statuses["503"] > 100, statuses
        return p99, 0

    served(attempt)
    assert memory_mib(pid) <= BODY_BUDGET_MIB + 64
    eventually(lambda: api.post_order(unique).status_code == 202, "orders are accepted")


@pytest.mark.parametrize("service", SERVICES)
def test_half_sent_heads(system, service):
    url = system.admin_url(f"{service}-1")
    with greedy("heads", url):
        for _ in range(20):
            assert requests.get(url + "/livez", timeout=5).status_code == 200
            assert requests.get(url + "/readyz", timeout=5).json()["status"]  # a refusal has no body


@contextlib.contextmanager
def descriptors_run_out(pid):
    """The process has two left."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(fd.name) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 3, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def cpu_seconds(pid, during):
    def used():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    before = used()
    time.sleep(during)
    return used() - before


@pytest.mark.parametrize("service", SERVICES)
def test_out_of_descriptors_nothing_spins(system, service):
    pid = system.pid(f"{service}-1")
    address = urlsplit(system.admin_url(f"{service}-1"))
    eventually(lambda: cpu_seconds(pid, 1) < 0.1, "it has done what earlier tests left")
    with contextlib.ExitStack() as opened:
        opened.enter_context(descriptors_run_out(pid))
        for _ in range(100):
            sock = opened.enter_context(socket.create_connection((address.hostname, address.port)))
            sock.sendall(b"GET /livez")  # no idle one that may go
        time.sleep(0.5)
        assert cpu_seconds(pid, 3) < 0.6
    url = address.geturl() + "/readyz"
    eventually(lambda: requests.get(url, timeout=5).status_code == 200, "it is served again")
