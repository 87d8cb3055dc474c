"""What the services say and do when nothing is as it should be at their start. Needs no server."""

import json
import os
import re
import resource
import signal
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest
import requests

from system import SERVICES, binary, free_port, free_ports
from wait import eventually

NOWHERE = {
    "POSTGRES_DSN": "host=127.0.0.1 port=1 user=u dbname=d",
    "RABBITMQ_URL": "amqp://127.0.0.1:1",
    "ELASTICSEARCH_URL": "http://127.0.0.1:1",
    "REDIS_ADDR": "127.0.0.1:1",
    "BRIDGE_ENDPOINTS": "tcp://127.0.0.1:1",
    "API_DRAIN": "0s",
}


def environment(service, admin_port):
    own = {"API_PORT": str(free_port())} if service == "gateway" else {}
    if service == "bridge":
        own = {"BRIDGE_BIND": f"tcp://127.0.0.1:{free_ports(3)}"}
    return {"PATH": os.environ["PATH"], "ADMIN_PORT": str(admin_port)} | NOWHERE | own


def lower(kind, limit):
    resource.setrlimit(kind, (limit, limit))


class Process:
    """A service whose servers are all away; it logs to `stderr`."""

    def __init__(self, service, stderr, descriptors=None):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [binary(service)],
            env=environment(service, port),
            stderr=stderr,
            preexec_fn=descriptors and (lambda: lower(resource.RLIMIT_NOFILE, descriptors)),
        )

    def get(self, path):
        try:
            return requests.get(self.url + path, timeout=5)
        except requests.RequestException:
            return None

    def dependencies(self):
        """Name → reason of those that are down; empty while one of them is starting."""
        answer = self.get("/readyz")
        found = answer.json()["dependencies"] if answer is not None else []
        down = {one["name"]: one["reason"] for one in found if one.get("reason")}
        return {} if "starting" in down.values() else down

    def end(self):
        """Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


# What is too little for each: its limit, the one who needs it, and how much that is, as the log says.
TOO_LITTLE = [
    *((service, resource.RLIMIT_NOFILE, 24, {}, r"\d+ are needed") for service in SERVICES),
    *((service, resource.RLIMIT_NOFILE, 40, {}, r"\d+ are needed") for service in SERVICES),
    ("gateway", resource.RLIMIT_NOFILE, 1024, {"API_MAX_CONNECTIONS": "1000"}, "API_MAX_CONNECTIONS"),
    ("gateway", None, 0, {"API_BODY_BUDGET": str(1 << 40)}, r"10\d{5} MiB are needed for API_BODY_BUDGET"),
    ("bridge", resource.RLIMIT_AS, 300 << 20, {"ORDER_PREFETCH": "65535"}, r"\d+ MiB .* ORDER_PREFETCH"),
]


@pytest.mark.parametrize(("service", "kind", "limit", "changes", "said"), TOO_LITTLE)
def test_limits_that_are_too_low(service, kind, limit, changes, said):
    """It does not start, and says in one line how much it needs."""
    result = subprocess.run(
        [binary(service)],
        env=environment(service, free_port()) | changes,
        preexec_fn=kind and (lambda: lower(kind, limit)),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 78, result
    (line,) = result.stderr.splitlines()
    assert re.search(said, line)


@pytest.mark.parametrize("service", SERVICES)
def test_the_least_that_is_enough(service):
    """As many descriptors as it has asked for."""
    needed = {"limit": 24}

    def start():
        return Process(service, subprocess.PIPE, needed["limit"])

    process = start()
    assert process.process.wait(30) == 78
    needed["limit"] = int(re.search(r"(\d+) are needed", process.process.stderr.read().decode())[1])
    process = start()
    try:
        eventually(lambda: process.get("/livez"), "it answers")
        assert process.end() == 0
    finally:
        process.process.kill()


@contextmanager
def all_services(stderr):
    processes = {service: Process(service, stderr) for service in SERVICES}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.process.kill()


@contextmanager
def full_pipe():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


@pytest.fixture(scope="module")
def started():
    """All services, when they have tried all their servers; and once more with a log that nobody reads."""
    with full_pipe() as pipe, all_services(subprocess.PIPE) as heard, all_services(pipe) as unheard:
        for processes in (heard, unheard):
            for service, process in processes.items():
                eventually(process.dependencies, f"{service} has tried all", 30)
        yield heard, unheard


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_down_since_the_start_is_said_once(started, service):
    process = started[0][service]
    reasons = process.dependencies()
    failures = r'^dependency_failures_total{dependency="(.*)"} ([^0]\S*)$'
    counts = dict(re.findall(failures, process.get("/metrics").text, re.MULTILINE))
    assert counts == dict.fromkeys(reasons, "1")
    assert process.end() == 0
    log = [json.loads(line) for line in process.process.stderr.read().decode().splitlines()]
    warnings = [line.get("reason", line["message"]) for line in log if line["level"] == "warn"]
    assert len(warnings) == len(reasons), warnings

    def plain(text):
        return re.sub(r"after \d+ ms", "", text)

    for name, reason in reasons.items():
        # /readyz of a worker has the code of the last failure before it, the log its words alone.
        assert any(plain(reason) in plain(text) for text in warnings), (name, reason, warnings)


def test_a_log_that_nobody_reads_stops_nobody(started):
    """Neither the loops, which have tried all, nor the end."""
    begun = time.monotonic()
    for service, process in started[1].items():
        assert process.get("/livez").status_code == 200, service
        assert process.end() == 0, service
    assert time.monotonic() - begun < 15
