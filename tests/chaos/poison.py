"""Foreign messages of every kind that must become a dead letter, and healthy ones between them."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime
import json
import random
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import pika

HEALTHY_EVERY = 10
PUBLISHERS = 8
SHARE = 50  # of one publisher, at least
LARGE_BYTES = 65_536
ODD_HEADERS = {
    "nothing": None,
    "yes": True,
    "many": 1 << 40,
    "price": Decimal("12.50"),
    "then": datetime.datetime(2024, 5, 6, 7, 8, 9),
    "bytes": b"\x00\xff\x80",
    "text": "line\nbreak \N{SNOWMAN}",
    "deep": {"deeper": {"deepest": [1, "two", [3, {"four": 4}]]}},
}


@dataclasses.dataclass(frozen=True)
class Foreign:
    token: str  # unique, and somewhere in the body
    order_id: str
    body: bytes
    reason: str | None  # why it dies; None: it is healthy
    properties: dict


def _order(token: str, order_id: str, **changes) -> bytes:
    members = {
        "id": order_id,
        "product_name": token,
        "amount": 12.5,
        "created_at": "2024-05-06T07:08:09.123456Z",
    }
    return json.dumps(members | changes).encode()


Build = Callable[[str, str], tuple[bytes, dict]]


def _mismatch(token: str, order_id: str) -> tuple[bytes, dict]:
    """An order that anybody could store, sent under another id: it can be replayed as it is."""
    return _order(token, order_id), {"message_id": str(uuid.uuid5(uuid.NAMESPACE_OID, token))}


KINDS: dict[str, tuple[str, Build]] = {
    "no JSON": ("malformed", lambda token, _id: (f"poison {token}".encode(), {})),
    "a list": ("malformed", lambda token, _id: (f'["{token}"]'.encode(), {})),
    "bad UTF-8": ("malformed", lambda token, order_id: (_order(token, order_id) + b"\xff\xfe", {})),
    "a NUL": ("malformed", lambda token, _id: (f"{token}\0 \0".encode(), {})),
    "odd headers": ("malformed", lambda token, _id: (f"odd {token}".encode(), {"headers": ODD_HEADERS})),
    "own properties": (
        "malformed",
        lambda token, _id: (f"own {token}".encode(), {"correlation_id": token, "type": "t", "priority": 3}),
    ),
    "half an order": ("malformed", lambda token, order_id: (_order(token, order_id)[:-9], {})),
    "too much": ("unacceptable", lambda token, order_id: (_order(token, order_id, amount=1e11), {})),
    "a long name": (
        "unacceptable",
        lambda token, order_id: (_order(token, order_id, product_name=token + "x" * 256), {}),
    ),
    "another id": ("message_id_mismatch", _mismatch),
}
LARGE = ("too_large", lambda token, order_id: (_order(token, order_id, extra="x" * LARGE_BYTES), {}))


class Poison:
    """A seed gives the same messages again."""

    def __init__(self, prefix: str, dice: random.Random):
        self._prefix = f"{prefix}p"
        self._dice = dice
        self.made: dict[str, Foreign] = {}  # by token

    def make(self, count: int, only: str | None = None) -> list[Foreign]:
        """So many more: each kind in turn, or one kind alone, and beside every ten of them a healthy one and
        now and then a large one. The healthy ones are not counted."""
        messages = []
        for number in range(count):
            kind = KINDS[only or list(KINDS)[number % len(KINDS)]]
            messages.append(self._one(*(LARGE if number % 100 == 99 and not only else kind)))
            if number % HEALTHY_EVERY == 0:
                messages.append(self._one(None, lambda token, order_id: (_order(token, order_id), {})))
        return messages

    def _one(self, reason: str | None, build: Build) -> Foreign:
        token = f"{self._prefix}-{len(self.made):07d}"
        order_id = str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
        body, properties = build(token, order_id)
        self.made[token] = Foreign(token, order_id, body, reason, properties)
        return self.made[token]

    @property
    def dead(self) -> dict[str, Foreign]:
        return {token: one for token, one in self.made.items() if one.reason}

    @property
    def healthy(self) -> dict[str, Foreign]:
        return {token: one for token, one in self.made.items() if not one.reason}

    def token_in(self, body: bytes) -> str | None:
        found = re.search(self._prefix.encode() + rb"-\d{7}", body)
        return found[0].decode() if found else None

    def problems(self, letters: Iterable[tuple[bytes, str]]) -> list[str]:
        """What is wrong with these (body, reason), which are to be the dead ones, each once."""
        reasons = collections.defaultdict(list)
        for body, reason in letters:
            reasons[self.token_in(body)].append(reason)
        dead = self.dead
        lost = [token for token in dead if token not in reasons]
        return [
            *([f"{len(lost)} dead letters are lost: {lost[:5]}"] if lost else []),
            *(f"{token}: {found}" for token, found in reasons.items() if token in dead and len(found) > 1),
            *(
                f"{token} is healthy, and dead: {found}"
                for token, found in reasons.items()
                if token not in dead
            ),
            *(
                f"{token}: {found[0]}, not {dead[token].reason}"
                for token, found in reasons.items()
                if token in dead and found[0] != dead[token].reason
            ),
        ]


def publish_confirmed(url: str, queue: str, messages: Iterable[Foreign]) -> list[Foreign]:
    """Those that RabbitMQ has confirmed until it failed: of the others nobody knows."""
    confirmed = []
    with contextlib.suppress(pika.exceptions.AMQPError, OSError):
        connection = pika.BlockingConnection(pika.URLParameters(url))
        with contextlib.closing(connection):
            channel = connection.channel()
            channel.confirm_delivery()
            for message in messages:
                properties = pika.BasicProperties(delivery_mode=2, **message.properties)
                channel.basic_publish("", queue, message.body, properties, mandatory=True)
                confirmed.append(message)
    return confirmed


def publish(url: str, queue: str, messages: Sequence[Foreign]) -> None:
    """All of them, and confirmed: RabbitMQ may lose what was not, even when the connection ends in order. A
    confirm takes its time, so many are published side by side."""
    share = max(SHARE, -(-len(messages) // PUBLISHERS))
    shares = [messages[first : first + share] for first in range(0, len(messages), share)]
    with concurrent.futures.ThreadPoolExecutor(PUBLISHERS) as pool:
        confirmed = sum(
            len(ones) for ones in pool.map(lambda ones: publish_confirmed(url, queue, ones), shares)
        )
    if confirmed < len(messages):
        raise AssertionError(f"RabbitMQ has confirmed {confirmed} of {len(messages)} messages")
