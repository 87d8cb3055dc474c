"""The schema installs itself, also over the original's tables, with all replicas at once."""

from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from load import Load, assert_kept
from wait import eventually

EVERYTHING = {"gateway": 2, "bridge": 2, "persister": 4, "indexer": 2, "scheduler": 2}

# What the original's api creates at its start.
ORIGINAL_SCHEMA = """
CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    product_name TEXT NOT NULL,
    amount NUMERIC(10, 2) NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE MATERIALIZED VIEW daily_sales_mv AS
    SELECT DATE(created_at) AS sale_date, SUM(amount) AS total_revenue FROM orders GROUP BY DATE(created_at);
CREATE UNIQUE INDEX daily_sales_mv_date_idx ON daily_sales_mv (sale_date);
INSERT INTO orders VALUES
    ('3f2504e0-4f89-41d3-9a0c-0305e82c3301', 'Laptop', 1299.99, '2024-05-06 23:30:00+00'),
    ('3f2504e0-4f89-41d3-9a0c-0305e82c3302', 'Mouse', 29.95, '2024-05-06 00:30:00+00');
REFRESH MATERIALIZED VIEW daily_sales_mv;
"""


@pytest.fixture
def fresh_database(system):
    def make(name, sql=None):
        system.postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        dsn = system.database(name)
        if sql:
            with psycopg.connect(dsn, options="-c timezone=Asia/Kathmandu") as connection:
                connection.execute(sql)

    return make


def assert_schema_is_right(system):
    columns = system.postgres.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'orders'"
    ).fetchall()
    assert {"id", "product_name", "amount", "created_at"} <= {name for name, _ in columns}
    assert dict(columns)["amount"] == "numeric"
    assert dict(columns)["created_at"] == "timestamp with time zone"
    index = system.postgres.execute(
        "SELECT indexdef FROM pg_indexes WHERE indexname = 'daily_sales_mv_date_idx'"
    ).fetchone()
    assert "UNIQUE" in index[0]
    assert "daily_sales_mv" in index[0]
    return dict(columns)


def test_over_an_empty_database(system, fresh_database):
    fresh_database("allatonce")
    with system.sibling("allatonce", scale=EVERYTHING) as ours:
        assert assert_schema_is_right(ours)["id"] == "uuid"
        with Load(ours.env["API_URLS"].split(), orders=1000) as load:
            pass
        assert_kept(ours, load)
        assert_no_crash(ours)


def test_over_the_tables_of_the_original(system, fresh_database):
    fresh_database("original", ORIGINAL_SCHEMA)
    with system.sibling("original", scale=EVERYTHING) as ours:
        assert assert_schema_is_right(ours)["id"] == "text"
        old = ours.api.order("3f2504e0-4f89-41d3-9a0c-0305e82c3301")
        assert old.status_code == 200
        assert old.json() == {
            "id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "product_name": "Laptop",
            "amount": 1299.99,
            "created_at": "2024-05-06T23:30:00Z",
        }
        with Load(ours.env["API_URLS"].split(), orders=1000) as load:
            pass
        assert_kept(ours, load)
        assert ours.api.bulk({"item_1": "a", "item_2": "b"}).status_code == 201

        # Both old orders are of the same day in UTC, though not in the time zone of that session.
        ours.api.refresh_now()
        sales = ours.api.sales()
        assert Decimal(sales.pop("2024-05-06")) == Decimal("1329.94")
        total = Decimal(sum(cents for _, cents in load.accepted.values())) / 100 + 150
        assert sum(Decimal(revenue) for revenue in sales.values()) == total  # midnight may have passed
        assert_no_crash(ours)


def test_with_the_original_still_writing(system, fresh_database):
    """An INSERT in the original's form works on the upgraded tables."""
    fresh_database("stillwriting", ORIGINAL_SCHEMA)
    with system.sibling("stillwriting") as ours:
        ours.postgres.execute(
            "INSERT INTO orders (id, product_name, amount, created_at) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (id) DO NOTHING",
            ("3f2504e0-4f89-41d3-9a0c-0305e82c3303", "Webcam", 79.5, datetime.now(UTC)),
        )
        assert ours.api.order("3f2504e0-4f89-41d3-9a0c-0305e82c3303").json()["amount"] == 79.5


def test_a_second_start_changes_nothing(system, fresh_database):
    fresh_database("twice")
    with system.sibling("twice") as ours:
        ours.wait_stored(ours.api.accept("Laptop", 5))
        reads_ledger = "SELECT pg_get_viewdef('daily_sales_mv'::regclass) LIKE '%%sales_ledger%%'"
        eventually(lambda: ours.postgres.execute(reads_ledger).fetchone()[0], "the view reads the ledger")
        ours.api.refresh_now()  # the first one is another than those that follow
        query = (  # without what the first verification makes, whenever it comes
            "SELECT oid, relname, relfilenode FROM pg_class WHERE relname <> 'orders_created_at_brin' "
            "AND relnamespace = 'public'::regnamespace ORDER BY oid"
        )
        before = ours.postgres.execute(query).fetchall()
        for program in [name for name in ours.programs() if name[-1].isdigit()]:
            ours.kill_and_wait(program)
        ours.wait_ready()
        assert ours.postgres.execute(query).fetchall() == before
        assert ours.row_count("Laptop") == 1


def assert_no_crash(system):
    """Each process is still the one that was started first."""
    log = (system.run / "log" / "supervisord.log").read_text()
    assert " exited: " not in log, log


def test_the_hourly_refresh_runs_once_for_two_schedulers(system, fresh_database):
    fresh_database("ticks")
    with system.sibling("ticks", scale={"scheduler": 2}, MV_REFRESH_SCHEDULE="@every 2s") as ours:
        row, _ = ours.wait_stored(ours.api.accept("Laptop", 5))
        day = row["created_at"].date().isoformat()
        eventually(lambda: ours.api.sales().get(day) == "5", "a tick refreshes the view")
