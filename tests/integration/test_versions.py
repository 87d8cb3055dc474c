"""What `./dev test versions` runs on each version of the servers, besides the contract: every process is
killed under load, and an independent ledger tells that nothing was lost. DEV_VERSION names the version."""

import contextlib
import os
import re
import signal
import subprocess
import time

import psycopg
import pytest
import requests
from elasticsearch import ApiError, TransportError

from flow import flowing
from stores import Stores
from supervisor import process_tree
from system import send
from wait import eventually

pytestmark = pytest.mark.versions

VERSION = os.environ.get("DEV_VERSION", "usual")
LEADERS = [f"the queue's leader, {nth} time" for nth in ("first", "second", "third")]
PRIMARY = "the primary, for good"


def test_every_process_killed(system, tmp_path):
    stores = Stores(system.env, system.rabbitmqctl)
    ledger = tmp_path / f"v{os.getpid()}"
    accepting, storing = {}, {}
    with flowing(ledger, system.env["API_URLS"].split(), lambda: stores) as flow:
        for victim in victims(system):
            begun = time.time()
            kill(system, victim)
            flow.wait_accepted(200, timeout=120)
            storing[victim] = stored_after(begun, flow, stores)
            system.forget_connections()
            wait_ready(system)
            accepting[victim] = flow.pause_since(begun)
    report(
        f"{', '.join(servers(system))}; {len(storing)} kills, {flow.ledger.accepted_count} accepted, 0 lost; "
        f"no 202 for at most {longest(accepting)}; new orders stored after at most {longest(storing)}"
    )


def longest(seconds):
    victim = max(seconds, key=seconds.get)
    return f"{seconds[victim]:.1f} s ({victim})"


def stored_after(begun, flow, stores):
    """How long after `begun` an order that was asked for later is in both stores."""
    order = next(one for one in reversed(flow.ledger.accepted) if one.asked_at > begun)

    def stored():
        with contextlib.suppress(psycopg.Error, ApiError, TransportError):
            return stores.hold([order.order_id])

    eventually(stored, "a new order is stored", 120)
    return time.time() - begun


def victims(system):
    """The services, then the servers; of a cluster its leader, so often that each node may be it."""
    programs = sorted(name for name in system.programs() if name != "epmd")
    services = [name for name in programs if name[-2:] in ("-1", "-2")]
    rest = [name for name in programs if name not in services]
    if VERSION == "rabbitmq-cluster":
        rest = LEADERS + [name for name in rest if not name.startswith("rabbitmq")]
    if VERSION == "postgres-standby":
        rest.append(PRIMARY)
    return services + rest


def kill(system, victim):
    """Returns when it has been started again, or when another one has taken its place."""
    program = leader(system) if victim in LEADERS else "postgres" if victim == PRIMARY else victim
    pid = system.pid(program)
    assert pid, f"{program} does not run"
    send(signal.SIGKILL, process_tree(pid))
    if victim == PRIMARY:
        system.supervisor.stop(program)
        to_standby = re.sub(r"@.*,(.*)\?.*", r"@\1", system.env["POSTGRES_DSN"])
        with psycopg.connect(to_standby, autocommit=True) as standby:
            standby.execute("SELECT pg_promote()")
    else:
        eventually(lambda: system.pid(program) not in (0, pid), f"{program} is started again")


def wait_ready(system):
    """Without a server that has been replaced."""
    for program, state in system.programs().items():
        if state != "STOPPED":
            eventually(lambda name=program: system.is_ready(name), f"{program} is ready", 120)
    system.wait_gateways()
    if VERSION == "elasticsearch-cluster":  # each shard has its copy again

        def whole():
            with contextlib.suppress(ApiError, TransportError):
                return system.elasticsearch.cluster.health()["status"] == "green"

        eventually(whole, "the cluster is green", 120)


def leader(system):
    """The program that is the leader of the orders' queue, once all nodes are there."""

    def known():
        with contextlib.suppress(subprocess.CalledProcessError):  # the node that was asked is just starting
            system.rabbitmqctl("await_online_nodes", "3")
            queues = system.rabbitmqctl("-q", "list_queues", "name", "pid")
            return re.search(rf"^{system.queues.name}\t<pipeline(\w*)@", queues, re.MULTILINE)

    return "rabbitmq" + eventually(known, "the queue has a leader")[1]


def servers(system):
    """What they call themselves."""
    yield f"PostgreSQL {system.postgres.execute('SHOW server_version').fetchone()[0].split()[0]}"
    if VERSION.startswith("pgbouncer"):
        with psycopg.connect(system.env["POSTGRES_DSN"], dbname="pgbouncer", autocommit=True) as pooler:
            yield pooler.execute("SHOW VERSION").fetchone()[0]
    nodes = "3 × " if VERSION == "rabbitmq-cluster" else ""
    yield f"{nodes}RabbitMQ {system.queues.server_version()}"
    info = system.redis.info()
    kind = "Valkey" if "valkey_version" in info else "Redis"
    yield f"{kind} {info.get('valkey_version', info['redis_version'])}"
    found = {node["version"] for node in system.elasticsearch.nodes.info()["nodes"].values()}
    nodes = "3 × " if VERSION == "elasticsearch-cluster" else ""
    kind = "OpenSearch" if VERSION.startswith("opensearch") else "Elasticsearch"
    yield f"{nodes}{kind} {' '.join(found)}"
    if VERSION == "nginx":
        yield requests.get(system.api.url + "/livez", timeout=10).headers["Server"]


def report(line):
    if path := os.environ.get("VERSION_REPORT"):
        with open(path, "w") as file:
            file.write(line + "\n")
    print(line)
