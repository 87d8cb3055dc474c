"""PostgreSQL is promoted elsewhere: a gateway alone, with a primary and its standby."""

import glob
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg
import pytest
import requests

from api import assert_problem
from system import binary, free_port
from wait import eventually, lives

USER = "postgres" if os.getuid() == 0 else None
BIN = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])


class Server:
    def __init__(self, folder, name):
        self.data, self.port = folder / name, free_port()

    def run(self, program, *arguments):
        command = [BIN / program, "-D", self.data, *arguments]
        subprocess.run(command, user=USER, cwd="/tmp", check=True, stdout=subprocess.DEVNULL)

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self.run("pg_ctl", "start", "-w", "-l", self.data / "log", "-o", options)

    def rows(self, name):
        with psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres") as connection:
            query = "SELECT count(*) FROM orders WHERE product_name = %s"
            return connection.execute(query, (name,)).fetchone()[0]


@pytest.fixture
def servers():
    folder = Path(tempfile.mkdtemp(prefix="switch-over-"))
    if USER:
        shutil.chown(folder, USER)
    primary, standby = Server(folder, "primary"), Server(folder, "standby")
    primary.run("initdb", "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C")
    primary.start()
    source = ("-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres")
    standby.run("pg_basebackup", *source, "-R", "-X", "stream", "-c", "fast")
    standby.start()
    yield primary, standby
    for server in (primary, standby):
        subprocess.run([BIN / "pg_ctl", "stop", "-D", server.data, "-m", "immediate"], user=USER, cwd="/tmp")
    shutil.rmtree(folder)


@pytest.fixture
def gateway(servers):
    """The URL of its admin port. Of its servers, only these are there."""
    primary, standby = servers
    port = free_port()
    nowhere = "127.0.0.1:1"
    environment = {
        "POSTGRES_DSN": f"user=postgres host=127.0.0.1,127.0.0.1 port={primary.port},{standby.port}",
        "REDIS_ADDR": nowhere,
        "RABBITMQ_URL": f"amqp://{nowhere}/",
        "ELASTICSEARCH_URL": f"http://{nowhere}",
        "API_PORT": str(free_port()),
        "ADMIN_PORT": str(port),
    }
    process = subprocess.Popen([binary("gateway")], env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    eventually(lambda: lives(url), "it lives")
    yield url
    process.terminate()
    process.wait(60)


def bulk(gateway, name, key):
    orders = {"orders": [{"product_name": name, "amount": 1}]}
    headers = {"Idempotency-Key": key}
    return requests.post(gateway + "/api/bulk-orders", json=orders, headers=headers, timeout=30)


def reason(gateway):
    report = requests.get(gateway + "/readyz", timeout=30).json()
    return {d["name"]: d.get("reason", "") for d in report["dependencies"]}["postgres"]


@pytest.mark.attack
def test_a_switch_over(servers, gateway):
    """Never 500; while nobody takes writes 503; what was uncertain is told by its key afterwards."""
    primary, standby = servers
    name, keys = f"w{uuid.uuid4().hex}", []

    def sent():
        keys.append(str(uuid.uuid4()))
        answer = bulk(gateway, name, keys[-1])
        if answer.status_code != 201:
            assert_problem(answer, 503)
            assert int(answer.headers["Retry-After"]) >= 1
        return answer.status_code == 201

    eventually(sent, "the primary takes orders")
    stored = bulk(gateway, name, keys[-1]).json()["order_ids"][0]
    stop = subprocess.Popen([BIN / "pg_ctl", "stop", "-D", primary.data, "-m", "fast"], user=USER, cwd="/tmp")
    while stop.poll() is None:
        sent()
    eventually(lambda: "is a standby" in reason(gateway), "the standby is noticed")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert not sent()
    assert requests.get(f"{gateway}/api/orders/{stored}", timeout=30).status_code == 200
    standby.run("pg_ctl", "promote", "-w")
    eventually(sent, "the new primary takes orders")
    for key in keys:
        assert bulk(gateway, name, key).status_code == 201
    assert standby.rows(name) == len(keys)
