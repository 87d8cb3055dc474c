"""A server that is away: what still works, what is refused, how soon."""

import time
import uuid

import pytest

from api import assert_problem
from load import Load, assert_kept
from wait import eventually, within


@pytest.fixture
def stored(restored, unique):
    """An order that is everywhere."""
    order_id = restored.api.accept(unique)
    restored.wait_stored(order_id)
    return order_id


def assert_degraded(api, dependency):
    """It says so, and goes on being ready: a balancer must keep sending orders."""

    def told():
        report = api.get("/readyz")
        assert report.status_code == 200, report.text
        states = {d["name"]: d["status"] for d in report.json()["dependencies"]}
        return report.json()["status"] == "degraded" and states[dependency] == "down"

    eventually(told, f"{dependency} is reported as down")


def test_without_redis(restored, stored, unique):
    system, api = restored, restored.api
    with system.stopped("redis"):
        order_id = api.accept(unique + "x")
        eventually(lambda: api.order(order_id).status_code == 200, "it can be read from PostgreSQL")
        answer = api.order(stored)
        assert (answer.status_code, answer.headers["X-Cache"]) == (200, "MISS")
        # Whether it is on its way to PostgreSQL cannot be told, so this must not be a 404.
        assert_problem(api.order(uuid.uuid4()), 503)
        assert_degraded(api, "redis")
        with Load([api.url], orders=1000) as load:
            pass
        assert_kept(system, load)
    eventually(lambda: api.order(api.accept()).headers.get("X-Cache") == "HIT", "the cache is used again")


def test_with_redis_frozen(restored, stored):
    system, api = restored, restored.api
    with system.frozen("redis"):
        times = []
        for _ in range(20):
            start = time.monotonic()
            assert api.order(stored).status_code == 200
            times.append(time.monotonic() - start)
        assert sorted(times)[14] < 0.2, times  # the machine may be slow now and then, too
        within(1, api.accept)


def test_without_elasticsearch(restored, stored, unique):
    system, api = restored, restored.api
    with system.stopped("elasticsearch"):
        assert_problem(api.search(unique), 502)
        assert_degraded(api, "elasticsearch")
        with Load([api.url], orders=1000) as load:
            pass
        assert api.order(stored).status_code == 200
        assert not load.refused
    system.wait_ready()
    assert_kept(system, load)


def test_with_elasticsearch_frozen(restored, stored, unique):
    api = restored.api
    # The supervised process is the launcher; the server is its child.
    with restored.frozen("elasticsearch"):
        start = time.monotonic()
        assert_problem(within(6, lambda: api.search(unique)), 504)
        assert time.monotonic() - start > 4


def test_without_postgres(restored, stored, unique):
    system, api = restored, restored.api
    with system.stopped("postgres"):
        with Load([api.url], orders=1000) as load:
            pass
        assert len(load.accepted) == 1000
        assert_degraded(api, "postgres")
        api.read_from_cache(next(iter(load.accepted)))
        system.redis.delete(f"order:{stored}")
        assert_problem(api.order(stored), 503, allowed=(500,))
        assert_problem(api.order(uuid.uuid4()), 503, allowed=(500,))
        assert_problem(api.get("/api/dashboard/sales"), 503, allowed=(500,))
        assert_problem(api.bulk({"item_1": "a", "item_2": "b"}), 503, allowed=(500,))
        assert_problem(api.refresh(), 503, allowed=(500, 502, 504))
    system.forget_connections()
    system.wait_ready()
    assert_kept(system, load)
    assert api.order(stored).status_code == 200  # which the cache does not have


def test_with_the_orders_table_locked(restored, stored):
    """No acks and no dead letters; everything is stored when the lock is gone."""
    system, api = restored, restored.api
    with system.postgres.transaction():
        system.postgres.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with Load([api.url], orders=1000) as load:
            pass
        system.redis.delete(f"order:{stored}")
        assert_problem(within(6, lambda: api.order(stored)), 503, allowed=(500, 504))
    assert_kept(system, load)


def test_without_rabbitmq(restored, stored, unique):
    system, api = restored, restored.api
    with system.stopped("rabbitmq"):
        # One request may still be waiting for its confirm; from then on the outage is known.
        eventually(lambda: api.post_order(unique).status_code == 503, "orders are refused")
        answer = within(0.1, lambda: api.post_order(unique))
        assert_problem(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert api.order(stored).status_code == 200
        assert api.search(unique).status_code == 200
        assert api.get("/api/dashboard/sales").status_code == 200
        eventually(lambda: api.get("/readyz").status_code == 503, "a lasting outage is not ready")
    system.wait_ready()
    api.accept(unique + "again")
    system.forget_connections()
    eventually(lambda: system.row_count(unique + "again"), "and stored")
    assert system.row_count(unique) == 1


def test_a_memory_alarm_of_rabbitmq(restored, stored, unique):
    system, api = restored, restored.api
    system.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1")
    try:
        eventually(lambda: api.post_order(unique).status_code == 503, "orders are refused")
        answer = within(0.1, lambda: api.post_order(unique))
        assert_problem(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert api.order(stored).status_code == 200
    finally:
        system.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    eventually(lambda: api.post_order(unique + "again").status_code == 202, "orders are taken again")


def losses(system):
    return system.metric("bridge-1", "bridge_intake_losses_total")


def test_the_queue_is_deleted(restored, unique):
    """Nothing is accepted that has no queue to go to; the queue is made again."""
    system, api = restored, restored.api
    with Load([api.url], orders=600, rate=300) as load:
        pass
    assert_kept(system, load, at_least=500)
    before = losses(system)
    system.queues.delete("order_queue")
    eventually(lambda: losses(system) > before, "the bridge has noticed")
    eventually(lambda: api.post_order(unique).status_code == 202, "orders are taken again")
    eventually(lambda: system.row_count(unique) >= 1, "and stored")


def test_the_queue_is_deleted_and_made_again_at_once(restored, unique):
    """RabbitMQ 3.10 then forgets the consumer without telling it."""
    system, api = restored, restored.api

    def forgotten_and_noticed():
        before = losses(system)
        if system.queues.make_again("order_queue") > 0:
            return False
        order_id = api.accept(unique)

        def noticed():
            return losses(system) > before

        # A RabbitMQ that is slow takes the consumer over only now.
        eventually(lambda: noticed() or system.queues.consumers("order_queue"), "the bridge has noticed")
        return noticed() and system.wait_stored(order_id)

    eventually(lambda: system.queues.depth() == 0, "a moment without a backlog")
    eventually(forgotten_and_noticed, "the consumer is forgotten", 180)


def test_the_services_wait_for_servers_that_are_not_there_yet(restored, unique):
    system = restored
    for server in ("postgres", "rabbitmq", "redis", "elasticsearch"):
        system.supervisor.stop(server)
    services = [name for name in system.programs() if name[-1].isdigit()]
    killed = {name: system.kill(name) for name in services}
    eventually(lambda: all(system.pid(n) not in (0, p) for n, p in killed.items()), "they start again")
    for name in services:
        eventually(lambda n=name: system.livez(n) == 200, f"{name} lives")
        assert system.readiness(name).status_code == 503
    waiting = {name: system.pid(name) for name in services}
    for server in ("postgres", "rabbitmq", "redis", "elasticsearch"):
        system.supervisor.start(server)
    system.forget_connections()
    system.wait_ready()
    assert {name: system.pid(name) for name in services} == waiting
    system.wait_stored(system.api.accept(unique))
