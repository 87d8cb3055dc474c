"""What all commands of orderctl share, and status and trace, against a stub of the gateway."""

import json
import os
import re
import shutil
import ssl
import subprocess

import pytest

from orderctl.samples import (
    GOOD,
    INTERRUPTED,
    NO_INPUT,
    NO_OUTPUT,
    NOT_ALLOWED,
    NOT_UNDERSTOOD,
    NOW,
    ORDER_ID,
    SETTING,
    TOKEN,
    TOO_LATE,
    UNAVAILABLE,
    USAGE,
    WRONG,
    job,
    letter,
    status,
)
from orderctl.stub_gateway import problem
from system import ROOT

COMMANDS = [[], ["status"], ["trace"], ["dead"], ["jobs"], ["refresh"], ["reindex"], ["verify"], ["submit"]]
COMMANDS += [["dead", verb] for verb in ("list", "show", "replay", "discard")]
COMMANDS += [["jobs", verb] for verb in ("list", "show", "watch", "cancel")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help(orderctl, gateway, command):
    text = orderctl(*command, "--help").stdout
    assert text.startswith(f"Usage: {' '.join(['orderctl', *command])} ")
    assert "--token-file" in text
    assert orderctl(*command, "--version").stdout.startswith("orderctl ")
    assert gateway.requests == []


def test_the_manual_tells_every_command_option_and_exit_code(orderctl):
    page = (ROOT / "services/orderctl/orderctl.1").read_text().replace("\\-", "-")
    for command in COMMANDS:
        text = orderctl(*command, "--help").stdout
        for option in set(re.findall(r"--[a-z-]+", text)) - {"--help", "--usage", "--version"}:
            assert option in page, f"{command}: {option}"
        assert " ".join(command) in page
    for code in (GOOD, WRONG, USAGE, NO_INPUT, UNAVAILABLE, NO_OUTPUT):
        assert f".B {code}\n" in page
    for code in (TOO_LATE, NOT_UNDERSTOOD, NOT_ALLOWED, SETTING, INTERRUPTED):
        assert f".B {code}\n" in page


@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man")
def test_the_manual_is_well_formed():
    command = ["man", "--warnings", "--local-file", ROOT / "services/orderctl/orderctl.1"]
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "MANWIDTH": "80"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.stderr == ""
    assert "look at the order pipeline" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dead"],
        ["nonsense"],
        ["dead", "nonsense"],
        ["status", "x"],
        ["status", "--nonsense"],
        ["-o", "xml", "status"],
        ["--operator", "", "status"],
        ["--operator", "a\nb", "status"],
        ["trace"],
        ["trace", "42"],
        ["trace", ORDER_ID, ORDER_ID],
        ["trace", ORDER_ID, "--for", "soon"],
        ["dead", "list", "7"],
        ["dead", "list", "--since", "yesterday"],
        ["dead", "list", "--reason", ""],
        ["dead", "list", "--order-id", "7"],
        ["dead", "list", "--limit", "0"],
        ["dead", "show"],
        ["dead", "show", "x"],
        ["dead", "show", "1", "2"],
        ["dead", "replay"],
        ["dead", "replay", "1", "--all"],
        ["dead", "replay", "1", "--reason", "x"],
        ["dead", "replay", "1", "--dry-run"],
        ["dead", "replay", "1", "--new-id"],
        ["dead", "replay", "--all", "--order", "-"],
        ["dead", "replay", "--all", "--per-second", "1001"],
        ["dead", "discard", "1"],
        ["dead", "discard", "--all"],
        ["dead", "discard", "1", "--because", "\udcff"],
        ["dead", "discard", "--all", "--yes", "--because", "caf\udce9"],
        ["dead", "list", "--detail", "caf\udce9"],
        ["jobs", "show"],
        ["jobs", "watch", "x"],
        ["jobs", "list", "1"],
        ["refresh", "now"],
        ["reindex", "orders"],
        ["reindex", "--full"],
        ["verify", "7"],
        ["verify", "--delete-extra"],
        ["verify", "--keep-old"],
        ["submit"],
        ["submit", "orders"],
        ["submit", "-", "--format", "csv"],
        ["submit", "a.csv", "--parallel", "65"],
        ["submit", "a.csv", "b.csv"],
    ],
    ids=ascii,
)
def test_usage(orderctl, gateway, arguments):
    assert orderctl(*arguments, ends_with=USAGE).stderr
    assert gateway.requests == []


@pytest.mark.parametrize(
    "changes",
    [
        {"ORDER_API_URL": "gateway"},
        {"ORDER_API_URL": "ftp://gateway"},
        {"ORDER_API_URL": "http://user:secret@gateway"},
        {"ORDER_API_URL": "http://gateway/?x=1"},
        {"ORDER_API_CA_FILE": "/nonexistent"},
        {"ADMIN_TOKEN": None, "ADMIN_TOKEN_FILE": "/nonexistent"},
        {"ADMIN_TOKEN": "a\rb"},
    ],
    ids=str,
)
def test_settings(orderctl, gateway, changes):
    name = next(reversed(changes))
    error = orderctl("status", ends_with=SETTING, **changes).stderr
    assert name in error
    assert "secret" not in error
    assert gateway.requests == []


def test_unreachable(orderctl):
    result = orderctl("status", "--api", "http://127.0.0.1:1", ends_with=UNAVAILABLE)
    assert "cannot reach the gateway at http://127.0.0.1:1" in result.stderr
    assert "--api" in result.stderr


def test_token_and_operator(orderctl, gateway, tmp_path):
    gateway.routes["GET", "/api/admin/status"] = (200, status(), {})
    orderctl("status")
    file = tmp_path / "token"
    file.write_text("of the file\n")
    orderctl("status", "--token-file", file, "--operator", "ann")
    orderctl("status", ADMIN_TOKEN=None, ADMIN_READ_TOKEN="read")
    orderctl("status", ADMIN_TOKEN=None)
    tokens = [request.headers["Authorization"] for request in gateway.requests]
    assert tokens == [f"Bearer {TOKEN}", "Bearer of the file", "Bearer read", None]
    assert gateway.requests[1].headers["X-Operator"] == "ann"
    assert gateway.requests[0].headers["X-Operator"]


def test_https(orderctl, gateway, tmp_path):
    """Only with a certificate that is signed by the authority, and is the host's."""
    gateway.routes["GET", "/api/admin/status"] = (200, status(), {})
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(request, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    gateway.server.socket = context.wrap_socket(gateway.server.socket, server_side=True)
    url = gateway.url.replace("http:", "https:")
    orderctl("status", "--api", url, "--ca-file", certificate)
    assert "certificate" in orderctl("status", "--api", url, ends_with=UNAVAILABLE).stderr
    elsewhere = url.replace("127.0.0.1", "localhost")
    orderctl("status", "--api", elsewhere, "--ca-file", certificate, ends_with=UNAVAILABLE)
    assert len(gateway.requests) == 1


def test_redirects_are_not_followed(orderctl, gateway):
    gateway.routes["GET", "/api/admin/status"] = (302, "", {"Location": gateway.url + "/elsewhere"})
    orderctl("status", ends_with=NOT_UNDERSTOOD)
    assert [request.path for request in gateway.requests] == ["/api/admin/status"]


@pytest.mark.parametrize(
    ("answer", "ends_with", "word"),
    [
        (problem(401, "unauthorized"), NOT_ALLOWED, "ADMIN_TOKEN"),
        (problem(403, "admin_disabled"), NOT_ALLOWED, "ADMIN_TOKEN"),
        (problem(403, "read_only_token"), NOT_ALLOWED, "look"),
        (problem(404, "not_found"), WRONG, "API_ADMIN"),
        (problem(404, "dead_letter_not_found"), WRONG, "orderctl dead list"),
        (problem(400, "invalid_parameter"), USAGE, "invalid_parameter"),
        (problem(409, "dead_letter_settled", detail="\33[2J", trace_id="cd"), WRONG, r"\u001b[2J"),
        (problem(409, "job_unfinished", detail="job 7 (verify) runs"), WRONG, "job 7 (verify) runs"),
        (problem(500, "store_failed"), UNAVAILABLE, "store_failed"),
        (problem(503, "store_unavailable"), UNAVAILABLE, "orderctl status"),
        ((200, "hello", {}), NOT_UNDERSTOOD, "address"),
        ((200, [], {}), NOT_UNDERSTOOD, "address"),
        ((404, "<html>", {}), WRONG, "address"),
        (None, UNAVAILABLE, "cannot reach"),
    ],
    ids=str,
)
def test_problems(orderctl, gateway, answer, ends_with, word):
    gateway.routes["GET", "/api/admin/dead-letters/12"] = lambda request: answer
    error = orderctl("dead", "show", 12, ends_with=ends_with).stderr
    assert word in error
    assert "\33" not in error


# --- status ---------------------------------------------------------------------------------------


def test_status(orderctl, gateway):
    gateway.routes["GET", "/api/admin/status"] = (200, status(), {})
    text = orderctl("status").stdout
    assert text.startswith("All is well.\n")
    for words in ("1234 rows (estimated)", "1230 documents", "17 orders", "1.5/s accepted", "stored 12.5/s"):
        assert words in text
    assert json.loads(orderctl("-o", "json", "status").stdout) == status()


def test_status_tells_what_is_wrong(orderctl, gateway, on_terminal):
    wrong = {
        "name": "indexer",
        "url": "http://127.0.0.1:9103",
        "replica": "127.0.0.1:9103",
        "status": "not ready",
        "since": NOW,
        "reasons": ["elasticsearch: connection refused\33[31m"],
        "rates": {},
    }
    answer = status(
        well=False,
        summary="An indexer is not ready.",
        services=[wrong],
        queue=None,
        documents=None,
        dead_letters={"dead": 3, "oldest_died_at": NOW, "by_reason": {"malformed": 2, "unacceptable": 1}},
        archive={"state": "on", "fault": "the limit is reached"},
        jobs=[job()],
    )
    gateway.routes["GET", "/api/admin/status"] = (200, answer, {})
    text = orderctl("status", ends_with=WRONG).stdout
    assert text.startswith("An indexer is not ready.\n")
    for words in (
        r"connection refused\u001b[31m",
        "3: malformed 2, unacceptable 1",
        "orderctl dead list",
        "the limit is reached",
        "3 of 10",
        "unknown documents",
    ):
        assert words in text
    assert "\33" not in text

    text, ended = on_terminal("status")
    assert ended == WRONG
    assert "\33[31mAn indexer is not ready." in text
    assert r"refused\u001b[31m" in text
    text, _ = on_terminal("status", NO_COLOR="1")
    assert "\33" not in text


# --- trace ----------------------------------------------------------------------------------------


def fate(state, **changes):
    return {
        "order_id": ORDER_ID,
        "state": state,
        "accepted_at": NOW,
        "stored": state in ("stored", "searchable"),
        "searchable": state == "searchable",
        "dead_letters": [],
    } | changes


FATE = ("GET", f"/api/orders/{ORDER_ID}/status")
LETTERS = ("GET", "/api/admin/dead-letters")


def test_trace(orderctl, gateway):
    gateway.routes[FATE] = (200, fate("stored", searchable=None), {})
    text = orderctl("trace", ORDER_ID).stdout
    assert f"Order {ORDER_ID}: stored" in text
    assert re.search("searchable +unknown", text)
    assert json.loads(orderctl("trace", ORDER_ID, "-o", "json").stdout)["stored"] is True
    gateway.routes[FATE] = problem(404, "order_not_found")
    assert "Nobody knows" in orderctl("trace", ORDER_ID, ends_with=WRONG).stderr


def test_trace_of_a_dead_order(orderctl, gateway):
    public = {name: letter()[name] for name in ("id", "reason", "stage", "died_at", "state", "replayed_as")}
    gateway.routes[FATE] = (200, fate("dead", dead_letters=[public]), {})
    gateway.routes[LETTERS] = (200, {"dead_letters": [letter()], "next": None}, {})
    text = orderctl("trace", ORDER_ID, ends_with=WRONG).stdout
    assert "letter 12 (dead): malformed at persist" in text
    assert "trace " + "ab" * 16 in text
    assert f"order_id={ORDER_ID}" in gateway.requests[-1].path
    count = len(gateway.requests)
    text = orderctl("trace", ORDER_ID, ends_with=WRONG, ADMIN_TOKEN=None).stdout
    assert "letter 12 (dead): malformed at persist" in text
    assert "the name has" not in text
    assert len(gateway.requests) == count + 1


def test_trace_of_an_order_that_died_at_the_intake(orderctl, gateway):
    """The API knows no order that died so early: to an operator it is dead. Not so by another's letter."""
    gateway.routes[LETTERS] = problem(503, "store_unavailable")
    early = letter(stage="intake")
    gateway.routes[FATE] = (200, fate("accepted", dead_letters=[early]), {})
    text = orderctl("trace", "--follow", ORDER_ID, ends_with=WRONG).stdout
    assert f"Order {ORDER_ID}: dead" in text
    assert "orderctl dead replay" in text
    for changes in ({"state": "replayed"}, {"state": "discarded"}, {"reason": "id_conflict"}):
        gateway.routes[FATE] = (200, fate("accepted", dead_letters=[early | changes]), {})
        assert f"Order {ORDER_ID}: accepted" in orderctl("trace", ORDER_ID).stdout


def test_trace_follows(orderctl, gateway):
    answers = [
        problem(503, "order_state_unknown"),
        (200, fate("accepted"), {}),
        (200, fate("stored"), {}),
        (200, fate("searchable"), {}),
    ]
    gateway.routes[FATE] = lambda request: answers.pop(0)
    result = orderctl("trace", "--follow", ORDER_ID)
    assert ": searchable" in result.stdout
    assert result.stderr.split() == ["accepted…", "stored…"]
    assert answers == []
    gateway.routes[FATE] = (200, fate("accepted"), {})
    assert "orderctl status" in orderctl("trace", ORDER_ID, "--for", "100ms", ends_with=TOO_LATE).stderr
