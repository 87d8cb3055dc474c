"""RabbitMQ as people run it: users that may do little, and servers of a list that hang."""

import json
import re
import socket
import subprocess
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests

from api import Api
from archiver import archiver
from queues import Queues
from system import ROOT, binary, free_port, free_ports
from wait import eventually, within

QUEUE = "privileges"


def least_privileges():
    """The table of README: user → the three expressions, for the queue of this test."""
    readme = (ROOT / "README.md").read_text().replace("order_queue", QUEUE)
    rows = re.findall(r"^\| (\w.*?) \| `(.*?)` \| `(.*?)` \| `(.*?)` \|$", readme, re.MULTILINE)
    return {user: [text.replace("\\|", "|") for text in texts] for user, *texts in rows}


@pytest.fixture
def user(system):
    """Makes a user with these permissions; returns the URL."""
    made = []

    def make(*permissions):
        name = f"user{len(made)}"
        system.rabbitmqctl("add_user", name, "secret")
        made.append(name)
        system.rabbitmqctl("set_permissions", name, *permissions)
        return f"amqp://{name}:secret@{urlsplit(system.env['RABBITMQ_URL']).netloc.rpartition('@')[2]}/"

    yield make
    for name in made:
        system.rabbitmqctl("delete_user", name)


@contextmanager
def bridge(system, url):
    """A bridge without workers, which consumes."""
    port = free_port()
    own = {
        "RABBITMQ_URL": url,
        "ORDER_QUEUE": QUEUE,
        "BRIDGE_BIND": f"tcp://127.0.0.1:{free_ports(3)}",
        "ADMIN_PORT": str(port),
    }
    environment = system.environment("bridge-1") | own
    process = subprocess.Popen([binary("bridge")], env=environment, stderr=subprocess.DEVNULL)

    def states():
        try:
            report = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).json()
        except requests.RequestException:
            return {}
        return {dependency["name"]: dependency["status"] for dependency in report["dependencies"]}

    try:
        wanted = {"rabbitmq": "up", "dead_letter_queue": "up"}
        eventually(lambda: states().items() >= wanted.items(), "the bridge has its queues")
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_users_that_may_do_no_more_than_readme_says(system, spawn, user):
    """The bridge declares the queues, or finds them; the gateway only publishes;
    the scheduler takes dead letters."""
    privileges = least_privileges()
    queues = Queues(system.env["RABBITMQ_URL"], QUEUE)
    archived = Queues(queues.url, QUEUE, system.env["POSTGRES_DSN"])
    try:
        with bridge(system, user(*privileges["bridge, declares the queues"])):
            api = Api(spawn(RABBITMQ_URL=user(*privileges["gateway"]), ORDER_QUEUE=QUEUE), "")
            assert api.post_order("by a user of few rights").status_code == 202
            eventually(lambda: queues.depth() == 0, "the bridge has the order")
            queues.publish("no order")
            eventually(lambda: queues.take_dead(), "the other one is a dead letter")
        with bridge(system, user(*privileges["bridge, the queues are there"])):
            queues.publish("no order")
            ((properties, _),) = eventually(lambda: queues.take_dead(), "it is a dead letter")
            assert properties.headers["x-reason"] == "malformed"
        assert [json.loads(body)["product_name"] for _, body in queues.take()] == ["by a user of few rights"]
        queues.publish("no order")
        with bridge(system, user(*privileges["bridge, the queues are there"])):
            eventually(lambda: queues.depth(queues.dead_name) == 1, "it is a dead letter")
        with archiver(system, archived, RABBITMQ_URL=user(*privileges["scheduler"]), ORDER_QUEUES=QUEUE):
            ((properties, _),) = eventually(lambda: archived.take_dead(), "it is archived")
            assert properties.headers["x-reason"] == "malformed"
    finally:
        queues.delete(QUEUE)
        queues.delete(queues.dead_name)
        queues.delete(queues.dead_name + ".archive")


def test_the_first_of_three_servers_hangs(system, spawn, unique):
    """As one that was sent SIGSTOP: its kernel takes the connection, and nobody says a word."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        real = system.env["RABBITMQ_URL"]
        hung = f"amqp://127.0.0.1:{frozen.getsockname()[1]}"
        url = within(5, lambda: spawn(RABBITMQ_URL=f"{hung},{real},amqp://127.0.0.1:1"), tries=3)
        order_id = Api(url, "").accept(unique)
    system.wait_stored(order_id)
