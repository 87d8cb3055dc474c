"""Every alert, provoked on a running system by a fault of the kind that it is for. The rules are the
real ones with their times divided (hurried()). Their limits stay as they are: what must be minutes
old for them is made older, not waited for."""

import math
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from load import Load
from monitoring.prometheus import alerts
from queues import original_order
from wait import eventually

FAULTS = {}  # each with the alerts that it must cause: name → some of the labels


def provokes(**expected):
    def register(fault):
        fault = contextmanager(fault)
        FAULTS[fault] = expected
        return fault

    return register


@contextmanager
def again_and_again(action):
    """`action()` happens until the end of the block, however long it takes until that has been noticed."""
    ended = threading.Event()

    def repeat():
        while not ended.is_set():
            action()

    with ThreadPoolExecutor(1) as thread:
        repeating = thread.submit(repeat)
        try:
            yield
        finally:
            ended.set()
        repeating.result()


# --- faults: each is there inside of a `with` block, and mended after it. `shop` has the services, in
# `servers` runs what they depend on.


@provokes(
    StageDown={"stage": "index"},
    StageStalled={"stage": "index"},
    RetriesMany={"stage": "index"},
    ServiceNotReady={"job": "bridge"},
    DependencyDown={"job": "bridge", "dependency": "indexers"},
    BacklogLong={},
    DrainSlowerThanAccept={},
)
def a_read_only_index(shop, _servers):
    """Orders go on coming, until they no longer fit into the bridge's window."""
    settings = shop.elasticsearch.indices.put_settings
    settings(index=shop.index, settings={"index.blocks.write": True})
    try:
        with Load([shop.api.url], rate=20, connections=2):
            yield
    finally:
        settings(index=shop.index, settings={"index.blocks.write": False})


@provokes(QueueOrdersOld={})
def orders_of_long_ago(shop, _servers):
    """As a backlog that was in the queue for days."""
    shop.queues.publish(*(original_order("old") for _ in range(50)))
    yield


@provokes(DeadLettersGrowing={}, DeadLettersWaiting={})
def messages_that_are_no_orders(shop, _servers):
    shop.queues.publish("no order", "neither")
    yield
    assert len(shop.queues.take_dead()) == 2


@provokes(RefreshFailed={}, RefreshOverdue={})
def a_sales_view_that_stays_old(shop, _servers):
    shop.postgres.execute("ALTER TABLE sales_refresh ADD CONSTRAINT never CHECK (false) NOT VALID")
    try:
        yield
    finally:
        shop.postgres.execute("ALTER TABLE sales_refresh DROP CONSTRAINT never")


@provokes(SalesLedgerTriggersLost={}, SalesLedgerDrift={})
def a_ledger_that_was_gone_past(shop, _servers):
    """As the scheduler writes it down."""
    shop.postgres.execute("UPDATE sales_ledger_state SET triggers_lost_at = now(), drift_at = now()")
    try:
        yield
    finally:
        shop.postgres.execute("UPDATE sales_ledger_state SET triggers_lost_at = NULL, drift_at = NULL")


@provokes(
    SearchIndexIncomplete={},
    SearchIndexFault={},
    SearchIndexDiffers={"state": "extra"},
    SearchIndexUnverified={},
)
def a_search_index_that_is_not_right(shop, _servers):
    """As a verification of some days ago would have left it."""
    shop.postgres.execute(
        "UPDATE search_index SET missing = 0.25, fault = 'ask somebody', verified_extra = 3,"
        " verified_at = now() - interval '3 days', verified_full_at = NULL"
    )
    try:
        yield
    finally:
        shop.postgres.execute(
            "UPDATE search_index SET missing = NULL, fault = NULL, verified_extra = 0, verified_at = now()"
        )


@provokes(JobsFailed={"kind": "discard"})
def a_job_that_cannot_be_done(shop, _servers):
    shop.postgres.execute("ALTER TABLE jobs ADD CONSTRAINT never CHECK (result IS NULL) NOT VALID")
    try:
        shop.postgres.execute("INSERT INTO jobs (kind, requested_by) VALUES ('discard', 'eve')")
        yield
    finally:
        shop.postgres.execute("ALTER TABLE jobs DROP CONSTRAINT never")


@provokes(RestartsOften={"job": "bridge"}, DependencyFlapping={"job": "persister", "dependency": "bridge"})
def a_bridge_that_crashes_again_and_again(shop, _servers):
    def crash():
        shop.kill_and_wait("bridge-1")
        eventually(lambda: shop.programs()["bridge-1"] == "RUNNING", "the supervisor is content with it")
        eventually(lambda: shop.is_ready("persister-1"), "the persister has found it")

    with again_and_again(crash):
        yield


@provokes(RequestsFail={"route": "post_order"}, OutboxStuck={})
def a_memory_alarm_of_rabbitmq(shop, servers):
    servers.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1")
    try:
        eventually(lambda: shop.api.post_order().status_code == 503, "orders are refused")
        answer = shop.api.bulk({"orders": [{"product_name": "Cable", "amount": 1}]})
        assert answer.status_code == 201, answer.text
        shop.postgres.execute("UPDATE order_outbox SET stored_at = stored_at - interval '3 minutes'")
        with Load([shop.api.url], rate=20, connections=2):
            yield
    finally:
        servers.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    shop.wait_stored(answer.json()["order_ids"][0])


@provokes(InstanceDown={"job": "persister"}, ServiceMissing={"job": "persister"}, OrdersHung={})
def a_frozen_persister(shop, _servers):
    with shop.frozen("persister-1"):
        order_id = shop.api.accept()
        yield
    shop.wait_stored(order_id)


@provokes(FileDescriptorsLow={"job": "gateway"})
def too_many_clients(shop, _servers):
    pid, limit = shop.pid("gateway-1"), 200
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    address = urlsplit(shop.api.url)
    try:
        with ExitStack() as clients:

            def connect():  # the gateway closes those that are silent for 75 s
                missing = 0.92 * limit - shop.metric("gateway-1", "process_open_fds")
                for _ in range(math.ceil(missing)):
                    client = socket.create_connection((address.hostname, address.port), 30)
                    clients.enter_context(client)
                time.sleep(0.2)

            with again_and_again(connect):
                yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@provokes(OrderQueueUnconsumed={})
def a_queue_that_may_not_be_read(shop, servers):
    user = urlsplit(shop.env["RABBITMQ_URL"]).username
    servers.rabbitmqctl("set_permissions", user, ".*", ".*", f"^(?!{shop.queues.name}$)")
    try:
        shop.kill_and_wait("bridge-1")  # who consumes already may go on
        yield
    finally:
        servers.rabbitmqctl("set_permissions", user, ".*", ".*", ".*")


@provokes(ConfirmsSlow={})
def a_rabbitmq_that_stops_for_moments(shop, servers):
    with ThreadPoolExecutor(1) as client:

        def stop():
            with servers.frozen("rabbitmq"):
                order = client.submit(shop.api.post_order)
                wait([order], timeout=1.5)  # it is not confirmed before
            order.result()

        with again_and_again(stop):
            yield


# What does not disturb each other runs at once: some alerts take half a minute.
AT_ONCE = [
    [
        messages_that_are_no_orders,
        orders_of_long_ago,
        a_sales_view_that_stays_old,
        a_ledger_that_was_gone_past,
        a_read_only_index,
        a_search_index_that_is_not_right,
        a_job_that_cannot_be_done,
    ],
    [a_bridge_that_crashes_again_and_again],
    [a_memory_alarm_of_rabbitmq],
    [a_frozen_persister, too_many_clients],
    [a_queue_that_may_not_be_read],
    [a_rabbitmq_that_stops_for_moments],
]


# --- tests


def test_every_alert_is_provoked_by_one_fault():
    names = [name for expected in FAULTS.values() for name in expected]
    assert sorted(names) == sorted(alerts())
    assert {fault for faults in AT_ONCE for fault in faults} == FAULTS.keys()


def test_nothing_fires_on_a_healthy_system(shop, prometheus):
    # The rules are in a hurry: a machine that stands still for 4 s is down for 2 minutes. So three tries.
    for _ in range(3):
        eventually(lambda: not prometheus.firing(), "Prometheus has seen every service", 180)
        start = time.time()
        with Load([shop.api.url], rate=20, connections=2) as load:
            load.wait_accepted(250)
            eventually(lambda: prometheus.query("pipeline:orders_indexed:rate1m > 10"), "the orders are seen")
        if not (fired := prometheus.history('ALERTS{alertstate="firing"}', start, time.time())):
            break
    assert not fired


@pytest.mark.parametrize("faults", AT_ONCE, ids=lambda faults: "+".join(fault.__name__ for fault in faults))
def test_its_alerts_fire(shop, system, prometheus, faults):
    expected = {name: labels for fault in faults for name, labels in FAULTS[fault].items()}

    def firing():
        return {name for name, labels in expected.items() if prometheus.fires(name, **labels)}

    # A fault before this one may have caused one of them, too.
    eventually(lambda: not firing(), "none of them fires", 180)
    fired = set()
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault(shop, system))
        with suppress(AssertionError):  # which have not is told below
            eventually(lambda: fired.update(firing()) or fired == expected.keys(), "all have fired", 180)
        assert fired == expected.keys()
    shop.wait_ready()
    system.wait_ready()
    eventually(lambda: shop.queues.depth() == 0, "the queue is worked off", 120)


def test_nothing_fires_when_all_is_mended(shop, prometheus):
    eventually(lambda: not prometheus.firing(), "the last alert has gone", 180)
    shop.wait_stored(shop.api.accept())
