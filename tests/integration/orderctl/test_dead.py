"""orderctl dead, jobs and refresh, against a stub of the gateway."""

import json
import re
import signal
import subprocess

import pytest

from orderctl.samples import (
    DONE,
    GOOD,
    INTERRUPTED,
    NO_INPUT,
    NO_OUTPUT,
    NOT_UNDERSTOOD,
    NOW,
    ORDER_ID,
    UNAVAILABLE,
    USAGE,
    WRONG,
    environment,
    job,
    letter,
)
from orderctl.stub_gateway import problem
from system import binary

LETTERS = ("GET", "/api/admin/dead-letters")


def test_dead_list(orderctl, gateway):
    pages = {None: ([letter(9), letter(8)], "c8"), "c8": ([letter(7, detail="x\33[2Jy")], None)}

    def page(request):
        found = re.search(r"cursor=(\w+)", request.path)
        letters, following = pages[found and found[1]]
        return 200, {"dead_letters": letters, "next": following}, {}

    gateway.routes[LETTERS] = page
    text = orderctl("dead", "list").stdout
    assert [line.split()[0] for line in text.splitlines()] == ["ID", "9", "8", "7"]
    assert r"x\u001b[2Jy" in text
    found = json.loads(orderctl("-o", "json", "dead", "list").stdout)
    assert found == {"dead_letters": [letter(9), letter(8), letter(7, detail="x\33[2Jy")], "next": None}
    assert "There are more" in orderctl("dead", "list", "--limit", 2).stdout

    orderctl(
        *("dead", "list", "--state", "all", "--reason", "a&b", "--stage", "index", "--since", "2026-11-29"),
        *("--until", "1h", "--detail", "ü", "--order-id", ORDER_ID, "-n", "1"),
    )
    path = gateway.requests[-1].path
    for part in (
        "state=all",
        "reason=a%26b",
        "stage=index",
        "since=2026-11-29T00%3A00%3A00Z",
        "until=20",
        "detail=%C3%BC",
        f"order_id={ORDER_ID}",
        "limit=1",
    ):
        assert part in path
    gateway.routes[LETTERS] = (200, {"dead_letters": [], "next": None}, {})
    assert "No dead letter" in orderctl("dead", "list").stdout


def shown(**body):
    return (
        letter()
        | {"body_cut": False, "properties": {"headers": {"x": "\33"}}, "properties_base64": ""}
        | body
    )


SHOW = ("GET", "/api/admin/dead-letters/12")


def test_dead_show(orderctl, gateway, on_terminal):
    gateway.routes[SHOW] = (200, shown(body='{"a":"\33[2J"}\n'), {})
    text = orderctl("dead", "show", 12).stdout
    for words in ("Dead letter 12", "the name has 0 characters", r'{"a":"\u001b[2J"}', "ab" * 16):
        assert words in text
    assert "\33" not in text
    assert json.loads(orderctl("-o", "json", "dead", "show", 12).stdout)["body"] == '{"a":"\33[2J"}\n'
    # For a file as it is, for a terminal never.
    assert orderctl("dead", "show", 12, "--body").stdout == '{"a":"\33[2J"}\n'
    text, _ = on_terminal("dead", "show", 12, "--body")
    assert text == '{"a":"\\u001b[2J"}\r\n'


def test_dead_show_bytes(gateway):
    for text, expected in (("AP8=", b"\0\xff"), ("AAA=", b"\0\0"), ("AAAA", b"\0\0\0"), ("", b"")):
        gateway.routes[SHOW] = (200, shown(body_base64=text), {})
        command = [binary("orderctl"), "dead", "show", "12", "--body"]
        assert subprocess.check_output(command, env=environment(gateway)) == expected


def test_a_body_that_cannot_be_written(gateway):
    gateway.routes[SHOW] = (200, shown(body="x" * 10), {})
    command = [binary("orderctl"), "dead", "show", "12", "--body"]
    with open("/dev/full", "w") as full:
        result = subprocess.run(command, env=environment(gateway), stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == NO_OUTPUT
    assert b"cannot write" in result.stderr


def test_a_letter_with_little_in_it(orderctl, gateway):
    gateway.routes[SHOW] = (200, {"id": 12}, {})
    assert "Dead letter 12" in orderctl("dead", "show", 12).stdout
    orderctl("dead", "show", 12, "--body", ends_with=NOT_UNDERSTOOD)


REPLAY = ("POST", "/api/admin/dead-letters/12/replay")


def test_replay_of_one(orderctl, gateway, tmp_path):
    gateway.routes[REPLAY] = (200, {"id": 12, "state": "replayed", "order_id": ORDER_ID}, {})
    assert f"orderctl trace --follow {ORDER_ID}" in orderctl("dead", "replay", 12).stdout
    assert gateway.requests[-1].body == ""
    # Every digit of the amount goes on.
    order = '{"product_name":"Laptop","amount":9999999999.990000000000000001}\n'
    file = tmp_path / "order.json"
    file.write_text(order)
    orderctl("dead", "replay", 12, "--order", file)
    assert gateway.requests[-1].body == f'{{"order":{order},"new_id":false}}'
    answer = orderctl("dead", "replay", 12, "--order", "-", "--new-id", "-o", "json", stdin="{}")
    assert gateway.requests[-1].json() == {"order": {}, "new_id": True}
    assert json.loads(answer.stdout)["state"] == "replayed"
    count = len(gateway.requests)
    for text in ("", "[]", '{"a":1},"new_id":true,"x":{}', '{"a":', "x" * 65537):
        orderctl("dead", "replay", 12, "--order", "-", ends_with=NO_INPUT, stdin=text)
    orderctl("dead", "replay", 12, "--order", tmp_path / "none", ends_with=NO_INPUT)
    assert len(gateway.requests) == count
    gateway.routes[REPLAY] = problem(422, "not_an_order", detail="the body is not JSON")
    assert "--body" in orderctl("dead", "replay", 12, ends_with=WRONG).stderr


def test_discard_of_one(orderctl, gateway):
    path = "/api/admin/dead-letters/12/discard"
    gateway.routes["POST", path] = (200, {"id": 12, "state": "discarded"}, {})
    assert "discarded" in orderctl("dead", "discard", 12, "--because", 'a "test"').stdout
    assert gateway.requests[-1].json() == {"reason": 'a "test"'}


@pytest.fixture
def mass(gateway):
    """Five letters match; the job is done at its third look."""
    looks = [job(), job(), job(**DONE, result={"searchable": 9, "died_again": 1})]

    def answer(request):
        if request.json()["dry_run"]:
            return 200, {"matches": 5, "by_reason": {"malformed": 3, "expired": 2}}, {}
        return 202, {"job": 7, "total": 5}, {"Location": "/api/admin/jobs/7"}

    for verb in "replay", "discard":
        gateway.routes["POST", f"/api/admin/dead-letters/{verb}"] = answer
    gateway.routes["GET", "/api/admin/jobs/7"] = lambda request: (
        200,
        looks.pop(0) if looks[1:] else looks[0],
        {},
    )


def posted(gateway):
    return [request.json() for request in gateway.requests if request.method == "POST"]


@pytest.mark.usefixtures("mass")
def test_replay_of_many(orderctl, gateway):
    asked = {"filter": {"reason": "malformed"}, "per_second": 20}
    result = orderctl("dead", "replay", "--reason", "malformed", "--per-second", 20, "--yes")
    assert posted(gateway) == [asked | {"dry_run": True}, asked | {"dry_run": False}]
    assert result.stdout.startswith("5 dead letters match: malformed 3, expired 2.\n")
    assert "Job 7 (replay): done, 10 of 10: searchable 9, died_again 1" in result.stdout


@pytest.mark.usefixtures("mass")
def test_mass_operations_ask_first(orderctl, gateway, on_terminal):
    orderctl("dead", "replay", "--all", "--dry-run")
    assert "--yes" in orderctl("dead", "replay", "--all", ends_with=USAGE).stderr
    text, ended = on_terminal("dead", "discard", "--all", "--because", "x", answer="n\n")
    assert "Discard them? [y/N]" in text
    assert ended == WRONG
    assert [request["dry_run"] for request in posted(gateway)] == [True] * 3
    text, ended = on_terminal("dead", "discard", "--all", "--because", "x", answer="y\n")
    assert ended == GOOD
    assert posted(gateway)[-1] == {"filter": {}, "dry_run": False, "reason": "x"}
    assert "job 7 (replay) running: 3 of 10" in text


@pytest.mark.usefixtures("mass")
def test_mass_operations_as_json(orderctl, gateway):
    dry = orderctl("dead", "replay", "--all", "--dry-run", "-o", "json").stdout
    assert json.loads(dry)["matches"] == 5
    begun = orderctl("dead", "replay", "--all", "--yes", "--no-wait", "-o", "json").stdout
    assert json.loads(begun) == {"job": 7, "total": 5}
    assert json.loads(orderctl("dead", "replay", "--all", "--yes", "-o", "json").stdout)["state"] == "done"
    gateway.routes["POST", "/api/admin/dead-letters/replay"] = problem(409, "archive_off")
    assert "orderctl status" in orderctl("dead", "replay", "--all", "--yes", ends_with=WRONG).stderr


# --- jobs -----------------------------------------------------------------------------------------


def test_jobs(orderctl, gateway):
    gateway.routes["GET", "/api/admin/jobs"] = (200, {"jobs": [job(8), job(7)], "next": None}, {})
    gateway.routes["GET", "/api/admin/jobs/7"] = (200, job(error="\33"), {})
    gateway.routes["POST", "/api/admin/jobs/7/cancel"] = (202, job(cancel_requested=True), {})
    assert orderctl("jobs").stdout == orderctl("jobs", "list").stdout
    assert "3 of 10" in orderctl("jobs").stdout
    assert [found["id"] for found in json.loads(orderctl("-o", "json", "jobs").stdout)["jobs"]] == [8, 7]
    assert r"\u001b" in orderctl("jobs", "show", 7).stdout
    assert "asked to stop" in orderctl("jobs", "cancel", 7).stdout
    gateway.routes["POST", "/api/admin/jobs/7/cancel"] = problem(409, "job_finished")
    orderctl("jobs", "cancel", 7, ends_with=WRONG)
    gateway.routes["GET", "/api/admin/jobs"] = (200, {"jobs": [], "next": None}, {})
    assert "no jobs" in orderctl("jobs").stdout


@pytest.mark.parametrize(("state", "ends_with"), [("done", GOOD), ("failed", WRONG), ("canceled", WRONG)])
def test_a_watched_job_ends(orderctl, gateway, state, ends_with):
    answers = [None, problem(503, "store_unavailable"), (200, job(), {})]
    finished = (200, job(state=state, finished_at=NOW, error="5 in a row died again"), {})
    gateway.routes["GET", "/api/admin/jobs/7"] = lambda request: answers.pop(0) if answers else finished
    text = orderctl("jobs", "watch", 7, ends_with=ends_with).stdout
    assert f"Job 7 (replay): {state}" in text
    assert "5 in a row" in text


def test_ctrl_c_ends_the_watching_only(gateway, on_terminal):
    gateway.routes["GET", "/api/admin/jobs/7"] = (200, job(), {})

    def press(process, written):
        if "3 of 10" not in written:
            return False
        process.send_signal(signal.SIGINT)
        return True

    text, ended = on_terminal("jobs", "watch", 7, act=press)
    assert ended == INTERRUPTED
    assert "orderctl jobs watch 7" in text
    assert "orderctl jobs cancel 7" in text
    assert {request.method for request in gateway.requests} == {"GET"}


def test_refresh(orderctl, gateway):
    gateway.routes["POST", "/api/admin/refresh"] = (200, "Materialized view refreshed successfully.", {})
    assert "refreshed" in orderctl("refresh").stdout
    gateway.routes["POST", "/api/admin/refresh"] = problem(504, "refresh_timeout")
    orderctl("refresh", ends_with=UNAVAILABLE)
