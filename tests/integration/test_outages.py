"""A server that is away: what still works, what is refused, how soon."""

import time
import uuid

import pytest

from api import assert_problem
from load import Load, assert_kept
from wait import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def stored(restored, unique):
    """An order that is everywhere."""
    order_id = restored.api.accept(unique)
    restored.wait_stored(order_id)
    return order_id


def timed(call):
    start = time.monotonic()
    return call(), time.monotonic() - start


def assert_degraded(api, dependency):
    """It says so, and goes on being ready: a balancer must keep sending orders."""

    def told():
        report = api.get("/readyz")
        assert report.status_code == 200, report.text
        states = {d["name"]: d["status"] for d in report.json()["dependencies"]}
        return report.json()["status"] == "degraded" and states[dependency] == "down"

    eventually(told, f"{dependency} is reported as down", 10)


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
        times = [timed(lambda: api.order(stored)) for _ in range(20)]
        assert {answer.status_code for answer, _ in times} == {200}
        assert sorted(seconds for _, seconds in times)[-2] < 0.2
        _, seconds = timed(api.accept)
        assert seconds < 1


def test_without_elasticsearch(restored, stored, unique):
    system, api = restored, restored.api
    with system.stopped("elasticsearch"):
        assert_problem(api.search(unique), 502)
        assert_degraded(api, "elasticsearch")
        with Load([api.url], orders=1000) as load:
            pass
        assert api.order(stored).status_code == 200
        assert not load.refused
    system.wait_ready(90)
    assert_kept(system, load)


def test_with_elasticsearch_frozen(restored, stored, unique):
    api = restored.api
    # The supervised process is the launcher; the server is its child.
    with restored.frozen("elasticsearch"):
        answer, seconds = timed(lambda: api.search(unique))
        assert_problem(answer, 504)
        assert 4 < seconds < 6


def test_without_postgres(restored, stored, unique):
    system, api = restored, restored.api
    with system.stopped("postgres"):
        with Load([api.url], orders=1000) as load:
            pass
        assert len(load.accepted) == 1000
        assert_degraded(api, "postgres")
        assert api.order(next(iter(load.accepted))).headers["X-Cache"] == "HIT"
        system.redis.delete(f"order:{stored}")
        assert_problem(api.order(stored), 503, allowed=(500,))
        assert_problem(api.order(uuid.uuid4()), 503, allowed=(500,))
        assert_problem(api.get("/api/dashboard/sales"), 503, allowed=(500,))
        assert_problem(api.bulk({"item_1": "a", "item_2": "b"}), 503, allowed=(500,))
        assert_problem(api.refresh(), 503, allowed=(500, 502, 504))
    system.forget_connections()
    system.wait_ready()
    assert_kept(system, load)
    assert api.order(stored).status_code == 200


def test_with_the_orders_table_locked(restored, stored):
    """No acks and no dead letters; everything is stored when the lock is gone."""
    system, api = restored, restored.api
    with system.postgres.transaction():
        system.postgres.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with Load([api.url], orders=1000) as load:
            pass
        system.redis.delete(f"order:{stored}")
        answer, seconds = timed(lambda: api.order(stored))
        assert_problem(answer, 503, allowed=(500, 504))
        assert seconds < 6
    assert_kept(system, load)


def test_without_rabbitmq(restored, stored, unique):
    system, api = restored, restored.api
    with system.stopped("rabbitmq"):
        # One request may still be waiting for its confirm; from then on the outage is known.
        eventually(lambda: api.post_order(unique).status_code == 503, "orders are refused")
        answer, seconds = timed(lambda: api.post_order(unique))
        assert_problem(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert seconds < 0.1
        assert api.order(stored).status_code == 200
        assert api.search(unique).status_code == 200
        assert api.get("/api/dashboard/sales").status_code == 200
        eventually(lambda: api.get("/readyz").status_code == 503, "a lasting outage is not ready", 60)
    eventually(lambda: api.post_order(unique + "again").status_code == 202, "orders are taken again", 30)
    system.forget_connections()
    eventually(lambda: system.row_count(unique + "again"), "and stored")
    assert system.row_count(unique) == 1


def test_a_memory_alarm_of_rabbitmq(restored, stored, unique):
    system, api = restored, restored.api
    system.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1")
    try:
        eventually(lambda: api.post_order(unique).status_code == 503, "orders are refused")

        def at_once():
            answer, seconds = timed(lambda: api.post_order(unique))
            return answer.status_code == 503 and seconds < 0.1 and "Retry-After" in answer.headers

        eventually(at_once, "at once")
        assert api.order(stored).status_code == 200
    finally:
        system.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    eventually(lambda: api.post_order(unique + "again").status_code == 202, "orders are taken again")


def losses(system):
    return system.metric("bridge-1", "bridge_intake_losses_total")


def test_the_queue_is_deleted(restored, unique):
    """Nothing is accepted that has no queue to go to; the queue is made again."""
    system, api = restored, restored.api
    with Load([api.url], rate=300) as load:
        load.wait_accepted(300)
        eventually(lambda: system.queues.depth() == 0, "a moment without a backlog")
        system.up(bridge=1)
        load.wait_accepted(len(load.accepted) + 300)
    assert_kept(system, load, at_least=500)
    before = losses(system)
    system.queues.delete("order_queue")
    eventually(lambda: losses(system) > before, "the bridge has noticed", timeout=30)
    eventually(lambda: api.post_order(unique).status_code == 202, "orders are taken again", timeout=30)
    eventually(lambda: system.row_count(unique) >= 1, "and stored", timeout=30)


def test_the_queue_is_deleted_and_made_again_at_once(restored, unique):
    """RabbitMQ 3.10 then forgets the consumer without telling it."""
    system, api = restored, restored.api
    before = losses(system)
    eventually(lambda: system.queues.depth() == 0, "a moment without a backlog", timeout=30)
    eventually(lambda: system.queues.make_again("order_queue") == 0, "the consumer is forgotten")
    system.wait_stored(api.accept(unique))
    assert losses(system) > before


def test_the_services_wait_for_servers_that_are_not_there_yet(restored, unique):
    system = restored
    for server in ("postgres", "rabbitmq", "redis", "elasticsearch"):
        system.supervisor.stop(server)
    services = [name for name in system.programs() if name[-1].isdigit()]
    pids = {name: system.kill(name) for name in services}
    eventually(lambda: all(system.pid(n) not in (0, p) for n, p in pids.items()), "they start again")
    for name in services:
        eventually(lambda n=name: system.livez(n) == 200, f"{name} lives")
        assert system.readiness(name).status_code == 503
    for server in ("postgres", "rabbitmq", "redis", "elasticsearch"):
        system.supervisor.start(server)
    system.forget_connections()
    system.wait_ready(90)
    assert {n: system.pid(n) for n in services} == {n: system.pid(n) for n in services}
    system.wait_stored(system.api.accept(unique))
