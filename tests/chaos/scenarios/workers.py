"""Workers hang, die, answer late; links break; schedulers compete; clocks jump."""

import concurrent.futures
import contextlib
import datetime
import pathlib
import signal
import time

import psycopg

from checks import check_resumes
from proxy import Mode
from stand import SERVERS, other_database, send_signal

from . import scenario

METRICS_AGE = 1  # a service renders them once a second
HUNG = r'bridge_requeued_total\{reason="hung"\}'


@scenario(11, "links", stands_for="links that break")
def links(run):
    """Every server's link reset, half-closed, stalled, one byte a second: every wait keeps its deadline."""
    with run.load(rate=120, settle=60), concurrent.futures.ThreadPoolExecutor(4) as pool:
        run.until_accepted(300)
        known = run.ledger().accepted[0].order_id
        requests = (
            lambda: run.get(known),
            lambda: run.search("probe"),
            run.get_dashboard,
            lambda: run.post(f"{run.prefix}x-link"),
        )

        def check_deadlines(fault: str) -> None:
            for pending in [pool.submit(request) for request in requests]:
                answer = pending.result()
                run.in_time(answer.elapsed.total_seconds(), 5.5, f"{fault}: {answer.url}")

        for link in SERVERS:
            for name, cut in (("reset", run.proxies[link].reset), ("closed", run.proxies[link].half_close)):
                cut()
                run.fault(f"{link}: connections {name}")
                check_deadlines(f"{link} {name}")
                check_resumes(run, 2)
            for mode in (Mode.STALL, Mode.TRICKLE):
                with run.mode(link, mode):
                    for _ in range(5 if run.long else 1):
                        check_deadlines(f"{link} {mode.value}")
                check_resumes(run, 5)
        run.until_accepted(200)
    run.recovered()


@scenario(19, "two-schedulers", stands_for="replicas that compete")
def two_schedulers(run):
    """Two schedulers, 100 requests at once: at most 2 refreshes, each with what was committed before."""
    run.stand.scale(scheduler=2)
    with run.load():
        run.until_accepted(1000)
    run.drained()
    before = run.stores.refreshes()
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: run.refresh().status_code, range(100)))
    run.fault("100 refresh requests at once")
    refreshes = run.stores.refreshes() - before
    run.check(set(answers) == {200}, f"answers: {set(answers)}")
    run.check(1 <= refreshes <= 2, f"{refreshes} refreshes for 100 requests")
    run.check(run.dashboard_total() == run.stand.orders_total(), "all that was committed is in the view")

    with run.stopped("scheduler-1"):
        answer = run.refresh()
        run.check(answer.status_code == 200, f"with one of them frozen: {answer.status_code} {answer.text}")
    run.stand.wait_ready()


@scenario(19, "one-refresh-per-tick")
def one_refresh_per_tick(run):
    """Two schedulers, the one that holds the lock is frozen: no tick is done twice, and they go on."""
    run.minimum_accepted = 0
    with database(run, "ticks") as dsn:
        settings = other_database(dsn) | {"MV_REFRESH_SCHEDULE": "@every 1s"}
        with run.extra("scheduler", settings) as holder:
            run.until(holder.is_ready, 30, "the first scheduler is ready")
            run.until(lambda: len(ticks(dsn)) >= 3, 20, "ticks are running")
            with psycopg.connect(dsn) as view:
                view.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales_mv")  # another one waits
                view.execute("SELECT 1")  # it does not look like a refresh that runs
                run.until(run.stores.refresh_is_running, 10, "a refresh waits inside its transaction")
                send_signal(holder.pid, signal.SIGSTOP)
                run.fault("SIGSTOP the scheduler that holds the lock")
            count = len(ticks(dsn))
            with run.extra("scheduler", settings):
                run.until(lambda: len(ticks(dsn)) >= count + 3, 30, "the second one takes over")
                send_signal(holder.pid, signal.SIGCONT)
                run.until(lambda: len(ticks(dsn)) >= count + 8, 30, "they go on together")
                done = ticks(dsn)
                span = (done[-1] - done[count]).total_seconds()
                run.check(len(done) - count <= span + 2, f"{len(done) - count} refreshes in {span:.0f} s")


@scenario(20, "clock-jumps", stands_for="a clock that jumps")
def clock_jumps(run):
    """The clock jumps by an hour both ways, and to summer time: no tick is doubled, none is missing."""
    run.minimum_accepted = 0
    clock = run.stand.folder / "clock"
    clock.write_text("+0\n")
    fake = {
        "LD_PRELOAD": str(next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    each_second = {"MV_REFRESH_SCHEDULE": "@every 1s"}
    with (
        database(run, "clock") as dsn,
        run.extra("scheduler", fake | each_second | other_database(dsn)) as scheduler,
    ):
        run.until(scheduler.is_ready, 30, "the scheduler is ready")
        run.until(lambda: len(ticks(dsn)) >= 3, 20, "ticks are running")
        for jump in ("+3600", "-3600", "+0"):
            count = len(ticks(dsn))
            clock.write_text(f"{jump}\n")
            run.fault(f"clock {jump} s")
            run.until(lambda count=count: len(ticks(dsn)) >= count + 2, 10, "ticks go on after the jump")
            run.check(len(ticks(dsn)) <= count + 15, "a jump does not bring a storm of ticks")

    # Shortly before the clocks of Berlin go from 3 back to 2: the hour's tick comes, once. A scheduler
    # that starts on an empty history makes up for the tick before.
    hour = datetime.datetime(2026, 10, 25, 1, tzinfo=datetime.UTC)
    clock.write_text(f"{hour.timestamp() - 4 - time.time():+.0f}\n")
    schedule = {"MV_REFRESH_SCHEDULE": "CRON_TZ=Europe/Berlin 0 * * * *"}
    with (
        database(run, "summer") as dsn,
        run.extra("scheduler", fake | schedule | other_database(dsn)),
    ):
        run.fault("end of summer time")
        run.until(lambda: hour in ticks(dsn), 20, "the hour's tick")
        time.sleep(3)
        unexpected = set(ticks(dsn)) - {hour, hour - datetime.timedelta(hours=1)}
        run.check(not unexpected, f"ticks that nobody has asked for: {unexpected}")


@contextlib.contextmanager
def database(run, name: str):
    """The DSN of an empty database of its own."""
    name = f"chaos_{name}_{run.prefix}"
    yield run.stand.new_database(name)
    run.stand.drop_database(name)


def ticks(dsn: str) -> list[datetime.datetime]:
    """The scheduled refreshes that were done."""
    with psycopg.connect(dsn, options="-c timezone=UTC") as connection:
        rows = connection.execute("SELECT tick FROM sales_refresh WHERE tick IS NOT NULL ORDER BY tick")
        return [row[0] for row in rows]


@scenario(21, "worker-hangs")
def worker_hangs(run):
    """A persister, an indexer of two hang holding jobs: requeued at 10 s, the other carries on at >= 50 %."""
    run.expects_redelivery = True
    with run.extra("persister", {}) as persister, run.extra("indexer", {}) as indexer, run.load():
        for replica in (persister, indexer):
            run.until(replica.is_ready, 30, "the second worker is ready")
        run.until_accepted(300)
        for name, stored in (
            ("persister-1", lambda: run.stores.row_count(run.prefix)),
            ("indexer-1", lambda: document_count(run)),
        ):
            for _ in range(3 if run.long else 1):
                run.until(
                    lambda: run.stand.metric("bridge-1", "bridge_oldest_seconds") < 1, 30, "nothing is held"
                )
                requeued = run.stand.metric("bridge-1", HUNG)
                with run.stopped(name):
                    asked, before = run.accepted_so_far(), stored()
                    took = run.until(
                        lambda requeued=requeued: run.stand.metric("bridge-1", HUNG) > requeued,
                        15,
                        "what it holds is requeued",
                    )
                    share = (stored() - before) / (run.accepted_so_far() - asked)
                # Some had been pushed a little before the signal.
                run.check(took >= 8, f"requeued after {took:.1f} s, not 10 s")
                run.in_time(took, 11 + METRICS_AGE, "requeueing")
                run.fast_enough(share, 0.5, f"of the work went on while {name} hung")
    run.recovered()


def document_count(run) -> int:
    """As Elasticsearch's last refresh shows it."""
    query = {"match": {"product_name": run.prefix}}
    return run.stores.search_client().count(index=run.stores.index, query=query)["count"]


@scenario(21, "worker-dies")
def worker_dies(run):
    """Workers are killed while they hold jobs; others join and leave meanwhile."""
    run.expects_redelivery = True
    with run.load():
        run.until_accepted(300)
        for _ in range(20 if run.long else 3):
            with run.extra("persister", {}), run.extra("indexer", {}):
                for name in ("persister-1", "indexer-1"):
                    run.kill(name)
                run.until_accepted(300)
    run.recovered(11)


@scenario(22, "late-reply")
def late_reply(run):
    """A reply that arrives after the requeue is dropped, without a channel error."""
    run.expects_redelivery = True
    log = run.stand.log_path("rabbitmq")
    written = log.stat().st_size
    with run.load():
        run.until_accepted(600)
        # When it goes on, it answers what it had read. That may be nothing, and the answer may be lost with
        # the link, which the bridge has given up meanwhile.
        before, turns = late_replies(run), 0
        while late_replies(run) == before:
            turns += 1
            run.check(turns <= 8, "none of its replies came late")
            stop_until_requeued(run)
            time.sleep(3)
        run.until_accepted(600)
    with open(log, "rb") as file:
        file.seek(written)
        run.check(b"unknown delivery tag" not in file.read(), "no ack of an unknown delivery tag")
    run.recovered(11)


def late_replies(run) -> float:
    return run.stand.metric("bridge-1", "bridge_stale_replies_total")


def stop_until_requeued(run) -> None:
    """The only persister hangs for as long as the bridge waits for it."""
    requeued = run.stand.metric("bridge-1", HUNG)
    with run.stopped("persister-1"):
        run.until(lambda: run.stand.metric("bridge-1", HUNG) > requeued, 20, "its orders are requeued")
