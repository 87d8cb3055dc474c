"""Every server comes back with another address behind its name."""

import contextlib
import os
import re
import socket
import subprocess
import threading
import time

import pytest
import requests

from api import Api
from system import ROOT, binary, free_port
from wait import eventually, readiness

HOSTS_FILE = ROOT / "build/release/tests/integration/libhosts_file.so"
SERVERS = {
    "postgres": "POSTGRES_DSN",
    "redis": "REDIS_ADDR",
    "rabbitmq": "RABBITMQ_URL",
    "elasticsearch": "ELASTICSEARCH_URL",
}
OLD, NEW = "127.0.0.2", "127.0.0.3"


class Forwarder:
    """A server at another address, with the same port."""

    def __init__(self, address, port):
        self._port = port
        self._sockets = []
        self.connections = 0
        self._listener = socket.create_server((address, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [near, far]
                self.connections += 1
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    @staticmethod
    def _carry(source, target):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)

    def close(self):
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Hosts:
    """What LD_PRELOAD of HOSTS_FILE reads."""

    def __init__(self, path):
        self._path = path

    def set(self, address):
        new = self._path.with_suffix(".new")
        new.write_text("".join(f"{name}.test {address}\n" for name in SERVERS))
        os.replace(new, self._path)

    def environment(self):
        return {"LD_PRELOAD": str(HOSTS_FILE), "TEST_HOSTS": str(self._path)}


@pytest.fixture
def start(system):
    """Starts one more replica of a service; returns the URL of its admin port."""
    processes = []

    def one(service, **changes):
        port = free_port()
        environment = system.environment(f"{service}-1") | {"ADMIN_PORT": str(port)} | changes
        processes.append(subprocess.Popen([binary(service)], env=environment, stdout=subprocess.DEVNULL))
        return f"http://127.0.0.1:{port}"

    yield one
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(60)


def test_every_server_has_another_address(system, start, tmp_path, unique):
    ports = {name: int(re.search(r":(\d+)(/|$)", system.env[key])[1]) for name, key in SERVERS.items()}
    names = {
        key: re.sub(r"(127\.0\.0\.1|localhost):(?=\d)", f"{name}.test:", system.env[key])
        for name, key in SERVERS.items()
    }
    hosts = Hosts(tmp_path / "hosts")
    hosts.set(OLD)
    old = {name: Forwarder(OLD, port) for name, port in ports.items()}
    changes = names | hosts.environment()
    api_port = free_port()
    bridge = {"ORDER_QUEUE": "moving", "BRIDGE_BIND": f"tcp://127.0.0.1:{free_port()}"}
    urls = [
        start("gateway", API_PORT=str(api_port), **changes),
        start("persister", **changes),
        start("indexer", **changes),
        start("scheduler", **changes),
    ]
    bridge_url = start("bridge", **(changes | bridge))  # never ready: it has no workers
    for url in urls:
        eventually(lambda u=url: readiness(u) == "ready", "it is ready")
    eventually(lambda: "rabbitmq" in requests.get(bridge_url + "/readyz", timeout=30).text, "it has begun")
    eventually(lambda: old["rabbitmq"].connections >= 2, "the bridge is connected")
    api = Api(f"http://127.0.0.1:{api_port}", system.env["ADMIN_TOKEN"])
    assert api.search(unique).status_code == 200
    before = {name: forwarder.connections for name, forwarder in old.items() if name != "elasticsearch"}

    new = {name: Forwarder(NEW, port) for name, port in ports.items()}
    try:
        hosts.set(NEW)
        for forwarder in old.values():
            forwarder.close()
        begun = time.monotonic()
        eventually(lambda: api.search(unique).status_code == 200, "search works", interval=0.02)
        eventually(lambda: api.post_order(unique).status_code == 202, "orders are accepted", interval=0.02)
        for name, count in before.items():
            eventually(lambda n=name, c=count: new[n].connections >= c, f"{name} is found", interval=0.02)
        assert time.monotonic() - begun < 5  # 2 s at most; the rest is the machine's
        for url in urls:
            eventually(lambda u=url: readiness(u) == "ready", "it is ready again")
    finally:
        for forwarder in new.values():
            forwarder.close()
