"""What `./dev test versions` runs on each version of the servers, besides the contract: every process is
killed under load, and an independent ledger tells that nothing was lost. DEV_VERSION names the version."""

import os
import signal
import time

import psycopg
import pytest
import requests

from flow import flowing
from stores import Stores
from supervisor import process_tree
from system import send
from wait import eventually

pytestmark = pytest.mark.versions

VERSION = os.environ.get("DEV_VERSION", "usual")
LEADER = "the queue's leader"


def test_every_process_killed(system, tmp_path):
    pauses = []
    with flowing(
        tmp_path / f"v{os.getpid()}",
        system.env["API_URLS"].split(),
        lambda: Stores(system.env, system.rabbitmqctl),
    ) as flow:
        for victim in victims(system):
            begun = time.time()
            kill(system, leader(system) if victim == LEADER else victim)
            flow.wait_accepted(200, timeout=120)
            system.forget_connections()
            system.wait_ready()
            pauses.append((flow.pause_since(begun), victim))
    pauses.sort(reverse=True)
    report(
        f"{', '.join(servers(system))}; {len(pauses)} kills, {flow.ledger.accepted_count} accepted, 0 lost; "
        f"longest pauses: {', '.join(f'{victim} {pause:.1f} s' for pause, victim in pauses[:3])}"
    )


def victims(system):
    """The services, then the servers; of a cluster its leader, so often that each node may be it."""
    programs = sorted(name for name in system.programs() if name != "epmd")
    services = [name for name in programs if name[-2:] in ("-1", "-2")]
    rest = [name for name in programs if name not in services]
    if VERSION == "rabbitmq-cluster":
        rest = [LEADER] * 3 + [name for name in rest if not name.startswith("rabbitmq")]
    return services + rest


def kill(system, program):
    """Returns when it has been started again."""
    pid = system.pid(program)
    assert pid, f"{program} does not run"
    send(signal.SIGKILL, process_tree(pid))
    eventually(lambda: system.pid(program) not in (0, pid), f"{program} is started again")


def leader(system):
    """The program that is the leader of the orders' queue."""

    def known():
        for line in system.rabbitmqctl("-q", "list_queues", "name", "leader").splitlines():
            name, _, node = line.partition("\t")
            if name == system.queues.name and node:
                return node.partition("@")[0].replace("pipeline", "rabbitmq")
        return None

    return eventually(known, "the queue has a leader", 60)


def servers(system):
    """What they call themselves."""
    yield f"PostgreSQL {system.postgres.execute('SHOW server_version').fetchone()[0].split()[0]}"
    if VERSION.startswith("pgbouncer"):
        with psycopg.connect(system.env["POSTGRES_DSN"], dbname="pgbouncer", autocommit=True) as pooler:
            yield pooler.execute("SHOW VERSION").fetchone()[0]
    with system.queues.channel() as channel:
        properties = channel.connection._impl.server_properties
        nodes = "3 × " if VERSION == "rabbitmq-cluster" else ""
        yield f"{nodes}RabbitMQ {properties['version']}"
    info = system.redis.info()
    kind = "Valkey" if "valkey_version" in info else "Redis"
    yield f"{kind} {info.get('valkey_version', info['redis_version'])}"
    [node] = system.elasticsearch.nodes.info()["nodes"].values()
    kind = "OpenSearch" if VERSION.startswith("opensearch") else "Elasticsearch"
    yield f"{kind} {node['version']}"
    if VERSION == "nginx":
        yield requests.get(system.api.url + "/livez", timeout=10).headers["Server"]


def report(line):
    if path := os.environ.get("VERSION_REPORT"):
        with open(path, "w") as file:
            file.write(line + "\n")
    print(line)
