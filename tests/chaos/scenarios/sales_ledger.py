"""The ledger of the daily sales is made while everybody writes."""

import contextlib
import signal
import time

import psycopg

from sales_writers import DRIFT, Writers, kill_some
from stand import other_database

from . import scenario
from .postgres import make_original_tables

WRITERS = 200
OLD_ROWS = 50_000
INSTALLING, REFRESHING, MENDING = 7021786321201, 7021786321202, 7021786321203  # advisory locks
WAITS = (
    "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    " AND classid::bigint << 32 | objid::bigint = %s"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
TRIGGERS = "SELECT count(*) = 4 FROM pg_trigger WHERE tgname LIKE 'sales\\_ledger\\_%'"
FILLED = "SELECT count(*) > 0 FROM sales_ledger_state WHERE filled_at > '-infinity'"
IN_USE = "SELECT pg_get_viewdef('daily_sales_mv'::regclass) LIKE '%sales_ledger%'"


@scenario(53, "sales-ledger", alone=True)
def sales_ledger(run):
    """200 writers of every kind, some of them killed, while a scheduler makes the ledger of the sales and is
    killed at each step: no total is off by a cent, and nobody deadlocks."""
    run.minimum_accepted = 0
    name = f"chaos_ledger_{run.prefix}"
    dsn = run.stand.new_database(name)
    make_original_tables(dsn)
    with psycopg.connect(dsn, autocommit=True) as eye:
        set_up(eye)

        def killed_when(condition, *values):
            """A scheduler begins, and is killed as soon as that is so."""
            with run.extra("scheduler", other_database(dsn)) as scheduler:
                run.until(lambda: eye.execute(condition, values or None).fetchone()[0], 30, condition)
                scheduler.signal(signal.SIGKILL)
                run.fault("the scheduler killed")

        with Writers(dsn, WRITERS) as writers:
            for lock in (INSTALLING, MENDING):
                with held(dsn, lock):
                    killed_when(WAITS, lock)
                kill_some(eye, 0.3)
            nobody_waits_behind_an_idle_transaction(run, dsn, eye, writers)
            with held(dsn, REFRESHING):  # the view stays the old one
                killed_when(TRIGGERS)
                killed_when(FILLED)
                killed_when(WAITS, REFRESHING)
            with run.extra("scheduler", other_database(dsn)):
                run.until(lambda: eye.execute(IN_USE).fetchone()[0], 60, "the view reads the ledger")
                for _ in range(50 if run.long else 10):
                    kill_some(eye, 0.1)
                    run.fault("writers killed")
                    assert_exact(run, eye)
                    time.sleep(0.3)
        assert_exact(run, eye)
        eye.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales_mv")
        view = eye.execute("SELECT count(*), sum(total_revenue) FROM daily_sales_mv").fetchone()
        ledger = eye.execute(
            "SELECT count(DISTINCT day), sum(total) FROM sales_ledger WHERE day IN (SELECT"
            " (created_at AT TIME ZONE 'UTC')::date FROM orders)"
        ).fetchone()
        run.check(view == ledger, f"the view says what the ledger says: {view} {ledger}")
        run.check(not writers.errors, f"no writer fails: {len(writers.errors)} {writers.errors[:2]}")
        run.hits(writers.committed > WRITERS, f"the writers write: {writers.committed}")
    run.stand.drop_database(name)


def set_up(eye) -> None:
    eye.execute("CREATE INDEX ON orders (product_name)")
    eye.execute(
        "INSERT INTO orders SELECT gen_random_uuid()::text, 'old', n / 100.0,"
        " timestamptz '2026-03-01 00:00+00' + n * interval '5 s' FROM generate_series(1, %s) AS n",
        (OLD_ROWS,),
    )
    eye.execute("DO $$ BEGIN CREATE ROLE sales_inserts; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    eye.execute("GRANT INSERT ON orders TO sales_inserts")


@contextlib.contextmanager
def held(dsn, lock):
    with psycopg.connect(dsn, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (lock,))
        yield


def nobody_waits_behind_an_idle_transaction(run, dsn, eye, writers) -> None:
    """As psql, in which somebody has inserted a row and gone to lunch."""
    with psycopg.connect(dsn) as sitting, run.extra("scheduler", other_database(dsn)) as scheduler:
        sitting.execute("INSERT INTO orders VALUES ('psql', 'psql', 1, now())")
        run.until(scheduler.is_ready, 30, "the scheduler is ready")
        began, committed, longest = time.monotonic(), writers.committed, 0.0
        while time.monotonic() < began + 5:
            asked = time.monotonic()
            eye.execute("INSERT INTO orders VALUES (gen_random_uuid()::text, 'eye', 1, '2026-03-01')")
            longest = max(longest, time.monotonic() - asked)
        run.check(not eye.execute(TRIGGERS).fetchone()[0], "the triggers wait for the transaction")
        run.fast_enough((writers.committed - committed) / WRITERS, 1, "the writers go on meanwhile")
        run.in_time(longest, 4, "the longest wait of a writer")
        sitting.rollback()


def assert_exact(run, eye) -> None:
    drift = eye.execute(DRIFT).fetchall()
    run.check(drift == [], f"the ledger is exact: {drift[:3]}")
