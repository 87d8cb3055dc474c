"""Dead letters are taken out of their queue and stored in PostgreSQL, whatever they are; none is lost."""

import hashlib
import os
import signal
import struct
import time
import uuid
from contextlib import contextmanager

import pika
import psycopg
import pytest
import requests

from archiver import Archiver, archiver
from queues import Queues, connect, decoded
from wait import eventually, readiness

MIB = 1 << 20
COUNT = "SELECT count(*) FROM dead_letters WHERE queue = %s"


class Raw(pika.BasicProperties):
    """Properties of these bytes."""

    def __init__(self, encoded):
        super().__init__()
        self.encoded = encoded

    def encode(self):
        return [self.encoded]


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return b"S" + struct.pack(">I", len(value)) + value


def inner(kind, value):
    return kind + struct.pack(">I", len(value)) + value


def with_headers(**fields):
    """Each field is its type and its value, as on the wire."""
    table = b"".join(bytes([len(name)]) + name.encode() + value for name, value in fields.items())
    return b"\x20\x00" + struct.pack(">I", len(table)) + table


TYPES = {
    "boolean": b"t\x01",
    "int8": b"b\xff",
    "uint8": b"B\xff",
    "int16": b"s\xff\xfe",
    "uint16": b"u\xff\xfe",
    "int32": b"I\xff\xff\xff\xfe",
    "uint32": b"i\xff\xff\xff\xfe",
    "int64": b"l" + b"\xff" * 8,
    "float": b"f\x3f\x80\x00\x00",
    "double": b"d\x3f\xf0" + b"\x00" * 6,
    "decimal": b"D\x02\x00\x00\x04\xd2",
    "time": b"T" + b"\x00" * 8,
    "void": b"V",
    "text": text("text"),
    "bytes": inner(b"x", b"\x00\x01\xff"),
    "bad UTF-8": text(b"\xff\xc3("),
    "NULs": text(b"a\x00b"),
    "empty": text(b""),
    "array": inner(b"A", b"V" + text("x") + inner(b"A", b"I\x00\x00\x00\x01")),
    "table": inner(b"F", b"\x01kI\x00\x00\x00\x01"),
}


def nested(depth):
    value = b"V"
    for _ in range(depth):
        value = inner(b"F", b"\x01k" + value)
    return value


LETTERS = {
    "without properties": (b"\x00\x00", b"{}"),
    "empty": (b"\x00\x00", b""),
    "NULs and bad UTF-8": (b"\x00\x00", b"\x00\xff\x00"),
    "control characters": (
        with_headers(
            **{"x-reason": text("bad\x00\r\n\x1b[31m"), "x-detail": text(b"a\x07\xff"), "x-stage": text("?")}
        ),
        b"x",
    ),
    "a long reason": (with_headers(**{"x-reason": text("é" * 9000), "x-detail": text("é" * 9000)}), b"x"),
    "deep tables": (with_headers(deep=nested(5000)), b"x"),
    "a full header": (with_headers(large=text(b"\xff" * 130_900)), b"x"),
    "ours with other types": (
        with_headers(**{"x-reason": text("malformed"), "x-attempts": text("many"), "x-replay-of": b"V"}),
        b"x",
    ),
} | {f"a header: {name}": (with_headers(k=value), name.encode()) for name, value in TYPES.items()}
LETTERS |= {
    f"x-reason: {name}": (with_headers(**{"x-reason": value}), name.encode()) for name, value in TYPES.items()
}


def rows(queues, columns="*"):
    with psycopg.connect(queues.dsn, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
        sql = f"SELECT {columns} FROM dead_letters WHERE queue = %s ORDER BY id"
        return connection.execute(sql, (queues.name,)).fetchall()


def publish(queues, *letters, exchange="", key=None):
    with queues.channel(confirm=True) as channel:
        for properties, body in letters:
            channel.basic_publish(exchange, key or queues.dead_name, body, properties, mandatory=True)


def quorum(channel):
    """A quorum queue without a delivery limit."""
    major = int(channel.connection._impl.server_properties["version"].split(".")[0])
    return {"x-queue-type": "quorum"} | ({"x-delivery-limit": -1} if major >= 4 else {})


@contextmanager
def order_queue(system):
    """An order queue of its own, and its dead-letter queue: no bridge, and no scheduler yet."""
    queues = Queues(system.env["RABBITMQ_URL"], "archived" + uuid.uuid4().hex[:8], system.env["POSTGRES_DSN"])
    with queues.channel() as channel:
        for name in (queues.name, queues.dead_name):
            channel.queue_declare(name, durable=True, arguments=quorum(channel))
    try:
        yield queues
    finally:
        for name in (queues.name, queues.dead_name, queues.dead_name + ".archive"):
            queues.delete(name)
        system.postgres.execute("DELETE FROM dead_letters WHERE queue = %s", (queues.name,))


@pytest.fixture
def letters(system):
    with order_queue(system) as queues:
        yield queues


def test_every_kind_of_letter(system, letters):
    sent = {name: (Raw(properties), body) for name, (properties, body) in LETTERS.items()}
    publish(letters, *sent.values())
    with archiver(system, letters):
        stored = eventually(lambda: (r := rows(letters)) and len(r) == len(sent) and r, "all are stored")
    assert letters.depth(letters.dead_name) == 0
    for (name, (properties, body)), row in zip(LETTERS.items(), stored, strict=True):
        assert (bytes(row["body"]), row["body_bytes"]) == (body, len(body)), name
        assert sorted(row["properties"]) == sorted(properties), name  # RabbitMQ 4 sorts headers by name
        assert (row["state"], row["copies"], row["stage"]) == ("dead", 0, "intake"), name
        assert (row["reason"] + row["detail"]).isprintable(), name
        assert len(row["reason"].encode()) <= 100, name
        assert len(row["detail"].encode()) <= 1000, name


def test_letters_of_two_queues(system, letters):
    """Of two groups: each letter is stored with the name of its order queue."""
    with order_queue(system) as others:
        for queues in (letters, others):
            publish(queues, *((Raw(with_headers()), f"{queues.name} {n}".encode()) for n in range(3)))
        with archiver(system, letters, ORDER_QUEUES=f"{letters.name},{others.name}"):
            for queues in (letters, others):
                eventually(lambda queues=queues: len(rows(queues)) == 3, f"those of {queues.name} are stored")
        for queues in (letters, others):
            assert [bytes(row["body"]).decode() for row in rows(queues)] == [
                f"{queues.name} {n}" for n in range(3)
            ]
            assert queues.depth(queues.dead_name) == 0


def test_large_letters(system, letters):
    """A body over 1 MiB is cut; RabbitMQ's own headers make one larger than a frame was agreed to be."""
    bodies = [os.urandom(size) for size in (MIB, MIB + 1, 5 * MIB)] + [b"small"]
    publish(letters, *((Raw(with_headers(n=text(b"x" * 70_000))), body) for body in bodies))
    with letters.channel(confirm=True) as channel:
        dying = {
            "x-message-ttl": 0,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": letters.dead_name,
        }
        queue = channel.queue_declare("", exclusive=True, arguments=dying).method.queue
        channel.basic_publish("", queue, b"grown", Raw(with_headers(large=text(b"x" * 131_010))))
        eventually(lambda: letters.depth(letters.dead_name) == 5, "RabbitMQ has moved it")
    with archiver(system, letters) as running:
        stored = eventually(lambda: (r := rows(letters)) and len(r) == 5 and r, "all are stored")
        resident = resident_mib(running.process.pid)
    for body, row in zip(bodies, stored, strict=False):
        assert row["body_bytes"] == len(body)
        assert bytes(row["body"]) == body[:MIB]
    assert (stored[4]["reason"], bytes(stored[4]["body"])) == ("expired", b"grown")
    assert len(stored[4]["properties"]) > 131_072
    assert "order" not in stored[4]["detail"]
    assert queue in stored[4]["detail"]
    assert decoded(stored[4]["properties"]).headers["x-death"][0]["reason"] == "expired"
    assert resident < 40, f"{resident} MiB"


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def test_what_may_be_a_copy_is_counted(system, letters):
    again = Raw(with_headers(**{"x-redelivered": b"t\x01"}))
    once = Raw(with_headers())
    ours = with_headers(**{"x-reason": text("malformed"), "x-redelivered": b"t\x01"})
    publish(letters, (once, b"a"), (once, b"a"), (Raw(ours), b"b"), (Raw(ours), b"b"), (Raw(ours), b"b"))
    with archiver(system, letters):
        eventually(lambda: letters.dead() == 5, "all are stored")
        eventually(lambda: letters.depth(letters.dead_name) == 0, "none is in the queue")
        publish(letters, (Raw(ours), b"b"), (again, b"c"))
        eventually(lambda: letters.dead() == 7, "all are stored")
    assert [(bytes(row["body"]), row["copies"]) for row in rows(letters)] == [
        (b"a", 0),
        (b"a", 0),
        (b"b", 3),
        (b"c", 0),
    ]


def test_a_letter_that_postgresql_refuses(system, letters):
    system.postgres.execute(
        f"ALTER TABLE dead_letters ADD CONSTRAINT {letters.name} CHECK (detail !~ 'é') NOT VALID"
    )
    try:
        details = ["one", "été", "three"]
        publish(
            letters,
            *(
                (Raw(with_headers(**{"x-reason": text("r"), "x-detail": text(d)})), d.encode())
                for d in details
            ),
        )
        with archiver(system, letters):
            stored = eventually(lambda: (r := rows(letters)) and len(r) == 3 and r, "all are stored")
        assert [bytes(row["body"]).decode() for row in stored] == details
        assert "SQLSTATE 23514" in stored[1]["detail"]
        assert stored[1]["reason"] == "r"
        assert (stored[0]["detail"], stored[2]["detail"]) == ("one", "three")
    finally:
        system.postgres.execute(f"ALTER TABLE dead_letters DROP CONSTRAINT {letters.name}")


def test_a_consumer_that_is_no_scheduler(system, letters):
    """While it is there its letters are its own."""
    connection = connect(letters.url)
    channel = connection.channel()
    taken = []
    with archiver(system, letters) as running, archiver(system, letters) as other:
        channel.basic_consume(letters.dead_name, lambda *message: taken.append(message))
        running.says("1 of its")
        other.says("1 of its")
        connection.process_data_events(0)
        publish(letters, (Raw(with_headers()), b"mine"))
        eventually(lambda: connection.process_data_events(0) or taken, "the consumer gets it")
        assert rows(letters) == []
        connection.close()
        eventually(lambda: running.fault() == other.fault() == "", "nothing is wrong any more")
        eventually(lambda: len(rows(letters)) == 1, "it is archived")


def test_letters_stay_in_the_queue(system, letters):
    """When the archive is full, and while it is off."""
    publish(letters, (Raw(with_headers()), b"fits"))
    with archiver(system, letters, DEAD_LETTER_ARCHIVE_MAX="1") as running:
        running.says("and DEAD_LETTER_ARCHIVE_MAX is 1")
        publish(letters, (Raw(with_headers()), b"stays"))
        text = requests.get(running.url + "/metrics", timeout=30).text
        assert 'dead_letter_archive_fault{fault="full"} 1' in text
        eventually(lambda: letters.consumers(letters.dead_name) == 0, "nobody consumes")
    off = Archiver(system, letters, DEAD_LETTER_ARCHIVE="off")
    try:
        eventually(lambda: readiness(off.url) in ("ready", "degraded"), "it is ready")
        assert off.fault() is None
        assert (letters.depth(letters.dead_name), letters.consumers(letters.dead_name)) == (1, 0)
    finally:
        off.stop()
    assert [bytes(row["body"]) for row in rows(letters)] == [b"fits"]


def test_a_queue_with_a_delivery_limit(system, letters):
    """RabbitMQ 4 gives one to a queue that was declared as on RabbitMQ 3; older ones have none."""
    letters.delete(letters.dead_name)
    with letters.channel() as channel:
        channel.queue_declare(letters.dead_name, durable=True, arguments={"x-queue-type": "quorum"})
    publish(letters, (Raw(with_headers()), b"x"))
    if int(letters.server_version().split(".")[0]) >= 4:
        with archiver(system, letters) as running:
            running.says("set DEAD_LETTER_ARCHIVE=unlimited")
            assert (letters.depth(letters.dead_name), letters.consumers(letters.dead_name)) == (1, 0)
    with archiver(system, letters, DEAD_LETTER_ARCHIVE="unlimited"):
        eventually(lambda: len(rows(letters)) == 1, "it is archived")


def test_kills_lose_nothing(system, letters):
    """A scheduler that is killed, and connections to PostgreSQL that are cut, while letters are stored."""
    count = 4000
    with letters.channel() as channel:
        for n in range(count):
            channel.basic_publish("", letters.dead_name, str(n).encode(), Raw(with_headers()))
    eventually(lambda: letters.depth(letters.dead_name) == count, "all are in the queue")
    running = Archiver(system, letters)
    progress = []
    try:
        for _ in range(3):
            begin = letters.dead() - letters.depth(letters.dead_name)
            eventually(lambda b=begin: len(rows(letters, "id")) > b, "it goes on", interval=0.01)
            system.postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'WITH letter AS%'"
            )
            progress.append(len(rows(letters, "id")))
            running.stop(signal.SIGKILL)
            running.start()
        eventually(
            lambda: letters.depth(letters.dead_name) == 0 and letters.dead() >= count, "all are stored"
        )
        running.stop()
    finally:
        if running.process.poll() is None:
            running.stop()
    stored = rows(letters, "body, copies")
    assert {bytes(row["body"]) for row in stored} == {str(n).encode() for n in range(count)}
    assert letters.depth(letters.dead_name) == 0
    assert 0 < progress[0] < count, progress
    print(f"after each kill {progress}; {len(stored)} rows, {sum(row['copies'] for row in stored)} copies")


@pytest.mark.attack
def test_a_hundred_thousand_letters(system, letters):
    """Of 1.5 KB each, and every thousandth of 1 MiB; the scheduler is killed in the middle."""
    count = 100_000
    with letters.channel() as channel:
        for n in range(count):
            body = str(n).encode().ljust(MIB if n % 1000 == 0 else 1000, b".")
            headers = {
                "x-reason": text("malformed"),
                "x-detail": text("x" * 300),
                "x-attempts": b"I\x00\x00\x00\x01",
            }
            channel.basic_publish("", letters.dead_name, body, Raw(with_headers(**headers)))
    eventually(lambda: letters.depth(letters.dead_name) == count, "all are in the queue", 120)
    running = Archiver(system, letters)
    resident = 0
    try:
        begin = time.monotonic()
        stored = eventually(
            lambda: (n := letters.archived(COUNT, letters.name)[0][0]) > count / 3 and n, "a third", 300
        )
        resident, rate = resident_mib(running.process.pid), stored / (time.monotonic() - begin)
        running.stop(signal.SIGKILL)
        running.start()
        eventually(lambda: letters.archived(COUNT, letters.name)[0][0] >= count, "all are stored", 300)
        eventually(lambda: letters.depth(letters.dead_name) == 0, "the queue is empty")
        resident = max(resident, resident_mib(running.process.pid))
    finally:
        running.stop()
    numbers = (
        "SELECT count(*), count(DISTINCT rtrim(convert_from(substr(body, 1, 10), 'UTF8'), '.')), sum(copies)"
    )
    rows, different, copies = letters.archived(numbers + " FROM dead_letters WHERE queue = %s", letters.name)[
        0
    ]
    print(f"{rate:.0f} letters a second, {resident:.1f} MiB resident, {rows} rows, {copies} copies")
    assert different == count
    assert resident < 40


def test_the_bridge_says_what_a_letter_is_about(system, letters):
    """The whole way: a message that is no order, with a trace, the replay of an earlier letter."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": parent, "x-replay-of": 2**40, "k": "v"}
    body = b"no order"
    before = rows(system.queues, "id")
    system.queues.publish(body, headers=headers, message_id=str(uuid.UUID(int=7)))
    (row,) = eventually(
        lambda: [r for r in rows(system.queues) if r["id"] not in {b["id"] for b in before}], "it is archived"
    )
    assert (row["reason"], row["stage"], row["attempts"]) == ("malformed", "intake", 0)
    assert row["replay_of"] == 2**40
    assert row["order_id"] == uuid.UUID(int=7)
    assert row["traceparent"].split("-")[1] == parent.split("-")[1]
    assert len(row["digest"]) == hashlib.sha256().digest_size
    assert (row["archived_at"] - row["died_at"]).total_seconds() < 60
    assert len(system.queues.take_dead()) == 1
    query = "SELECT archive, archive_fault FROM scheduler_seen"
    eventually(lambda: system.postgres.execute(query).fetchone() == ("on", None), "the archive is on")
