"""What is stored, read with clients of its own: psycopg, elasticsearch, pika, redis."""

import collections
import json
import pathlib
import sys
from collections.abc import Callable
from decimal import Decimal

import psycopg
import redis
from elasticsearch import Elasticsearch

from letters import Letters
from verdict import Contents, Dead, Stored

sys.path.append(str(pathlib.Path(__file__).parents[1] / "integration"))
from queues import connect  # noqa: E402
from search_client import search_client  # noqa: E402

PROVISIONAL_SECONDS = 30
PAGE = 5000


class Stores:
    def __init__(self, env: dict[str, str], rabbitmqctl: Callable[..., str]):
        self._env = env
        self._rabbitmqctl = rabbitmqctl
        self.queue = env.get("ORDER_QUEUE") or "order_queue"
        self.index = env.get("ORDER_INDEX") or "orders"
        self.letters = Letters(env, self.queue)

    def contents(self, prefix: str) -> Contents:
        """Everything of one run, whose product names begin with `prefix` and a dash."""
        return Contents(
            self.rows(prefix), self.documents(prefix), self._dead(prefix), self._cached_names(prefix)
        )

    def hold(self, order_ids: list[str]) -> bool:
        """Whether each of these orders has its row and its document."""
        rows = self.query("SELECT count(*) FROM orders WHERE id = ANY(%s::uuid[])", order_ids)
        if rows < len(order_ids):
            return False
        found = self.search_client().mget(index=self.index, ids=order_ids, source=False)["docs"]
        return all(one.get("found") for one in found)

    # --- PostgreSQL

    def rows(self, prefix: str) -> dict[str, list[Stored]]:
        found = collections.defaultdict(list)
        with self.postgres() as connection:
            query = "SELECT id::text, product_name, amount FROM orders WHERE product_name LIKE %s"
            for order_id, name, amount in connection.execute(query, (prefix + "-%",)):
                found[order_id].append(Stored(name, amount))
        return found

    def row_count(self, prefix: str) -> int:
        return self.query("SELECT count(*) FROM orders WHERE product_name LIKE %s", prefix + "-%")

    def has_row(self, order_id: str) -> bool:
        return self.query("SELECT count(*) FROM orders WHERE id = %s", order_id) == 1

    def reads_waiting(self) -> int:
        """Sessions that wait for a lock in a SELECT from orders."""
        return self.query(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE %s",
            "select%from orders%",
        )

    def refresh_is_running(self) -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND query ILIKE %s"
        return self.query(query, "refresh materialized%") > 0

    def refreshes(self) -> int:
        """How often the view has been refreshed."""
        return self.query("SELECT count(*) FROM sales_refresh")

    def query(self, sql: str, *parameters):
        """The one value that a query gives."""
        with self.postgres() as connection:
            return connection.execute(sql, parameters).fetchone()[0]

    def rows_of(self, sql: str, *parameters) -> list[tuple]:
        with self.postgres() as connection:
            return connection.execute(sql, parameters).fetchall()

    def postgres(self) -> psycopg.Connection:
        return psycopg.connect(self._env["POSTGRES_DSN"], connect_timeout=5)

    # --- Elasticsearch

    def search_client(self) -> Elasticsearch:
        return search_client(self._env["ELASTICSEARCH_URL"], request_timeout=30)

    def indices(self) -> list[str]:
        """The indices that the name of the index stands for: its own, or those of the alias."""
        if not self.search_client().indices.exists(index=self.index):
            return []
        return sorted(self.search_client().indices.get(index=self.index))

    def all_indices(self) -> list[str]:
        """And those beside them that have the name and a number."""
        return sorted(
            self.search_client().indices.get(index=f"{self.index},{self.index}-*", ignore_unavailable=True)
        )

    def blocked(self) -> bool:
        """Whether Elasticsearch lets nobody write, as its disk is full."""
        settings = self.search_client().indices.get_settings(index=self.index, flat_settings=True)
        name = "index.blocks.read_only_allow_delete"
        return any(one["settings"].get(name) == "true" for one in settings.values())

    def documents(self, prefix: str) -> dict[str, Stored]:
        found = {}
        client = self.search_client()
        client.indices.refresh(index=self.index, ignore_unavailable=True)
        after = None
        while True:
            page = client.search(
                index=self.index,
                size=PAGE,
                sort=[{"created_at": "asc"}, {"id": "asc"}],
                search_after=after,
                query={"match": {"product_name": {"query": prefix, "operator": "and"}}},
                ignore_unavailable=True,
            )["hits"]["hits"]
            for hit in page:
                source = hit["_source"]
                if source["product_name"].startswith(prefix + "-"):
                    found[hit["_id"]] = Stored(source["product_name"], Decimal(repr(source["amount"])))
            if len(page) < PAGE:
                return found
            after = page[-1]["sort"]

    # --- RabbitMQ

    def _dead(self, prefix: str) -> list[Dead]:
        found = []
        for properties, body in self.letters.all():
            try:
                name = json.loads(body)["product_name"]
            except (ValueError, KeyError, TypeError):  # nothing that the load client has sent
                continue
            if name.startswith(prefix + "-"):
                found.append(Dead(name, properties.headers or {}))
        return found

    def queue_depth(self) -> int:
        connection = connect(self._env["RABBITMQ_URL"])
        try:
            return connection.channel().queue_declare(self.queue, passive=True).method.message_count
        finally:
            connection.close()

    def unacknowledged(self, queue: str | None = None) -> int:
        """RabbitMQ's own count. It takes a second; polling is better done by Stand.in_flight()."""
        for line in self._rabbitmqctl("-q", "list_queues", "name", "messages_unacknowledged").splitlines():
            name, _, count = line.partition("\t")
            if name == (queue or self.queue):
                return int(count)
        return 0

    # --- Redis

    def cache(self) -> redis.Redis:
        host, _, port = self._env["REDIS_ADDR"].rpartition(":")
        return redis.Redis(host=host, port=int(port), socket_timeout=10)

    def cache_seconds(self, order_ids: list[str]) -> list[int]:
        """How long the cache will hold each of them yet; negative when it does not."""
        pipeline = self.cache().pipeline(transaction=False)
        for order_id in order_ids:
            pipeline.ttl(f"order:{order_id}")
        return pipeline.execute()

    def cached(self, order_ids: list[str]) -> dict[str, Stored | None]:
        """What the cache says of each of them."""
        values = self.cache().mget([f"order:{order_id}" for order_id in order_ids])
        orders = [
            json.loads(value, parse_float=Decimal, parse_int=Decimal) if value else None for value in values
        ]
        return {
            order_id: order and Stored(order["product_name"], order["amount"])
            for order_id, order in zip(order_ids, orders, strict=True)
        }

    def _cached_names(self, prefix: str) -> set[str]:
        cache, names = self.cache(), set()
        keys = list(cache.scan_iter(match="order:*", count=1000))
        for first in range(0, len(keys), 1000):
            pipeline = cache.pipeline(transaction=False)
            for key in keys[first : first + 1000]:
                pipeline.get(key).ttl(key)
            answers = pipeline.execute()
            for value, ttl in zip(answers[0::2], answers[1::2], strict=True):
                if value is not None and ttl > PROVISIONAL_SECONDS:
                    names.add(json.loads(value)["product_name"])
        return {name for name in names if name.startswith(prefix + "-")}
