"""RabbitMQ as a foreign program sees it, through pika."""

import json
import uuid
from contextlib import contextmanager

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker


class Queues:
    def __init__(self, url, name):
        self.url = url
        self.name = name
        self.dead_name = f"{name}.dead"
        self.connection = None

    def close(self):
        if self.connection and self.connection.is_open:
            self.connection.close()

    @contextmanager
    def channel(self, confirm=False):
        """A fresh channel; the connection is made again if it was lost."""
        try:
            if self.connection:
                self.connection.process_data_events()
        except AMQPError:
            self.connection = None
        if not self.connection or not self.connection.is_open:
            self.connection = pika.BlockingConnection(pika.URLParameters(self.url))
        channel = self.connection.channel()
        if confirm:
            channel.confirm_delivery()
        try:
            yield channel
        finally:
            if channel.is_open:
                channel.close()

    def depth(self, name=None):
        """Messages ready in the queue; None if there is no such queue."""
        try:
            with self.channel() as channel:
                return channel.queue_declare(name or self.name, passive=True).method.message_count
        except ChannelClosedByBroker as error:
            if error.reply_code == 404:
                return None
            raise

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

    def take_dead(self):
        return self.take(self.dead_name)

    def delete(self, name):
        with self.channel() as channel:
            channel.queue_delete(name)


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
