"""orderctl reindex and verify, against a stub of the gateway."""

import json
import signal

import pytest

from orderctl.samples import DONE, GOOD, INTERRUPTED, NOT_ALLOWED, NOW, ORDER_ID, WRONG, job
from orderctl.stub_gateway import problem

NOTHING = {"count": 0, "ids": []}
ONE = {"count": 1, "ids": [ORDER_ID]}


def compared(**changes):
    return {
        "from": "2026-11-22T22:55:39Z",
        "to": NOW,
        "orders": 1000,
        "documents": 1000,
        "missing": NOTHING,
        "extra": NOTHING,
        "different": NOTHING,
        "dead_at_index": NOTHING,
        "refused": NOTHING,
        "repaired": 0,
        "deleted": 0,
        "approximate": False,
    } | changes


@pytest.fixture
def ends_as(gateway):
    """ends_as(JOB): the job that is begun runs, then ends like this. Returns what was asked for."""

    def prepare(ended):
        looks = [job(kind=ended["kind"], result={"phase": "copying"}), ended]
        gateway.routes["POST", "/api/admin/jobs"] = (202, job(state="waiting"), {})
        gateway.routes["GET", "/api/admin/jobs/7"] = lambda request: (
            200,
            looks.pop(0) if looks[1:] else looks[0],
            {},
        )

    return prepare


def asked(gateway):
    return next(request.json() for request in gateway.requests if request.method == "POST")


@pytest.mark.parametrize(
    ("arguments", "kind", "parameters"),
    [
        ([], "verify", {"full": False, "fields": False}),
        (["--full", "--fields"], "verify", {"full": True, "fields": True}),
        (["--repair"], "repair", {"full": False, "fields": False, "delete_extra": False}),
        (["--repair", "--delete-extra"], "repair", {"full": False, "fields": False, "delete_extra": True}),
    ],
)
def test_verify(orderctl, gateway, ends_as, arguments, kind, parameters):
    ends_as(job(kind=kind, parameters=parameters, result=compared(), **DONE))
    text = orderctl("verify", *arguments).stdout
    assert asked(gateway) == {"kind": kind, "parameters": parameters}
    assert f"Job 7 ({kind}): done, 10 of 10\n" in text
    assert "1000 orders with 1000 documents, from 2026-11-22T22:55:39Z to " in text
    assert "--repair" not in text


@pytest.mark.parametrize(
    ("result", "ends_with", "words"),
    [
        ({"missing": ONE}, WRONG, f"missing      1: {ORDER_ID}"),
        ({"missing": ONE}, WRONG, "orderctl verify --full --repair\n"),
        ({"different": ONE}, WRONG, f"different    1: {ORDER_ID}"),
        ({"extra": ONE}, WRONG, "orderctl verify --full --repair --delete-extra"),
        ({"extra": {"count": 12, "ids": ["\33[2J"] * 12}}, WRONG, r"12: \u001b[2J, "),
        ({"extra": {"count": 12, "ids": ["x"] * 12}}, WRONG, "x and 2 more"),
        ({"missing": {"count": 7, "ids": []}, "approximate": True}, WRONG, "whole hours"),
        ({"missing": ONE, "different": ONE, "repaired": 2}, GOOD, "repaired     2 documents, and deleted 0"),
        ({"missing": ONE, "different": ONE, "repaired": 1}, WRONG, "repaired     1 documents"),
        ({"extra": ONE, "deleted": 1}, GOOD, "deleted 1"),
        ({"missing": ONE, "refused": ONE}, WRONG, "ORDER_INDEX_SETTINGS_FILE, then orderctl reindex\n"),
        ({"dead_at_index": ONE}, WRONG, "orderctl dead list --stage index"),
        ({"dead_at_index": ONE, "repaired": 1}, GOOD, "repaired     1 documents"),
        ({"sales_ledger": {"days": 0, "orders": 0}}, GOOD, "sales ledger right on every day\n"),
        (
            {"sales_ledger": {"days": 1, "orders": 2}},
            GOOD,
            "sales ledger was wrong on 1 day, by 2 orders, and is mended\n",
        ),
        ({"sales_ledger": None}, GOOD, "sales ledger not compared"),
    ],
    ids=str,
)
def test_differences(orderctl, ends_as, result, ends_with, words):
    ends_as(job(kind="verify", parameters={"full": True, "fields": False}, result=compared(**result), **DONE))
    text = orderctl("verify", "--full", ends_with=ends_with).stdout
    assert words in text
    assert "\33" not in text


def test_a_scheduler_without_the_ledger(orderctl, ends_as):
    ends_as(job(kind="verify", parameters={}, result=compared(), **DONE))
    assert "ledger" not in orderctl("verify").stdout


REBUILT = {
    "index": "orders-000002",
    "old": "orders-000001",
    "old_kept": False,
    "copied": 1000,
    "refused": NOTHING,
    "passes": 2,
    "phase": "tail",
}


def test_reindex(orderctl, gateway, ends_as):
    ends_as(job(kind="reindex", result=REBUILT, **DONE))
    text = orderctl("reindex").stdout
    assert asked(gateway) == {"kind": "reindex", "parameters": {"keep_old": False}}
    assert "index        orders-000002, 1000 orders copied\n" in text
    assert "before       orders-000001\n" in text
    ends_as(job(kind="reindex", result=REBUILT | {"old_kept": True, "refused": ONE}, **DONE))
    text = orderctl("reindex", "--keep-old", ends_with=WRONG).stdout
    assert gateway.requests[-3].json()["parameters"] == {"keep_old": True}
    assert "orders-000001, kept" in text
    assert f"refused      1: {ORDER_ID}" in text
    ends_as(job(kind="reindex", result=REBUILT | {"unreadable": 3, "transactions_left": 2}, **DONE))
    text = orderctl("reindex").stdout
    assert "unreadable   3 rows" in text
    assert "open         2 transactions" in text
    ends_as(job(kind="reindex", state="failed", finished_at=NOW, error="the disk is full"))
    assert "the disk is full" in orderctl("reindex", ends_with=WRONG).stdout


def test_without_waiting(orderctl, gateway):
    gateway.routes["POST", "/api/admin/jobs"] = (202, job(kind="reindex", state="waiting"), {})
    assert "orderctl jobs watch 7" in orderctl("reindex", "--no-wait").stdout
    assert json.loads(orderctl("verify", "--no-wait", "-o", "json").stdout)["id"] == 7
    assert {request.method for request in gateway.requests} == {"POST"}
    gateway.routes["POST", "/api/admin/jobs"] = problem(
        409, "job_unfinished", "A job has not ended", detail="job 7 (verify) runs", job=job()
    )
    error = orderctl("reindex", ends_with=WRONG).stderr
    assert "A job has not ended: job 7 (verify) runs" in error
    assert "orderctl jobs watch" in error
    gateway.routes["POST", "/api/admin/jobs"] = problem(403, "read_only_token")
    orderctl("verify", ends_with=NOT_ALLOWED)


def test_it_is_watched(gateway, on_terminal):
    """Progress with its phase, and Ctrl-C ends the watching only."""
    gateway.routes["POST", "/api/admin/jobs"] = (202, job(state="waiting"), {})
    running = job(kind="reindex", result={"phase": "copying", "copied": 3})
    gateway.routes["GET", "/api/admin/jobs/7"] = (200, running, {})

    def press(process, written):
        if "job 7 (reindex) running, copying: 3 of 10, " not in written:
            return False
        process.send_signal(signal.SIGINT)
        return True

    text, ended = on_terminal("reindex", act=press)
    assert ended == INTERRUPTED
    assert "orderctl jobs cancel 7" in text
    assert [request.method for request in gateway.requests].count("POST") == 1


def test_as_json(orderctl, ends_as):
    ends_as(job(kind="verify", result=compared(extra=ONE), **DONE))
    assert json.loads(orderctl("verify", "-o", "json", ends_with=WRONG).stdout)["result"]["extra"] == ONE
