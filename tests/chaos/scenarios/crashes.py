"""kill -9 of the project's own services, one by one and all at once."""

import concurrent.futures
import signal
import time

import psycopg
import requests

from proxy import Mode
from run import TooLate
from stand import SERVERS

from . import scenario

TAKEOVER_SECONDS = 11  # 10 s until an order without an outcome is given back, and the time to do it again


@scenario(1, "gateway-kill")
def gateway_kill(run):
    """The gateway is killed again and again under load."""
    with run.load():
        for _ in range(50 if run.long else 6):
            run.until_accepted(run.random.randint(100, 400))
            run.kill("gateway-1")
            run.system.wait_ready(["gateway-1"])
        run.recovered()
        run.until_accepted(200)


@scenario(1, "gateway-terminated")
def gateway_terminated(run):
    """SIGTERM under load: the gateway ends by itself, cleanly, and what it accepted is kept."""
    with run.load():
        for _ in range(20 if run.long else 4):
            run.until_accepted(300)
            run.kill("gateway-1", signal.SIGTERM)
            run.system.wait_ready(["gateway-1"])
        run.recovered()
    log = run.stand.services.log("supervisord")
    ends = [line for line in log.splitlines() if "exited: gateway-1" in line][-run.faults :]
    run.check(all("exit status 0" in line for line in ends), f"every exit is clean: {ends}")


@scenario(2, "bridge-kill-loop")
def bridge_kill_loop(run):
    """The bridge is killed 20 times with the same orders in flight: none is taken for poison."""
    run.expects_redelivery = True
    with run.load(rate=200):
        run.until_accepted(300)
        with run.stopped("elasticsearch"):  # what is persisted now cannot be indexed: it stays in flight
            run.until_accepted(100)
            for _ in range(20):
                run.kill("bridge-1")
                run.until(
                    lambda: redelivered_to(run, "bridge-1") >= 100, 30, "the same orders are redelivered"
                )
        run.recovered(30)  # all that has come meanwhile waits before it
        run.until_accepted(300)


def redelivered_to(run, bridge: str) -> float:
    run.stand.restart_given_up()
    return run.stand.metric(bridge, "bridge_redelivered_total")


@scenario(3, "persister-dies-after-commit", stands_for="answers that are lost")
def persister_dies_after_commit(run):
    """A persister commits and dies before it can reply: what it held is stored once, within 11 s."""
    run.expects_redelivery = True
    with run.load():
        run.until_accepted(500)
        for _ in range(10 if run.long else 2):
            before = run.stores.row_count(run.prefix)
            with run.mode("postgres", Mode.DROP_REPLIES):
                run.until(
                    lambda before=before: run.stores.row_count(run.prefix) > before,
                    15,
                    "a commit whose reply is lost",
                )
                run.kill("persister-1")
            check_takeover(run)


@scenario(4, "indexer-dies-in-bulk")
def indexer_dies_in_bulk(run):
    """An indexer dies with a _bulk that Elasticsearch has already done: one document each, within 11 s."""
    run.expects_redelivery = True
    elasticsearch = run.proxies["elasticsearch"]
    with run.load():
        run.until_accepted(500)
        for _ in range(10 if run.long else 2):
            with run.mode("elasticsearch", Mode.DROP_REPLIES):
                carried = elasticsearch.bytes_carried
                run.until(
                    lambda carried=carried: elasticsearch.bytes_carried > carried, 15, "a _bulk is on its way"
                )
                run.kill("indexer-1")
            check_takeover(run)


def check_takeover(run) -> None:
    """What was accepted until now is stored everywhere within the time of a takeover."""
    known = [entry.order_id for entry in run.ledger().accepted[-400:]]
    took = run.until(lambda: run.stores.hold(known), 60, "all accepted before the crash is stored")
    run.in_time(took, TAKEOVER_SECONDS, "the takeover")
    run.recovered()


@scenario(5, "scheduler-dies-in-refresh")
def scheduler_dies_in_refresh(run):
    """The scheduler dies inside a REFRESH: the old view stays readable, the next refresh works."""
    with run.load():
        run.until_accepted(1000)
    run.drained()
    run.check(run.refresh().status_code == 200, "a refresh before the fault")
    before = run.get_dashboard().text
    with (
        psycopg.connect(run.system.env["POSTGRES_DSN"]) as holder,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        holder.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales_mv")  # another one waits for it
        holder.execute("SELECT 1")  # it does not look like a refresh that runs
        asked = pool.submit(run.refresh)
        run.until(run.stores.refresh_is_running, 10, "the refresh waits inside its transaction")
        run.kill("scheduler-1")
        run.check(run.get_dashboard().text == before, "the old view is readable while the scheduler is dead")
        holder.rollback()
        status = asked.result().status_code
    run.check(status in (200, 503), f"who asked for it is answered {status}")
    run.until(lambda: not run.stores.refresh_is_running(), 10, "the dead scheduler's session is gone")
    run.system.wait_ready(["scheduler-1"])
    answer = run.refresh()
    run.check(answer.status_code == 200, f"the next refresh works: {answer.status_code} {answer.text}")
    run.check(run.dashboard_total() == run.stand.orders_total(), "the dashboard holds every order")


@scenario(24, "everything-killed", stands_for="processes that die")
def everything_killed(run):
    """All services and all servers are killed at once."""
    run.expects_redelivery = True
    with run.load(settle=90):
        for _ in range(5 if run.long else 1):
            run.until_accepted(600)
            for name in [*SERVERS, *run.system.service_names()]:
                run.kill(name)
            run.system.wait_ready()
            run.recovered(30)  # all servers are cold, and all that was in flight comes before it
        run.until_accepted(500)


@scenario(26, "late-reply-to-a-new-bridge", stands_for="processes that stand still")
def late_reply_to_a_new_bridge(run):
    """A persister stands still, the bridge is killed, the persister goes on: its late reply acks nothing."""
    run.expects_redelivery = True
    with run.load():
        run.until_accepted(500)
        for _ in range(5 if run.long else 2):
            with run.stopped("persister-1"):
                run.until_accepted(100)
                run.kill("bridge-1")
                run.until(
                    lambda: redelivered_to(run, "bridge-1") > 0, 30, "the new bridge has the same orders"
                )
            check_takeover(run)
    check_no_channel_error(run)


@scenario(27, "two-bridges")
def two_bridges(run):
    """Two bridges with all workers on both; each is killed under load."""
    run.expects_redelivery = True
    run.system.scale(bridge=2, persister=2, indexer=2)
    with run.load():
        run.until_accepted(500)
        for turn in range(20 if run.long else 4):
            name = f"bridge-{turn % 2 + 1}"
            run.kill(name)
            run.recovered()  # the other one takes the orders
            run.system.wait_ready([name])
            run.until_accepted(200)
    check_no_channel_error(run)


def check_no_channel_error(run) -> None:
    """RabbitMQ closes a channel on which something is acknowledged that is not outstanding there."""
    log = run.stand.log_path("rabbitmq").read_text(errors="replace")
    run.check("unknown delivery tag" not in log, "no acknowledgement of an unknown delivery tag")


@scenario(33, "bridge-stopped")
def bridge_stopped(run):
    """The bridge stands still: every accepted order stays readable."""
    seconds = 60 if run.long else 12
    with run.load():
        run.until_accepted(300)
        with run.stopped("bridge-1"):
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                accepted = run.ledger().accepted
                check_readable(run, run.random.sample(accepted, min(50, len(accepted))))
            # Longer than the provisional entry of an order that is not accepted yet lives. An entry that
            # Redis did not confirm in time is written again, well within that time.
            ids = [entry.order_id for entry in run.ledger().accepted]
            run.until(lambda: min(run.stores.cache_seconds(ids)) > 3600, 10, "accepted orders cached to stay")
        run.recovered(TAKEOVER_SECONDS)


def check_readable(run, entries: list) -> None:
    """None answers 404. 503 is an honest answer when Redis is late and PostgreSQL has no row yet, but not
    twice."""
    with requests.Session() as session:
        for entry in entries:
            url = f"{run.system.env['API_URL']}/api/orders/{entry.order_id}"
            statuses = [session.get(url, timeout=12).status_code]
            if statuses == [503]:
                time.sleep(1)
                statuses.append(session.get(url, timeout=12).status_code)
            if statuses == [503, 503]:
                raise TooLate(f"{entry.order_id} was accepted: {statuses}")
            run.check(statuses in ([200], [503, 200]), f"{entry.order_id} was accepted: {statuses}")
