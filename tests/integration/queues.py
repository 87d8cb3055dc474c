"""RabbitMQ as a foreign program sees it, through pika."""

import json
import os
import socket
import time
import uuid
from contextlib import contextmanager
from functools import partial

import pika
import psycopg
from pika.exceptions import ChannelClosedByBroker

if ":" in os.environ.get("DEV_LOOPBACK", ""):
    # pika wakes itself by a connection to 127.0.0.1 unless told.
    pika.compat.nonblocking_socketpair = partial(pika.compat.nonblocking_socketpair, family=socket.AF_INET6)


def connect(urls):
    """To the first server that answers, as of RABBITMQ_URL."""
    return pika.BlockingConnection([pika.URLParameters(url) for url in urls.split(",")])


def decoded(properties):
    """Properties as bytes, as the archive keeps them."""
    decoded = pika.BasicProperties()
    decoded.decode(bytes(properties))
    return decoded


class Queues:
    """`dsn`: of the database to which dead letters are archived, or None."""

    def __init__(self, url, name, dsn=None):
        self.url = url
        self.name = name
        self.dead_name = f"{name}.dead"
        self.dsn = dsn

    @contextmanager
    def channel(self, confirm=False):
        """A channel on a connection of its own: one that is kept would be lost with the server."""
        connection = connect(self.url)
        try:
            channel = connection.channel()
            if confirm:
                channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()

    def depth(self, name=None):
        """Messages ready in the queue; None if there is no such queue."""
        try:
            with self.channel() as channel:
                return channel.queue_declare(name or self.name, passive=True).method.message_count
        except ChannelClosedByBroker as error:
            if error.reply_code == 404:
                return None
            raise

    def server_version(self):
        with self.channel() as channel:
            return channel.connection._impl.server_properties["version"]

    def consumers(self, name):
        with self.channel() as channel:
            return channel.queue_declare(name, passive=True).method.consumer_count

    def publish(self, *bodies, **properties):
        """As the original does: default exchange, persistent, without message_id."""
        properties.setdefault("delivery_mode", 2)
        properties.setdefault("content_type", "application/json")
        with self.channel(confirm=True) as channel:
            for body in bodies:
                body = body if isinstance(body, bytes) else body.encode()
                channel.basic_publish("", self.name, body, pika.BasicProperties(**properties), mandatory=True)

    def take(self, name=None, limit=1000):
        """Takes all messages that are there: a list of (properties, body)."""
        messages = []
        with self.channel() as channel:
            while len(messages) < limit:
                method, properties, body = channel.basic_get(name or self.name, auto_ack=True)
                if method is None:
                    break
                messages.append((properties, body))
        return messages

    def archived(self, sql, *parameters):
        """The rows of a statement to the archive, none if there is no archive yet."""
        try:
            with psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None) as connection:
                return connection.execute(sql, parameters).fetchall()
        except psycopg.errors.UndefinedTable:
            return []

    def take_dead(self):
        """The dead letters of both places, the queue and the archive: a list of (properties, body).
        One on its way from the one to the other is in neither."""
        letters = self.take(self.dead_name) if self.depth(self.dead_name) else []
        if self.dsn is None:
            return letters
        rows = self.archived(
            "DELETE FROM dead_letters WHERE queue = %s AND state = 'dead' RETURNING properties, body, copies",
            self.name,
        )
        return letters + [(decoded(row[0]), bytes(row[1])) for row in rows for _ in range(1 + row[2])]

    def dead(self):
        """How many dead letters there are, in both places."""
        count = self.depth(self.dead_name) or 0
        if self.dsn is None:
            return count
        sql = "SELECT coalesce(sum(1 + copies), 0) FROM dead_letters WHERE queue = %s AND state = 'dead'"
        rows = self.archived(sql, self.name)
        return count + int(rows[0][0] if rows else 0)

    def delete(self, name):
        with self.channel() as channel:
            channel.queue_delete(name)

    def make_again(self, name):
        """Deletes a quorum queue and declares it, with nothing in between. Returns the consumers that it
        has then: RabbitMQ may take over those of the old one, or forget them."""
        with self.channel() as channel:
            channel.queue_delete(name)
            channel.queue_declare(
                name,
                durable=True,
                arguments={
                    "x-queue-type": "quorum",
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": self.dead_name,
                },
            )
            ends = time.monotonic() + 0.5
            while not (count := channel.queue_declare(name, passive=True).method.consumer_count):
                if time.monotonic() > ends:
                    break
            return count


def original_order(product_name, amount=12.5, created_at="2024-05-06T07:08:09.123456789Z", order_id=None):
    """As Go's encoding/json writes the original's struct."""
    return json.dumps(
        {
            "id": order_id or str(uuid.uuid4()),
            "product_name": product_name,
            "amount": amount,
            "created_at": created_at,
        },
        separators=(",", ":"),
    )
