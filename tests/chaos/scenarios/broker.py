"""RabbitMQ dies, freezes, raises alarms, loses queues and replies."""

import socket
import time
from urllib.parse import urlsplit

import pika

from checks import check_answered_in_time, check_reads, check_refused_at_once, check_resumes
from memory import memory_problems
from proxy import Mode

from . import scenario


def port_is_open(run) -> bool:
    url = urlsplit(run.system.env["RABBITMQ_URL"])
    try:
        with socket.create_connection((url.hostname, url.port), timeout=1):
            return True
    except OSError:
        return False


@scenario(6, "broker-kill")
def broker_kill(run):
    """RabbitMQ is killed: 503 at once from 2 s on, and service again within 2 s of its port opening."""
    run.expects_redelivery = True
    refusals_seen = False
    with run.load(settle=60):
        run.until_accepted(400)
        for _ in range(10 if run.long else 2):
            run.kill("rabbitmq")
            time.sleep(2)
            if not port_is_open(run):
                check_refused_at_once(run)
                refusals_seen = True
            run.until(lambda: port_is_open(run), 60, "RabbitMQ's port is open again")
            check_resumes(run, 2)
            run.until_accepted(300)
    run.check(refusals_seen, "RabbitMQ was away for longer than 2 s")
    check_answered_in_time(run)
    run.recovered()


@scenario(6, "broker-stop-app")
def broker_stop_app(run):
    """rabbitmqctl stop_app and start_app under load."""
    run.expects_redelivery = True
    with run.load(settle=60):
        run.until_accepted(500)
        run.stand.rabbitmqctl("stop_app")
        run.fault("rabbitmqctl stop_app")
        try:
            time.sleep(2)
            check_refused_at_once(run)
        finally:
            run.stand.rabbitmqctl("start_app")
        check_resumes(run, 2)
        run.until_accepted(500)
    check_answered_in_time(run)
    run.recovered()


ALARMS = {
    "memory": (("set_vm_memory_high_watermark", "absolute", "1"), ("set_vm_memory_high_watermark", "0.4")),
    "disk": (("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "200MB")),
}


@scenario(7, "broker-alarm", stands_for="a server that refuses work")
def broker_alarm(run):
    """A memory and a disk alarm: new orders 503 at once, reads unaffected, acks still processed."""
    with run.load():
        for alarm, (raise_it, clear_it) in ALARMS.items():
            run.until_accepted(500)
            known = [entry.order_id for entry in run.ledger().accepted[:100]]
            try:
                with run.stopped("persister-1"):  # the bridge has something to acknowledge afterwards
                    run.until(lambda: run.stand.in_flight() > 100, 20, "orders are in flight")
                    run.stand.rabbitmqctl(*raise_it)
                    run.fault(f"{alarm} alarm")
                    time.sleep(2)
                    check_refused_at_once(run)
                check_reads(run, known)
                run.drained()
                run.until(
                    lambda: run.stores.unacknowledged() == 0, 30, f"acks are processed in the {alarm} alarm"
                )
                check_refused_at_once(run)
            finally:
                run.stand.rabbitmqctl(*clear_it)
            check_resumes(run, 2)
    check_answered_in_time(run)
    run.recovered()


@scenario(8, "queue-deleted", stands_for="a server that has lost data", alone=True)
def queue_deleted(run):
    """The queue is deleted under load: no 202 for what cannot be stored, and it comes back by itself."""
    with run.load():
        run.until_accepted(700)
        stored = max(0, run.accepted_so_far() - 200)
        run.until(lambda: backlog(run) < 100, 30, "the queue is nearly empty")
        connection = pika.BlockingConnection(pika.URLParameters(run.system.env["RABBITMQ_URL"]))
        connection.channel().queue_delete(run.stores.queue)
        gone = time.time()
        run.fault("queue deleted")
        connection.close()
        check_resumes(run, 5)
        run.until_accepted(700)
    # What was in the queue at that moment went with it.
    run.excused = {entry.name for entry in run.ledger().accepted[stored:] if entry.asked_at <= gone}
    run.recovered()


def backlog(run) -> int:
    """Orders in the queue and at the bridge."""
    return run.stores.queue_depth() + run.stand.in_flight()


@scenario(8, "publish-nacked")
def publish_nacked(run):
    """The broker refuses messages (a length limit with reject-publish): 503, and nothing is stored."""
    limit = '{"max-length":1,"overflow":"reject-publish"}'
    with run.load():
        run.until_accepted(600)
        with run.stopped("bridge-1"):
            run.stand.rabbitmqctl(
                "set_policy", "full", f"^{run.stores.queue}$", limit, "--apply-to", "queues"
            )
            run.fault("policy reject-publish")
            try:
                run.until(
                    lambda: run.post(f"{run.prefix}x-nacked").status_code == 503, 60, "a POST is refused"
                )
                check_refused_at_once(run)
                refused = run.stand.metric("gateway-1", "publisher_nacked_total")
                run.check(refused > 0, "the broker has sent a nack")
            finally:
                run.stand.rabbitmqctl("clear_policy", "full")
        check_resumes(run, 10)
        run.until_accepted(600)
    check_answered_in_time(run)
    run.recovered()


@scenario(9, "confirm-lost")
def confirm_lost(run):
    """Confirms are lost on the way: 503 outcome_unknown, and a retry with the key makes one order."""

    def unknown() -> int:
        return sum(answer.code == "outcome_unknown" for answer in run.ledger().answers)

    with run.load(settle=60):
        run.until_accepted(500)
        for _ in range(10 if run.long else 2):
            before = unknown()
            with run.mode("rabbitmq", Mode.DROP_REPLIES):
                run.until(lambda before=before: unknown() > before, 10, "an answer outcome_unknown")
            run.until_accepted(300)
    retried = [e for e in run.ledger().accepted if e.attempts > 1 and e.key is not None]
    run.check(len(retried) > 0, "orders of unknown outcome were accepted when asked again")
    check_answered_in_time(run)
    run.recovered()


@scenario(10, "broker-frozen")
def broker_frozen(run):
    """RabbitMQ stands still: noticed within 20 s, orders refused at once from then on."""
    with run.load(settle=60):
        run.until_accepted(700)
        with run.stopped("rabbitmq"):
            ends = time.monotonic() + (60 if run.long else 0)
            run.until(lambda: not run.system.is_ready("bridge-1"), 20, "the bridge has noticed")
            run.until(
                lambda: run.post(f"{run.prefix}x-frozen").elapsed.total_seconds() < 0.1,
                20,
                "orders are refused at once",
            )
            check_refused_at_once(run)
            time.sleep(max(0.0, ends - time.monotonic()))
        run.until_accepted(300)
    check_answered_in_time(run)
    run.recovered()


@scenario(25, "outage-with-backlog", alone=True)
def outage_with_backlog(run):
    """An outage with a backlog: at most one reconnect a second per process, then full speed."""
    orders, seconds = (200_000, 600) if run.long else (10_000, 15)
    proxy = run.proxies["rabbitmq"]
    with run.down("bridge-1"):
        with run.load(rate=5000, concurrency=64, orders=orders, settle=60) as client:
            client.wait(600)
        proxy.set_mode(Mode.REFUSE)
        proxy.reset()
        run.fault("outage of RabbitMQ")
    before = proxy.connections
    time.sleep(seconds)
    attempts = proxy.connections - before
    print(f"    {attempts} attempts to connect in {seconds} s", flush=True)
    run.check(attempts > seconds / 2, "they try to connect")
    most = seconds * 3  # of gateway, bridge and scheduler
    run.check(attempts <= most, f"{attempts} attempts to connect in {seconds} s, over {most}")
    proxy.set_mode(Mode.PASS)
    run.until(lambda: run.stores.row_count(run.prefix) > 0, 10, "the bridge consumes again")
    speed = orders / run.until(lambda: run.stores.row_count(run.prefix) >= orders, 300, "all are stored")
    print(f"    drained at {speed:.0f} orders/s", flush=True)
    run.in_time(orders / speed, orders / 1000, "draining the backlog")
    run.recovered()


SET_TIMEOUT = (
    "application:set_env(rabbit, consumer_timeout, {timeout}), "
    "application:set_env(rabbit, channel_tick_interval, {tick})."
)


@scenario(28, "consumer-timeout")
def consumer_timeout(run):
    """Orders are held for longer than consumer_timeout: an ordinary reconnect, nothing lost."""
    run.expects_redelivery = True
    run.stand.rabbitmqctl("eval", SET_TIMEOUT.format(timeout=20_000 if run.long else 8_000, tick=2_000))
    try:
        with run.down("bridge-1"):  # a channel reads the limit when it is opened
            pass
        run.system.wait_ready(["bridge-1"])
        losses = run.stand.metric("bridge-1", "bridge_intake_losses_total")
        with run.load():
            run.until_accepted(500)
            with run.stopped("elasticsearch"):
                run.until(
                    lambda: run.stand.metric("bridge-1", "bridge_intake_losses_total") > losses,
                    40,
                    "RabbitMQ has closed the channel",
                )
                run.check(not run.own_dead_letters(), "nothing is dead-lettered")
            run.until_accepted(500)
        run.recovered()
        run.until(lambda: run.observer.redelivered() > 0, 5, "the bridge tells of it, before it is stopped")
    finally:
        run.stand.rabbitmqctl("eval", SET_TIMEOUT.format(timeout=1_800_000, tick=60_000))
        with run.down("bridge-1"):
            pass


@scenario(31, "many-lost-connections")
def many_lost_connections(run):
    """25 lost connections with one order in flight: still one order, and no dead letter."""
    run.minimum_accepted = 1
    run.expects_redelivery = True
    with run.stopped("elasticsearch"):
        with run.load(orders=1) as client:
            client.wait(60)
        run.until(lambda: run.stand.in_flight() == 1, 20, "the order is in flight")
        for _ in range(25):
            losses = run.stand.metric("bridge-1", "bridge_intake_losses_total")

            def noticed(losses=losses) -> bool:
                run.proxies["rabbitmq"].reset()  # again: it may have had no connection to lose yet
                return run.stand.metric("bridge-1", "bridge_intake_losses_total") > losses

            run.until(noticed, 20, "the bridge has noticed")
            run.fault("all AMQP connections cut")
            run.until(lambda: run.stand.in_flight() == 1, 20, "the order is in flight again")
    run.recovered()


@scenario(35, "huge-foreign-bodies", stands_for="foreign messages", alone=True)
def huge_foreign_bodies(run):
    """Foreign bodies of 128 MiB: dead-lettered, cut, with their true size; the bridge's memory is bounded."""
    count, size = (20 if run.long else 3), 128 * 1024 * 1024

    with run.load():
        run.until_accepted(300)
        connection = pika.BlockingConnection(pika.URLParameters(run.system.env["RABBITMQ_URL"]))
        channel = connection.channel()
        # Different ones: a redelivered letter is told from a new one by what it says.
        ids = [f"{run.prefix}-huge-{number}" for number in range(count)]
        for message_id in ids:
            properties = pika.BasicProperties(delivery_mode=2, message_id=message_id)
            channel.basic_publish("", run.stores.queue, b"x" * size, properties)
            run.fault("a body of 128 MiB")
        connection.close()
        # Not read until all are there: a message that is given back is missing for a moment.
        run.must_come(lambda: run.stores.letters.count() == count, 20 * count, "all of them are dead letters")
        letters = run.stores.letters.all()
        run.check(len(letters) == count, f"{len(letters)} dead letters")
        told = sorted(properties.message_id for properties, _ in letters)
        run.check(told == sorted(ids), f"dead letters of {told}")
        for properties, body in letters:
            run.check(len(body) == 1024 * 1024, f"a dead letter's body has {len(body)} bytes")
            run.check(properties.headers.get("x-original-size") == size, f"headers: {properties.headers}")
        run.until_accepted(800)
    problems = memory_problems(run.observer.close())
    run.check(not problems, "; ".join(problems))
    run.recovered()
