"""A database that is not as the services would have made it: columns that were there before, little
privilege, objects that disappear, and faults of the table that are no fault of an order."""

import contextlib
import subprocess
from datetime import datetime
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

from load import Load, assert_kept
from system import ROOT, binary, free_port
from wait import eventually


@pytest.fixture
def database(system):
    """Makes an empty database and runs SQL in it; returns its DSN."""

    def make(name, sql):
        system.postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        dsn = system.database(name)
        with psycopg.connect(dsn) as connection:
            connection.execute(sql)
        return dsn

    return make


def check(system, program, dsn):
    """What --check says of PostgreSQL, and whether all is well."""
    command = [binary(program.rsplit("-", 1)[0]), "--check"]
    environment = system.environment(program) | {"POSTGRES_DSN": dsn}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    (line,) = [line for line in result.stdout.splitlines() if "postgres" in line]
    assert line.startswith("ok") or result.returncode == 1
    return line, line.startswith("ok")


@contextlib.contextmanager
def started(system, program, dsn):
    """Another process of this service, on this database; yields what its /readyz says of PostgreSQL."""
    port = free_port()
    environment = system.environment(program) | {"POSTGRES_DSN": dsn, "ADMIN_PORT": str(port)}
    service = binary(program.rsplit("-", 1)[0])
    process = subprocess.Popen([service], env=environment, stderr=subprocess.DEVNULL)

    def postgres():
        with contextlib.suppress(requests.ConnectionError):
            report = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=30).json()
            (state,) = [one for one in report["dependencies"] if one["name"] == "postgres"]
            return state
        return {}

    try:
        yield postgres
    finally:
        process.terminate()
        process.wait(60)


def assert_said(system, program, dsn, words):
    line, fine = check(system, program, dsn)
    assert (fine, words in line) == (False, True), line
    with started(system, program, dsn) as postgres:
        eventually(lambda: words in postgres().get("reason", ""), f"/readyz says {words}")
        assert postgres()["status"] == "down"


# --- a table that was there before ------------------------------------------------------------------


def orders_table(amount="numeric", created_at="timestamptz", key="PRIMARY KEY (id)", more=""):
    return (
        f"CREATE TABLE orders (id uuid, product_name text, amount {amount}, created_at {created_at}, {key}) "
        f"{more}"
    )


@pytest.mark.parametrize(
    ("program", "table", "words"),
    [
        ("persister-1", orders_table(amount="numeric(10,1)"), "orders.amount is numeric(10,1)"),
        ("persister-1", orders_table(amount="money"), "orders.amount is money"),
        ("persister-1", orders_table(key="UNIQUE (id, amount)"), "no unique index on id"),
        (
            "gateway-1",
            orders_table(key="PRIMARY KEY (id, created_at)", more="PARTITION BY RANGE (created_at)"),
            "no unique index on id",
        ),
    ],
)
def test_a_table_that_cannot_hold_orders_is_said_by_name(system, database, program, table, words):
    dsn = database("unfit", table)
    if program == "gateway-1":  # which has ports of its own, and works without PostgreSQL
        line, fine = check(system, program, dsn)
        assert (fine, words in line) == (False, True), line
    else:
        assert_said(system, program, dsn, words)


def test_a_table_of_coarser_instants(system, database, unique):
    """Whatever comes again is the same order, and documents have the instants of their rows."""
    database("coarse", orders_table(created_at="timestamptz(3)", amount="numeric(12,2)"))
    with system.sibling("coarse") as ours:
        with Load([ours.api.url], orders=300) as load:
            pass
        assert_kept(ours, load, at_least=300)
        bulk = [{"product_name": unique, "amount": 1} for _ in range(50)]
        ids = ours.api.bulk({"orders": bulk}).json()["order_ids"]
        for order_id in [*ids[:5], *list(load.accepted)[:5]]:
            row, document = ours.wait_stored(order_id)
            assert row["created_at"].microsecond % 1000 == 0
            assert datetime.fromisoformat(document["created_at"]) == row["created_at"]
        eventually(lambda: ours.queues.depth() == 0, "the queue is empty")
        assert ours.queues.dead() == 0


# --- what disappears --------------------------------------------------------------------------------


def test_what_is_dropped_comes_back(restored, unique):
    system, api = restored, restored.api
    day = system.wait_stored(api.accept(unique, 5))[0]["created_at"].date().isoformat()
    system.postgres.execute("DROP MATERIALIZED VIEW daily_sales_mv")
    eventually(lambda: api.get("/api/dashboard/sales").status_code == 200, "the view is there", 20)
    system.postgres.execute("DROP INDEX daily_sales_mv_date_idx")
    system.postgres.execute("DROP TABLE jobs, scheduler_seen, sales_refresh, order_outbox")
    eventually(lambda: api.refresh().status_code == 200, "it can be refreshed", 20)
    assert day in api.sales()
    body = {"orders": [{"product_name": unique, "amount": 1}]}
    bulk = eventually(lambda: accepted_bulk(api.bulk(body)), "bulk orders are taken", 20)
    system.wait_stored(bulk["order_ids"][0])


def accepted_bulk(answer):
    return answer.json() if answer.status_code == 201 else None


def test_a_view_that_was_replaced_is_said(restored):
    """Nobody can refresh it: the scheduler is not ready, the gateway degraded, and orders go on."""
    system, api = restored, restored.api
    columns = "SELECT current_date AS sale_date, 1.5 AS total_revenue"
    system.postgres.execute(f"DROP MATERIALIZED VIEW daily_sales_mv; CREATE VIEW daily_sales_mv AS {columns}")
    try:
        for program in ("scheduler-1", "gateway-1"):
            words = "daily_sales_mv is not a materialized view"
            eventually(lambda p=program, w=words: w in system.readiness(p).text, f"{program} says it", 20)
        assert not system.is_ready("scheduler-1")
        assert system.is_ready("gateway-1")
        system.wait_stored(api.accept())
    finally:
        system.postgres.execute("DROP VIEW daily_sales_mv")
    eventually(lambda: api.refresh().status_code == 200, "the view is there again", 20)


# --- little privilege -------------------------------------------------------------------------------


def readme_sql():
    """README's statements: those that make the roles, with passwords, and the grants of later."""
    chapter = (ROOT / "README.md").read_text().partition("\n#### PostgreSQL\n")[2].partition("\n#")[0]
    roles, grants = [block.partition("```")[0] for block in chapter.split("```sql\n")[1:]]
    passwords = "".join(f"ALTER ROLE {role} PASSWORD 'apart';" for role in ("pipeline_owner", "pipeline_run"))
    return roles + passwords, grants


def dsn_of(dsn, role):
    address = urlsplit(dsn)
    return address._replace(netloc=f"{role}:apart@{address.netloc.rpartition('@')[2]}").geturl()


@pytest.fixture
def roles(system):
    yield
    for name in ("apart", "unowned"):
        system.postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    system.postgres.execute("DROP ROLE IF EXISTS pipeline_owner, pipeline_run")


def test_run_and_schema_owner_apart(system, roles, database, unique):
    """The scheduler is the owner of the schema and installs it. The other services may only use it."""
    make_roles, grant = readme_sql()
    dsn = database("apart", make_roles)
    owner, run = dsn_of(dsn, "pipeline_owner"), dsn_of(dsn, "pipeline_run")
    line, fine = check(system, "persister-1", run)
    assert (fine, "role pipeline_run lacks CREATE" in line) == (False, True), line
    with started(system, "scheduler-1", owner) as scheduler:
        eventually(lambda: scheduler().get("status") == "up", "the scheduler installs the schema")
        line, fine = check(system, "persister-1", run)
        assert (fine, "role pipeline_run lacks INSERT on orders" in line) == (False, True), line
        with psycopg.connect(owner) as connection:
            connection.execute(grant)
        for program in ("persister-1", "gateway-1"):
            line, fine = check(system, program, run)
            assert fine, line
        with system.sibling("apart", scale={"scheduler": 0}, POSTGRES_DSN=run) as ours:
            ours.wait_stored(ours.api.accept(unique))
            ids = ours.api.bulk({"orders": [{"product_name": unique, "amount": 1}]}).json()["order_ids"]
            ours.wait_stored(ids[0])
            ours.api.refresh_now()
            assert list(ours.api.sales().values()) == ["1300.99"]
            # The scheduler makes the view anew, and the role may read it at once.
            with psycopg.connect(dsn) as admin:
                admin.execute("DROP MATERIALIZED VIEW daily_sales_mv")
            eventually(lambda: ours.api.get("/api/dashboard/sales").status_code == 200, "it is back", 20)


def test_what_the_scheduler_may_not_do_is_said(system, roles, database):
    dsn = database("unowned", readme_sql()[0])
    owner = dsn_of(dsn, "pipeline_owner")
    with started(system, "scheduler-1", owner) as scheduler:
        eventually(lambda: scheduler().get("status") == "up", "the scheduler installs the schema")
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM pipeline_owner")
        assert_said(system, "scheduler-1", owner, "role pipeline_owner lacks CREATE on schema public")
        admin.execute("GRANT CREATE ON SCHEMA public TO pipeline_owner")
        admin.execute("ALTER MATERIALIZED VIEW daily_sales_mv OWNER TO CURRENT_USER")
        assert_said(system, "scheduler-1", owner, "role pipeline_owner cannot refresh it")


# --- a fault of the table is no poison ----------------------------------------------------------------

FAULTS = {
    "22012: division by zero": (
        "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1/0; RETURN new; END';"
        "CREATE TRIGGER fault BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION fault()",
        "DROP FUNCTION fault CASCADE",
    ),
    "2200H: nextval: reached maximum value": (
        "CREATE SEQUENCE fault MAXVALUE 2; SELECT setval('fault', 2);"
        "ALTER TABLE orders ADD fault bigint; ALTER TABLE orders ALTER fault SET DEFAULT nextval('fault')",
        "ALTER TABLE orders DROP fault; DROP SEQUENCE fault",
    ),
    "orders.fault is NOT NULL without a default": (
        "ALTER TABLE orders ADD fault text NOT NULL DEFAULT ''; ALTER TABLE orders ALTER fault DROP DEFAULT",
        "ALTER TABLE orders DROP fault",
    ),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_fault_of_the_table_makes_no_dead_letter(restored, unique, words):
    """The persisters are not ready and say why, the orders wait; afterwards all are stored."""
    system, api = restored, restored.api
    provoke, repair = FAULTS[words]
    system.postgres.execute(provoke)
    try:
        ids = [api.accept(unique) for _ in range(40)]
        for program in ("persister-1", "persister-2"):
            eventually(lambda p=program: words in system.readiness(p).text, f"{program} says it", 30)
            assert not system.is_ready(program)
    finally:
        system.postgres.execute(repair)
    for order_id in ids:
        system.wait_stored(order_id)
    assert system.queues.dead() == 0
