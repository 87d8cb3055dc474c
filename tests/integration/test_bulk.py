"""POST /api/bulk-orders: all rows or none, at once, and searchable afterwards."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from api import assert_problem
from wait import eventually


def orders(unique, count, amount=1.5):
    return {"orders": [{"product_name": f"{unique} {n}", "amount": amount + n} for n in range(count)]}


def count_rows(system, unique):
    return system.postgres.execute(
        "SELECT count(*) FROM orders WHERE product_name LIKE %s", (unique + "%",)
    ).fetchone()[0]


def test_the_form_of_the_original(system, api, unique):
    response = api.bulk({"item_1": unique + " a", "item_2": unique + " b"})
    assert response.status_code == 201, response.text
    first, second = response.json()["order_ids"]
    assert (system.row(first)["product_name"], system.row(first)["amount"]) == (
        unique + " a",
        Decimal("100.00"),
    )
    assert (system.row(second)["product_name"], system.row(second)["amount"]) == (
        unique + " b",
        Decimal("50.00"),
    )


def test_error_is_an_ordinary_name(system, api):
    response = api.bulk({"item_1": "ERROR", "item_2": "ERROR"})
    assert response.status_code == 201
    assert all(system.row(i)["product_name"] == "ERROR" for i in response.json()["order_ids"])


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_rows_are_there_at_once_and_become_searchable(system, api, unique, count):
    response = api.bulk(orders(unique, count))
    assert response.status_code == 201, response.text
    ids = response.json()["order_ids"]
    assert len(set(ids)) == count
    assert count_rows(system, unique) == count
    last = api.order(ids[-1])
    assert (last.status_code, last.json()["product_name"]) == (200, f"{unique} {count - 1}")
    for order_id in (ids[0], ids[-1]):
        _, document = system.wait_stored(order_id)
        assert document == api.order(order_id).json()

    def found():
        system.elasticsearch.indices.refresh(index=system.index)
        return api.search(unique).json()["hits"]["total"]["value"] == count

    eventually(found, "all of them are found")


def test_the_answer_keeps_the_order_of_the_items(system, api, unique):
    ids = api.bulk(orders(unique, 5)).json()["order_ids"]
    assert [system.row(i)["product_name"] for i in ids] == [f"{unique} {n}" for n in range(5)]


@pytest.mark.parametrize(
    "bad",
    [
        {"product_name": "", "amount": 1},
        {"product_name": "x", "amount": 1.005},
        {"product_name": "x", "amount": 0},
        {"x": {"amount": 1}, "product_name": "x", "amount": 0.001},
    ],
)
def test_one_bad_item_and_nothing_is_stored(system, api, unique, bad):
    body = orders(unique, 9)
    body["orders"][7] = bad
    problem = assert_problem(api.bulk(body), 422)
    assert "7" in json.dumps(problem)
    assert count_rows(system, unique) == 0


@pytest.mark.parametrize("count", [0, 1001])
def test_too_few_and_too_many(system, api, unique, count):
    assert_problem(api.bulk(orders(unique, count)), 422)
    assert count_rows(system, unique) == 0


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"orders":{}}',
        '{"orders":[1]}',
        '{"orders":[{"product_name":"x"}]}',
        '{"orders":[{"product_name":"x","amount":"1"}]}',
        '{"item_1":"a"}',
        '{"item_1":"a","item_2":2}',
        '{"item_1":"a","item_2":"b"}x',
        '{"orders":[{"product_name":"x","amount":1}],"orders":[]}',
        '{"orders":[{"product_name":"x","amount":1\0}]}',
    ],
)
def test_malformed(api, body):
    assert_problem(api.post_raw(body, path="/api/bulk-orders"), 400)


@pytest.mark.parametrize(("first", "second"), [("", "b"), ("a", ""), ("a\n", "b"), ("x" * 256, "b")])
def test_unacceptable_names_in_the_original_form(api, first, second):
    assert_problem(api.bulk({"item_1": first, "item_2": second}), 422)


def test_too_large(api):
    one_mib = 1024 * 1024
    body = json.dumps({"item_1": "a", "item_2": "b"}).ljust(one_mib)
    assert api.post_raw(body, path="/api/bulk-orders").status_code == 201
    assert_problem(api.post_raw(body + " ", path="/api/bulk-orders"), 413)


def test_a_replay_answers_as_the_first(system, api, unique):
    key = str(uuid.uuid4())
    first = api.bulk(orders(unique, 3), key)
    replay = api.bulk(orders(unique, 3), key)
    assert (replay.status_code, replay.json()) == (201, first.json())
    assert count_rows(system, unique) == 3
    assert_problem(api.bulk(orders(unique, 3, amount=2), key), 422)
    assert_problem(api.bulk(orders(unique, 2), key), 422)
    assert count_rows(system, unique) == 3


def test_replays_at_once_store_once(system, api, unique):
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.bulk(orders(unique, 3), key), range(8)))
    ids = [tuple(answer.json()["order_ids"]) for answer in answers if answer.status_code == 201]
    assert ids
    assert len(set(ids)) == 1
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert count_rows(system, unique) == 3


def test_a_crash_afterwards_leaves_no_order_unsearchable(restored, unique):
    system = restored
    stored = {}
    for round_number in range(5):
        for n in range(4):
            tag = f"{unique}r{round_number}n{n}"
            response = system.api.bulk(orders(tag, 50))
            assert response.status_code == 201
            stored[tag] = response.json()["order_ids"]
        system.kill_and_wait("gateway-1")
        system.wait_ready()
    ids = [order_id for group in stored.values() for order_id in group]

    def missing():
        answer = system.elasticsearch.mget(index=system.index, ids=ids, source=False)
        return [doc["_id"] for doc in answer["docs"] if not doc.get("found")]

    eventually(lambda: not missing(), "every stored order is indexed")
    eventually(lambda: system.queues.depth() == 0, "the queue is empty")
