"""POST /api/orders, GET /api/orders/{id}, and what HTTP itself asks of every route."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from api import assert_problem
from wait import eventually

UUID_V7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CREATED_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


def test_an_order_is_accepted(api):
    response = api.post_order("Laptop", 1299.99)
    assert response.status_code == 202
    order_id = response.json()["order_id"]
    assert response.json() == {"status": "processing", "order_id": order_id}
    assert UUID_V7.fullmatch(order_id)
    assert response.headers["Location"] == f"/api/orders/{order_id}"
    assert response.headers["Content-Type"].split(";")[0] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-Id"]


def test_an_order_reaches_every_store_with_the_same_content(system, api, unique):
    before = datetime.now(UTC)
    order_id = api.accept(unique, 1299.99)
    answer = api.read_from_cache(order_id)
    order = answer.json()
    assert list(order) == ["id", "product_name", "amount", "created_at"]
    assert order["id"] == order_id
    assert order["product_name"] == unique
    assert json.loads(answer.text, parse_float=str)["amount"] == "1299.99"
    assert CREATED_AT.fullmatch(order["created_at"])

    row, document = system.wait_stored(order_id)
    assert row["product_name"] == unique
    assert row["amount"] == Decimal("1299.99")
    assert row["created_at"] == datetime.fromisoformat(order["created_at"])
    assert before - timedelta(seconds=1) < row["created_at"] < datetime.now(UTC) + timedelta(seconds=1)
    assert document == order
    assert json.loads(system.redis.get(f"order:{order_id}")) == order


def test_hit_and_miss_are_byte_identical_and_a_miss_fills_the_cache(system, api, unique):
    order_id = api.accept(f"{unique} “quotes” \\ / \t é 漢 🛒".replace("\t", " "), 0.1)
    hit = api.read_from_cache(order_id)
    system.wait_stored(order_id)
    assert system.redis.delete(f"order:{order_id}") == 1

    miss = api.order(order_id)
    assert miss.status_code == 200
    assert miss.headers["X-Cache"] == "MISS"
    assert miss.content == hit.content

    assert api.read_from_cache(order_id).content == hit.content
    assert system.redis.get(f"order:{order_id}") == hit.content


def test_cached_orders_live_for_a_day(system, api):
    order_id = api.accept()
    eventually(lambda: 86_000 < system.redis.ttl(f"order:{order_id}") <= 86_400, "the full time to live")
    system.wait_stored(order_id)
    system.redis.delete(f"order:{order_id}")
    api.read_from_cache(order_id)
    assert 86_000 < system.redis.ttl(f"order:{order_id}") <= 86_400


@pytest.mark.parametrize(
    ("amount", "stored"),
    [
        ("0.01", "0.01"),
        ("9999999999.99", "9999999999.99"),
        ("1e2", "100.00"),
        ("149.990", "149.99"),
        ("1.10000000000", "1.10"),
        ("0.29", "0.29"),
        ("1E-2", "0.01"),
        ("7", "7.00"),
        ("8888888888.88", "8888888888.88"),
        ("12.34e0", "12.34"),
        ("1000000000000000000e-16", "100.00"),
    ],
)
def test_amounts_are_exact(system, api, unique, amount, stored):
    response = api.post_raw(f'{{"product_name":"{unique}","amount":{amount}}}')
    assert response.status_code == 202, response.text
    order_id = response.json()["order_id"]
    row, document = system.wait_stored(order_id)
    assert row["amount"] == Decimal(stored)
    for text in (api.read(order_id).text, json.dumps(document)):
        assert Decimal(json.loads(text, parse_float=str, parse_int=str)["amount"]) == Decimal(stored)


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "x" * 255,
        "é" * 255,
        "漢" * 255,
        "🛒" * 255,
        "ERROR",
        "null",
        "a'b\"c\\d",
        "<script>",
        "  ",
        "a/b",
    ],
)
def test_names_are_kept_as_they_are(system, api, name):
    order_id = api.accept(name, 1)
    row, document = system.wait_stored(order_id)
    assert (
        row["product_name"] == document["product_name"] == api.read(order_id).json()["product_name"] == name
    )


@pytest.mark.parametrize(
    "extra",
    ['"id":"11111111-1111-1111-1111-111111111111"', '"created_at":"1999-01-01T00:00:00Z"', '"x":{"y":[1]}'],
)
def test_unknown_members_are_ignored(api, extra):
    response = api.post_raw(f'{{{extra},"product_name":"Laptop","amount":1}}')
    assert response.status_code == 202, response.text
    order = api.read(response.json()["order_id"]).json()
    assert not order["id"].startswith("11111111")
    assert not order["created_at"].startswith("1999")
    assert "x" not in order


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""]
)
def test_any_content_type_is_taken(api, content_type):
    response = api.post_raw('{"product_name":"Laptop","amount":1}', **{"Content-Type": content_type})
    assert response.status_code == 202


MALFORMED = {
    "empty": b"",
    "white space": b"  \n",
    "not JSON": b"product_name=Laptop&amount=1",
    "truncated": b'{"product_name":"Laptop","amount":1',
    "an array": b'[{"product_name":"Laptop","amount":1}]',
    "a string": b'"Laptop"',
    "null": b"null",
    "trailing bytes": b'{"product_name":"Laptop","amount":1}x',
    "two documents": b'{"product_name":"Laptop","amount":1}{}',
    "NUL after it": b'{"product_name":"Laptop","amount":1}\0',
    "duplicate name": b'{"product_name":"Laptop","product_name":"Mouse","amount":1}',
    "duplicate amount": b'{"product_name":"Laptop","amount":1,"amount":1}',
    "no name": b'{"amount":1}',
    "no amount": b'{"product_name":"Laptop"}',
    "name a number": b'{"product_name":1,"amount":1}',
    "name null": b'{"product_name":null,"amount":1}',
    "amount a string": b'{"product_name":"Laptop","amount":"1"}',
    "amount null": b'{"product_name":"Laptop","amount":null}',
    "amount true": b'{"product_name":"Laptop","amount":true}',
    "amount an object": b'{"product_name":"Laptop","amount":{}}',
    "NaN": b'{"product_name":"Laptop","amount":NaN}',
    "Infinity": b'{"product_name":"Laptop","amount":Infinity}',
    "leading zero": b'{"product_name":"Laptop","amount":01}',
    "a plus": b'{"product_name":"Laptop","amount":+1}',
    "hexadecimal": b'{"product_name":"Laptop","amount":0x1}',
    "single quotes": b"{'product_name':'Laptop','amount':1}",
    "comma at the end": b'{"product_name":"Laptop","amount":1,}',
    "a comment": b'{"product_name":"Laptop","amount":1/**/}',
    "deep nesting": b'{"product_name":"Laptop","amount":1,"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "bad UTF-8": b'{"product_name":"\xff\xfe","amount":1}',
    "overlong UTF-8": b'{"product_name":"\xc0\xaf","amount":1}',
    "UTF-8 surrogate": b'{"product_name":"\xed\xa0\x80","amount":1}',
    "lone surrogate": b'{"product_name":"\\ud800","amount":1}',
    "raw control character": b'{"product_name":"a\nb","amount":1}',
    "raw NUL": b'{"product_name":"a\0b","amount":1}',
    "NUL after the amount": b'{"product_name":"Laptop","amount":1\0}',
    "NUL after a word": b'{"product_name":"Laptop","amount":1,"x":null\0}',
    "BOM before it": b'\xef\xbb\xbf{"product_name":"Laptop","amount":1}',
    "BOM in the name": b'{"product_name":"\xef\xbb\xbfLaptop","amount":1}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed(api, body):
    assert_problem(api.post_raw(body), 400)


@pytest.mark.parametrize("path", ["/api/orders", "/api/bulk-orders"])
def test_a_byte_order_mark_is_named(api, path):
    for body in (MALFORMED["BOM before it"], b"\xef\xbb\xbf"):
        problem = assert_problem(api.post_raw(body, path=path), 400)
        assert "begins with a byte order mark" in problem["detail"]
    problem = assert_problem(api.post_raw(MALFORMED["BOM in the name"], path=path), 400)
    assert "byte order mark" in problem["detail"]


UNACCEPTABLE = {
    "empty name": ('""', "1"),
    "256 characters": (f'"{"x" * 256}"', "1"),
    "256 characters of many bytes": (f'"{"🛒" * 256}"', "1"),
    "escaped line feed": ('"a\\nb"', "1"),
    "escaped unit separator": ('"\\u001f"', "1"),
    "escaped delete": ('"\\u007f"', "1"),
    "zero": ('"Laptop"', "0"),
    "minus zero": ('"Laptop"', "-0.0"),
    "negative": ('"Laptop"', "-1"),
    "half a cent": ('"Laptop"', "0.005"),
    "a fraction of a cent": ('"Laptop"', "1.005"),
    "a tiny fraction": ('"Laptop"', "1.0000001"),
    "a fraction that no double has": ('"Laptop"', "1.0000000000000000001"),
    "a fraction that is zero as a double": ('"Laptop"', "1e-400"),
    "one cent too much": ('"Laptop"', "10000000000.00"),
    "far too much": ('"Laptop"', "1e15"),
    "far too little": ('"Laptop"', "1e-9"),
}


@pytest.mark.parametrize(("name", "amount"), UNACCEPTABLE.values(), ids=UNACCEPTABLE)
def test_unacceptable(api, name, amount):
    assert_problem(api.post_raw(f'{{"product_name":{name},"amount":{amount}}}'), 422)


@pytest.mark.parametrize(
    ("name", "amount"), [('"\\u0000"', "1"), ('"Laptop"', "1e400"), ('"Laptop"', "1" * 400)]
)
def test_what_the_json_library_refuses_itself(api, name, amount):
    assert_problem(api.post_raw(f'{{"product_name":{name},"amount":{amount}}}'), 400, allowed=(422,))


def test_too_large(api):
    assert_problem(api.post_raw(b'{"product_name":"' + b"x" * 65_536 + b'","amount":1}'), 413)
    padded = b'{"product_name":"Laptop","amount":1}'.ljust(65_536)
    assert api.post_raw(padded).status_code == 202
    assert_problem(api.post_raw(padded + b" "), 413)


def test_a_refused_order_leaves_nothing(system, api, unique):
    keys = set(system.redis.keys("order:*"))
    for body in (
        f'{{"product_name":"{unique}","amount":1.005}}',
        f'{{"product_name":"{unique}","amount":-1}}',
        f'{{"product_name":"{unique}","amount":1}}x',
    ):
        assert api.post_raw(body).status_code in (400, 422)
    marker = api.accept(unique + " marker")
    system.wait_stored(marker)
    assert system.row_count(unique) == 0
    entries = [system.redis.get(key) for key in set(system.redis.keys("order:*")) - keys]
    names = [json.loads(entry)["product_name"] for entry in entries if entry]  # one may just have gone
    assert unique not in names


def test_an_unknown_order(api):
    assert_problem(api.look_up(uuid.uuid4()), 404)
    assert_problem(api.look_up("00000000-0000-0000-0000-000000000000"), 404)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "123",
        "not-a-uuid",
        "0" * 36,
        "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz",
        "{uuid}0",
    ],
)
def test_not_an_id(api, text):
    assert_problem(api.order(text.replace("{uuid}", str(uuid.uuid4()))), 400)


# A path is compared as it was sent.
@pytest.mark.parametrize("text", ["%00", "{uuid}%20", "%7B{uuid}%7D"])
def test_an_encoded_id_names_nothing(api, text):
    assert_problem(api.order(text.replace("{uuid}", str(uuid.uuid4()))), 404)


def test_the_case_of_an_id_does_not_matter(system, api):
    order_id = api.accept()
    assert api.read(order_id.upper()).json()["id"] == order_id


@pytest.mark.parametrize("path", ["/api", "/api/nothing", "/api/ordersx", "/api/orders/a/b", "/metricsx"])
def test_unknown_paths(api, path):
    assert_problem(api.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/orders", {"POST"}),
        ("PUT", "/api/orders", {"POST"}),
        ("DELETE", f"/api/orders/{uuid.UUID(int=7)}", {"GET", "HEAD"}),
        ("POST", "/api/search", {"GET", "HEAD"}),
        ("POST", "/api/dashboard/sales", {"GET", "HEAD"}),
        ("GET", "/api/admin/refresh", {"POST"}),
        ("PATCH", "/api/bulk-orders", {"POST"}),
        ("POST", "/livez", {"GET", "HEAD"}),
        ("TRACE", "/readyz", {"GET", "HEAD"}),
    ],
)
def test_a_known_path_with_another_method(api, method, path, allowed):
    response = api.request(method, path)
    assert_problem(response, 405)
    assert {name.strip() for name in response.headers["Allow"].split(",")} == allowed


def test_head_answers_as_get_without_a_body(system, api):
    order_id = api.accept()
    system.wait_stored(order_id)
    for path in (
        f"/api/orders/{order_id}",
        "/api/search?q=x",
        "/api/dashboard/sales",
        "/livez",
        "/readyz",
    ):
        head, get = api.request("HEAD", path), api.get(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
    unknown = f"/api/orders/{uuid.uuid4()}"
    eventually(lambda: api.request("HEAD", unknown).status_code == 404, "HEAD of an unknown order")


def test_a_chunked_body(api):
    body = b'{"product_name":"Laptop","amount":1}'
    answer = api.exchange(
        b"POST /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        + b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        + b"0\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 202 "), answer


def test_an_expected_continue(api):
    answer = api.exchange(
        b"POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\nExpect: 100-continue\r\n"
        b'Connection: close\r\n\r\n{"product_name":"Laptop","amount":1}'
    )
    assert b"HTTP/1.1 202 " in answer, answer


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 36\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 36\r\nContent-Length: 5\r\n"],
    ids=["length and chunked", "two lengths"],
)
def test_ambiguous_framing_is_refused(api, framing):
    answer = api.exchange(
        b"POST /api/orders HTTP/1.1\r\nHost: x\r\n" + framing + b'\r\n{"product_name":"Laptop","amount":1}'
    )
    assert answer.startswith(b"HTTP/1.1 400 "), answer


def test_pipelined_requests_are_answered_in_order(api):
    first, second = api.accept("first"), api.accept("second")
    answer = api.exchange(
        b"".join(
            b"GET /api/orders/%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (order_id.encode(), last)
            for order_id, last in ((first, b""), (second, b"Connection: close\r\n"))
        )
    )
    assert answer.index(first.encode()) < answer.index(second.encode())
