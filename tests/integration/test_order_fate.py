"""What has become of one order: its status, 409 for a dead one, and Prefer: wait."""

import contextlib
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import psycopg
import pytest
import requests

from api import assert_problem
from wait import eventually, within

SOURCE_S = 1  # how long the status waits for a source


@pytest.fixture
def archived(system):
    """The scheduler says that dead letters are archived."""
    query = "SELECT archive FROM scheduler_seen"
    eventually(lambda: system.postgres.execute(query).fetchone() == ("on",), "dead letters are archived")


@pytest.fixture
def letter(system, archived):
    """Adds a dead letter of an order; takes all of them away in the end."""
    order_ids = []

    def add(order_id, reason="refused", stage="persist", state="dead", **columns):
        order_ids.append(order_id)
        columns |= {"order_id": order_id, "reason": reason, "stage": stage, "state": state}
        return insert_letter(system.postgres, columns)

    yield add
    system.postgres.execute("DELETE FROM dead_letters WHERE order_id = ANY (%s::uuid[])", (order_ids,))


def insert_letter(connection, columns):
    columns = {"queue": "order_queue", "detail": "", "attempts": 1, "body": b"{}", "body_bytes": 2} | columns
    columns |= {"properties": b"", "digest": b"", "died_at": "2026-01-02T03:04:05Z"}
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    statement = f"INSERT INTO dead_letters ({names}) VALUES ({marks}) RETURNING id"
    return connection.execute(statement, list(columns.values())).fetchone()[0]


@contextlib.contextmanager
def orders_unwritable(system):
    """Inside of the block, orders are read and not stored."""
    with psycopg.connect(system.env["POSTGRES_DSN"], prepare_threshold=None) as connection:
        connection.execute("LOCK TABLE orders IN SHARE MODE")
        yield


def status(api, order_id):
    return api.get(f"/api/orders/{order_id}/status")


def known(api, order_id):
    answer = status(api, order_id)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()


def post(api, product_name, wait=None, key=None):
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    if key:
        headers["Idempotency-Key"] = key
    order = {"product_name": product_name, "amount": 5}
    return requests.post(api.url + "/api/orders", json=order, headers=headers, timeout=30)


# --- the status -------------------------------------------------------------------------------


def test_the_way_of_an_order(system, api, archived, unique):
    order_id = api.accept(unique)
    seen = []

    def searchable():
        seen.append(known(api, order_id))
        return seen[-1]["state"] == "searchable"

    eventually(searchable, "it is searchable", interval=0.02)
    hits = api.search(unique).json()["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == [order_id]  # at once
    assert seen[-1] == {
        "order_id": order_id,
        "state": "searchable",
        "accepted_at": api.order(order_id).json()["created_at"],
        "stored": True,
        "searchable": True,
        "dead_letters": [],
    }
    states = list(dict.fromkeys(one["state"] for one in seen))
    assert states in (["accepted", "stored", "searchable"], ["stored", "searchable"]), states
    system.redis.delete(f"order:{order_id}")
    assert known(api, order_id) == seen[-1]


def test_nobody_knows_it(api, archived):
    assert assert_problem(status(api, uuid.uuid4()), 404)["code"] == "order_not_found"
    assert_problem(status(api, "x"), 400)
    assert_problem(api.get(f"/api/orders/{uuid.uuid4()}/status/"), 404)
    assert_problem(api.request("POST", f"/api/orders/{uuid.uuid4()}/status"), 405)


def test_a_dead_order(system, api, letter):
    order_id = str(uuid.uuid4())
    body = f'{{"id":"{order_id}","product_name":"a","amount":1,"created_at":"2026-01-01T00:00:00Z"}}'
    number = letter(order_id, body=body.encode())
    told = known(api, order_id)
    assert told["dead_letters"] == [
        {
            "id": number,
            "reason": "refused",
            "stage": "persist",
            "died_at": "2026-01-02T03:04:05Z",
            "state": "dead",
            "replayed_as": None,
        }
    ]
    assert (told["state"], told["accepted_at"]) == ("dead", "2026-01-01T00:00:00Z")
    assert (told["stored"], told["searchable"]) == (False, False)
    problem = assert_problem(api.order(order_id), 409)
    assert problem["code"] == "order_dead"
    assert api.order(order_id).headers["Cache-Control"] == "no-store"

    for state, shown in (("replayed", "accepted"), ("discarded", "dead")):
        system.postgres.execute("UPDATE dead_letters SET state = %s WHERE id = %s", (state, number))
        assert known(api, order_id)["state"] == shown
        assert_problem(api.order(order_id), 409)
    system.postgres.execute("DELETE FROM dead_letters WHERE id = %s", (number,))
    assert_problem(api.order(order_id), 404)
    assert_problem(status(api, order_id), 404)


def test_letters_of_an_order_that_lives(system, api, letter, unique):
    """A replay with a new id is shown, and another order's death is no death of this one."""
    order_id = api.accept(unique)
    system.wait_stored(order_id)
    other_id = str(uuid.uuid4())
    letter(order_id, reason="id_conflict", state="replayed", replayed_as=other_id)
    letter(order_id)
    eventually(lambda: known(api, order_id)["state"] == "searchable", "it is searchable")
    letters = known(api, order_id)["dead_letters"]
    assert [one["replayed_as"] for one in letters] == [None, other_id]  # newest first
    system.redis.delete(f"order:{order_id}")
    assert api.order(order_id).status_code == 200


def test_sources_that_are_away(restored, letter, unique):
    system, api = restored, restored.api
    order_id, dead_id = api.accept(unique), str(uuid.uuid4())
    letter(dead_id)
    eventually(lambda: known(api, order_id)["state"] == "searchable", "it is searchable")

    with system.frozen("elasticsearch"):
        told = within(SOURCE_S + 0.3, lambda: known(api, order_id))
        assert (told["state"], told["stored"], told["searchable"]) == ("stored", True, None)
        assert known(api, dead_id)["state"] == "dead"  # without a row there is no document
        assert_problem(status(api, uuid.uuid4()), 404)
    eventually(lambda: known(api, order_id)["searchable"], "Elasticsearch answers again")
    with system.frozen("postgres"):
        told = within(SOURCE_S + 0.3, lambda: known(api, order_id))
        assert (told["state"], told["stored"]) == ("searchable", None)
        assert told["dead_letters"] is None
        assert assert_problem(status(api, dead_id), 503)["code"] == "order_state_unknown"
    eventually(lambda: known(api, order_id)["stored"], "PostgreSQL answers again")
    with system.stopped("redis"):
        told = known(api, order_id)
        assert (told["state"], told["stored"], told["dead_letters"]) == ("searchable", True, [])
        assert known(api, dead_id)["state"] == "dead"
        assert assert_problem(status(api, uuid.uuid4()), 503)["code"] == "order_state_unknown"


def test_without_the_archive(restored, letter, unique):
    system, api = restored, restored.api
    order_id, dead_id = api.accept(unique), str(uuid.uuid4())
    letter(order_id)
    letter(dead_id)
    eventually(lambda: known(api, order_id)["stored"], "it is stored")
    with system.stopped("scheduler-1"):
        system.postgres.execute("UPDATE scheduler_seen SET archive = 'off'")
        told = known(api, order_id)
        assert told["dead_letters"] is None
        assert told["state"] in ("stored", "searchable")
        assert_problem(api.order(dead_id), 404)
        assert_problem(status(api, dead_id), 404)
    eventually(lambda: status(api, dead_id).status_code == 200, "they are archived again")


# --- Prefer: wait -----------------------------------------------------------------------------


def test_waiting_until_it_is_stored(system, api, unique):
    key = unique
    for _ in range(2):  # the second is a replay
        answer = post(api, unique, wait=10, key=key)
        assert answer.status_code == 201, answer.text
        order_id = answer.json()["order_id"]
        assert system.row(order_id)["product_name"] == unique
        assert answer.json() == {"status": "stored", "order_id": order_id}
        assert answer.headers["Preference-Applied"] == "wait=10"
        assert answer.headers["Location"] == f"/api/orders/{order_id}"
    assert system.row_count(unique) == 1
    answer = post(api, unique)
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


def test_waiting_in_vain(system, api, archived, unique):
    with orders_unwritable(system):
        started = time.monotonic()
        answer = post(api, unique, wait=1)
        took = time.monotonic() - started
        order_id = answer.json()["order_id"]
        assert answer.status_code == 202
        assert answer.json() == {"status": "processing", "order_id": order_id}
        assert "Preference-Applied" not in answer.headers
        assert took >= 1
        told = known(api, order_id)
        assert (told["state"], told["stored"], told["searchable"]) == ("accepted", False, False)
        assert datetime.fromisoformat(told["accepted_at"])
    system.wait_stored(order_id)


@pytest.fixture
def refused_by_postgres(system, unique):
    """PostgreSQL takes no order of this name."""
    system.postgres.execute(f"ALTER TABLE orders ADD CONSTRAINT {unique} CHECK (product_name <> '{unique}')")
    yield unique
    system.postgres.execute(f"ALTER TABLE orders DROP CONSTRAINT {unique}")


def test_an_order_that_postgres_refuses(system, api, archived, refused_by_postgres):
    answer = post(api, refused_by_postgres, wait=10)
    assert answer.status_code == 202, answer.text
    order_id = answer.json()["order_id"]
    told = known(api, order_id)
    (letter,) = told["dead_letters"]
    assert answer.json() == {"status": "dead", "reason": letter["reason"], "order_id": order_id}
    assert (told["state"], told["stored"], told["searchable"]) == ("dead", False, False)
    assert (letter["stage"], letter["state"], letter["replayed_as"]) == ("persist", "dead", None)
    accepted_at = api.order(order_id).json()["created_at"]  # the cache has it
    system.redis.delete(f"order:{order_id}")
    assert_problem(api.order(order_id), 409)
    assert known(api, order_id)["accepted_at"] == accepted_at  # by the letter
    assert len(system.queues.take_dead()) == 1


def test_it_dies_meanwhile(system, api, letter, unique):
    with orders_unwritable(system), ThreadPoolExecutor() as pool:
        order_id = post(api, unique, key=unique).json()["order_id"]
        letter(order_id, reason="refused", archived_at="2026-01-02T03:04:05Z")  # an earlier attempt's
        waiting = pool.submit(post, api, unique, wait=10, key=unique)
        time.sleep(0.3)
        assert not waiting.done()
        letter(order_id, reason="value_out_of_range")
        answer = waiting.result()
    assert answer.status_code == 202
    assert answer.json() == {"status": "dead", "reason": "value_out_of_range", "order_id": order_id}
    system.wait_stored(order_id)


def test_the_gateway_stops(system, spawn, unique):
    """Who waits has its answer at once."""
    url = spawn(API_DRAIN="0s")
    order = {"product_name": unique, "amount": 5}
    with orders_unwritable(system), ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            requests.post, url + "/api/orders", json=order, headers={"Prefer": "wait=10"}, timeout=30
        )
        time.sleep(0.3)
        started = time.monotonic()
        spawn.processes[0].terminate()
        answer = waiting.result()
    assert answer.status_code == 202
    assert time.monotonic() - started < 5
    system.wait_stored(answer.json()["order_id"])
