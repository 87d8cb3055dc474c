"""The links between a bridge and its workers over TCP: who has the key gets through, everyone else is
refused in the handshake and costs nothing."""

import os
import re
import resource
import secrets
import socket
import subprocess
import time
import uuid
from pathlib import Path

import msgpack
import pytest
import requests
import zmq
from zmq.utils import z85

from queues import Queues, original_order
from system import LOOPBACK_HOST, binary, free_port, free_ports
from wait import during, eventually

pytestmark = pytest.mark.attack

JOB, REPLY, DONE = 1, 2, 1
STRANGERS = 1000
CREATED_AT_US = 1_700_000_000_000_000
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"


class Links:
    """A bridge with a queue of its own, and workers, that meet over TCP."""

    def __init__(self, system, queue):
        self.system, self.key = system, secrets.token_hex(32)
        self.queues = Queues(system.env["RABBITMQ_URL"], queue)
        self.port = free_ports(3)
        self.admin, self.processes = {}, {}

    def start(self, service, **changes):
        admin = free_port()
        endpoint = f"tcp://{LOOPBACK_HOST}:{self.port}"
        own = {
            "ORDER_QUEUE": self.queues.name,
            "BRIDGE_BIND" if service == "bridge" else "BRIDGE_ENDPOINTS": endpoint,
            "LINK_KEY": self.key,
            "ADMIN_PORT": str(admin),
        }
        limit = changes.pop("descriptors", None)
        environment = self.system.environment(f"{service}-1") | own | changes
        self.processes[service] = subprocess.Popen(
            [binary(service)],
            env=environment,
            stderr=subprocess.PIPE,
            preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))),
        )
        self.admin[service] = f"http://{LOOPBACK_HOST}:{admin}"
        if service == "bridge":
            eventually(lambda: self.metric("bridge", "order_queue_consumers") == 1, "the bridge consumes")

    def metric(self, service, name):
        """The sum over its labels; None while the service does not answer."""
        try:
            text = requests.get(self.admin[service] + "/metrics", timeout=5).text
        except requests.RequestException:
            return None
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    def refused(self):
        return self.metric("bridge", "bridge_refused_connections_total")

    def publish(self, count):
        ids = [str(uuid.uuid4()) for _ in range(count)]
        self.queues.publish(*(original_order("Linked", order_id=order_id) for order_id in ids))
        return ids

    def resident_mib(self):
        status = Path(f"/proc/{self.processes['bridge'].pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[1]) / 1024

    def cpu_seconds(self):
        stat = Path(f"/proc/{self.processes['bridge'].pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def connect(self, port=None):
        return socket.create_connection(("127.0.0.1", port or self.port), 10)

    def end(self):
        logs = {}
        for process in self.processes.values():
            process.terminate()
        for service, process in self.processes.items():
            logs[service] = process.communicate(timeout=60)[1].decode()
        self.processes.clear()
        return logs

    def free(self):
        self.end()
        for name in (self.queues.name, self.queues.dead_name):
            self.queues.delete(name)


@pytest.fixture
def links(system, unique):
    links = Links(system, unique)
    yield links
    links.free()


class Stranger:
    """Takes the jobs of both stages, and answers that all is done."""

    def __init__(self, port, secret=None, server=None):
        self.context = zmq.Context()
        self.jobs, self.replies = self.context.socket(zmq.PULL), self.context.socket(zmq.PUSH)
        for one in (self.jobs, self.replies):
            one.linger = 0
            if secret:
                one.curve_secretkey, one.curve_publickey = secret, zmq.curve_public(secret)
                one.curve_serverkey = server or zmq.curve_public(secret)
        for offset in (0, 1):
            self.jobs.connect(f"tcp://127.0.0.1:{port + offset}")
        self.replies.connect(f"tcp://127.0.0.1:{port + 2}")
        self.taken = 0

    def work(self):
        while self.jobs.poll(0):
            version, kind, *route, items = msgpack.unpackb(self.jobs.recv())
            assert kind == JOB
            self.taken += len(items)
            done = [[tag, attempt, DONE, "", "", CREATED_AT_US] for tag, attempt, *_ in items]
            self.replies.send(msgpack.packb([version, REPLY, *route, done]))

    def free(self):
        self.context.destroy()


def test_a_stranger_is_given_nothing_and_nothing_is_lost(system, links):
    """Seen before there was a key: 5 of 10 accepted orders vanished."""
    links.start("bridge")
    own = zmq.curve_keypair()[1]
    public = zmq.curve_public(z85.encode(bytes.fromhex(links.key)))
    strangers = [
        Stranger(links.port),
        Stranger(links.port, own),
        Stranger(links.port, own, public),
    ]
    try:
        eventually(lambda: links.refused() >= 3 * len(strangers), "each of their connections is refused")
        ids = links.publish(10)
        during(3, lambda: [s.work() for s in strangers], "they would work", interval=0.05)
        links.start("persister")
        links.start("indexer")
        for order_id in ids:
            assert system.wait_stored(order_id)[0]
        during(1, lambda: [s.work() for s in strangers], "they would work", interval=0.05)
        assert [s.taken for s in strangers] == [0, 0, 0]
    finally:
        for stranger in strangers:
            stranger.free()
    logs = links.end()
    assert logs["bridge"].count("refused a connection to the workers' ports") <= 3  # a reason each


def test_workers_answer_a_bridge_of_the_release_before(system, links, unique):
    """Its jobs and what it understands are of version 1; so an upgrade begins with the workers."""
    order_id, context = uuid.uuid4(), zmq.Context()
    jobs = [context.socket(zmq.PUSH), context.socket(zmq.PUSH)]
    replies = context.socket(zmq.PULL)
    try:
        for offset, one in enumerate((*jobs, replies)):
            one.linger, one.sndtimeo, one.rcvtimeo = 0, 30_000, 30_000
            one.curve_server, one.curve_secretkey = True, z85.encode(bytes.fromhex(links.key))
            one.bind(f"tcp://127.0.0.1:{links.port + offset}")
        for stage, service in enumerate(("persister", "indexer"), 1):
            links.start(service)
            route = [b"i" * 16, 7, stage]
            item = [3, stage, order_id.bytes, 1250, CREATED_AT_US, unique]
            jobs[stage - 1].send(msgpack.packb([1, JOB, *route, [item]]))
            version, kind, *answered, items = msgpack.unpackb(replies.recv())
            assert (version, kind, answered) == (1, REPLY, route)
            assert items[0][:3] == [3, stage, DONE]
        row, document = system.wait_stored(str(order_id))
        assert row["product_name"] == document["product_name"] == unique
    finally:
        context.destroy()


def test_a_bridge_with_another_key_is_not_used(system, links):
    """Nor are its jobs: another bridge's workers store them."""
    links.start("bridge")
    links.start("persister", LINK_KEY=secrets.token_hex(32))

    def reason():
        try:
            report = requests.get(links.admin["persister"] + "/readyz", timeout=5).json()
        except requests.RequestException:
            return ""
        return next(d.get("reason") or "" for d in report["dependencies"] if d["name"] == "bridge")

    eventually(lambda: "LINK_KEY" in reason(), "it says why")
    assert links.metric("persister", "worker_bridge_refusals_total") > 0
    assert links.metric("persister", "worker_bridges_connected") == 0
    assert "no link to a bridge" in links.end()["persister"]


def flood(connection):
    """A message that does not end, for as long as the connection takes it."""
    frame = bytes([3]) + (60_000).to_bytes(8, "big") + bytes(60_000)  # long, and more follow
    connection.sendall(GREETING + b"NULL" + bytes(48))
    while True:
        connection.sendall(frame)


def test_frames_without_end_of_a_stranger_cost_nothing(system, links):
    links.start("bridge")
    before = links.resident_mib()
    for port in (links.port, links.port + 1, links.port + 2):
        with links.connect(port) as connection, pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            flood(connection)
    assert links.resident_mib() < before + 16
    eventually(lambda: links.refused() >= 3, "they were refused")


def test_strangers_half_way_through_the_handshake_disturb_nobody(system, links):
    for service in ("bridge", "persister", "indexer"):
        links.start(service)
    eventually(lambda: links.metric("persister", "worker_bridges_connected") == 1, "it is connected")
    strangers = []
    try:
        for i in range(STRANGERS):
            strangers.append(links.connect(links.port + i % 3))
            strangers[-1].sendall((GREETING + b"CURVE" + bytes(47))[: i % 65])
        for order_id in links.publish(10):
            system.wait_stored(order_id, 5)
        assert links.metric("bridge", "bridge_malformed_replies_total") == 0
        eventually(lambda: links.refused() >= STRANGERS, "their time is over", 20)
    finally:
        for stranger in strangers:
            stranger.close()


def test_without_descriptors_nothing_spins(system, links):
    """libzmq alone tries to accept at once and for ever."""
    links.start("bridge", descriptors=128)
    strangers = [links.connect(links.port + i % 3) for i in range(150)]
    try:
        time.sleep(0.5)
        cpu, ends = links.cpu_seconds(), time.monotonic() + 4
        while time.monotonic() < ends:  # those whose time is over come again
            for i in range(0, len(strangers), 3):
                strangers[i].close()
                strangers[i] = links.connect()
            time.sleep(0.5)
        assert links.cpu_seconds() - cpu < 1
    finally:
        for stranger in strangers:
            stranger.close()
    links.start("persister")
    links.start("indexer")
    for order_id in links.publish(10):
        assert system.wait_stored(order_id)[0]
