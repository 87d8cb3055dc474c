"""The queue is shared with programs that are not ours: the original's api and worker."""

import json
import threading
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pika
import pytest

from load import Load, assert_kept
from queues import original_order
from wait import eventually


def test_an_order_of_a_foreign_producer_is_persisted_and_indexed(system, unique):
    order_id = str(uuid.uuid4())
    system.queues.publish(original_order(unique, 1299.99, order_id=order_id))
    row, document = system.wait_stored(order_id)
    assert row["product_name"] == unique
    assert row["amount"] == Decimal("1299.99")
    assert row["created_at"] == datetime(2024, 5, 6, 7, 8, 9, 123457, tzinfo=UTC)
    assert document["id"] == order_id
    assert datetime.fromisoformat(document["created_at"]) == row["created_at"]
    assert system.api.order(order_id).json() == document


@pytest.mark.parametrize(
    ("amount", "stored"),
    [("1e+06", "1000000"), ("0", "0"), ("-5.25", "-5.25"), ("9999999999.99", "9999999999.99")],
)
def test_amounts_as_go_writes_them(system, unique, amount, stored):
    order_id = str(uuid.uuid4())
    system.queues.publish(original_order(unique, 0, order_id=order_id).replace(":0,", f":{amount},"))
    row, document = system.wait_stored(order_id)
    assert row["amount"] == Decimal(stored)
    assert Decimal(str(document["amount"])) == Decimal(stored)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2024-05-06T07:08:09Z", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T07:08:09.9999995+02:00", datetime(2024, 5, 6, 5, 8, 10, tzinfo=UTC)),
        ("2024-05-06T00:30:00.5-11:30", datetime(2024, 5, 6, 12, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_times_as_go_writes_them(system, unique, text, stored):
    order_id = str(uuid.uuid4())
    system.queues.publish(original_order(unique, created_at=text, order_id=order_id))
    row, _ = system.wait_stored(order_id)
    assert row["created_at"] == stored


def test_an_id_in_capitals_is_stored_in_small_letters(system, unique):
    order_id = str(uuid.uuid4())
    system.queues.publish(original_order(unique, order_id=order_id.upper()))
    row, document = system.wait_stored(order_id)
    assert row["id"] == document["id"] == order_id


def test_the_same_message_often_is_one_order(system, unique):
    order_id = str(uuid.uuid4())
    system.queues.publish(*[original_order(unique, order_id=order_id)] * 50)
    system.wait_stored(order_id)
    eventually(lambda: system.queues.depth() == 0, "the queue is empty")
    assert system.row_count(unique) == 1


def test_a_foreign_consumer_reads_an_accepted_order(system, unique):
    with system.sibling("foreignworker", scale={"bridge": 0}, ORDER_QUEUE_TYPE="classic") as ours:
        with ours.queues.channel() as channel:
            channel.queue_declare("foreignworker", durable=True)  # as the original does: no arguments
        order_id = ours.api.accept(unique, 1299.99)
        messages = ours.queues.take()
        assert len(messages) == 1
        properties, body = messages[0]
        assert properties.delivery_mode == 2
        assert properties.content_type == "application/json"
        assert properties.message_id == order_id
        order = json.loads(body)
        assert list(order) == ["id", "product_name", "amount", "created_at"]
        assert order == ours.api.order(order_id).json()
        assert datetime.fromisoformat(order["created_at"]).tzinfo == UTC


class ForeignWorker(threading.Thread):
    """Consumes like the original's worker; acks each message after noting it."""

    def __init__(self, url, queue):
        super().__init__(daemon=True)
        self.url, self.queue = url, queue
        self.orders = {}
        self.consuming, self.stopping = threading.Event(), threading.Event()

    def run(self):
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.queue_declare(self.queue, durable=True)
        for method, _, body in channel.consume(self.queue, inactivity_timeout=0.2):
            if method is not None:
                order = json.loads(body)
                assert order["id"] not in self.orders
                self.orders[order["id"]] = order
                channel.basic_ack(method.delivery_tag)
            elif self.stopping.is_set():
                break
            self.consuming.set()
        connection.close()


def test_a_classic_queue_drained_by_both(system):
    with system.sibling("sharedqueue", ORDER_QUEUE_TYPE="classic") as ours:
        worker = ForeignWorker(ours.env["RABBITMQ_URL"], "sharedqueue")
        worker.start()
        assert worker.consuming.wait(60)
        with Load([ours.env["API_URL"]], orders=3000) as load:
            pass
        eventually(lambda: ours.queues.depth() == 0, "the queue is empty")
        worker.stopping.set()
        worker.join(60)
        assert worker.orders, "the foreign worker got nothing"

        def rows():
            return {row[0] for row in ours.postgres.execute("SELECT id::text FROM orders")}

        eventually(lambda: len(rows()) + len(worker.orders) == 3000, "each order is with one of the two")
        assert rows() | set(worker.orders) == set(load.accepted)
        assert rows(), "our workers got nothing"
        assert not rows() & set(worker.orders)
        for order_id, order in worker.orders.items():
            name, cents = load.accepted[order_id]
            assert (order["product_name"], round(order["amount"] * 100)) == (name, cents)


def test_a_queue_of_another_type_is_taken_as_it_is(system):
    queues = system.queues
    queues.delete("othertype")
    with queues.channel() as channel:
        channel.queue_declare("othertype", durable=True)
    with system.sibling("othertype", ORDER_QUEUE_TYPE="quorum") as ours:
        with Load([ours.env["API_URL"]], orders=1000) as load:
            pass
        assert_kept(ours, load)
        logs = ours.log("bridge-1") + ours.log("gateway-1")
        assert any('"warn' in line and "othertype" in line for line in logs.splitlines())


def test_the_default_is_a_quorum_queue_without_a_delivery_limit(system):
    listing = system.rabbitmqctl(
        "-q", "list_queues", "name", "type", "durable", "arguments", "--no-table-headers"
    )
    queues = {line.split("\t")[0]: line for line in listing.splitlines()}
    assert "\tquorum\ttrue\t" in queues["order_queue"]
    assert "order_queue.dead" in queues["order_queue"]
    # RabbitMQ 4 has a limit of its own unless it is told that there is none; older ones would take -1 for 0.
    unlimited = '{"x-delivery-limit",-1}' in queues["order_queue"]
    assert unlimited == (int(system.queues.server_version().split(".")[0]) >= 4)
    assert unlimited or "x-delivery-limit" not in queues["order_queue"]
    assert "\tquorum\ttrue\t" in queues["order_queue.dead"]
