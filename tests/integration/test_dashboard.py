"""The dashboard and its refresh."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from api import Api, assert_problem
from wait import eventually


def insert(system, created_at, amount):
    system.postgres.execute(
        "INSERT INTO orders (id, product_name, amount, created_at) VALUES (%s, 'dashboard', %s, %s)",
        (str(uuid.uuid4()), amount, created_at),
        prepare=False,
    )


def test_a_refresh_includes_what_was_stored_before_it(system, api):
    now = datetime.now(UTC)
    today = now.date().isoformat()
    api.refresh_now()
    before = Decimal(api.sales().get(today, "0"))
    for amount in ("0.10", "0.20", "1234567.89"):
        insert(system, now, amount)
    assert api.refresh_now().text == "Materialized view refreshed successfully."
    assert Decimal(api.sales()[today]) - before == Decimal("1234568.19")


def test_days_are_utc_and_the_newest_thirty(system, api):
    midnight = datetime(2001, 3, 1, tzinfo=UTC)
    for day in range(40):
        insert(system, midnight + timedelta(days=day), "1.00")
        insert(
            system,
            midnight + timedelta(days=day, hours=23, minutes=59, seconds=59, microseconds=999_999),
            "2.50",
        )
    api.refresh_now()
    response = api.get("/api/dashboard/sales")
    days = response.json()
    assert len(days) == 30
    assert all(day["date"].endswith("T00:00:00Z") for day in days)
    assert days == sorted(days, key=lambda day: day["date"], reverse=True)
    spring = [day for day in days if day["date"].startswith("2001-")]
    assert {day["total_revenue"] for day in spring} == {3.5}
    assert spring[0]["date"] == "2001-04-09T00:00:00Z"
    assert all(list(day) == ["date", "total_revenue"] for day in days)


def test_an_empty_view_is_an_empty_list(system):
    with system.sibling("emptyview") as fresh:
        assert fresh.api.get("/api/dashboard/sales").json() == []
        fresh.api.refresh_now()
        assert fresh.api.get("/api/dashboard/sales").json() == []
        row, _ = fresh.wait_stored(fresh.api.accept("Laptop", 1299.99))
        fresh.api.refresh_now()
        assert fresh.api.sales() == {row["created_at"].date().isoformat(): "1299.99"}


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer wrong", "Bearer ", "Bearer", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {half}"],
)
def test_without_the_token(api, authorization):
    token = api.admin_token
    text = authorization.replace("{token}", token).replace("{half}", token[: len(token) // 2])
    assert_problem(api.refresh(text), 401)


def test_two_tokens_are_none(api):
    token = api.admin_token.encode()
    answer = api.exchange(
        b"POST /api/admin/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n"
        b"Authorization: Bearer %s\r\nAuthorization: Bearer %s\r\n\r\n" % (token, token)
    )
    assert answer.startswith(b"HTTP/1.1 401 "), answer


def test_no_token_configured(system, spawn):
    url = spawn(ADMIN_TOKEN="", ADMIN_READ_TOKEN="")
    assert_problem(Api(url, "").refresh("Bearer x"), 403)
    assert_problem(Api(url, "").refresh(""), 403)


def test_authorization_off(system, spawn):
    url = spawn(ADMIN_TOKEN="", ADMIN_AUTH="off")
    eventually(lambda: Api(url, "").refresh("").status_code == 200, "it is refreshed")


def test_a_hundred_refreshes_at_once(system, api):
    insert(system, datetime.now(UTC), "1.00")
    before = view_refreshes(system)
    with ThreadPoolExecutor(100) as pool:
        list(pool.map(lambda _: Api(api.url, api.admin_token).refresh_now(), range(100)))
    assert view_refreshes(system) - before < 50  # they share


def view_refreshes(system):
    """How often the scheduler refreshed, as it counts itself."""
    text = system.metrics("scheduler-1")
    counts = [
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if "refresh" in line and "_count" in line
    ]
    counts += [
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if "refresh" in line and "_total" in line and not line.startswith("#")
    ]
    assert counts, text
    return max(counts)


def test_a_slow_refresh_blocks_nothing_else(system, api, unique):
    with ThreadPoolExecutor(1) as pool:
        with system.postgres.transaction():
            # Until this transaction ends, another refresh of the view waits; reads do not.
            system.postgres.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales_mv")
            refresh = pool.submit(lambda: Api(api.url, api.admin_token).refresh_now())
            order_id = api.accept(unique)
            eventually(lambda: system.document(order_id), "orders go on")
            assert api.get("/api/dashboard/sales").status_code == 200
            assert not refresh.done()
        refresh.result(timeout=120)


def test_live(system, api, unique):
    """Exact to the last commit, also of what foreign programs write."""
    row, _ = system.wait_stored(api.accept(unique, 12.34))
    today = row["created_at"].date().isoformat()
    before = Decimal(api.sales(live=True)[today])
    insert(system, row["created_at"], "7.66")
    assert Decimal(api.sales(live=True)[today]) == before + Decimal("7.66")
    system.postgres.execute("UPDATE orders SET amount = 2.34 WHERE product_name = %s", (unique,))
    assert Decimal(api.sales(live=True)[today]) == before + Decimal("7.66") - 10
    api.refresh_now()
    assert api.sales(live=True) == api.sales()
    assert_problem(api.get("/api/dashboard/sales?live=maybe"), 400)


def test_metrics_of_the_original(system, api):
    api.refresh_now()
    api.sales()
    for operation, program in (("read_dashboard", "gateway-1"), ("refresh_mv", "scheduler-1")):
        name = f'db_query_duration_seconds_count{{operation="{operation}"}}'
        lines = [line for line in system.metrics(program).splitlines() if line.startswith(name)]
        assert lines, f"{program} does not count {operation}"
        assert float(lines[0].rsplit(" ", 1)[1]) >= 1
