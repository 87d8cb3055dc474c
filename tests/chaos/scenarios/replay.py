"""Dead letters are replayed while what replays them dies."""

import collections
import concurrent.futures
from decimal import Decimal

from admin_client import AdminClient
from audit import Audit, audited
from between_steps import Point, between_steps
from midway import Midway
from poison import KINDS, Foreign, Poison, publish
from stand import SERVERS, SERVICES
from verdict import Stored
from victim import Moment

from . import scenario
from .archive import archived, shuffled

REPLAYABLE = "another id"
REASON, _ = KINDS[REPLAYABLE]
SHORT_TARGETS = ["gateway-1", "postgres", "rabbitmq"]
EVERY_TARGET = [f"{service}-1" for service in SERVICES] + list(SERVERS)


@scenario(46, "replay-killed")
def replay_killed(run):
    """Gateway, PostgreSQL and RabbitMQ are killed during a replay: each letter is replayed exactly once."""
    count, per_second = (5_000, 250) if run.long else (240, 20)
    targets = EVERY_TARGET * 3 if run.long else list(SHORT_TARGETS)
    poison = Poison(run.prefix, run.random)
    with run.load(rate=100, settle=120), audited(run) as audit:
        publish_dead(run, poison, count)
        admin = AdminClient(run.system.env)
        asked = admin.replay_all(REASON, per_second)
        run.check(asked["total"] == count, f"{asked['total']} of {count} letters are to be replayed")
        work = Midway(run, "letters replayed", count, lambda: job_done(run, asked["job"]))
        work.kill_at_points(shuffled(run, targets))
        work.wait_end()
        job = admin.ended_job(asked["job"], 60)
        run.until_accepted(200)
        run.system.wait_ready()
        check_replayed(run, poison, audit)
    check_job(run, job, count)
    run.recovered(30)


WAITING = "SELECT count(*) FROM order_outbox"
TAKEN = "UPDATE order_outbox AS o"
GONE = "DELETE FROM order_outbox"
PUBLISH = "basic.publish"
OUTBOX = [
    Point("nothing taken", "PQsendQueryPrepared", TAKEN, Moment.BEFORE),
    Point("taking sent", "PQsendQueryPrepared", TAKEN, Moment.SENT),
    Point("taken, not published", "send", PUBLISH, Moment.BEFORE),
    Point("published, not confirmed", "send", PUBLISH, Moment.AFTER),
    Point("confirmed, not finished", "PQsendQueryPrepared", GONE, Moment.BEFORE),
    Point("finishing sent", "PQsendQueryPrepared", GONE, Moment.SENT),
]


@scenario(46, "outbox-between-steps")
def outbox_between_steps(run):
    """The gateway is killed between each two steps of relaying replayed orders: each is stored once."""
    run.minimum_accepted = 0  # a publish of the load's would be killed, too
    poison = Poison(run.prefix, run.random)
    with audited(run) as audit, between_steps(run, "gateway-1", OUTBOX) as kills:
        admin = AdminClient(run.system.env)
        for kill in kills:
            publish_dead(run, poison, 20)
            kill.total = len(poison.dead)
            # What the last kill has left in the outbox is relayed: it would come to the point at once.
            run.until(lambda: run.stores.query(WAITING) == 0, 30, "the outbox is empty")
            with kill.armed():
                # At most ten of them are on their way at a time.
                asked = admin.replay_all(REASON, 20)
                kill.wait(lambda: replayed(run))
            check_job(run, admin.ended_job(asked["job"], 60), 20)
        check_replayed(run, poison, audit)
    run.recovered(15)


SET, STAYS = "SET order:", "EXPIRE"
CORRECTED = "INSERT INTO order_outbox"
CORRECTION = [
    Point("nothing", "redisAsyncFormattedCommand", SET, Moment.BEFORE),
    Point("cached for now", "PQsendQueryPrepared", CORRECTED, Moment.BEFORE),
    Point("transaction sent", "PQsendQueryPrepared", CORRECTED, Moment.SENT),
    Point("committed, cached for now", "redisAsyncFormattedCommand", STAYS, Moment.BEFORE),
    Point("committed, cached to stay", "redisAsyncFormattedCommand", STAYS, Moment.AFTER),
]


@scenario(46, "correction-between-steps")
def correction_between_steps(run):
    """The gateway is killed between each two steps of a corrected replay: cache, row and document agree."""
    run.minimum_accepted = 0
    poison = Poison(run.prefix, run.random)
    corrected: dict[str, Stored] = {}
    with (
        audited(run) as audit,
        between_steps(run, "gateway-1", CORRECTION) as kills,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        admin = AdminClient(run.system.env)
        for kill in kills:
            messages = publish_dead(run, poison, 3, "too much")
            ids = letter_ids(run, poison)
            kill.total = len(poison.dead)

            def correct(token: str, ids=ids) -> int:
                order = {"product_name": token, "amount": 7.25, "id": poison.made[token].order_id}
                corrected[poison.made[token].order_id] = Stored(token, Decimal("7.25"))
                return admin.post(f"/dead-letters/{ids[token]}/replay", {"order": order}).status_code

            first, second, third = (one.token for one in messages)
            run.check(correct(first) == 200, "the replay before the kill")
            with kill.armed():
                asked = pool.submit(correct, second)
                kill.wait(lambda: replayed(run))
            asked.exception()  # nobody answers: the operator asks again
            status = correct(second)
            run.check(status in (200, 409), f"the replay asked for again is answered {status}")
            run.check(correct(third) == 200, "the replay after the kill")
        run.must_come(lambda: run.stores.hold(list(corrected)), 60, "corrected orders are stored")
        check_once(run, audit, len(corrected))
        check_stored(run, f"{run.prefix}p", corrected | as_made(poison.healthy))
        cached = run.stores.cached(list(corrected))
        wrong = [order_id for order_id, one in corrected.items() if cached[order_id] not in (None, one)]
        run.check(not wrong, f"the cache says something else than the row: {wrong[:5]}")
    run.recovered(15)


def publish_dead(run, poison: Poison, count: int, kind: str = REPLAYABLE) -> list[Foreign]:
    """So many letters more are in the archive; returns them. The healthy ones beside them are stored."""
    messages = poison.make(count, kind)
    before = archived(run)
    publish(run.system.env["RABBITMQ_URL"], run.stores.queue, messages)
    run.must_come(lambda: archived(run) >= before + count, 30 + count / 100, "all letters are archived")
    return [one for one in messages if one.reason]


def letter_ids(run, poison: Poison) -> dict[str, int]:
    """By token."""
    rows = run.stores.rows_of("SELECT body, id FROM dead_letters")
    return {poison.token_in(bytes(body)): number for body, number in rows}


def job_done(run, job: int) -> int:
    return run.stores.query("SELECT done FROM jobs WHERE id = %s", job)


def replayed(run) -> int:
    return run.stores.query("SELECT count(*) FROM dead_letters WHERE state = 'replayed'")


def check_job(run, job: dict, count: int) -> None:
    run.check(
        job["state"] == "done"
        and job["done"] == job["total"] == count
        and job["result"]["searchable"] == count,
        f"every letter of the job is searchable in the end: {job}",
    )


def check_replayed(run, poison: Poison, audit: Audit) -> None:
    """Each letter once into the outbox, in one transaction with its state; one row and one document each."""
    run.drained()
    states = collections.Counter(state for (state,) in run.stores.rows_of("SELECT state FROM dead_letters"))
    run.check(states == {"replayed": len(poison.dead)}, f"every letter was replayed, none is new: {states}")
    check_once(run, audit, len(poison.dead))
    # What a gateway had in hand when it was killed is under a lease for some seconds.
    in_outbox = "SELECT count(*) FROM order_outbox"
    run.must_come(lambda: run.stores.query(in_outbox) == 0, 20, "the outbox is empty")
    check_stored(run, f"{run.prefix}p", as_made(poison.made))


def check_once(run, audit: Audit, letters: int) -> None:
    inserted = audit.changes("order_outbox", "INSERT")
    counts = collections.Counter(change.row["replay_of"] for change in inserted)
    run.check(
        len(counts) == letters and set(counts.values()) == {1},
        f"each of {letters} letters went once into the outbox: {len(counts)}, {counts.most_common(3)}",
    )


def as_made(messages: dict[str, Foreign]) -> dict[str, Stored]:
    return {one.order_id: Stored(token, Decimal("12.5")) for token, one in messages.items()}


def check_stored(run, prefix: str, expected: dict[str, Stored]) -> None:
    rows, documents = run.stores.rows(prefix), run.stores.documents(prefix)
    wrong = [
        f"{order_id} ({one.name}): rows {rows.get(order_id)}, document {documents.get(order_id)}"
        for order_id, one in expected.items()
        if rows.get(order_id) != [one] or documents.get(order_id) != one
    ]
    run.check(not wrong, f"{len(wrong)} orders are not one row and one document: {wrong[:5]}")
    run.check(rows.keys() == expected.keys(), f"{len(rows)} rows, not {len(expected)}")
