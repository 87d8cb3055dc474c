"""Operators ask for jobs about the search index, by the admin API and by orderctl."""

import contextlib
import json
import subprocess
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from api import assert_problem
from queues import original_order
from system import binary
from wait import eventually

JOBS = "/api/admin/jobs"


@pytest.fixture
def operator(system):
    """operator(METHOD, PATH, BODY) asks the admin API."""
    headers = {"Authorization": f"Bearer {system.env['ADMIN_TOKEN']}", "X-Operator": "ada"}
    return lambda method, path, body=None: system.api.request(method, path, json=body, headers=headers)


@pytest.fixture
def orderctl(system):
    def run(*arguments, ends_with=0):
        environment = {name: system.env[name] for name in ("ORDER_API_URL", "ADMIN_TOKEN")}
        command = [binary("orderctl"), *arguments]

        def answer():  # a scheduler may have begun a job by itself
            result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            return None if "job_unfinished" in result.stderr else result

        result = eventually(answer, "no other job is under way", 120)
        assert result.returncode == ends_with, result.stdout + result.stderr
        return result.stdout

    return run


@contextlib.contextmanager
def a_frozen_scheduler(system):
    """Without a job under way, such as the verification with which a new deployment begins."""
    query = "SELECT kind FROM jobs WHERE finished IS NULL AND kind <> 'refresh'"

    def idle():
        return system.postgres.execute(query).fetchone() is None

    while True:
        eventually(idle, "no job is under way", 120)
        with system.frozen("scheduler-1"):
            if idle():
                yield
                return


def wait_for_end(operator, number):
    path = f"{JOBS}/{number}"
    job = eventually(lambda: (job := operator("GET", path).json())["finished_at"] and job, "the job ends")
    assert job["state"] == "done", job
    return job


def test_one_at_a_time(system, operator):
    with a_frozen_scheduler(system):
        answer = operator("POST", JOBS, {"kind": "verify", "parameters": {"full": True}})
        assert answer.status_code == 202, answer.text
        first = answer.json()
        assert answer.headers["Location"] == f"{JOBS}/{first['id']}"
        assert first["parameters"] == {"full": True, "fields": False}
        assert (first["state"], first["requested_by"], first["automatic"]) == ("waiting", "ada", False)
        assert operator("GET", answer.headers["Location"]).json() == first
        refused = operator("POST", JOBS, {"kind": "reindex"})
        assert_problem(refused, 409)
        assert refused.json()["code"] == "job_unfinished"
        assert refused.json()["detail"] == f"job {first['id']} (verify) waits"
        assert refused.json()["job"] == first
        assert operator("POST", f"{JOBS}/{first['id']}/cancel").json()["state"] == "canceled"

        # Of those who ask at once, one gets a job, and the others are told which.
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: operator("POST", JOBS, {"kind": "verify"}), range(10)))
        begun = [answer.json() for answer in answers if answer.status_code == 202]
        refused = [answer.json() for answer in answers if answer.status_code == 409]
        assert (len(begun), len(refused)) == (1, 9), [answer.text for answer in answers]
        assert {answer["job"]["id"] for answer in refused} == {begun[0]["id"]}
    wait_for_end(operator, begun[0]["id"])


def test_reindex(system, operator, orderctl, unique):
    order = system.api.accept(unique)
    system.wait_stored(order)
    before = set(system.elasticsearch.indices.get_alias(name=system.index))
    text = orderctl("reindex")
    after = set(system.elasticsearch.indices.get_alias(name=system.index))
    assert before != after, text
    assert len(after) == 1
    assert f"index        {after.pop()}, " in text
    assert system.document(order)["product_name"] == unique
    assert json.loads(orderctl("jobs", "-o", "json"))["jobs"][0]["kind"] in ("reindex", "refresh")


@pytest.mark.attack
def test_a_document_changed_by_hand(system, orderctl, unique):
    """A difference counts when it is still there 30 s later, so this takes its time."""
    order = str(uuid.uuid4())
    system.queues.publish(original_order(unique, 12.5, order_id=order), message_id=order)
    system.wait_stored(order)
    system.postgres.execute("UPDATE orders SET created_at = now() - interval '1 h' WHERE id = %s", (order,))
    changed = {"created_at": "2026-01-01T00:00:00Z", "amount": 99}
    system.elasticsearch.update(index=system.index, id=order, doc=changed, refresh=True)
    assert f"1: {order}" in orderctl("verify", "--full", ends_with=1)
    assert "repaired     1 documents" in orderctl("verify", "--full", "--repair")
    assert system.document(order)["amount"] == 12.5
    orderctl("verify", "--full", "--fields")


@pytest.mark.attack
def test_the_index_is_deleted_while_orders_flow(system, orderctl, unique):
    """As README tells it: nobody but curl touches the index, and status shows how it comes back."""
    stop, orders = threading.Event(), []

    def flow():
        while not stop.wait(0.01):
            orders.append(system.api.accept(unique))

    flowing = threading.Thread(target=flow)
    flowing.start()
    try:
        eventually(lambda: system.row_count(unique) > 200, "orders flow")
        name = next(iter(system.elasticsearch.indices.get_alias(name=system.index)))
        subprocess.run(
            ["curl", "-fsS", "-X", "DELETE", f"{system.env['ELASTICSEARCH_URL']}/{name}"], check=True
        )
        eventually(lambda: "search lacks no order" not in status(orderctl), "status tells of it")
        eventually(lambda: "search lacks no order" in status(orderctl), "it is complete again")
    finally:
        stop.set()
        flowing.join()
    for order in orders:
        system.wait_stored(order)


def status(orderctl):
    try:
        return orderctl("status")
    except AssertionError as error:  # something is wrong: it says what, and ends with 1
        return str(error)
