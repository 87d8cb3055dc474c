"""The search index is made again while what makes it dies."""

import contextlib
import uuid

from alias_watch import watched_alias
from audit import audited
from between_steps import Point, between_steps
from filling import check_agreement, empty_stores, fill
from index_jobs import (
    check_reindexed,
    ended_job,
    holds_for,
    midway,
    start_job,
    until_swapped,
)
from prober import probed
from victim import Moment

from . import scenario
from .archive import shuffled
from .long_jobs import (
    CLAIM,
    FINISH,
    LATE_SECONDS,
    LOST,
    OTHER,
    TAKEOVER_SECONDS,
    frozen,
    job_token,
    main_role,
    other_role,
)
from .replay import EVERY_TARGET

TARGETS = ["scheduler-1", "elasticsearch", "postgres"]
# Of each connection to Elasticsearch, so that kills come in between: 2,000 and 20,000 documents a second.
SHORT_BYTES, LONG_BYTES = 400_000, 4_000_000
GAP_SECONDS = 10  # an order that search has found, while nothing dies;
KILLED_GAP_SECONDS = 90  # and when the scheduler dies after the swap, or Elasticsearch and all that it held


@scenario(47, "reindex-killed")
def reindex_killed(run):
    """Scheduler, Elasticsearch, PostgreSQL are killed during a reindex: it ends by itself, none is lost."""
    count, rate = (500_000, 1_000) if run.long else (20_000, 150)
    empty_stores(run)
    orders = fill(run, count)
    before = run.stores.indices()
    with (
        run.load(rate=rate, settle=120),
        watched_alias(run),
        probed(run, orders, KILLED_GAP_SECONDS),
    ):
        run.until_accepted(200)
        with run.slow("elasticsearch", LONG_BYTES if run.long else SHORT_BYTES):
            job = start_job(run, "reindex")
            targets = EVERY_TARGET * 3 if run.long else list(TARGETS)
            midway(run, job, count).kill_at_points(shuffled(run, targets))
        ended = ended_job(run, job, 900 if run.long else 180)
        run.until_accepted(200)
        run.system.wait_ready()
    check_agreement(run)
    check_reindexed(run, ended, before)
    run.recovered(30)


REQUEST, STATEMENT = "curl_multi_add_handle", "PQsendQueryPrepared"
STEPS = [
    Point("waiting, not claimed", STATEMENT, CLAIM, Moment.BEFORE, starting=True),
    Point("claimed, no index made", REQUEST, "PUT {es}/{index}-0", Moment.BEFORE),
    Point("index made, not noted", REQUEST, "PUT {es}/{index}-0", Moment.SENT),
    Point("noted, nothing copied", REQUEST, "/_bulk", Moment.BEFORE),
    Point("a page copied, not noted", REQUEST, "/_bulk", Moment.SENT, at=2),
    Point("all copied, not refreshed", REQUEST, "/_refresh", Moment.BEFORE),
    Point("refreshed, not compared", REQUEST, "/_refresh", Moment.SENT),
    Point("compared, no swap", REQUEST, "POST {es}/_aliases", Moment.BEFORE),
    Point("swapped, not noted", REQUEST, "POST {es}/_aliases", Moment.SENT),
    Point("the last orders copied, old index there", REQUEST, "POST {es}/_aliases", Moment.BEFORE, at=2),
    Point("old index deleted, not noted", REQUEST, "POST {es}/_aliases", Moment.SENT, at=2),
    Point("all done, not finished", STATEMENT, FINISH, Moment.BEFORE),
    Point("finish sent", STATEMENT, FINISH, Moment.SENT),
]
SHORT_STEPS = 3


@scenario(47, "reindex-between-steps")
def reindex_between_steps(run):
    """The scheduler is killed between each two steps of a reindex: it ends by itself, and once."""
    run.minimum_accepted = 500
    count = 3_000
    empty_stores(run)
    orders = fill(run, count)
    points = [addressed(run, point) for point in STEPS]
    if not run.long:
        chosen = run.random.sample(points, SHORT_STEPS)
        points = [point for point in points if point in chosen]
    ended_job(run, start_job(run, "reindex"), 90)
    with (
        run.load(rate=50),
        watched_alias(run),
        probed(run, orders, KILLED_GAP_SECONDS),
        between_steps(run, "scheduler-1", points) as kills,
    ):
        for kill in kills:
            before = run.stores.indices()
            # What was copied before the first kill counts, and so does what is copied after the last one.
            kill.total = copied_by_all(run) + 2 * run.stores.query("SELECT count(*) FROM orders")
            with kill.armed():
                job = start_job(run, "reindex")
                kill.wait(lambda: copied_by_all(run))
            check_reindexed(run, ended_job(run, job, 120), before)
        run.until_accepted(100)
    check_agreement(run)
    run.recovered(15)


def copied_by_all(run) -> int:
    return run.stores.query("SELECT sum(done)::bigint FROM jobs WHERE kind = 'reindex'")


def addressed(run, point: Point) -> Point:
    """A request is known by its URL: the one that the scheduler uses."""
    url = run.stand.services.env["ELASTICSEARCH_URL"].rstrip("/")
    argument = point.argument.replace("{es}", url).replace("{index}", run.stores.index)
    return Point(point.name, point.call, argument, point.moment, point.at, point.starting)


@scenario(47, "reindex-with-open-transactions")
def reindex_with_open_transactions(run):
    """A transaction was open before a reindex and commits after its swap: its orders are found."""
    count = 50_000 if run.long else 5_000
    empty_stores(run)
    orders = fill(run, count)
    before = run.stores.indices()
    run.fault("transactions that are open during a reindex")
    with (
        run.load(rate=150),
        watched_alias(run),
        probed(run, orders, GAP_SECONDS),
        contextlib.ExitStack() as open_,
    ):
        run.until_accepted(100)
        # Only a reindex brings these to search: no queue has them.
        early, late = (open_.enter_context(run.stores.postgres()) for _ in range(2))
        insert(run, early, "early", 5)
        insert(run, late, "late", 5)
        with late.transaction():  # its rows have the id of a transaction within
            insert(run, late, "within", 5)
        with run.slow("elasticsearch", LONG_BYTES if run.long else SHORT_BYTES):
            job = start_job(run, "reindex")
            midway(run, job, count).wait(count // 2)
            early.commit()
        after = until_swapped(run, before, 120)
        run.until_accepted(300)
        run.check(
            run.stores.all_indices() == sorted(before + after), "the old index stays while it may be needed"
        )
        insert(run, late, "last", 5)
        late.commit()
        ended = ended_job(run, job, 120)
    check_agreement(run)
    check_reindexed(run, ended, before)
    run.recovered(15)


def insert(run, connection, name: str, count: int) -> None:
    sql = "INSERT INTO orders (id, product_name, amount, created_at) VALUES (%s, %s, 12.5, now())"
    for number in range(count):
        connection.execute(
            sql, (uuid.UUID(int=run.random.getrandbits(128)), f"{run.prefix}f-{name} {number}")
        )


@scenario(52, "scheduler-frozen-in-a-reindex")
def scheduler_frozen_in_a_reindex(run):
    """A scheduler is frozen in a reindex and thawed after the swap: another one ends it, the late one writes
    nothing."""
    count = 200_000 if run.long else 20_000
    empty_stores(run)
    orders = fill(run, count)
    before = run.stores.indices()
    with (
        run.load(rate=150),
        audited(run) as audit,
        other_role(run) as dsn,
        watched_alias(run),
        probed(run, orders, GAP_SECONDS),
    ):
        run.until_accepted(100)
        with contextlib.ExitStack() as slow:
            slow.enter_context(run.slow("elasticsearch", LONG_BYTES if run.long else SHORT_BYTES))
            job = start_job(run, "reindex")
            work = midway(run, job, count)
            work.wait(1)  # the only scheduler has it
            with run.extra("scheduler", {"POSTGRES_DSN": dsn}) as other:
                run.until(other.is_ready, 30, "the second scheduler is ready")
                done = work.wait(count // 3)
                run.hits(0 < done < count, f"frozen at {done} of {count}")
                token = job_token(run, job)
                with frozen(run, "scheduler-1", f"{done} of {count} orders copied"):
                    run.must_come(
                        lambda: job_token(run, job) != token, TAKEOVER_SECONDS, "the other one takes the job"
                    )
                    slow.close()
                    ended = ended_job(run, job, 180)
                    left = run.stores.all_indices()
                thawed = len(own_changes(audit, main_role(run)))
                holds_for(
                    run, LATE_SECONDS, lambda: run.stores.all_indices() == left, "the late one makes no index"
                )
                written = own_changes(audit, main_role(run))[thawed:]
                run.check(not written, f"the late scheduler has written: {written[:3]}")
                run.check(bool(own_changes(audit, OTHER)), "the other one has written nothing")
                run.check(
                    LOST in run.stand.log_path("scheduler-1").read_text(errors="replace"),
                    "the late one says that it has lost the job",
                )
        run.until_accepted(100)
    check_agreement(run)
    check_reindexed(run, ended, before)
    run.system.wait_ready()
    run.recovered(15)


def own_changes(audit, who: str) -> list:
    """What one user has changed of the job."""
    return [change for change in audit.changes("jobs", "UPDATE") if change.who == who]
