"""orderctl submit, against a stub of the gateway."""

import json
import signal
import subprocess
import time

import pytest

from orderctl.samples import (
    INTERRUPTED,
    NO_INPUT,
    NO_OUTPUT,
    NOT_UNDERSTOOD,
    ORDER_ID,
    UNAVAILABLE,
    WRONG,
    environment,
)
from orderctl.stub_gateway import problem
from system import binary
from wait import eventually

ORDERS = ("POST", "/api/orders")


class Shop:
    """Takes orders as the gateway does: a key names one order. `trouble` may answer instead."""

    def __init__(self, gateway):
        self.orders = {}
        self.trouble = lambda request: None
        gateway.routes[ORDERS] = self.take

    def take(self, request):
        answer = self.trouble(request)
        if answer:
            return answer
        try:
            order = json.loads(request.body)
        except ValueError:
            return problem(400, "malformed_order", "The body is not an order", detail='not "JSON"\33')
        if order["amount"] <= 0:
            return problem(422, "unacceptable_order", "The order cannot be accepted", detail="amount")
        self.orders[request.headers["Idempotency-Key"]] = order
        return 202, {"status": "processing", "order_id": ORDER_ID}, {}


@pytest.fixture
def shop(gateway):
    return Shop(gateway)


def test_submit_twice(orderctl, shop, tmp_path):
    """Equal lines are two orders; the same file again is none."""
    file = tmp_path / "orders.ndjson"
    line = '{"product_name":"Laptop","amount":1299.99}\n'
    file.write_text(line * 40)
    assert "40 orders accepted, 0 refused" in orderctl("submit", file).stdout
    assert len(shop.orders) == 40
    orderctl("submit", file)
    assert len(shop.orders) == 40
    with file.open("a") as more:
        more.write(line)
    found = json.loads(orderctl("submit", file, "-o", "json").stdout)
    assert found == {"accepted": 41, "refused": 0, "complete": True, "refused_file": None}
    assert len(shop.orders) == 41
    orderctl("submit", file, "--batch", "another")
    assert len(shop.orders) == 82
    orderctl("submit", "-", "--batch", file.name, "--refused", "x", "--format", "ndjson", stdin=line * 41)
    assert len(shop.orders) == 82


def test_submit_sends_no_token(orderctl, shop, gateway, tmp_path):
    file = tmp_path / "orders.csv"
    file.write_text('product_name,amount\n"a ""b""",12345678.90\n')
    orderctl("submit", file)
    assert gateway.requests[0].headers["Authorization"] is None
    assert gateway.requests[0].body == '{"product_name":"a \\"b\\"","amount":12345678.90}'


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_submit_refused(orderctl, shop, tmp_path, suffix):
    """What is refused is in a file, which is corrected and submitted as it is."""
    texts = {
        "csv": 'product_name,amount\nLaptop,1\n"a ""quoted""\nname",0\nPhone,x\nCable,2\n',
        "ndjson": '{"product_name":"Laptop","amount":1}\n{"product_name":"b","amount":0}\nPhone "\n'
        '{"product_name":"Cable","amount":2}\n',
    }
    file = tmp_path / f"orders.{suffix}"
    file.write_text(texts[suffix])
    assert "2 orders accepted, 2 refused" in orderctl("submit", file, ends_with=WRONG).stdout
    refused = tmp_path / f"orders.{suffix}.refused"
    text = refused.read_text()
    assert "\33" not in text
    assert sum(line.startswith("# refused, line ") for line in text.splitlines()) == 2
    assert "cannot be accepted: amount" in text
    if suffix == "csv":
        assert text.startswith("product_name,amount\n")
        corrected = text.replace('name",0', 'name",7').replace("Phone,x", "Phone,3")
    else:
        corrected = text.replace('"amount":0', '"amount":7').replace(
            'Phone "\n', '{"product_name":"Phone","amount":3}\n'
        )
    refused.write_text(corrected)
    assert "2 orders accepted, 0 refused" in orderctl("submit", refused).stdout
    assert sorted(order["amount"] for order in shop.orders.values()) == [1, 2, 3, 7]


def test_submit_waits_for_the_gateway(orderctl, shop, gateway, tmp_path):
    """503 with Retry-After, no answer, and an answer that was lost: each is sent again with its key."""
    file = tmp_path / "orders.ndjson"
    file.write_text("".join(f'{{"product_name":"p{n}","amount":{n + 1}}}\n' for n in range(30)))
    times = []

    def trouble(request):
        times.append(time.monotonic())
        if len(times) == 5:
            return *problem(503, "queue_unavailable")[:2], {"Retry-After": "1"}
        if len(times) in (9, 10):
            shop.orders[request.headers["Idempotency-Key"]] = json.loads(request.body)
            return problem(503, "outcome_unknown")
        return None

    shop.trouble = trouble
    assert "30 orders accepted" in orderctl("submit", file, "--parallel", 1).stdout
    assert len(shop.orders) == 30
    assert len(times) == 33
    assert times[5] - times[4] >= 1


def test_submit_gives_up(orderctl, shop, tmp_path):
    file = tmp_path / "orders.ndjson"
    file.write_text('{"product_name":"a","amount":1}\n')
    shop.trouble = lambda request: problem(503, "overloaded\33[2J")
    result = orderctl("submit", file, "--patience", "300ms", ends_with=UNAVAILABLE)
    assert "has taken no order" in result.stderr
    assert r"overloaded\u001b[2J" in result.stderr
    assert "\33" not in result.stderr
    assert "Run the same command again" in result.stdout


def test_submit_to_a_wrong_address(orderctl, gateway, tmp_path):
    """It ends at once, and nothing counts as refused."""
    file = tmp_path / "orders.ndjson"
    file.write_text('{"product_name":"a","amount":1}\n' * 100)
    assert "0 orders accepted, 0 refused" in orderctl("submit", file, ends_with=WRONG).stdout
    gateway.routes[ORDERS] = (302, "", {"Location": gateway.url})
    orderctl("submit", file, ends_with=NOT_UNDERSTOOD)
    gateway.routes[ORDERS] = (200, "hello", {})
    orderctl("submit", file, ends_with=NOT_UNDERSTOOD)
    assert len(gateway.requests) <= 3 * 16


def test_submit_killed_half_way(shop, gateway, orderctl, tmp_path):
    file = tmp_path / "orders.ndjson"
    file.write_text('{"product_name":"a","amount":1}\n' * 3000)
    for number in (signal.SIGKILL, signal.SIGINT):
        shop.orders.clear()
        command = [binary("orderctl"), "submit", file]
        process = subprocess.Popen(command, env=environment(gateway), stdout=subprocess.PIPE, text=True)
        eventually(lambda: len(shop.orders) > 100, "some are accepted")
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        assert 0 < len(shop.orders) < 3000
        if number == signal.SIGINT:
            assert process.returncode == INTERRUPTED
            assert "Run the same command again" in output
    orderctl("submit", file)
    assert len(shop.orders) == 3000


@pytest.mark.usefixtures("shop")
def test_submit_of_a_file_whose_name_is_no_text(orderctl, tmp_path):
    file = tmp_path / "caf\udce9.csv"
    file.write_text("product_name,amount\na,x\n")
    told = json.loads(orderctl("submit", file, "-o", "json", ends_with=WRONG).stdout)
    assert told["refused_file"] == str(tmp_path / "caf\ufffd.csv.refused")


def test_submit_of_files_that_cannot_be_used(orderctl, shop, gateway, tmp_path):
    orderctl("submit", tmp_path / "none.csv", ends_with=NO_INPUT)
    (tmp_path / "folder.csv").mkdir()
    orderctl("submit", tmp_path / "folder.csv", ends_with=NO_INPUT)
    file = tmp_path / "orders.csv"
    file.write_text("name;amount\na;1\n")
    assert "product_name,amount" in orderctl("submit", file, ends_with=NO_INPUT).stderr
    assert gateway.requests == []
    file.write_text("product_name,amount\na,x\nb,1\n")
    orderctl("submit", file, "--refused", file, ends_with=NO_OUTPUT)
    orderctl("submit", file, "--refused", "/nonexistent/x", ends_with=NO_OUTPUT)
    orderctl("submit", file, "--refused", "/dev/full", ends_with=NO_OUTPUT)
    assert file.read_text() == "product_name,amount\na,x\nb,1\n"
    file.write_text("")
    orderctl("submit", file, "--format", "ndjson")
