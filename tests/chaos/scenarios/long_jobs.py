"""A job whose scheduler stands still, or dies between two steps."""

import contextlib
import signal
import time
from urllib.parse import urlsplit

from admin_client import AdminClient
from audit import audited
from between_steps import Point, between_steps
from midway import Midway
from poison import Poison
from victim import Moment

from . import scenario
from .replay import REASON, check_job, check_replayed, job_done, publish_dead

OTHER = "chaos_other"
TAKEOVER_SECONDS = 30
LOST = "lost a job; a scheduler goes on with it when its lease has ended"
LATE_SECONDS = 5  # for which the thawed one is watched


@scenario(52, "scheduler-frozen-in-a-job")
def scheduler_frozen_in_a_job(run):
    """A scheduler is frozen in a job and thawed later: another one ends it, the late one writes nothing."""
    count, per_second = (1_000, 20) if run.long else (150, 10)
    poison = Poison(run.prefix, run.random)
    with run.load(rate=100), audited(run) as audit, other_role(run) as dsn:
        publish_dead(run, poison, count)
        admin = AdminClient(run.system.env)
        asked = admin.replay_all(REASON, per_second)
        work = Midway(run, "letters replayed", count, lambda: job_done(run, asked["job"]))
        work.wait(1)  # the only scheduler has it
        turns = 3 if run.long else 1
        with run.extra("scheduler", {"POSTGRES_DSN": dsn}) as other:
            run.until(other.is_ready, 30, "the second scheduler is ready")
            for turn in range(turns):
                # The one that has the job now is frozen; it is the other's turn afterwards.
                holder = "scheduler-1" if turn % 2 == 0 else other
                done = work.wait((turn + 1) * count // (turns + 2))
                token = job_token(run, asked["job"])
                with frozen(run, holder, f"{done} of {count} letters replayed"):
                    run.hits(0 < done < count, f"frozen at {done} of {count}")
                    run.must_come(
                        lambda token=token: job_token(run, asked["job"]) != token,
                        TAKEOVER_SECONDS,
                        "the other scheduler takes the job",
                    )
                    work.wait(done + 10)
                thawed_at = time.time()
                run.hits(job_done(run, asked["job"]) < count, "thawed when the job was over")
                time.sleep(LATE_SECONDS)
                log = other.log if holder is other else run.stand.log_path(holder)
                run.check(
                    LOST in log.read_text(errors="replace"), "the late one says that it has lost the job"
                )
                role = OTHER if holder is other else main_role(run)
                check_silent(run, audit, role, thawed_at, time.time())
            work.wait_end()
            job = admin.ended_job(asked["job"], 60)
        check_replayed(run, poison, audit)
        run.until_accepted(100)
    check_job(run, job, count)
    run.system.wait_ready()
    run.recovered(15)


CLAIM, ITEM, GONE = "kind = ANY ($1::text[])", "INSERT INTO order_outbox", "job_items USING held"
FINISH = "SET state = $4, error = $5, finished"
STEPS = [
    Point("waiting, not claimed", "PQsendQueryPrepared", CLAIM, Moment.BEFORE, starting=True),
    Point("claim sent", "PQsendQueryPrepared", CLAIM, Moment.SENT, starting=True),
    Point("claimed, nothing replayed", "PQsendQueryPrepared", ITEM, Moment.BEFORE),
    Point("a letter's replay sent", "PQsendQueryPrepared", ITEM, Moment.SENT, at=2),
    Point("replayed, fate not noted", "PQsendQueryPrepared", GONE, Moment.BEFORE),
    Point("fate sent", "PQsendQueryPrepared", GONE, Moment.SENT),
    Point("all done, not finished", "PQsendQueryPrepared", FINISH, Moment.BEFORE),
    Point("finish sent", "PQsendQueryPrepared", FINISH, Moment.SENT),
]


@scenario(52, "job-between-steps")
def job_between_steps(run):
    """The scheduler is killed between each two steps of a job: it ends by itself, each letter once."""
    poison = Poison(run.prefix, run.random)
    with run.load(rate=50), audited(run) as audit, between_steps(run, "scheduler-1", STEPS) as kills:
        admin = AdminClient(run.system.env)
        publish_dead(run, poison, 15)
        first = admin.replay_all(REASON, 200)
        check_job(run, admin.ended_job(first["job"], 60), 15)
        done = 15
        for kill in kills:
            publish_dead(run, poison, 15)
            # The letters of the job that comes after this one are part of the work.
            kill.total = done + 2 * 15
            with kill.armed():
                asked = admin.replay_all(REASON, 200)
                kill.wait(lambda done=done, asked=asked: done + job_done(run, asked["job"]))
            check_job(run, admin.ended_job(asked["job"], 60), 15)
            done += 15
        check_replayed(run, poison, audit)
    run.recovered(15)


def job_token(run, job: int) -> int:
    return run.stores.query("SELECT token FROM jobs WHERE id = %s", job)


def main_role(run) -> str:
    return urlsplit(run.system.env["POSTGRES_DSN"]).username


@contextlib.contextmanager
def other_role(run):
    """A second user, so that PostgreSQL tells what which scheduler writes."""
    dsn = run.stand.through(run.proxies["postgres"], "POSTGRES_DSN")
    url = urlsplit(dsn)
    run.stand.sql(f"CREATE ROLE {OTHER} SUPERUSER LOGIN PASSWORD '{OTHER}'")
    try:
        yield dsn.replace(f"//{url.netloc}", f"//{OTHER}:{OTHER}@{url.hostname}:{url.port}")
    finally:
        run.stand.sql(f"DROP ROLE {OTHER}")


@contextlib.contextmanager
def frozen(run, scheduler, at: str):
    """`scheduler`: its name, or one more replica."""
    if isinstance(scheduler, str):
        run.kill(scheduler, signal.SIGSTOP, at)
    else:
        scheduler.signal(signal.SIGSTOP)
        run.fault(f"SIGSTOP {scheduler.name} at {at}")
    try:
        yield
    finally:
        if isinstance(scheduler, str):
            run.stand.kill(scheduler, signal.SIGCONT)
        else:
            scheduler.signal(signal.SIGCONT)


def check_silent(run, audit, who: str, since: float, until: float) -> None:
    """Of the work on jobs this user has written nothing in this time, and others have. A gateway has the user
    of a scheduler, too: it takes orders out of the outbox, and puts none in."""
    work = [("jobs", "UPDATE"), ("job_items", "%"), ("dead_letters", "UPDATE"), ("order_outbox", "INSERT")]
    changes = [change for kind in work for change in audit.changes(*kind) if since < change.at < until]
    late = [change for change in changes if change.who == who]
    run.check(not late, f"the late scheduler has written after it was thawed: {late[:3]}")
    run.check(bool(changes), "nobody has written meanwhile: the run says nothing")
