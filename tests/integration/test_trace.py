"""One trace (W3C Trace Context) from the client to the queue, the outbox, the dead letter, the logs and
the problem answers."""

import contextlib
import json
import re
import uuid

import pytest

from api import assert_problem
from queues import original_order
from wait import eventually

PARENT = "00f067aa0ba902b7"
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
INVALID = {
    "no trace": f"00-{'0' * 32}-{PARENT}-01",
    "no parent": f"00-{uuid.uuid4().hex}-{'0' * 16}-01",
    "upper case": f"00-{'ABCDEF01' * 4}-{PARENT}-01",
    "no version": f"ff-{uuid.uuid4().hex}-{PARENT}-01",
    "too short": f"00-{uuid.uuid4().hex}-{PARENT}",
}


@pytest.fixture
def trace_id():
    return uuid.uuid4().hex


def trace_headers(trace_id):
    return {"traceparent": f"00-{trace_id}-{PARENT}-01", "tracestate": STATE}


def assert_taken_on(headers, trace_id):
    """The gateway takes part: a parent id of its own, all else as it came."""
    version, trace, parent, flags = headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", trace_id, "01")
    assert parent != PARENT
    assert headers["tracestate"] == STATE


def order(name):
    return json.dumps({"product_name": name, "amount": 1})


def bulk(*names):
    return json.dumps({"orders": [{"product_name": name, "amount": 1} for name in names]})


@contextlib.contextmanager
def held_messages(system, count):
    """Without a bridge: the headers of all messages in the queue, by product name. They stay there."""
    with system.queues.channel() as channel:
        eventually(lambda: system.queues.depth() >= count, f"{count} messages")
        headers = {}
        for _ in range(count):
            _, properties, body = channel.basic_get(system.queues.name, auto_ack=False)
            headers[json.loads(body)["product_name"]] = properties.headers or {}
        yield headers
    # The channel's end gives them back.


def test_from_the_client_to_the_queue(system, api, unique, trace_id):
    replay_id, old_id = str(uuid.uuid4()), str(uuid.uuid4())
    bulk_trace, replay_trace = uuid.uuid4().hex, uuid.uuid4().hex
    with system.stopped("bridge-1"):
        ids = [api.post_raw(order(f"{unique} taken"), **trace_headers(trace_id)).json()["order_id"]]
        for why, traceparent in INVALID.items():
            answer = api.post_raw(order(f"{unique} {why}"), traceparent=traceparent, tracestate=STATE)
            ids.append(answer.json()["order_id"])
        ids.append(api.accept(f"{unique} none", 1))
        answer = api.post_raw(bulk(f"{unique} bulk"), path="/api/bulk-orders", **trace_headers(bulk_trace))
        ids += answer.json()["order_ids"]
        # A replay of dead letter 77, and a row as a gateway of the release before writes it.
        for order_id, name, trace in (
            (replay_id, f"{unique} replay", (f"00-{replay_trace}-{PARENT}-01", STATE, 77)),
            (old_id, f"{unique} old", (None, None, None)),
        ):
            system.postgres.execute(
                "INSERT INTO order_outbox (order_id, product_name, amount, created_at, json,"
                " traceparent, tracestate, replay_of) VALUES (%s, %s, 1, now(), %s, %s, %s, %s)",
                (order_id, name, original_order(name, order_id=order_id), *trace),
            )
            ids.append(order_id)
        with held_messages(system, len(ids)) as headers:
            assert_taken_on(headers[f"{unique} taken"], trace_id)
            assert_taken_on(headers[f"{unique} bulk"], bulk_trace)
            for name in (*INVALID, "none", "old"):
                own = headers[f"{unique} {name}"]
                assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", own["traceparent"])
                assert own["traceparent"].split("-")[1] not in INVALID.get(name, "")
                assert own.keys() & {"tracestate", "x-replay-of"} == set()
            begun = {headers[f"{unique} {name}"]["traceparent"].split("-")[1] for name in INVALID}
            assert len(begun) == len(INVALID)
            replay = trace_headers(replay_trace) | {"x-replay-of": 77}
            assert replay.items() <= headers[f"{unique} replay"].items()
    for order_id in ids:
        system.wait_stored(order_id)


def test_the_outbox_row(system, api, unique, trace_id):
    execute = system.postgres.execute
    execute(f"CREATE TABLE seen_{unique} (LIKE order_outbox)")
    execute(
        f"CREATE FUNCTION see_{unique}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$"
        f" BEGIN INSERT INTO seen_{unique} SELECT NEW.*; RETURN NEW; END $$"
    )
    execute(
        f"CREATE TRIGGER see_{unique} BEFORE INSERT ON order_outbox FOR EACH ROW"
        f" WHEN (NEW.product_name = '{unique}') EXECUTE FUNCTION see_{unique}()"
    )
    try:
        answer = api.post_raw(bulk(unique, unique), path="/api/bulk-orders", **trace_headers(trace_id))
        assert answer.status_code == 201
        query = f"SELECT DISTINCT traceparent, tracestate, replay_of FROM seen_{unique}"
        ((traceparent, tracestate, replay_of),) = execute(query).fetchall()
        assert_taken_on({"traceparent": traceparent, "tracestate": tracestate}, trace_id)
        assert replay_of is None
    finally:
        execute(f"DROP TRIGGER see_{unique} ON order_outbox")
        execute(f"DROP FUNCTION see_{unique}")
        execute(f"DROP TABLE seen_{unique}")
    for order_id in answer.json()["order_ids"]:
        system.wait_stored(order_id)


def take_letters(system):
    return {json.loads(body)["product_name"]: properties for properties, body in system.queues.take_dead()}


def test_a_dead_letter_and_the_lines_about_it(system, api, unique, trace_id):
    """Persister and bridge say why, each at most once in 5 s: so orders of the trace die until both did."""
    letters = {}

    def told():
        api.accept(unique)  # the stage works: these rejects are never 20 in a row
        name = f"{unique} bad {len(letters)}"
        assert api.post_raw(order(name), **trace_headers(trace_id)).status_code == 202
        eventually(lambda: letters.update(take_letters(system)) or name in letters, "a dead letter")
        lines = [
            json.loads(line)
            for program in ("persister-1", "persister-2", "bridge-1")
            for line in system.log(program).splitlines()
            if trace_id in line
        ]
        assert all(line["trace_id"] == trace_id and line["order_id"] for line in lines)
        said = {line["message"] for line in lines}
        return said == {"order rejected", "message is a dead letter"}

    system.postgres.execute(
        f"ALTER TABLE orders ADD CONSTRAINT no_{unique} CHECK (product_name NOT LIKE '{unique} bad%')"
    )
    try:
        eventually(told, "persister and bridge tell of it", interval=1)
    finally:
        system.postgres.execute(f"ALTER TABLE orders DROP CONSTRAINT no_{unique}")
    for properties in letters.values():
        assert_taken_on(properties.headers, trace_id)
        original = properties.headers["x-original-properties"]["headers"]
        assert {name: original[name] for name in ("traceparent", "tracestate")} == {
            name: properties.headers[name] for name in ("traceparent", "tracestate")
        }


def test_a_foreign_message_that_dies(system, unique, trace_id):
    """Its own trace is kept as it is; without a valid one the bridge begins a trace."""
    own = trace_headers(trace_id)
    invalid = {"traceparent": "x"}
    foreign = {"own": own, "bad state": own | {"tracestate": "?"}, "invalid": invalid, "none": None}
    for name, headers in foreign.items():
        system.queues.publish(json.dumps({"product_name": name}), headers=headers)
    letters = {}
    eventually(lambda: letters.update(take_letters(system)) or len(letters) == len(foreign), "dead letters")
    assert own.items() <= letters["own"].headers.items()
    assert letters["bad state"].headers["traceparent"] == own["traceparent"]
    assert "tracestate" not in letters["bad state"].headers
    for name in ("invalid", "none"):
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", letters[name].headers["traceparent"])
        assert trace_id not in letters[name].headers["traceparent"]
        assert "tracestate" not in letters[name].headers


def test_problems_name_the_trace(api, trace_id):
    assert assert_problem(api.post_raw("{}", **trace_headers(trace_id)), 400)["trace_id"] == trace_id
    assert assert_problem(api.get("/none", headers=trace_headers(trace_id)), 404)["trace_id"] == trace_id
    begun = assert_problem(api.get("/none", headers={"traceparent": INVALID["no trace"]}), 404)["trace_id"]
    assert re.fullmatch("[0-9a-f]{32}", begun)
    assert begun != "0" * 32
