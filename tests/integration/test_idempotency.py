"""Idempotency-Key: the same key always names the same order."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from api import assert_problem
from wait import eventually


@pytest.fixture
def key():
    return str(uuid.uuid4())


def test_a_replay_answers_as_the_first(system, api, unique, key):
    first = api.post_order(unique, 5, key)
    created_at = api.read(first.json()["order_id"]).json()["created_at"]
    for _ in range(3):
        replay = api.post_order(unique, 5, key)
        assert replay.status_code == 202
        assert replay.json() == first.json()
        assert replay.headers["Location"] == first.headers["Location"]
    order_id = first.json()["order_id"]
    system.wait_stored(order_id)
    assert api.read(order_id).json()["created_at"] == created_at
    assert system.row_count(unique) == 1


def test_the_same_order_by_value_is_the_same(api, unique, key):
    first = api.post_raw(f'{{"product_name":"{unique}","amount":100}}', key)
    second = api.post_raw(f'{{ "amount" : 1e2, "product_name":"{unique}", "ignored": 1 }}', key)
    assert second.status_code == 202
    assert second.json() == first.json()


def test_other_keys_name_other_orders(api, unique, key):
    ids = {api.accept(unique, 5, key + suffix) for suffix in ("", "a", "A", " b")}
    assert len(ids) == 4


def test_another_payload_under_the_same_key(system, api, unique, key):
    order_id = api.accept(unique, 5, key)
    assert_problem(api.post_order(unique, 6, key), 422)
    assert_problem(api.post_order(unique + "x", 5, key), 422)
    row, _ = system.wait_stored(order_id)
    assert (row["product_name"], row["amount"]) == (unique, 5)
    assert api.read(order_id).json()["amount"] == 5


def test_when_redis_has_forgotten(system, api, unique, key):
    order_id = api.accept(unique, 5, key)
    body = api.read(order_id).content
    system.wait_stored(order_id)

    system.redis.delete(f"order:{order_id}")
    assert api.accept(unique, 5, key) == order_id
    assert api.read(order_id).content == body

    system.redis.delete(f"order:{order_id}")
    assert_problem(api.post_order(unique, 6, key), 422)
    assert api.read(order_id).content == body
    assert system.row_count(unique) == 1


def test_many_at_once_are_one_order(system, api, unique, key):
    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(lambda _: api.accept(unique, 5, key), range(64)))
    assert len(ids) == 1
    system.wait_stored(ids.pop())
    assert system.row_count(unique) == 1


def test_two_payloads_at_once(system, api, unique):
    """One of them wins, in every store; the other is refused or is a dead letter."""
    keys = [str(uuid.uuid4()) for _ in range(40)]

    def post(task):
        key, amount = task
        return key, amount, api.post_order(unique, amount, key)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(post, [(key, amount) for key in keys for amount in (5, 6)]))

    accepted = {}
    for key, amount, response in answers:
        if response.status_code == 202:
            accepted.setdefault(key, []).append((response.json()["order_id"], amount))
        else:
            assert_problem(response, 422)
    assert len(accepted) == len(keys)

    for both in accepted.values():
        order_id = both[0][0]
        row, document = system.wait_stored(order_id)
        assert float(row["amount"]) == document["amount"]
        assert document["amount"] in [amount for _, amount in both]
        assert all(other == order_id for other, _ in both)
    assert system.row_count(unique) == len(keys)

    conflicts = sum(len(both) - 1 for both in accepted.values())
    letters = []
    eventually(lambda: letters.extend(system.queues.take_dead()) or len(letters) == conflicts, "the losers")
    assert all("id_conflict" in json.dumps(p.headers, default=str) for p, _ in letters)


@pytest.mark.parametrize("bad", ["", "x" * 256, "tab\there", "caf\xe9"])
def test_keys_that_are_no_keys(api, bad):
    assert_problem(api.post_order("Laptop", 5, bad), 400)


def test_the_longest_key(api):
    key = (uuid.uuid4().hex * 8)[:255]
    assert api.accept("Laptop", 5, key) == api.accept("Laptop", 5, key)


def test_two_keys_in_one_request(api):
    answer = api.exchange(
        b"POST /api/orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n"
        b'Content-Length: 36\r\nConnection: close\r\n\r\n{"product_name":"Laptop","amount":1}'
    )
    assert answer.startswith(b"HTTP/1.1 400 "), answer


def test_keys_of_another_deployment_name_other_orders(system, api, key):
    with system.sibling("namespace") as other:
        assert other.api.accept("Laptop", 5, key) != api.accept("Laptop", 5, key)
