"""Dead letters are archived while what archives them dies."""

import contextlib

from between_steps import Point, between_steps
from midway import Midway
from poison import Poison, publish
from victim import Moment

from . import scenario

# As on a slow disk, so that a kill can come in between. A statement of 100 letters must be over before the
# next scheduler is there: PostgreSQL goes on with it when its scheduler is dead, and nobody sees its rows.
SECONDS_A_LETTER = 0.0002
LARGEST_RSS_MIB = 40  # of the scheduler, however many letters there are
TARGETS = ["scheduler-1", "postgres"]


@scenario(45, "archive-killed")
def archive_killed(run):
    """Scheduler and PostgreSQL are killed while dead letters are archived: each is there once."""
    count = 100_000 if run.long else 3_000
    poison = Poison(run.prefix, run.random)
    with run.load(rate=100, settle=60), contextlib.ExitStack() as slow:
        with run.without_archive():
            publish(run.system.env["RABBITMQ_URL"], run.stores.queue, poison.make(count))
            run.until(
                lambda: run.stores.letters.queued() >= count, 30 + count / 200, "all of them are dead letters"
            )
            slow.enter_context(slow_archive(run))
        work = Midway(run, "letters archived", count, lambda: archived(run))
        work.kill_at_points(shuffled(run, TARGETS * (6 if run.long else 2)))
        work.wait_end()
        run.system.wait_ready()
        run.until_accepted(200)
    check_archived(run, poison)
    rss_mib = run.observer.peak_kib("scheduler") / 1024
    run.check(rss_mib <= LARGEST_RSS_MIB, f"the scheduler needed {rss_mib:.1f} MiB, over {LARGEST_RSS_MIB}")
    run.recovered(15)


STEPS = [
    Point("received, not inserted", "PQsendQueryPrepared", "INSERT INTO dead_letters", Moment.BEFORE),
    Point("insert sent", "PQsendQueryPrepared", "INSERT INTO dead_letters", Moment.SENT),
    Point("committed, not acknowledged", "amqp_basic_ack", "", Moment.BEFORE),
    Point("acknowledged", "amqp_basic_ack", "", Moment.AFTER),
]


@scenario(45, "archive-between-steps")
def archive_between_steps(run):
    """The scheduler is killed between each two steps of archiving: each letter is there once."""
    run.minimum_accepted = 200
    poison = Poison(run.prefix, run.random)

    def some(count: int) -> None:
        publish(run.system.env["RABBITMQ_URL"], run.stores.queue, poison.make(count))

    def until_archived(what: str) -> None:
        def all_archived() -> bool:
            return archived(run) == len(poison.dead) and run.stores.letters.queued() == 0

        run.must_come(all_archived, 30, f"{len(poison.dead)} letters are archived {what}")

    with run.load(rate=100), between_steps(run, "scheduler-1", STEPS) as kills:
        for kill in kills:
            some(20)
            until_archived("before a kill")
            kill.total = len(poison.dead) + 40
            with kill.armed():
                some(20)
                kill.wait(lambda: archived(run))
            some(20)
            until_archived(f"after a kill: {kill.point.name}")
        run.until_accepted(run.minimum_accepted)
    check_archived(run, poison)
    copies = run.stores.query("SELECT sum(copies) FROM dead_letters")
    run.check(copies > 0, "no letter came again: the run says nothing")
    run.recovered(15)


def archived(run) -> int:
    return run.stores.query("SELECT count(*) FROM dead_letters")


def check_archived(run, poison: Poison) -> None:
    """Every letter is in the archive, as a row of its own; what came again is a copy; none is left."""
    run.drained()
    run.must_come(lambda: run.stores.letters.queued() == 0, 30, "no letter is left in the queue")
    dead_queue = run.stores.queue + ".dead"
    run.must_come(lambda: run.stores.unacknowledged(dead_queue) == 0, 30, "every letter is acknowledged")
    rows = run.stores.rows_of("SELECT body, reason, copies FROM dead_letters WHERE state = 'dead'")
    problems = poison.problems((bytes(body), reason) for body, reason, _ in rows)
    run.check(not problems, "\n".join(problems[:10]))
    healthy = [one.order_id for one in poison.healthy.values()]
    run.must_come(lambda: run.stores.hold(healthy), 30, "the healthy foreign orders are stored")
    copies = sum(copies for *_, copies in rows)
    print(f"    {len(rows)} letters archived, {copies} came again", flush=True)


@contextlib.contextmanager
def slow_archive(run):
    """Each row of the archive takes a moment."""
    run.stand.sql(
        "CREATE FUNCTION chaos_slow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_sleep({SECONDS_A_LETTER}); RETURN NEW; END $$;"
        "CREATE TRIGGER chaos_slow BEFORE INSERT ON dead_letters"
        " FOR EACH ROW EXECUTE FUNCTION chaos_slow()"
    )
    try:
        yield
    finally:
        run.stand.wait_running("postgres")
        undo = "DROP TRIGGER chaos_slow ON dead_letters; DROP FUNCTION chaos_slow"
        run.until(lambda: run.stand.sql(undo) is None, 60, "the archive is as fast as before")


def shuffled(run, targets: list[str]) -> list[str]:
    run.random.shuffle(targets)
    return targets
