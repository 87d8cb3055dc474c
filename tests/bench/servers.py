"""The servers that all sides use in turn, and what is in them."""

import contextlib
import time

import pika
import psycopg
import redis
import requests

from processes import largest_mib
from system import System, of_database
from wait import eventually

NAMES = ("postgres", "redis", "rabbitmq", "elasticsearch")
QUEUE, INDEX, DATABASE = "order_queue", "orders", "bench"
CEILING_QUEUE = CEILING_INDEX = "bench_ceiling"

# As the indexer makes it.
INDEX_BODY = {
    "settings": {"index": {"refresh_interval": "1s", "number_of_replicas": 0}},
    "mappings": {
        "dynamic": False,
        "properties": {
            "id": {"type": "keyword"},
            "product_name": {"type": "text"},
            "amount": {"type": "double"},
            "created_at": {"type": "date"},
        },
    },
}

# Ids that a load generator can count through.
ROWS = """INSERT INTO orders (id, product_name, amount, created_at)
SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid,
    (ARRAY['Laptop', 'Phone', 'Keyboard', 'Monitor', 'Office chair', 'Standing desk'])[1 + n % 6] || ' ' || n,
    (1 + n % 100000) / 100.0,
    timestamptz '2025-01-01Z' + n % 365 * interval '1 day' + n % 86400 * interval '1 second'
FROM generate_series({first}, {last}) AS n"""


class Servers:
    def __init__(self, system: System):
        self._system = system
        self._administration = system.env["POSTGRES_DSN"]
        self.env = system.env | {"POSTGRES_DSN": of_database(self._administration, DATABASE)}
        self.pids = {name: system.pid(name) for name in NAMES}
        self.warm = False  # warm.py has brought them to a steady state since they were started
        self.largest_mib: dict[str, float] = {}
        self._http = requests.Session()

    def note_memory(self) -> None:
        for name, pid in self.pids.items():
            self.largest_mib[name] = max(self.largest_mib.get(name, 0.0), largest_mib(pid))

    def check(self) -> None:
        """They are the processes that they were: one that was started again is cold."""
        if pids := {name: pid for name in NAMES if (pid := self._system.pid(name)) != self.pids[name]}:
            self.pids |= pids
            self.warm = False
            raise RuntimeError(f"started again meanwhile: {', '.join(pids)}")

    def restart_elasticsearch(self) -> None:
        """Its JVM has compiled nothing afterwards."""
        name = "elasticsearch"
        self.warm = False
        self._system.supervisor.stop(name)
        self._system.supervisor.start(name)
        self.pids[name] = eventually(lambda: self._system.pid(name), "Elasticsearch is started")
        self._http.close()
        eventually(self._elasticsearch_is_ready, "Elasticsearch is ready", 120)

    def _elasticsearch_is_ready(self) -> bool:
        try:
            url = self.env["ELASTICSEARCH_URL"] + "/_cluster/health?wait_for_status=yellow&timeout=5s"
            return self._http.get(url, timeout=10).ok
        except requests.RequestException:
            return False

    # --- PostgreSQL

    def sql(self, statement: str, dsn: str | None = None) -> list[tuple]:
        with psycopg.connect(dsn or self.env["POSTGRES_DSN"], autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> int:
        return self.sql("SELECT count(*) FROM orders")[0][0]

    def last_refresh_ms(self) -> float:
        """What a scheduler of ours needed, without the time until it saw that it was asked."""
        query = "SELECT extract(epoch FROM finished_at - started_at) * 1000 FROM sales_refresh"
        return float(self.sql(query + " WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1")[0][0])

    def wait_ledger(self) -> None:
        """Until a scheduler of ours has made and filled the sales ledger: then each write of orders writes
        to it."""

        query = "SELECT coalesce(filled_at > '-infinity', false) FROM sales_ledger_state"

        def filled() -> bool:
            with contextlib.suppress(psycopg.errors.UndefinedTable):
                return self.sql(query) == [(True,)]
            return False

        eventually(filled, "the sales ledger is filled", 60)

    def id_type(self) -> str:
        """Of the orders' ids: ours are of type uuid, those of another implementation may be text."""
        query = "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'orders'::regclass"
        return self.sql(query + " AND attname = 'id'")[0][0]

    def insert_rows(self, count: int, stored: int = 0) -> None:
        """Up to `count` of them; so many are stored already. Older than what a scheduler verifies by itself,
        which would index them."""
        self.sql(ROWS.format(first=stored + 1, last=count))
        self.sql("VACUUM ANALYZE orders")

    # --- Elasticsearch

    def search(self, method: str, path: str, body: dict | None = None, accept: tuple = (200,)) -> dict:
        answer = self._http.request(method, self.env["ELASTICSEARCH_URL"] + path, json=body, timeout=60)
        if answer.status_code not in accept:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.status_code == 200 else {}

    def indexed(self) -> int:
        """Documents written since the index was made; cheap, and ahead of documents()."""
        path = f"/{INDEX}/_stats/indexing?filter_path=_all.primaries.indexing.index_total"
        stats = self.search("GET", path, accept=(200, 404))
        return stats.get("_all", {}).get("primaries", {}).get("indexing", {}).get("index_total", 0)

    def documents(self) -> int:
        """Those that a search finds, after a refresh."""
        if not self.search("POST", f"/{INDEX}/_refresh", accept=(200, 404)):
            return 0
        return self.search("GET", f"/{INDEX}/_count")["count"]

    def used_index(self) -> str:
        """The name of the index that orders are searched in."""
        return next(iter(self.search("GET", f"/{INDEX}?filter_path=*.settings.index.uuid")))

    def make_index(self, name: str) -> None:
        self.delete_indices(name)
        self.search("PUT", f"/{name}", INDEX_BODY)

    def delete_indices(self, name: str) -> None:
        """The index of that name, or those that it is an alias of, and all numbered ones."""
        path = f"/{name},{name}-*?ignore_unavailable=true&filter_path=*.settings.index.uuid"
        for index in self.search("GET", path):
            self.search("DELETE", f"/{index}", accept=(200, 404))

    def wait_merged(self, limit_s: float = 120) -> None:
        """Until Elasticsearch has nothing to do in the background."""
        path = "/_stats/merge?filter_path=_all.primaries.merges.current"
        eventually(
            lambda: self.search("GET", path)["_all"]["primaries"]["merges"]["current"] == 0,
            "Elasticsearch has merged its segments",
            limit_s,
        )

    # --- RabbitMQ

    @contextlib.contextmanager
    def _channel(self):
        connection = pika.BlockingConnection(pika.URLParameters(self.env["RABBITMQ_URL"]))
        with contextlib.closing(connection):
            yield connection.channel()

    def depth(self) -> int:
        with self._channel() as channel:
            return channel.queue_declare(QUEUE, passive=True).method.message_count

    def declare_classic_queue(self) -> None:
        with self._channel() as channel:
            channel.queue_declare(QUEUE, durable=True)

    def purge(self) -> None:
        with self._channel() as channel:
            channel.queue_purge(QUEUE)

    def delete_queue(self, name: str) -> None:
        with self._channel() as channel:
            channel.queue_delete(name)

    # --- Redis

    def cache(self) -> redis.Redis:
        host, _, port = self.env["REDIS_ADDR"].rpartition(":")
        return redis.Redis(host, int(port))

    # --- all

    def wipe(self) -> None:
        """No order, no queue, no table, no index: as on the first day."""
        for queue in (QUEUE, QUEUE + ".dead", CEILING_QUEUE):
            self.delete_queue(queue)
        self.cache().flushall()
        for index in (INDEX, CEILING_INDEX):
            self.delete_indices(index)
        self.search("DELETE", f"/_index_template/{INDEX}", accept=(200, 404))
        self.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", self._administration)
        self.sql(f"CREATE DATABASE {DATABASE}", self._administration)

    def wait_stored(self, count: int) -> None:
        """Until exactly so many rows and documents are there."""
        end = time.monotonic() + 60
        while (found := (self.rows(), self.documents())) != (count, count):
            if time.monotonic() > end:
                raise RuntimeError(f"{count} orders, but {found[0]} rows and {found[1]} documents")
            time.sleep(0.2)
