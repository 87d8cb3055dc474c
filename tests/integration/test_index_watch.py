"""What happens to the search index behind everybody's back is noticed by the scheduler, told to whoever asks,
and mended from PostgreSQL, unless that is for a person to decide."""

import contextlib
import functools
import subprocess

import pytest
import requests

from search_client import delete_indices, indices_of
from system import LOOPBACK_HOST, binary, free_port
from test_index_faults import reasons
from wait import eventually

INCOMPLETE = "X-Search-Incomplete"


@pytest.fixture
def orders(system, unique):
    """Some orders that search finds, as the schedulers know."""
    eventually(lambda: told(system)["documents"] is not None, "the schedulers know the index")
    eventually(lambda: told(system)["missing"] is None, "search is complete")
    body = {"orders": [{"product_name": unique, "amount": 1} for _ in range(50)]}
    ids = system.api.bulk(body).json()["order_ids"]
    eventually(lambda: found(system, unique) == sorted(ids), "they are found")
    return sorted(ids)


def told(system):
    """What the schedulers know of the index; the status has null while PostgreSQL takes over a second."""
    headers = {"Authorization": f"Bearer {system.api.admin_token}"}
    ask = functools.partial(system.api.get, "/api/admin/status", headers=headers)
    return eventually(lambda: ask().json()["index"], "PostgreSQL has answered")


def found(system, word):
    answer = system.api.search(word, size=100)
    return sorted(hit["_id"] for hit in answer.json()["hits"]["hits"]) if answer.ok else None


def last_job(system):
    query = "SELECT kind, parameters, automatic, state, error FROM jobs ORDER BY id DESC LIMIT 1"
    return system.postgres.execute(query).fetchone()


def wait_told(system, word):
    """Everybody is told that search is incomplete."""
    eventually(lambda: INCOMPLETE in system.api.search(word).headers, "search says it", 30)
    eventually(lambda: "search_index" in reasons(system, "gateway-1"), "the gateway says why", 10)
    assert system.is_ready("gateway-1")
    eventually(lambda: told(system)["missing"] is not None, "the status says it", 10)


@contextlib.contextmanager
def a_verification(system):
    """Another scheduler verifies the index, and so a refill waits: that is asked to end."""
    begin = """INSERT INTO jobs (kind, state, token, lease, started, automatic)
        VALUES ('verify', 'running', 1, now() + interval '1 h', now(), true) RETURNING id"""
    end = "UPDATE jobs SET state = 'canceled', finished = now() WHERE id = %s RETURNING cancel"
    job = system.postgres.execute(begin).fetchone()
    asked = False
    try:
        yield
    finally:
        asked = system.postgres.execute(end, job).fetchone()[0]
    assert asked


def wait_mended(system, word, orders):
    refilled = ("repair", {"refill": True}, True, "done", None)
    eventually(lambda: last_job(system) == refilled, "the refill is done")
    eventually(lambda: found(system, word) == orders, "all are found again")
    eventually(lambda: INCOMPLETE not in system.api.search(word).headers, "search is complete")
    eventually(lambda: system.is_ready("scheduler-1"), "the scheduler is ready")
    eventually(lambda: told(system)["missing"] is None, "the status says it", 10)


def test_a_deleted_index(system, unique, orders):
    """As somebody would do it with curl; all is back, and nobody has touched it."""
    with a_verification(system):
        for index in indices_of(system.elasticsearch, system.index):
            assert requests.delete(f"{system.env['ELASTICSEARCH_URL']}/{index}", timeout=30).ok
        wait_told(system, unique)
        eventually(lambda: "search_index" in reasons(system, "scheduler-1"), "the scheduler says why", 10)
        assert not system.is_ready("scheduler-1")
    wait_mended(system, unique, orders)


def test_deleted_while_no_scheduler_ran(system, unique, orders):
    with system.stopped("scheduler-1"):
        delete_indices(system.elasticsearch, system.index)
        later = system.api.accept(unique)
        system.wait_stored(later)  # an indexer has made another one
    wait_mended(system, unique, sorted([*orders, later]))


def test_restored_from_an_old_snapshot(system, unique, orders):
    """Over the index itself, which keeps its UUID for that."""
    snapshot, client = system.elasticsearch.snapshot, system.elasticsearch
    url = f"{system.env['ELASTICSEARCH_URL']}/_snapshot/{unique}"
    assert requests.put(url, json={"type": "fs", "settings": {"location": unique}}, timeout=30).ok
    what = {"repository": unique, "snapshot": "old", "indices": f"{system.index}*"}
    snapshot.create(**what, wait_for_completion=True)
    try:
        later = system.api.accept(unique)
        system.wait_stored(later)
        client.indices.close(index=system.index)
        snapshot.restore(**what, wait_for_completion=True)
        wait_mended(system, unique, sorted([*orders, later]))
    finally:
        snapshot.delete(repository=unique, snapshot="old")
        snapshot.delete_repository(name=unique)


@contextlib.contextmanager
def a_scheduler(system, **changes):
    """In place of the usual one, with other settings; its report of readiness."""
    port = free_port()
    environment = system.environment("scheduler-1") | {"ADMIN_PORT": str(port)} | changes
    with system.stopped("scheduler-1"):
        process = subprocess.Popen([binary("scheduler")], env=environment, stderr=subprocess.DEVNULL)
        try:
            yield lambda: requests.get(f"http://{LOOPBACK_HOST}:{port}/readyz", timeout=30).text
        finally:
            process.terminate()
            process.wait(60)


def test_it_is_only_told(system, unique, orders):
    with system.stopped("scheduler-1"):
        delete_indices(system.elasticsearch, system.index)
        order = system.api.accept(unique)
        system.wait_stored(order)
    with a_scheduler(system, INDEX_REPAIR="off") as says:
        before = last_job(system)
        wait_told(system, unique)
        assert "INDEX_REPAIR is off" in told(system)["fault"]
        eventually(lambda: "INDEX_REPAIR is off" in says(), "the scheduler is not ready, and says why", 10)
        assert last_job(system) == before
    # Whoever sees another index than this one fills it.
    system.postgres.execute("UPDATE search_index SET identity = 'before'")
    wait_mended(system, unique, sorted([*orders, order]))


@pytest.mark.attack  # it takes two minutes: what differs is looked at twice, and not in its first minute
def test_pruned_by_hand(system, unique):
    """More than is mended by itself: somebody may have meant it. A repair that is asked for mends it."""
    orders = []
    for _ in range(11):
        body = {"orders": [{"product_name": unique, "amount": 1} for _ in range(100)]}
        orders += system.api.bulk(body).json()["order_ids"]
    count = {"index": system.index, "query": {"match": {"product_name": unique}}}
    eventually(lambda: system.elasticsearch.count(**count)["count"] == len(orders), "they are searchable")
    eventually(lambda: told(system)["documents"] >= len(orders), "the scheduler has counted them", 30)
    old = "SELECT now() > max(created_at) + interval '61 s' FROM orders WHERE product_name = %s"
    eventually(lambda: system.postgres.execute(old, (unique,)).fetchone()[0], "none is in flight", 90)
    (index,) = indices_of(system.elasticsearch, system.index)
    pruned = [{"delete": {"_index": index, "_id": order}} for order in orders[:1050]]
    assert not system.elasticsearch.bulk(operations=pruned, refresh=True)["errors"]

    eventually(lambda: told(system)["fault"], "it is told", 180)
    assert last_job(system)[:4] == ("verify", {"full": True, "repair": "within_limits"}, True, "done")
    eventually(lambda: "search_index" in reasons(system, "scheduler-1"), "the scheduler says why", 10)
    assert system.elasticsearch.count(**count)["count"] == 50
    eventually(lambda: INCOMPLETE in system.api.search(unique).headers, "search says it", 10)

    ask = "INSERT INTO jobs (kind, parameters, requested_by) VALUES ('repair', '{\"full\": true}', 'eve')"
    system.postgres.execute(ask)
    eventually(lambda: told(system)["fault"] is None, "it is mended", 180)
    eventually(lambda: system.elasticsearch.count(**count)["count"] == len(orders), "they are found again", 5)
    eventually(lambda: system.is_ready("scheduler-1"), "the scheduler is ready")
    eventually(lambda: INCOMPLETE not in system.api.search(unique).headers, "search is complete")
