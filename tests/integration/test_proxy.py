"""Gateways behind nginx, as Debian ships it: what a load balancer's clients see of a restart."""

import http.client
import json
import subprocess
import threading
import time

import pytest

from system import binary, free_port
from wait import eventually, lives, readiness

pytestmark = pytest.mark.attack

CLIENTS = 50
CONFIGURATION = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream gateways {{
        server 127.0.0.1:{ports[0]} max_fails=0;
        server 127.0.0.1:{ports[1]} max_fails=0;
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://gateways;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


class Gateway:
    def __init__(self, system, **settings):
        self.port = free_port()
        ports = {"API_PORT": str(self.port), "ADMIN_PORT": str(free_port())}
        self._environment = system.environment("gateway-1") | settings | ports
        self.start()

    def start(self):
        command = [binary("gateway")]
        self._process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        eventually(self._is_ready, "the gateway is ready")

    def stop(self):
        """Returns the seconds that it took."""
        begun = time.monotonic()
        self._process.terminate()
        assert self._process.wait(60) == 0
        return time.monotonic() - begun

    def _is_ready(self):
        return readiness(f"http://127.0.0.1:{self.port}") == "ready"


@pytest.fixture
def gateways(system):
    pair = [Gateway(system, API_DRAIN="2s") for _ in range(2)]
    yield pair
    for gateway in pair:
        gateway.stop()


@pytest.fixture
def nginx(gateways, tmp_path):
    """Its port."""
    port = free_port()
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(folder=tmp_path, port=port, ports=[gateway.port for gateway in gateways])
    )
    command = ["/usr/sbin/nginx", "-c", configuration, "-e", tmp_path / "error.log", "-g", "daemon off;"]
    process = subprocess.Popen(command)

    def answers():
        assert process.poll() is None, (tmp_path / "error.log").read_text()
        return lives(f"http://127.0.0.1:{port}")

    eventually(answers, "nginx answers")
    yield port
    process.terminate()
    process.wait(60)


class Clients:
    """Each posts orders one after another on a connection of its own, until told to stop."""

    def __init__(self, port):
        self._port = port
        self._stop = threading.Event()
        self.accepted = 0
        self.failed = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        body = json.dumps({"product_name": "Behind nginx", "amount": 1})
        while not self._stop.is_set():
            try:
                connection.request("POST", "/api/orders", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                failure = None if answer.status == 202 else f"{answer.status} {text[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
                connection.close()
            with self._lock:
                if failure is None:
                    self.accepted += 1
                else:
                    self.failed.append(failure)
        connection.close()


def test_a_rolling_restart_fails_no_request(gateways, nginx):
    with Clients(nginx) as clients:
        for gateway in gateways:
            before = clients.accepted
            eventually(lambda before=before: clients.accepted > before + 500, "orders pass")
            assert gateway.stop() < 2 + 10
            before = clients.accepted
            eventually(lambda before=before: clients.accepted > before + 500, "orders pass by the other one")
            gateway.start()
        before = clients.accepted
        eventually(lambda: clients.accepted > before + 500, "orders pass")
    assert clients.failed == [], f"{len(clients.failed)} of {clients.accepted}"
