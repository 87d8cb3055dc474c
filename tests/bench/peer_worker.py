"""A yardstick for ./dev bench: the worker that a good team would write in Python, with the same
guarantee.

Consumes the order queue with pika, inserts with psycopg, one statement a batch, indexes with
elasticsearch-py's helpers.bulk, and acknowledges a batch when both have it. A batch that fails is
requeued as a whole. Settings are those of the services.
"""

import json
import os
from decimal import Decimal

import pika
import psycopg
from elasticsearch import Elasticsearch, helpers

BATCH = 500
TABLE = """CREATE TABLE IF NOT EXISTS orders (
id uuid PRIMARY KEY, product_name text NOT NULL, amount numeric NOT NULL, created_at timestamptz NOT NULL)"""
INSERT = """INSERT INTO orders (id, product_name, amount, created_at)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::numeric[], %s::timestamptz[]) ON CONFLICT (id) DO NOTHING"""
MAPPINGS = {
    "dynamic": False,
    "properties": {
        "id": {"type": "keyword"},
        "product_name": {"type": "text"},
        "amount": {"type": "double"},
        "created_at": {"type": "date"},
    },
}
SETTINGS = {"refresh_interval": "1s", "number_of_replicas": 0}


def store(database: psycopg.Connection, search: Elasticsearch, index: str, bodies: list[bytes]) -> None:
    orders = [json.loads(body, parse_float=Decimal, parse_int=Decimal) for body in bodies]
    columns = [[order[name] for order in orders] for name in ("id", "product_name", "amount", "created_at")]
    database.execute(INSERT, columns)
    # The documents are JSON already.
    documents = zip((order["id"] for order in orders), bodies, strict=True)
    helpers.bulk(
        search,
        ({"_index": index, "_id": order_id, "_source": body} for order_id, body in documents),
        chunk_size=BATCH,
    )


def main() -> None:
    queue, index = os.environ.get("ORDER_QUEUE") or "order_queue", os.environ.get("ORDER_INDEX") or "orders"
    database = psycopg.connect(os.environ["POSTGRES_DSN"], autocommit=True)
    database.execute(TABLE)
    search = Elasticsearch(os.environ["ELASTICSEARCH_URL"])
    if not search.indices.exists(index=index):
        search.indices.create(index=index, mappings=MAPPINGS, settings=SETTINGS)
    channel = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"])).channel()
    channel.queue_declare(queue, durable=True)
    channel.basic_qos(prefetch_count=2 * BATCH)
    bodies: list[bytes] = []
    tag = 0
    # A silence of 50 ms ends a batch that is not full.
    for method, _properties, body in channel.consume(queue, inactivity_timeout=0.05):
        if method is not None:
            bodies.append(body)
            tag = method.delivery_tag
        if bodies and (method is None or len(bodies) == BATCH):
            try:
                store(database, search, index, bodies)
                channel.basic_ack(tag, multiple=True)
            except Exception as error:
                print(f"batch of {len(bodies)} requeued: {error}", flush=True)
                channel.basic_nack(tag, multiple=True, requeue=True)
            bodies = []


if __name__ == "__main__":
    main()
