"""Operators look at dead letters and end them by the admin API. What they replay is stored, found and
cached as any order."""

import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from api import Api, assert_problem
from queues import original_order
from wait import eventually

LETTERS = "/api/admin/dead-letters"
INSERT = """INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id, body, body_bytes,
    properties, digest, died_at)
    VALUES ('order_queue', %s, %s, %s, 1, %s, %s, %s, %s, '', now()) RETURNING id"""


class Operator:
    """A client of the admin API, with the letters that a test made."""

    def __init__(self, system, unique):
        self.system, self.unique, self.ids = system, unique, []
        self.headers = {"Authorization": f"Bearer {system.env['ADMIN_TOKEN']}", "X-Operator": "ada"}

    def get(self, path, **parameters):
        return self.system.api.get(path, params=parameters, headers=self.headers)

    def post(self, path, body=None):
        data = None if body is None else json.dumps(body)
        return self.system.api.request("POST", path, data=data, headers=self.headers)

    def add(self, body, order_id=None, reason="unacceptable", stage="persist", properties=b"\0\0"):
        body = body if isinstance(body, bytes) else body.encode()
        values = (reason, f"of {self.unique}", stage, order_id, body, len(body), properties)
        self.ids.append(self.system.postgres.execute(INSERT, values).fetchone()[0])
        return self.ids[-1]

    def poison(self, body, order_id):
        """A letter of a message that dies; by the archive, or by hand where none is."""
        queues = self.system.queues
        queues.publish(body, message_id=order_id)

        def archived():
            query = "SELECT id FROM dead_letters WHERE body = %s AND state = 'dead'"
            row = self.system.postgres.execute(query, (body.encode(),)).fetchone()
            if row is None:
                for properties, dead in queues.take(queues.dead_name):
                    headers = properties.headers
                    self.add(dead, properties.message_id, headers["x-reason"], headers["x-stage"])
            return row and row[0]

        self.ids.append(eventually(archived, "the letter is archived"))
        return self.ids[-1]

    def forget(self):
        self.system.postgres.execute(
            "DELETE FROM dead_letters WHERE id = ANY (%s) OR replay_of = ANY (%s)", (self.ids, self.ids)
        )


@pytest.fixture
def operator(system, unique):
    made = Operator(system, unique)
    yield made
    made.forget()


def order_without_name(order_id):
    return json.dumps({"id": order_id, "product_name": "", "amount": 7, "created_at": "2026-01-01T00:00:00Z"})


def assert_everywhere(system, order_id, name, amount):
    """Row, document and cache say the same."""
    system.wait_stored(order_id)
    row = system.row(order_id)
    assert (row["product_name"], float(row["amount"])) == (name, amount)
    document = eventually(lambda: system.document(order_id), "the order has a document")
    assert (document["product_name"], float(document["amount"])) == (name, amount)
    cached = system.api.read_from_cache(order_id).json()
    assert (cached["product_name"], cached["amount"]) == (name, amount)


def test_poison_is_corrected(system, operator, unique):
    order_id = str(uuid.uuid4())
    letter = operator.poison(order_without_name(order_id), order_id)
    found = operator.get(LETTERS, order_id=order_id).json()
    assert [one["id"] for one in found["dead_letters"]] == [letter]
    assert found["dead_letters"][0] | {"reason": "unacceptable", "state": "dead"} == found["dead_letters"][0]
    shown = operator.get(f"{LETTERS}/{letter}").json()
    assert json.loads(shown["body"])["id"] == order_id
    assert_problem(operator.post(f"{LETTERS}/{letter}/replay"), 422)

    # What the cache had of it must not stay.
    system.redis.set(f"order:{order_id}", order_without_name(order_id).replace('""', '"former"'), ex=3600)
    corrected = {"order": {"product_name": unique, "amount": 12.5}}
    answer = operator.post(f"{LETTERS}/{letter}/replay", corrected)
    assert answer.json() == {"id": letter, "state": "replayed", "order_id": order_id}
    assert system.redis.ttl(f"order:{order_id}") > 3600
    assert_everywhere(system, order_id, unique, 12.5)
    assert system.row(order_id)["created_at"].isoformat() == "2026-01-01T00:00:00+00:00"

    again = operator.post(f"{LETTERS}/{letter}/replay", corrected)
    assert_problem(again, 409)
    assert "by ada" in again.json()["detail"]
    assert operator.get(f"{LETTERS}/{letter}").json()["replayed_as"] == order_id


def test_as_it_is(system, operator, unique):
    """A letter of an order that is stored, and died at the index."""
    order_id = system.api.accept(unique, 3.25)
    _, document = system.wait_stored(order_id)
    system.redis.delete(f"order:{order_id}")
    letter = operator.add(json.dumps(document | {"id": order_id}), order_id, "unindexable", "index")
    corrected = {"order": {"product_name": "other", "amount": 1}}
    answer = operator.post(f"{LETTERS}/{letter}/replay", corrected)
    assert_problem(answer, 422)
    assert answer.json()["code"] == "order_stored"
    assert not system.redis.exists(f"order:{order_id}")
    assert operator.post(f"{LETTERS}/{letter}/replay").json()["order_id"] == order_id
    assert not system.redis.exists(f"order:{order_id}")


def test_many_at_once_and_one_wins(system, operator, unique):
    order_id = str(uuid.uuid4())
    letter = operator.add(order_without_name(order_id), order_id)
    names = [f"{unique} {number}" for number in range(8)]

    def replay(name):
        body = {"order": {"product_name": name, "amount": 1}}
        return operator.post(f"{LETTERS}/{letter}/replay", body).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(replay, names))
    assert sorted(statuses) == [200] + [409] * 7
    assert_everywhere(system, order_id, names[statuses.index(200)], 1)


def test_conflict_of_ids(system, operator, unique):
    order_id = system.api.accept(unique, 1)
    system.wait_stored(order_id)
    letter = operator.poison(original_order(f"{unique} other", 2, order_id=order_id), order_id)
    corrected = {"order": {"product_name": f"{unique} other", "amount": 2}}
    refused = operator.post(f"{LETTERS}/{letter}/replay", corrected)
    assert refused.json()["code"] == "new_id_required"
    new_id = operator.post(f"{LETTERS}/{letter}/replay", corrected | {"new_id": True}).json()["order_id"]
    assert new_id != order_id
    assert_everywhere(system, new_id, f"{unique} other", 2)
    assert_everywhere(system, order_id, unique, 1)


def test_discard(system, operator):
    letter = operator.add("hello")
    assert_problem(operator.post(f"{LETTERS}/{letter}/discard"), 422)
    assert operator.post(f"{LETTERS}/{letter}/discard", {"reason": "a test"}).json()["state"] == "discarded"
    shown = operator.get(f"{LETTERS}/{letter}").json()
    assert (shown["state"], shown["ended_by"], shown["ended_reason"]) == ("discarded", "ada", "a test")
    assert_problem(operator.post(f"{LETTERS}/{letter}/replay"), 409)


def test_hostile_letters_are_shown(operator):
    """Whatever bytes they are of, and however deep."""
    nested = b""
    for _ in range(20_000):
        nested = b"A" + len(nested).to_bytes(4, "big") + nested
    table = b"\x01n" + nested
    deep = b"\x20\0" + len(table).to_bytes(4, "big") + table
    bodies = [bytes(range(256)), b"", b"\0" * 1000, b"\xff" * (1 << 20), os.urandom(5000)]
    for body in bodies:
        for properties in b"", b"\xff" * 100, deep, os.urandom(500):
            letter = operator.add(body, properties=properties)
            shown = operator.get(f"{LETTERS}/{letter}")
            assert shown.status_code == 200, shown.text[:1000]
            assert "body" in shown.json() or "body_base64" in shown.json()
            assert_problem(operator.post(f"{LETTERS}/{letter}/replay"), 422)
    listed = operator.get(LETTERS, detail=operator.unique, limit=7)
    ids = [one["id"] for one in listed.json()["dead_letters"]]
    assert ids == operator.ids[:-8:-1]
    page = {"limit": 500, "cursor": listed.json()["next"]}
    rest = operator.get(LETTERS, detail=operator.unique.upper(), **page).json()
    assert [one["id"] for one in rest["dead_letters"]] == operator.ids[-8::-1]
    assert rest["next"] is None


def test_many_by_a_filter(system, operator, unique):
    orders = [str(uuid.uuid4()) for _ in range(5)]
    for order_id in orders:
        operator.add(original_order(unique, 1, order_id=order_id), order_id, "test_reason")
    operator.add("no order", reason="other_reason")
    chosen = {"filter": {"detail": unique}}
    dry = operator.post(f"{LETTERS}/replay", chosen | {"dry_run": True})
    assert dry.json() == {"matches": 6, "by_reason": {"test_reason": 5, "other_reason": 1}}
    assert_problem(operator.post(f"{LETTERS}/replay", {"filter": {"detial": unique}}), 400)

    begun = operator.post(f"{LETTERS}/replay", {"filter": {"detail": unique, "reason": "test_reason"}})
    assert begun.status_code == 202
    assert begun.json()["total"] == 5
    job = eventually(lambda: ended(operator.get(begun.headers["Location"]).json()), "the job ends")
    assert (job["state"], job["done"], job["requested_by"]) == ("done", 5, "ada")
    assert all(system.row(order_id) for order_id in orders)

    rest = operator.post(f"{LETTERS}/discard", {"filter": {"detail": unique}, "reason": "a test"})
    assert rest.json()["total"] == 1
    job = eventually(lambda: ended(operator.get(rest.headers["Location"]).json()), "the job ends")
    assert (job["kind"], job["state"]) == ("discard", "done")
    assert_problem(operator.post(f"/api/admin/jobs/{job['id']}/cancel"), 409)
    assert job["id"] in [one["id"] for one in operator.get("/api/admin/jobs").json()["jobs"]]


def ended(job):
    return job if job["state"] not in ("waiting", "running") else None


def test_who_may(system, operator, spawn):
    letter = operator.add("hello")
    reader = {"Authorization": f"Bearer {system.env['ADMIN_READ_TOKEN']}"}
    path = f"{LETTERS}/{letter}"
    assert system.api.get(path, headers=reader).status_code == 200
    assert_problem(system.api.request("POST", path + "/discard", headers=reader), 403)
    assert_problem(system.api.get(path), 401)
    hidden = spawn(API_ADMIN="off", ADMIN_AUTH="off")
    assert_problem(Api(hidden, "").get(path, headers=operator.headers), 404)
    assert_problem(Api(hidden, "").refresh(""), 404)
    shown = requests.get(system.admin_url("gateway-1") + path, headers=operator.headers, timeout=30)
    assert shown.status_code == 200
