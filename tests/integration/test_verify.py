"""A verification names exactly what differs between PostgreSQL and the index, and a repair mends it."""

import json
import random
import signal
import subprocess
import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from search_client import delete_indices
from system import binary, free_port
from wait import eventually

MAPPING = {
    "properties": {
        "id": {"type": "keyword"},
        "product_name": {"type": "text"},
        "amount": {"type": "double"},
        "created_at": {"type": "date"},
    }
}
ORIGINAL_TABLE = """CREATE TABLE orders (id text PRIMARY KEY, product_name text NOT NULL,
    amount numeric(10,2) NOT NULL, created_at timestamptz NOT NULL)"""
SETTLE_S = 30  # a difference is one that is still there so much later


class World:
    """A database and an index of its own, and a scheduler that knows nothing else."""

    def __init__(self, system, name, original=False):
        self.system, self.name, self.elasticsearch = system, name, system.elasticsearch
        self.environment = system.environment("scheduler-1") | {
            "POSTGRES_DSN": system.database(name),
            "ORDER_INDEX": name,
            "ORDER_QUEUE": name,
            "ORDER_QUEUES": name,
            "MV_REFRESH_SCHEDULE": "@yearly",
            "VERIFY_SCHEDULE": "off",
            "VERIFY_FULL_SCHEDULE": "off",
            "INDEX_REPAIR": "off",
            "ADMIN_PORT": str(free_port()),
        }
        self.postgres = psycopg.connect(self.environment["POSTGRES_DSN"], autocommit=True)
        if original:
            self.postgres.execute(ORIGINAL_TABLE)
        else:
            index, alias = f"{name}-000001", {name: {"is_write_index": True}}
            self.elasticsearch.indices.create(index=index, aliases=alias, mappings=MAPPING)
        self.orders = {}
        self.start()
        installed = "SELECT 1 FROM pg_tables WHERE tablename = 'search_index'"
        eventually(lambda: self.postgres.execute(installed).fetchone(), "the schema is there")

    def start(self):
        self.process = subprocess.Popen(
            [binary("scheduler")], env=self.environment, stderr=subprocess.DEVNULL
        )

    def stop(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        self.process.wait(30)

    def destroy(self):
        self.stop()
        self.postgres.close()
        delete_indices(self.elasticsearch, self.name)
        self.system.postgres.execute(f'DROP DATABASE "{self.name}" WITH (FORCE)')
        self.system.rabbitmqctl("delete_queue", self.name)

    # --- orders -------------------------------------------------------------------------------

    def add(self, count, age=timedelta(days=3), ahead=timedelta(minutes=-2), documents=True):
        """Orders that are up to so much older than an instant; returns their ids."""
        now = datetime.now(UTC) + ahead
        made = {}
        for _ in range(count):
            order = str(uuid.uuid4())
            amount = random.randrange(1, 10**9) / 100
            made[order] = (order, f"Tea {random.randrange(100)}", amount, now - age * random.random())
        with self.postgres.cursor() as cursor:
            cursor.executemany("INSERT INTO orders VALUES (%s, %s, %s, %s)", list(made.values()))
        self.orders |= made
        if documents:
            self.index(made)
        return list(made)

    def document(self, order):
        columns = self.orders[order]
        instant = columns[3].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"id": order, "product_name": columns[1], "amount": columns[2], "created_at": instant}

    def index(self, orders):
        lines = []
        for order in orders:
            lines += [{"index": {"_id": order}}, self.document(order)]
        answer = self.elasticsearch.bulk(index=self.name, operations=lines, refresh=True)
        assert not answer["errors"], answer

    def put(self, order, **changes):
        self.elasticsearch.index(index=self.name, id=order, document=self.document(order) | changes)

    def put_extra(self, order, **changes):
        """A document of no order, beside one that is there."""
        document = self.document(next(iter(self.orders))) | {"id": order} | changes
        self.elasticsearch.index(index=self.name, id=order, document=document)

    def read(self, order):
        answer = self.elasticsearch.mget(index=self.name, ids=[order])["docs"][0]
        return answer.get("_source")

    # --- jobs ---------------------------------------------------------------------------------

    def begin(self, kind, **parameters):
        query = "INSERT INTO jobs (kind, parameters, requested_by) VALUES (%s, %s, 'test') RETURNING id"
        return self.postgres.execute(query, (kind, json.dumps(parameters))).fetchone()[0]

    def job(self, job):
        query = "SELECT state, error, result, done, total, checkpoint FROM jobs WHERE id = %s"
        columns = ("state", "error", "result", "done", "total", "checkpoint")
        return dict(zip(columns, self.postgres.execute(query, (job,)).fetchone(), strict=True))

    def wait(self, job, timeout=2 * SETTLE_S):
        ended = lambda: self.job(job)["state"] in ("done", "failed", "canceled")  # noqa: E731
        eventually(ended, f"job {job} ends", timeout)
        return self.job(job)

    def done(self, job):
        ended = self.wait(job)
        assert ended["state"] == "done", ended
        assert ended["done"] == ended["total"], ended
        return ended["result"]

    def known(self):
        """What the row about the index says of the last verification."""
        query = (
            "SELECT verified_missing, verified_extra, verified_different, missing, fault FROM search_index"
        )
        return self.postgres.execute(query).fetchone()


@pytest.fixture
def world(system, unique):
    made = []

    def make(name, **options):
        made.append(World(system, f"{unique}-{name}", **options))
        return made[-1]

    yield make
    for each in made:
        each.destroy()


def found(result):
    """What a result names, all of which has to be among the ids."""
    sorts = ("missing", "extra", "different", "dead_at_index")
    assert all(result[sort]["count"] == len(result[sort]["ids"]) for sort in sorts), result
    assert not result["approximate"]
    return {sort: set(result[sort]["ids"]) for sort in sorts if result[sort]["ids"]}


def test_agreement(world):
    """Nothing differs, so nothing is looked up again. The index of another system is left alone."""
    here = world("agrees")
    here.add(2000)
    here.add(100, age=timedelta(days=4000), ahead=timedelta(days=-8))
    result = here.done(here.begin("verify"))
    assert found(result) == {}
    assert 1900 < result["orders"] == result["documents"] <= 2000
    for parameters in ({"full": True}, {"full": True, "fields": True}):
        result = here.done(here.begin("verify", **parameters))
        assert found(result) == {}
        assert result["from"] is None
        assert result["orders"] == result["documents"] == 2100
    assert here.known() == (0, 0, 0, None, None)

    another = MAPPING | {"_meta": {"deployment": str(uuid.uuid4())}}
    here.elasticsearch.indices.put_mapping(index=here.name, **another)
    for kind in ("verify", "repair"):
        ended = here.wait(here.begin(kind))
        assert ended["state"] == "failed"
        assert another["_meta"]["deployment"] in ended["error"]


def damage(here, orders):
    """Does by hand what may go wrong; returns what a comparison of all fields has to find."""
    missing, amount, instant, moved, nothing, name = orders[:6]
    for order in (missing, nothing):
        here.elasticsearch.delete(index=here.name, id=order)
    here.put(amount, amount=here.orders[amount][2] + 0.01)
    here.put(instant, created_at="2019-01-01T00:00:00Z")
    here.put(moved, id=str(uuid.uuid4()), amount=1)
    here.elasticsearch.index(index=here.name, id=nothing, document={"amount": 17})
    here.put(name, product_name="Coffee")
    extra = [str(uuid.uuid4()), "an id", str(uuid.uuid4()).upper()]
    for order in extra:
        here.put_extra(order)
    here.elasticsearch.indices.refresh(index=here.name)
    different = {amount, instant, moved, nothing, name}
    return {"missing": {missing}, "extra": set(extra), "different": different}


def wait_looked(here, job):
    """The job has looked up the orders of the hours that differ, and waits before the second look."""

    def looked():
        now = here.job(job)
        return now["state"] == "running" and now["done"] == now["total"] > len(here.orders)

    eventually(looked, "the first look is over", SETTLE_S)


@pytest.mark.attack  # for the second look, so that it takes a minute
def test_differences(world):
    """In three worlds at once: what is only found; what is repaired by a scheduler that is killed; and the
    index and the table of the original."""
    told, mended, original = world("told"), world("mended"), world("original", original=True)

    # Orders in flight are no difference; one whose letter is dead is named apart.
    expected = damage(told, told.add(3000))
    lost = told.add(1, documents=False)[0]
    told.postgres.execute(
        """INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id, body, body_bytes,
           properties, digest, died_at)
           VALUES ('q', 'test', 'test', 'index', 3, %s, '', 0, '', '', now())""",
        (lost,),
    )
    flying = told.add(50, documents=False)
    verify = told.begin("verify", fields=True)

    # One is killed in the middle. An extra document that somebody writes now is kept. What is dated in
    # the future is compared, too.
    expected_mended = damage(mended, mended.add(3000))
    expected_mended["missing"] |= set(mended.add(1, ahead=timedelta(days=400), documents=False))
    future = str(uuid.uuid4())
    mended.put_extra(future, created_at="2150-01-01T00:00:00Z")
    expected_mended["extra"].add(future)
    written = str(uuid.uuid4())
    mended.put_extra(written)
    mended.elasticsearch.indices.refresh(index=mended.name)
    repair = mended.begin("repair", full=True, fields=True, delete_extra=True)

    # The original's floats, in a dynamic mapping, and ids that are text.
    tea = original.add(3000)
    assert (
        original.elasticsearch.indices.get_mapping(index=original.name)[original.name]["mappings"][
            "properties"
        ]["amount"]["type"]
        == "float"
    )
    original.elasticsearch.delete(index=original.name, id=tea[0])
    original.put(tea[1], amount=10**7)
    original.put_extra("an id", amount=1)  # in the hour of the missing one: the sum tells
    original.elasticsearch.indices.refresh(index=original.name)
    taken_over = original.begin("repair", full=True)

    wait_looked(told, verify)
    told.index(flying)
    wait_looked(mended, repair)
    mended.stop(signal.SIGKILL)
    mended.postgres.execute("UPDATE jobs SET done = 0, total = 0 WHERE id = %s", (repair,))
    mended.start()
    wait_looked(mended, repair)
    mended.put_extra(written, product_name="Coffee")

    result = told.done(verify)
    assert found(result) == expected | {"dead_at_index": {lost}}
    assert result["repaired"] == result["deleted"] == 0
    assert told.known()[:3] == (1, 3, 5)

    result = original.done(taken_over)
    assert found(result) == {"missing": {tea[0]}, "different": {tea[1]}, "extra": {"an id"}}
    assert (result["repaired"], result["deleted"]) == (2, 0)
    assert original.read("an id")
    assert original.known() == (0, 1, 0, None, None)

    result = mended.done(repair)
    assert found(result) == expected_mended | {"extra": expected_mended["extra"] | {written}}
    assert (result["repaired"], result["deleted"]) == (7, 4)
    assert mended.read(written)["product_name"] == "Coffee"
    mended.elasticsearch.delete(index=mended.name, id=written, refresh=True)
    result = mended.done(mended.begin("verify", full=True, fields=True))
    assert found(result) == {}
    assert result["orders"] == result["documents"] == 3001
    assert mended.known() == (0, 0, 0, None, None)
