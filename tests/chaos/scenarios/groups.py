"""Groups over the same stores: each has a gateway, a bridge and a queue of its own. The queues are on a
cluster of three RabbitMQ nodes, which only this scenario uses."""

import concurrent.futures
import contextlib
import re
import signal
from collections.abc import Iterator

from queues import Queues
from stand import SERVERS, Extra, send_signal
from system import SERVICES, System, free_ports

from . import Skipped, scenario

GROUPS = ("group_1", "group_2")


@scenario(54, "two-groups", alone=True)
def two_groups(run):
    """Two groups on three RabbitMQ nodes, leaders apart; the node of each leader is killed in turn."""
    if not run.long:
        raise Skipped("three more nodes take over a minute: ./dev test operate plays it")
    with cluster(run) as nodes, groups(run, nodes) as (gateways, bridges):
        with run.load(rate=150, urls=[gateway.api_url for gateway in gateways]):
            run.until_accepted(500)
            leaders = [leader(nodes, queue) for queue in GROUPS]
            run.check(len(set(leaders)) == len(GROUPS), f"the leaders are apart: {leaders}")
            for turn, queue in enumerate(GROUPS):
                with killed(run, nodes, leader(nodes, queue), gateways[turn]):
                    run.until_accepted(300)
                    check_archived(run, nodes, turn + 1)
            run.until_accepted(300)
        run.until(lambda: rests(nodes, bridges), 120, "the queues are empty")


def check_archived(run, nodes: System, count: int) -> None:
    """Each queue gets one letter more, and the scheduler archives it under the queue's name."""
    for queue in GROUPS:
        Queues(nodes.env["RABBITMQ_URL"], queue).publish("no order")
    for queue in GROUPS:
        run.must_come(
            lambda queue=queue: archived(run, queue) >= count, 30, f"the letters of {queue} are archived"
        )


def archived(run, queue: str) -> int:
    sql = "SELECT coalesce(sum(1 + copies), 0) FROM dead_letters WHERE queue = %s"
    return run.stores.query(sql, queue)


# --- the cluster


@contextlib.contextmanager
def cluster(run) -> Iterator[System]:
    stores = {setting: run.stand.env[setting] for setting in SERVERS.values() if setting != "RABBITMQ_URL"}
    nodes = System(run.stand.folder.parent / "nodes", stores | {"DEV_VERSION": "rabbitmq-cluster"})
    nodes.destroy()
    try:
        nodes.up(**dict.fromkeys(SERVICES, 0))
        yield nodes
    finally:
        nodes.destroy()


@contextlib.contextmanager
def killed(run, nodes: System, node: str, gateway: Extra) -> Iterator[None]:
    """It is dead while the block runs; the gateway, whose queue it led, goes on through another one."""
    send_signal(nodes.pid(node), signal.SIGKILL)
    run.kills["rabbitmq"] += 1
    run.fault(f"SIGKILL {node}")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(nodes.supervisor.stop, node)  # which would start it again
        run.recovered(10, gateway.api_url)
        stopping.result()
    yield
    run.check(nodes.pid(node) == 0, f"{node} was dead all the time")
    nodes.supervisor.start(node)
    run.until(lambda: bool(nodes.rabbitmqctl("await_online_nodes", "3")), 90, f"{node} is back")


def leader(nodes: System, queue: str) -> str:
    """The node that leads a queue, as the supervisor calls it."""
    queues = nodes.rabbitmqctl("-q", "list_queues", "name", "pid")
    return "rabbitmq" + re.search(rf"^{queue}\t<pipeline(\w*)@", queues, re.MULTILINE)[1]


# --- the groups


@contextlib.contextmanager
def groups(run, nodes: System) -> Iterator[tuple[list[Extra], list[Extra]]]:
    """Gateways and bridges, one of each for each group; workers that serve all bridges; a scheduler that
    archives the dead letters of all groups. Each group tries another node first, which so leads its queue."""
    urls = nodes.env["RABBITMQ_URL"].split(",")
    gateways, bridges, endpoints = [], [], []
    with contextlib.ExitStack() as started:

        def start(service: str, **settings: str) -> Extra:
            return started.enter_context(run.extra(service, settings))

        for number, queue in enumerate(GROUPS):
            settings = {"RABBITMQ_URL": ",".join(urls[number:] + urls[:number]), "ORDER_QUEUE": queue}
            endpoints.append(f"tcp://127.0.0.1:{free_ports(3)}")
            bridges.append(start("bridge", BRIDGE_BIND=endpoints[-1], **settings))
            gateways.append(start("gateway", **settings))
        workers = [start(name, BRIDGE_ENDPOINTS=",".join(endpoints)) for name in ("persister", "indexer")]
        scheduler = start("scheduler", RABBITMQ_URL=",".join(urls), ORDER_QUEUES=",".join(GROUPS))
        for replica in (*gateways, *bridges, *workers, scheduler):
            run.until(replica.is_ready, 60, f"{replica.name} is ready")
        yield gateways, bridges


def rests(nodes: System, bridges: list[Extra]) -> bool:
    empty = all(Queues(nodes.env["RABBITMQ_URL"], queue).depth() == 0 for queue in GROUPS)
    return empty and sum(bridge.metric("bridge_in_flight") for bridge in bridges) == 0
