"""Many dead letters are replayed or discarded by a job of a scheduler, of which another one may take over at
any moment."""

import contextlib
import subprocess
import time
import uuid

import pytest

from queues import original_order
from search_client import indices_of
from system import binary, free_port
from wait import during, eventually

LETTER = """INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id, body, body_bytes,
    properties, digest, died_at)
    VALUES ('order_queue', 'test', %s, 'index', 3, %s, %s, %s, '', '', now()) RETURNING id"""


class Letters:
    """Dead letters that could have become orders, as the archive has them."""

    def __init__(self, system, name, orders):
        self.system, self.name, self.orders, self.ids = system, name, orders, []
        for order in orders:
            self.add(order, original_order(name, order_id=order))

    def add(self, order, body):
        values = (self.name, order, body.encode(), len(body))
        self.ids.append(self.system.postgres.execute(LETTER, values).fetchone()[0])

    def begin(self, kind, **options):
        """Asks for a job about these letters."""
        headers = {"Authorization": f"Bearer {self.system.api.admin_token}", "X-Operator": "test"}
        body = {"filter": {"detail": self.name}} | options
        answer = self.system.api.request(
            "POST", f"/api/admin/dead-letters/{kind}", json=body, headers=headers
        )
        assert answer.status_code == 202, answer.text
        assert answer.json()["total"] == len(self.ids)
        return answer.json()["job"]

    def states(self):
        query = "SELECT state, count(*) FROM dead_letters WHERE id = ANY (%s) GROUP BY state"
        return dict(self.system.postgres.execute(query, (self.ids,)).fetchall())

    def forget(self):
        """Also those that died again."""
        query = "DELETE FROM dead_letters WHERE id = ANY (%s) OR replay_of = ANY (%s)"
        self.system.postgres.execute(query, (self.ids, self.ids))


@pytest.fixture
def letters(system, unique):
    """letters(COUNT) makes some, each of an order of its own."""
    made = []

    def make(count, orders=None):
        orders = orders or [str(uuid.uuid4()) for _ in range(count)]
        made.append(Letters(system, f"{unique}-{len(made)}", orders))
        return made[-1]

    yield make
    for some in made:
        some.forget()


def job(system, number, columns="state, done, total, result, error"):
    query = f"SELECT {columns} FROM jobs WHERE id = %s"
    return system.postgres.execute(query, (number,)).fetchone()


def wait_for_progress(system, number):
    """Until some of it is done, and not all."""
    state, done, total, *_ = eventually(lambda: (row := job(system, number))[1] and row, "progress", 30, 0.02)
    assert state == "running"
    assert 0 < done < total
    return done, total


def wait_for_end(system, number, timeout=60):
    eventually(lambda: job(system, number, "finished IS NOT NULL")[0], "the job ends", timeout)
    return job(system, number)


def assert_each_once(system, letters):
    """Every letter is replayed, and has become one row and one document."""
    assert letters.states() == {"replayed": len(letters.ids)}
    assert system.row_count(letters.name) == len(letters.orders)
    assert all(system.document(order) for order in letters.orders)
    query = "SELECT count(*) FROM order_outbox WHERE order_id = ANY (%s::uuid[])"
    assert system.postgres.execute(query, (letters.orders,)).fetchone() == (0,)


def test_replay_and_discard(system, letters):
    replayed, discarded = letters(25), letters(1200)
    replayed.add(str(uuid.uuid4()), "{}")  # no order
    number = replayed.begin("replay", per_second=1000)
    second = discarded.begin("discard", reason="a test")
    assert wait_for_end(system, number) == (
        *("done", 26, 26),
        {"searchable": 25, "died_again": 0, "skipped": 1},
        None,
    )
    assert replayed.states() == {"replayed": 25, "dead": 1}
    assert system.row_count(replayed.name) == 25
    assert wait_for_end(system, second)[:4] == ("done", 1200, 1200, {"discarded": 1200, "skipped": 0})
    assert discarded.states() == {"discarded": 1200}
    count = "SELECT count(*) FROM job_items WHERE job = ANY (%s)"
    assert system.postgres.execute(count, ([number, second],)).fetchone() == (0,)
    assert 'scheduler_jobs_ended_total{kind="replay",end="done"}' in system.metrics("scheduler-1")


def test_cancel(system, letters):
    some = letters(30)
    number = some.begin("replay", per_second=5)
    wait_for_progress(system, number)
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {system.api.admin_token}"}
    answer = system.api.request("POST", f"/api/admin/jobs/{number}/cancel", headers=headers)
    assert answer.status_code == 202, answer.text
    state, done, *_ = wait_for_end(system, number)
    took = time.monotonic() - began
    assert state == "canceled"
    assert took < 5, took  # it is 1 s; the machine may stand still
    assert 0 < done < 30
    assert some.states()["dead"] > 0
    # Those that were on their way arrive all the same.
    eventually(lambda: system.row_count(some.name) == some.states()["replayed"], "they are stored")


def test_five_that_die_again_in_a_row(system, letters, unique):
    """Other contents under an id that is taken: none can ever be stored."""
    order = system.api.accept(unique, 1)
    system.wait_stored(order)
    some = letters(0, orders=[order] * 30)
    number = some.begin("replay", per_second=1000)
    state, done, total, result, error = wait_for_end(system, number)
    assert (state, total) == ("failed", 30)
    assert "5 replayed letters in a row died again" in error
    assert result == {"searchable": 0, "died_again": done, "skipped": 0}
    replayed = some.states()["replayed"]
    assert 5 <= done <= replayed <= 14
    query = "SELECT count(*), min(reason) FROM dead_letters WHERE replay_of = ANY (%s)"
    eventually(
        lambda: system.postgres.execute(query, (some.ids,)).fetchone() == (replayed, "id_conflict"),
        "each that was replayed names the letter that it comes from",
    )


@contextlib.contextmanager
def another_scheduler(system, **changes):
    environment = system.environment("scheduler-1") | {"ADMIN_PORT": str(free_port())} | changes
    process = subprocess.Popen([binary("scheduler")], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("fault", ["stopped", "killed", "frozen"])
def test_another_scheduler_goes_on(restored, letters, fault):
    system, some = restored, letters(24)
    number = some.begin("replay", per_second=8)
    done, total = wait_for_progress(system, number)
    print(f"{fault} at {done} of {total}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(another_scheduler(system))
        token = job(system, number, "token")
        began = time.monotonic()
        if fault == "killed":
            system.kill("scheduler-1")
        else:
            stack.enter_context(getattr(system, fault)("scheduler-1"))
        eventually(
            lambda: job(system, number, "token") not in (token, (None,)), "another one takes over", 30, 0.02
        )
        took = time.monotonic() - began
        # It need not wait for the lease's end when the job was given back.
        assert took < (4 if fault == "stopped" else 30), took
        row = wait_for_end(system, number)
        assert row == ("done", 24, 24, {"searchable": 24, "died_again": 0, "skipped": 0}, None)
        assert_each_once(system, some)
    everything = "jobs::text"
    ended = job(system, number, everything)
    if fault == "frozen":  # and has thawed
        eventually(lambda: f'"job":{number}' in lost(system), "it notices that it has lost the job")
    during(0.5, lambda: job(system, number, everything) == ended, "the job is as it was", 0.1)
    assert_each_once(system, some)


def lost(system):
    return "".join(line for line in system.log("scheduler-1").splitlines() if '"lost a job' in line)


def test_the_index_is_an_alias_of_two(restored, letters, unique):
    """Elasticsearch then reads no document by its id."""
    system, some, indices = restored, letters(3), restored.elasticsearch.indices
    indices.create(index=unique)
    [orders] = indices_of(system.elasticsearch, system.index)
    indices.update_aliases(
        actions=[{"add": {"index": name, "alias": f"{unique}-both"}} for name in (unique, orders)]
    )
    try:
        with system.stopped("scheduler-1"), another_scheduler(system, ORDER_INDEX=f"{unique}-both"):
            number = some.begin("replay")
            assert wait_for_end(system, number)[:3] == ("done", 3, 3)
    finally:
        indices.delete(index=unique)
        indices.delete_alias(index=orders, name=f"{unique}-both")
