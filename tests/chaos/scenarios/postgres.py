"""PostgreSQL dies, is locked, is full, refuses."""

import concurrent.futures
import contextlib
import os
import pathlib
import subprocess
import tempfile
import time
from decimal import Decimal

import psycopg

from checks import acked_when_still
from proxy import Mode
from stand import other_database

from . import Skipped, scenario

OLD_ID = "0193a1b2-0000-7000-8000-000000000001"
TERMINATE_OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@scenario(12, "postgres-kill")
def postgres_kill(run):
    """PostgreSQL is killed: orders are still accepted, held, and stored once afterwards."""
    with run.load():
        run.until_accepted(400)
        for _ in range(5 if run.long else 2):
            run.kill("postgres")
            answer = run.post(f"{run.prefix}x-meanwhile")
            run.check(
                answer.status_code == 202, f"orders are accepted without PostgreSQL: {answer.status_code}"
            )
            run.until_accepted(300)
            run.system.wait_ready()
            run.recovered()


@scenario(12, "postgres-sessions-terminated")
def postgres_sessions_terminated(run):
    """Every PostgreSQL session is terminated once a second."""
    with run.load():
        for _ in range(60 if run.long else 8):
            with psycopg.connect(run.system.env["POSTGRES_DSN"], autocommit=True) as connection:
                count = connection.execute(TERMINATE_OTHERS).fetchone()[0]
            run.fault(f"{count} sessions terminated")
            time.sleep(1)
        run.recovered()
        run.until_accepted(300)


@scenario(13, "orders-locked", stands_for="a server that waits")
def orders_locked(run):
    """The orders table is locked: nothing is acknowledged or dead-lettered, one row each afterwards."""
    with run.load():
        run.until_accepted(500)
        with psycopg.connect(run.system.env["POSTGRES_DSN"]) as connection:
            connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            run.fault("LOCK TABLE orders")
            acked = acked_when_still(run)
            time.sleep(60 if run.long else 12)
            more = run.stand.metric("bridge-1", "bridge_acked_total") - acked
            run.check(more == 0, f"{more:.0f} orders were acknowledged while the table was locked")
            run.check(run.stores.unacknowledged() > 0, "orders are held while the table is locked")
            run.check(not run.own_dead_letters(), "nothing is dead-lettered while the table is locked")
        run.recovered()
        run.until_accepted(300)


@scenario(13, "postgres-disk-full")
def postgres_disk_full(run):
    """PostgreSQL's disk is full: nothing acknowledged or dead-lettered, one row each afterwards."""
    with small_tablespace(run) as folder:
        with run.load():
            run.until_accepted(500)
            # Until not even a page is free; the call ends with an error, which is the point of it.
            fill = ["dd", "if=/dev/zero", f"of={folder}/ballast", "bs=8k"]
            subprocess.run(fill, check=False, stderr=subprocess.DEVNULL)
            run.fault("disk full")
            failures = disk_full_errors(run)
            run.until(lambda: disk_full_errors(run) > failures, 30, "an insert fails for want of disk space")
            run.until_accepted(300)
            run.check(not run.own_dead_letters(), "nothing is dead-lettered while the disk is full")
            pathlib.Path(folder, "ballast").unlink()
            run.recovered()
            run.until_accepted(300)
        run.drained()


def disk_full_errors(run) -> int:
    """As PostgreSQL has logged them."""
    return run.stand.log_path("postgres").read_text(errors="replace").count("No space left on device")


@contextlib.contextmanager
def small_tablespace(run):
    """The orders table is on a disk of 48 MB of its own while the block runs; yields its folder."""
    if os.getuid() != 0:
        raise Skipped("only root can mount a small disk")
    with tempfile.TemporaryDirectory(prefix="chaos-disk-") as folder, contextlib.ExitStack() as undo:
        os.chmod(folder, 0o755)
        disk = f"{folder}/disk"
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "chaos", disk], check=True)
        undo.callback(subprocess.run, ["umount", "-l", disk], check=True)
        subprocess.run(["chown", run.stand.server_user, disk], check=True)
        run.stand.sql(f"CREATE TABLESPACE small LOCATION '{disk}'")
        undo.callback(run.stand.sql, "DROP TABLESPACE small")
        run.stand.sql("ALTER TABLE orders SET TABLESPACE small")
        undo.callback(run.stand.sql, "ALTER TABLE orders SET TABLESPACE pg_default")
        yield disk


@scenario(14, "poison-row", stands_for="one order that cannot be stored")
def poison_row(run):
    """One row that PostgreSQL refuses is dead-lettered within 3 tries; its neighbours are not delayed."""
    name = f"{run.prefix}-poison row"
    with constraint(run, f"product_name <> '{name}'"), run.load():
        run.until_accepted(500)
        run.expected_dead.add(name)
        run.check(run.post(name).status_code == 202, "the poison order is accepted")
        run.fault("a row that the table refuses")
        neighbour = run.post(f"{run.prefix}x-neighbour").json()["order_id"]
        took = run.until(lambda: run.stores.has_row(neighbour), 10, "the neighbour is stored")
        run.in_time(took, 1.0, "storing the neighbour")

        def poison() -> list[dict]:
            return [
                properties.headers for properties, body in run.own_dead_letters() if name.encode() in body
            ]

        run.must_come(lambda: len(poison()) == 1, 20, "the poison is dead-lettered")
        (headers,) = poison()
        run.check(headers["x-attempts"] <= 3, f"dead-lettered within 3 tries: {headers}")
        run.check("23514" in str(headers), f"the reason names the SQLSTATE: {headers}")
        run.until_accepted(500)
        run.recovered()


@scenario(29, "systemic-constraint", stands_for="no order that can be stored")
def systemic_constraint(run):
    """A new constraint hits every order: the line stops, not ready, at most 20 dead letters, then drains."""
    with run.load():
        run.until_accepted(500)
        with constraint(run, f"product_name NOT LIKE '{run.prefix}-%'"):
            run.until(lambda: not run.stand.is_ready("bridge-1"), 30, "the bridge says that it is not ready")
            run.until_accepted(500)
            expect_few_dead(run)
        run.recovered()
        expect_few_dead(run)  # and one that was tried just before
        run.until_accepted(300)


@scenario(29, "systemic-mapping")
def systemic_mapping(run):
    """A wrong mapping hits every order: the line stops, not ready, at most 20 dead letters, then drains."""
    ask, orders = run.stand.elasticsearch, run.stores.index
    unfit = f"{orders}-unfit"
    ask("PUT", f"/{unfit}", {"mappings": {"properties": {"product_name": {"type": "integer"}}}})
    actions = [{"remove_index": {"index": index}} for index in ask("GET", f"/{orders}")]
    actions.append({"add": {"index": unfit, "alias": orders, "is_write_index": True}})
    ask("POST", "/_aliases", {"actions": actions})
    run.fault("a mapping that fits no order")
    with run.load():
        try:
            run.until(lambda: not run.stand.is_ready("bridge-1"), 30, "the bridge says that it is not ready")
            run.until_accepted(500)
            expect_few_dead(run)
        finally:
            ask("DELETE", f"/{unfit}")  # an indexer makes another one, and rightly
        run.recovered()
        expect_few_dead(run)
        run.until_accepted(500)


def expect_few_dead(run) -> None:
    """The line has stopped. Its dead letters are published and confirmed a little later."""
    run.until(
        lambda: run.stand.metric("bridge-1", r"bridge_dead_letters_(?:waiting|unconfirmed)") == 0,
        10,
        "every dead letter is confirmed",
    )
    letters = run.own_dead_letters()
    run.check(len(letters) <= 20, f"{len(letters)} dead letters, more than 20")
    run.expect_dead(letters)


@scenario(30, "one-persister-cut-off")
def one_persister_cut_off(run):
    """One persister of two has lost PostgreSQL: the healthy one does at least 80 % of the work."""
    proxy = run.stand.new_proxy("postgres")
    with (
        run.extra("persister", {"POSTGRES_DSN": run.stand.through(proxy, "POSTGRES_DSN")}) as other,
        run.load(),
    ):
        run.until(other.is_ready, 30, "the second persister is ready")
        run.until_accepted(500)
        proxy.set_mode(Mode.REFUSE)
        proxy.reset()
        run.fault("the second persister's link to PostgreSQL cut")
        time.sleep(2)  # what was given to it comes back and is given out again
        accepted, rows = run.accepted_so_far(), run.stores.row_count(run.prefix)
        run.until_accepted(1500)
        share = (run.stores.row_count(run.prefix) - rows) / (run.accepted_so_far() - accepted)
        run.fast_enough(share, 0.8, "as many were stored as were accepted meanwhile")
        run.recovered()
        proxy.set_mode(Mode.PASS)
        run.until(other.is_ready, 30, "the second persister is back")
    proxy.close()


@scenario(34, "schema-at-once", stands_for="first starts")
def schema_at_once(run):
    """All replicas start at once on an empty database, and on the original's tables with data."""
    run.minimum_accepted = 0
    for with_data in (False, True) * (3 if run.long else 1):
        name = f"chaos_schema_{run.prefix}_{run.faults}"
        dsn = run.stand.new_database(name)
        if with_data:
            make_original_tables(dsn)
        with contextlib.ExitStack() as replicas, concurrent.futures.ThreadPoolExecutor() as pool:
            starters = [
                pool.submit(replicas.enter_context, run.extra(kind, other_database(dsn)))
                for kind in ("persister", "persister", "gateway", "gateway", "scheduler", "scheduler")
            ]
            run.fault("six replicas started at once")
            for starter in starters:
                replica = starter.result()
                run.until(replica.is_ready, 30, f"{replica.name} is ready")
        with psycopg.connect(dsn) as connection:
            rows = connection.execute("SELECT id::text, amount FROM orders").fetchall()
            view = connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'daily_sales_mv'")
            indexes = [row[0] for row in view]
        run.check(rows == ([(OLD_ID, Decimal("12.50"))] if with_data else []), f"the rows are kept: {rows}")
        run.check(indexes == ["daily_sales_mv_date_idx"], f"the view has its index once: {indexes}")
        run.stand.drop_database(name)


def make_original_tables(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE orders (id TEXT PRIMARY KEY, product_name TEXT NOT NULL,"
            " amount NUMERIC NOT NULL, created_at TIMESTAMPTZ NOT NULL)"
        )
        connection.execute(
            "CREATE MATERIALIZED VIEW daily_sales_mv AS SELECT date_trunc('day', created_at) AS sale_date,"
            " SUM(amount) AS total_revenue FROM orders GROUP BY 1"
        )
        connection.execute("INSERT INTO orders VALUES (%s, 'Old', 12.50, '2024-05-05T23:30:00Z')", (OLD_ID,))


@contextlib.contextmanager
def constraint(run, condition: str):
    """A CHECK constraint on the orders table, for new rows, while the block runs."""
    run.stand.sql(f"ALTER TABLE orders ADD CONSTRAINT chaos CHECK ({condition}) NOT VALID")
    run.fault(f"CHECK ({condition})")
    try:
        yield
    finally:
        run.stand.sql("ALTER TABLE orders DROP CONSTRAINT chaos")
