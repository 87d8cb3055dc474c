"""Messages that can never be stored go to <queue>.dead with the reason; nothing else suffers."""

import datetime
import json
import uuid

import pytest

from queues import original_order
from wait import eventually


def one_dead_letter(system):
    letters = eventually(system.queues.take_dead, "a dead letter")
    assert len(letters) == 1
    return letters[0]


HEADERS = {"x-reason", "x-detail", "x-stage", "x-attempts", "x-first-attempt", "x-last-attempt"}
HEADERS |= {
    "x-original-size",
    "x-original-exchange",
    "x-original-routing-key",
    "x-original-properties",
    "x-cut",
}


def check_account(headers, reason, stage, detail=""):
    """What a dead letter that was tried says of it."""
    assert headers.keys() >= HEADERS
    assert headers["x-reason"] == reason
    assert headers["x-stage"] == stage
    assert detail in headers["x-detail"]
    assert headers["x-attempts"] >= 1
    first, last = (
        datetime.datetime.fromisoformat(headers[f"x-{which}-attempt"]) for which in ("first", "last")
    )
    now = datetime.datetime.now(datetime.UTC)
    assert now - datetime.timedelta(minutes=10) < first <= last <= now


def order_with(**changes):
    order = json.loads(original_order("poison")) | changes
    return json.dumps({name: value for name, value in order.items() if value is not ...})


def order_with_amount(text):
    return original_order("poison", 77).replace(":77,", f":{text},")


POISON = {
    "empty": "",
    "not JSON": "hello",
    "an array": "[]",
    "truncated": original_order("poison")[:-1],
    "trailing bytes": original_order("poison") + "x",
    "bad UTF-8": original_order("poison").encode().replace(b"poison", b"\xff"),
    "no id": order_with(id=...),
    "id no UUID": order_with(id="42"),
    "id a number": order_with(id=42),
    "no name": order_with(product_name=...),
    "name empty": order_with(product_name=""),
    "name too long": order_with(product_name="x" * 256),
    "no amount": order_with(amount=...),
    "amount a string": order_with(amount="1"),
    "amount NaN": order_with(amount=float("nan")),
    "half a cent": order_with(amount=0.005),
    "a fraction that no double has": order_with_amount("7.0000000000000000001"),
    "a fraction that is zero as a double": order_with_amount("1e-400"),
    "NUL after the amount": order_with_amount("7\0"),
    "too much": order_with(amount=1e11),
    "too little": order_with(amount=-1e11),
    "no time": order_with(created_at=...),
    "time is no time": order_with(created_at="yesterday"),
    "time without offset": order_with(created_at="2024-05-06T07:08:09"),
    "a 30th of February": order_with(created_at="2024-02-30T00:00:00Z"),
    "over 64 KiB": order_with(extra="x" * 65_536),
}


@pytest.mark.parametrize("body", POISON.values(), ids=POISON)
def test_poison(system, api, unique, body):
    system.queues.publish(body)
    properties, dead_body = one_dead_letter(system)
    assert dead_body == (body if isinstance(body, bytes) else body.encode())
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/json"
    headers = properties.headers
    assert headers["x-reason"] in ("malformed", "unacceptable", "too_large")
    assert headers["x-original-size"] == len(dead_body)
    assert headers["x-attempts"] == 0
    assert headers["x-stage"] == "intake"
    assert headers["x-first-attempt"] == headers["x-last-attempt"]
    assert headers["x-original-properties"] == {}
    assert headers["x-cut"] == ""
    assert headers.keys() >= HEADERS
    # One try was enough, and its neighbours are fine.
    system.wait_stored(api.accept(unique))
    assert system.queues.depth() == 0


def test_a_message_id_that_is_not_that_of_the_order(system, unique):
    order_id = str(uuid.uuid4())
    system.queues.publish(original_order(unique, order_id=order_id), message_id=order_id)
    system.wait_stored(order_id)
    system.queues.publish(original_order(unique), message_id=str(uuid.uuid4()))
    one_dead_letter(system)
    assert system.row_count(unique) == 1


def test_another_order_under_an_id_that_is_taken(system, unique):
    order_id = str(uuid.uuid4())
    system.queues.publish(original_order(unique, 10, order_id=order_id))
    system.wait_stored(order_id)
    late = original_order(unique, 11, order_id=order_id)
    own = {"content_type": "application/json", "message_id": order_id}
    others = {"correlation_id": "c-1", "reply_to": "somebody", "headers": {"trace": "t-1", "hops": 3}}
    system.queues.publish(late, **own, **others)
    properties, body = one_dead_letter(system)
    assert body == late.encode()
    assert {name: getattr(properties, name) for name in own} == own
    assert others.items() <= properties.headers["x-original-properties"].items()
    assert properties.headers["x-original-routing-key"] == system.queues.name
    check_account(properties.headers, "id_conflict", "persist")
    row, document = system.wait_stored(order_id)
    assert (row["amount"], document["amount"]) == (10, 10)


def test_poison_in_a_crowd(system, unique):
    ids = [str(uuid.uuid4()) for _ in range(500)]
    bodies = [original_order(unique, order_id=i) for i in ids]
    for n in range(0, 500, 50):
        bodies[n] = bodies[n].replace(unique, "")
    system.queues.publish(*bodies)
    letters = []
    eventually(lambda: letters.extend(system.queues.take_dead()) or len(letters) == 10, "ten dead letters")
    eventually(lambda: system.row_count(unique) == 490, "all the others are stored")
    eventually(lambda: system.queues.depth() == 0, "the queue is empty")
    assert {json.loads(body)["id"] for _, body in letters} == set(ids[::50])


def test_a_row_that_the_database_refuses(system, unique):
    system.postgres.execute(
        f"ALTER TABLE orders ADD CONSTRAINT no_{unique} CHECK (product_name <> '{unique} bad')"
    )
    try:
        ids = [str(uuid.uuid4()) for _ in range(100)]
        names = [f"{unique} {'bad' if n == 42 else 'good'}" for n in range(100)]
        system.queues.publish(*[original_order(name, order_id=i) for name, i in zip(names, ids, strict=True)])
        properties, body = one_dead_letter(system)
        assert json.loads(body)["id"] == ids[42]
        check_account(properties.headers, "sqlstate_23514", "persist", f"no_{unique}")
        eventually(lambda: system.row_count(f"{unique} good") == 99, "the others are stored")
        assert system.row_count(f"{unique} bad") == 0
    finally:
        system.postgres.execute(f"ALTER TABLE orders DROP CONSTRAINT no_{unique}")


def test_a_huge_body_is_cut_and_its_size_kept(system, api, unique):
    size = 3 * 1024 * 1024
    system.queues.publish(b"x" * size)
    properties, body = one_dead_letter(system)
    assert body == b"x" * 1024 * 1024
    assert properties.headers["x-original-size"] == size
    assert properties.headers["x-cut"] == "body"
    system.wait_stored(api.accept(unique))


def test_headers_that_are_too_many_are_left_out_and_that_is_marked(system, api, unique):
    own = {"content_type": "text/plain", "correlation_id": "c-2", "headers": {"h": "x" * 70_000}}
    system.queues.publish("hello", **own)
    properties, body = one_dead_letter(system)
    assert body == b"hello"
    assert properties.content_type == "text/plain"
    assert properties.headers["x-original-properties"] == {"correlation_id": "c-2"}
    assert properties.headers["x-cut"] == "headers"
    system.wait_stored(api.accept(unique))
