"""What an operator is told of the whole system: GET /api/admin/status."""

import contextlib
import http.server
import json
import os
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import requests

from system import LOOPBACK_HOST, ROOT, free_port
from wait import eventually, within

SERVERS = {"rabbitmq", "postgres", "redis", "elasticsearch"}
HOSTS_FILE = ROOT / "build/release/tests/integration/libhosts_file.so"


class Told:
    """A gateway that is told of the services by a file."""

    def __init__(self, system, spawn, file, **changes):
        self.file = file
        self._token = {"Authorization": f"Bearer {system.env['ADMIN_TOKEN']}"}
        self.url = spawn(**{"SERVICE_ADMIN_URLS": str(file)} | changes)

    def of(self, *urls):
        self.file.write_text("\n".join(urls))

    def ask(self):
        answer = requests.get(self.url + "/api/admin/status", headers=self._token, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.json()

    def services(self):
        return [service for service in self.ask()["services"] if service["replica"] is not None]

    def at(self, url):
        """What it tells of the replica there, or None."""
        place = urlsplit(url).netloc
        return next((service for service in self.services() if service["replica"] == place), None)


@pytest.fixture
def told(system, spawn, tmp_path):
    file = tmp_path / "urls"
    file.touch()
    return Told(system, spawn, file)


def all_urls(system):
    return {program: system.admin_url(program) for program in system.programs() if has_port(system, program)}


def has_port(system, program):
    return f"{program.rsplit('-', 1)[0].upper()}_ADMIN_URLS" in system.env and program != "gateway-1"


def test_all_is_well(system, told):
    urls = all_urls(system)
    told.of(*urls.values())
    status = eventually(lambda: counted(well(told.ask())), "all is well, and Elasticsearch has counted")
    assert (status["summary"], status["problems"]) == ("All is well.", [])
    names = [service["name"] for service in status["services"]]
    assert names == ["gateway", *(program.rsplit("-", 1)[0] for program in urls)]
    assert {service["status"] for service in status["services"]} == {"ready"}
    assert status["queue"].keys() == {"name", "messages", "consumers", "dead_messages"}
    assert status["queue"]["consumers"] == 1
    assert status["documents"] >= 0
    assert status["outbox"] == {"orders": 0, "oldest_seconds": None}
    assert status["dead_letters"] == {"dead": 0, "oldest_died_at": None, "by_reason": {}}
    assert status["in_flight"] >= 0


def well(status):
    return status if status["well"] else None


def counted(status):
    """Elasticsearch may take five seconds to count before it is a problem."""
    return status if status and status["documents"] is not None else None


def test_rates(system, told):
    """What other gateways accept counts, too."""
    told.of(*all_urls(system).values(), system.admin_url("gateway-1"))
    for _ in range(20):
        system.api.accept()
    # A question waits 1.15 s for two rounds; when the services take longer, the next one has the rates.
    eventually(lambda: None not in told.ask()["rates"].values(), "there are two rounds", 10)

    def all_pass():
        system.api.accept()
        return all(told.ask()["rates"].values())

    eventually(all_pass, "orders are accepted, stored and searchable each second")


def test_it_is_told_at_once(told):
    told.ask()
    within(0.1, told.ask)


def test_dependencies(restored, told):
    def redis(status):
        dependencies = {dependency["name"]: dependency for dependency in told.ask()["dependencies"]}
        assert dependencies.keys() == SERVERS | {"scheduler", "search_index"}
        assert all((one["reason"] is None) == (one["status"] == "up") for one in dependencies.values())
        return dependencies["redis"] if dependencies["redis"]["status"] == status else None

    up = eventually(lambda: redis("up"), "Redis is up")
    with restored.stopped("redis"):
        down = eventually(lambda: redis("down"), "it is missed", timeout=3)
        assert down["since"] > up["since"]
        assert "Connection refused" in down["reason"] or "closed" in down["reason"], down
        time.sleep(1.1)
        assert redis("down")["since"] == down["since"]
    again = eventually(lambda: redis("up"), "it is back")
    assert again["since"] > down["since"]


def test_a_replica_is_killed(system, told):
    url = system.admin_url("persister-2")
    told.of(*all_urls(system).values())
    eventually(lambda: well(told.ask()), "all is well")
    with system.stopped("persister-2"):
        begun = time.monotonic()
        eventually(lambda: told.at(url)["status"] == "unreachable", "it is missed", timeout=2, interval=0.02)
        assert time.monotonic() - begun < 2
        status = told.ask()
        assert not status["well"]
        assert status["summary"].startswith(f"persister {urlsplit(url).netloc} has been unreachable since ")
        assert "Connection refused" in status["summary"]
        assert status["summary"].startswith(status["problems"][0])
    eventually(lambda: told.at(url)["status"] == "ready", "it is back")


def test_a_frozen_replica_holds_nobody_up(system, told):
    url = system.admin_url("persister-2")
    told.of(*all_urls(system).values())
    with system.frozen("persister-2"):
        eventually(lambda: told.at(url)["reasons"] == ["no answer within 1 s"], "it is missed")
        within(0.1, told.ask)
    eventually(lambda: told.at(url)["status"] == "ready", "it goes on")


def test_the_file_changes(system, told):
    bridge, indexer = system.admin_url("bridge-1"), system.admin_url("indexer-1")
    told.of(bridge)
    eventually(lambda: told.at(bridge), "the bridge is known")
    told.of(indexer, "# and no bridge")
    eventually(lambda: told.at(indexer) and not told.at(bridge), "the indexer is known, and no bridge")
    told.of("nonsense")
    status = eventually(lambda: not (status := told.ask())["well"] and status, "that is told")
    assert "SERVICE_ADMIN_URLS has been at fault" in status["summary"]
    assert told.at(indexer)["status"] == "ready"


def all_ready(services, replicas):
    ready = [service["replica"] for service in services if service["status"] == "ready"]
    return services if ready == replicas else None


def test_two_replicas_of_a_name(system, spawn, tmp_path):
    port, hosts, file = free_port(), tmp_path / "hosts", tmp_path / "urls"
    hosts.write_text("workers.test 127.0.0.2\nworkers.test 127.0.0.3\n")
    file.write_text(f"http://workers.test:{port}")
    with Service("127.0.0.2", port), Service("127.0.0.3", port) as second:
        told = Told(system, spawn, file, LD_PRELOAD=str(HOSTS_FILE), TEST_HOSTS=str(hosts))
        replicas = [f"127.0.0.2:{port}", f"127.0.0.3:{port}"]
        two = eventually(lambda: all_ready(told.services()[1:], replicas), "both are ready")
        assert {service["url"] for service in two} == {f"http://workers.test:{port}"}
        second.close()
        eventually(lambda: told.services()[2]["status"] == "unreachable", "the second is missed")
        assert told.services()[1]["status"] == "ready"


class Service:
    """An admin port that says it is ready."""

    def __init__(self, address, port):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"status":"ready","dependencies":[]}')

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer((address, port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def endless(connection):
    connection.sendall(CHUNKED)
    while True:
        connection.sendall(b"10000\r\n" + b"[" * 65536 + b"\r\n")


def ten_megabytes(connection):
    body = json.dumps({"status": "ready", "dependencies": [], "more": "x" * 10_000_000}).encode()
    connection.sendall(HEAD % len(body) + body)


def slow(connection):
    for byte in HEAD % 100 + b"x" * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def silent(connection):
    connection.recv(1)


def garbage(connection):
    connection.sendall(HEAD % 4 + b'{"s\xff')


def deep(connection):
    connection.sendall(HEAD % 500_000 + b"[" * 500_000)


def no_http(connection):
    connection.sendall(os.urandom(5000))


def elsewhere(connection):
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")


def half(connection):
    connection.sendall(HEAD % 1000 + b'{"status":"ready"}')


HOSTILE = [endless, ten_megabytes, slow, silent, garbage, deep, no_http, elsewhere, half]


class Hostile:
    """An admin port with this manner."""

    def __init__(self, manner):
        self._manner = manner
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            self._manner(connection)

    def close(self):
        self._listener.close()


def memory(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) * 1024


def test_hostile_ports(system, spawn, told):
    pid = spawn.processes[-1].pid
    bridge = system.admin_url("bridge-1")
    told.of(bridge)
    eventually(lambda: told.at(bridge), "the bridge is known")
    before = memory(pid)
    ports = [Hostile(manner) for manner in HOSTILE]
    try:
        told.of(bridge, *(port.url for port in ports))
        eventually(lambda: told.at(ports[-1].url), "they are asked")
        for _ in range(5):
            within(0.1, told.ask)
            status = {service["replica"]: service for service in told.services()}
            assert status[urlsplit(bridge).netloc]["status"] == "ready"
            for port in ports:
                service = status[urlsplit(port.url).netloc]
                assert service["status"] == "unreachable", (port._manner, service)
                assert service["reasons"], port._manner
            time.sleep(0.3)
        assert memory(pid) - before < 30_000_000
        assert requests.get(told.url + "/livez", timeout=30).ok
    finally:
        for port in ports:
            port.close()


def test_nothing_else_is_there(system, spawn, tmp_path):
    """What cannot be asked is null, and it is told in time."""
    host, port = LOOPBACK_HOST, 1  # where nobody ever listens
    told = Told(
        system,
        spawn,
        None,
        status="degraded",
        POSTGRES_DSN=f"host={host.strip('[]')} port={port} user=x dbname=x",
        ELASTICSEARCH_URL=f"http://{host}:{port}",
        SERVICE_ADMIN_URLS="",
    )
    status = within(1.5, told.ask, tries=3)
    assert not status["well"]
    assert "has been degraded since" in status["summary"]
    for name in ("queue", "documents", "rows_estimated", "dead_letters", "outbox", "jobs", "archive"):
        assert status[name] is None, name
