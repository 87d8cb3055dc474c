"""What the gateway tells on its API port, which anybody may reach, and what on its admin port only."""

import contextlib
import json
import re
import socket
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from elasticsearch import NotFoundError

from api import Api, assert_problem
from system import binary, free_port
from wait import eventually

ORDER = {"product_name": "Laptop", "amount": 1299.99}
SERVERS = {"rabbitmq", "postgres", "redis", "elasticsearch"}
NAMES = SERVERS | {"accepting_orders", "scheduler", "search_index"}

# Addresses, names of servers and libraries, SQL and what servers say, files, errors of the system, secrets.
INTERNAL = re.compile(
    r"\d+\.\d+\.\d+\.\d+|::1|localhost|canary"
    r"|postgres|libpq|psql|redis|rabbit|amqp|elastic|lucene|curl|h2o|zmq|supervisor"
    r"|\b(select|insert|relation|sqlstate|constraint|schema|outbox|daily_sales)\b|_exception|ACCESS_REFUSED"
    r"|/(usr|etc|tmp|home|root|work|run|var|services)/|\.[ch]\b|\.so\b|\.sql\b"
    r"|refused|resolve|unreachable|errno|broken pipe|no such file|password",
    re.IGNORECASE,
)


@pytest.fixture
def admin(system):
    return Api(system.admin_url("gateway-1"), system.env["ADMIN_TOKEN"])


# --- the two ports ------------------------------------------------------------------------------


def test_readyz_in_public_has_no_reasons(system, api):
    report = api.get("/readyz")
    assert report.status_code == 200
    assert report.json().keys() == {"status", "dependencies"}
    assert {d["name"] for d in report.json()["dependencies"]} == NAMES
    assert all(d.keys() == {"name", "status"} for d in report.json()["dependencies"])


def test_metrics_are_not_public(api, spawn):
    assert_problem(api.get("/metrics"), 404)
    shown = requests.get(spawn(API_METRICS="on") + "/metrics", timeout=30)
    assert shown.status_code == 200
    assert "http_requests_total" in shown.text


def test_pages_of_the_admin_port(admin):
    for path in ("/livez", "/readyz", "/metrics"):
        head, get = admin.request("HEAD", path), admin.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
        answer = admin.request("BREW", path)
        assert_problem(answer, 405)
        assert answer.headers["Allow"] == "GET, HEAD"
    assert all("required" in dependency for dependency in admin.get("/readyz").json()["dependencies"])


def test_the_admin_port_has_every_public_route(system, admin, unique):
    order_id = admin.accept(unique)
    row, document = system.wait_stored(order_id)
    assert admin.read(order_id).json() == document
    assert admin.search(unique).status_code == 200
    assert admin.bulk({"item_1": "a", "item_2": "b"}).status_code == 201
    admin.refresh_now()
    assert admin.sales()
    assert_problem(admin.get("/nothing"), 404)


def test_the_admin_port_answers_when_the_api_port_is_flooded(spawn):
    port = free_port()
    public = urlsplit(spawn(API_MAX_CONNECTIONS="8", GATEWAY_THREADS="2", ADMIN_PORT=str(port)))
    admin = Api(f"http://127.0.0.1:{port}", None)
    with contextlib.ExitStack() as connections:
        for _ in range(200):
            one = connections.enter_context(socket.create_connection((public.hostname, public.port)))
            with contextlib.suppress(ConnectionError):
                one.sendall(b"POST /api/orders HTTP/1.1\r\nHost: x\r\n")

        def full():
            open_now = re.findall(r"^http_connections{\S* (\d+)$", admin.get("/metrics").text, re.MULTILINE)
            return sum(map(int, open_now)) == 8

        eventually(full, "there are as many connections as there may be")
        assert admin.get("/readyz").json()["status"] == "ready"
        admin.accept("flooded")


def test_health_asks_the_admin_port(system):
    environment = system.environment("gateway-1") | {"API_PORT": "1"}
    assert subprocess.run([binary("gateway"), "--health"], env=environment, timeout=60).returncode == 0


# --- every public route, in failure -------------------------------------------------------------


def raw(method, path, body=None, *headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", body or ""]).encode()


def needing_servers(token):
    """Each needs a server that fails, and so fails itself."""
    order, bulk = json.dumps(ORDER), json.dumps({"orders": [ORDER, ORDER]})
    return [
        raw("POST", "/api/orders", order, f"Idempotency-Key: {uuid.uuid4()}"),
        raw("GET", f"/api/orders/{uuid.uuid4()}"),
        raw("GET", "/api/search?q=laptop"),
        raw("GET", "/api/dashboard/sales"),
        raw("POST", "/api/admin/refresh", "", f"Authorization: Bearer {token}"),
        raw("POST", "/api/bulk-orders", '{"item_1":"a","item_2":"b"}'),
        raw("POST", "/api/bulk-orders", bulk, f"Idempotency-Key: {uuid.uuid4()}"),
    ]


def wrong_by_themselves():
    bad = [
        "{",
        "[]",
        '{"product_name":"a","amount":1e400}',
        '{"amount":1}',
        '{"product_name":7,"amount":1}',
        "\0",
    ]
    return [
        *(raw("POST", path, body) for path in ("/api/orders", "/api/bulk-orders") for body in bad),
        raw("POST", "/api/orders", json.dumps(ORDER), "Idempotency-Key: "),
        raw("POST", "/api/orders", "x" * 70_000),
        raw("POST", "/api/orders", "x", "Expect: tea"),
        raw("POST", "/api/orders", None, "Transfer-Encoding: gzip"),
        raw("POST", "/api/orders", None, "Content-Length: 99999999"),
        raw("GET", "/api/orders/nonsense"),
        raw("GET", "/api/search"),
        raw("GET", "/api/search?q=a&size=0"),
        raw("GET", "/api/search?q=a&from=10000"),
        raw("POST", "/api/admin/refresh", ""),
        raw("POST", "/api/admin/refresh", "", "Authorization: Bearer wrong"),
        raw("GET", "/livez"),
        raw("GET", "/metrics"),
        raw("GET", "/"),
        raw("TRACE", "/"),
        raw("DELETE", "/api/orders"),
        raw("GET", "/" + "x" * 9000),
        raw("GET", "/livez", None, "X: " + "x" * 20_000),
        b"nonsense\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]


def away(system):
    """Nobody listens there."""
    port = free_port()
    return {
        "POSTGRES_DSN": f"postgresql://canary:canary@127.0.0.1:{port}/canary",
        "RABBITMQ_URL": f"amqp://canary:canary@127.0.0.1:{port}/canary",
        "REDIS_ADDR": f"127.0.0.1:{port}",
        "ELASTICSEARCH_URL": f"http://canary:canary@127.0.0.1:{port}",
    }


def nameless(system):
    """Their names have no address."""
    return {
        "POSTGRES_DSN": "postgresql://canary:canary@canary-1.invalid/canary",
        "RABBITMQ_URL": "amqp://canary:canary@canary-2.invalid/canary",
        "REDIS_ADDR": "canary-3.invalid:6379",
        "ELASTICSEARCH_URL": "http://canary:canary@canary-4.invalid",
    }


def refusing(system):
    """The servers say no, each in its own words."""
    postgres, rabbitmq = urlsplit(system.env["POSTGRES_DSN"]), urlsplit(system.env["RABBITMQ_URL"])
    return {
        "POSTGRES_DSN": f"postgresql://canary:canary@127.0.0.1:{postgres.port}/canary",
        "RABBITMQ_URL": f"amqp://canary:canary@127.0.0.1:{rabbitmq.port}/canary",
        "REDIS_PASSWORD": "canary",
        "ELASTICSEARCH_URL": f"http://127.0.0.1:{rabbitmq.port}",
    }


def broken(system):
    """The servers are there, and what should be in them is not as it should be."""
    with contextlib.suppress(NotFoundError):
        system.elasticsearch.indices.delete(index="canary")
    system.elasticsearch.indices.create(index="canary", settings={"max_result_window": 1})
    return {
        "POSTGRES_DSN": system.database("canary"),
        "RABBITMQ_URL": system.env["RABBITMQ_URL"].removesuffix("/") + "/canary",
        "REDIS_PASSWORD": "canary",
        "ORDER_INDEX": "canary",
    }


@contextlib.contextmanager
def gateway(environment):
    """One whose servers need not be there; yields the URLs of its API and of its admin port."""
    ports = {"API_PORT": str(free_port()), "ADMIN_PORT": str(free_port())}
    api, admin = (f"http://127.0.0.1:{port}" for port in ports.values())
    process = subprocess.Popen([binary("gateway")], env=environment | ports, stdout=subprocess.DEVNULL)

    def told():
        with contextlib.suppress(requests.ConnectionError):
            report = requests.get(admin + "/readyz", timeout=30).json()
            reasons = {d["name"]: d.get("reason") for d in report["dependencies"]}
            return all(reasons[name] != "starting" for name in SERVERS)

    try:
        eventually(told, "it knows how its servers are")
        yield api, admin
    finally:
        process.terminate()
        process.wait(60)


def assert_tells_nothing(answer, what):
    found = INTERNAL.search(answer)
    assert not found, f"{found[0]!r} in the answer to {what}:\n{answer}"


@pytest.mark.parametrize("failure", [away, nameless, refusing, broken])
def test_failures_tell_nothing_of_the_inside(system, failure):
    settings = failure(system)
    with gateway(system.environment("gateway-1") | settings) as (url, admin):
        if failure is broken:
            drop_tables(settings["POSTGRES_DSN"])
        api = Api(url, system.env["ADMIN_TOKEN"])
        failing, wrong = needing_servers(api.admin_token), wrong_by_themselves()
        with ThreadPoolExecutor(len(failing)) as pool:
            answers = list(pool.map(lambda request: api.exchange(request).decode(), failing + wrong))
        for request, answer in zip(failing, answers, strict=False):
            assert re.match(r"HTTP/1.1 50[0234] ", answer), f"{request}: {answer}"
        for request, answer in zip(failing + wrong, answers, strict=True):
            assert_tells_nothing(answer, request[:200])

        head, _, body = api.exchange(raw("GET", "/readyz")).decode().partition("\r\n\r\n")
        assert_tells_nothing(head, "GET /readyz")
        report = json.loads(body)
        assert report.keys() == {"status", "dependencies"}
        assert {d["name"] for d in report["dependencies"]} == NAMES
        for dependency in report["dependencies"]:
            assert dependency.keys() == {"name", "status"}
            assert dependency["status"] in ("up", "down")
        # All of it is told where it belongs.
        assert "reason" in requests.get(admin + "/readyz", timeout=30).text


def drop_tables(dsn):
    """Also those that make what is missing: the gateway will not."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for (table,) in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall():
            connection.execute(f'DROP TABLE IF EXISTS "{table}" CASCADE')
