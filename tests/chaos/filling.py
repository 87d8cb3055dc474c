"""Many orders at once, in both stores, as if they had been there for weeks. And whether both agree in all."""

import datetime
import io
import itertools
import json
import time
from collections.abc import Iterator
from decimal import Decimal

import requests
from elasticsearch import helpers

from run import Run

BULK = 5_000
SHOWN = 5
ROWS = """
INSERT INTO orders (id, product_name, amount, created_at)
SELECT gen_random_uuid(), %(token)s || '-' || lpad(number::text, 7, '0') || ' Filled lamp',
       (random() * 5000 + 0.01)::numeric(12, 2), now() - interval '1 hour' - random() * interval '20 days'
FROM generate_series(1, %(count)s) AS number
"""
DOCUMENTS = """
SELECT json_build_object('index', json_build_object('_id', id))::text,
       json_build_object('id', id, 'product_name', product_name, 'amount', amount::numeric, 'created_at',
                         to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
FROM orders WHERE product_name LIKE %(token)s || '-%%'
"""


def empty_stores(run: Run, original: bool = False) -> None:
    """No order anywhere, and an index that was just made. `original`: by the program that this one replaces,
    which leaves the mapping to Elasticsearch."""
    client = run.stores.search_client()
    for name in ("indexer-1", "scheduler-1"):
        run.stand.stop(name)
    delete_indices(run)
    run.stand.clear()
    run.stand.sql("UPDATE search_index SET identity = NULL, documents = NULL, building = NULL")
    if original:
        client.indices.delete_index_template(name=run.stores.index, ignore=404)
        client.indices.create(index=run.stores.index)
    for name in ("indexer-1", "scheduler-1"):
        run.stand.start(name)
    run.stand.wait_ready()
    known = "SELECT count(*) FROM search_index WHERE identity IS NOT NULL"
    run.until(lambda: run.stores.query(known) == 1, 30, "the scheduler knows the new index")


def delete_indices(run: Run) -> None:
    """All of the orders, whether an alias is before them or not."""
    for name in run.stores.all_indices():
        run.stand.elasticsearch("DELETE", f"/{name}")


def fill(run: Run, count: int) -> list[str]:
    """Returns the ids. Their names are outside of the verdict on the load."""
    token = f"{run.prefix}f{run.random.getrandbits(16):04x}"
    with run.stores.postgres() as connection:
        connection.execute(ROWS, {"token": token, "count": count})
        connection.execute("ANALYZE orders")
    ids = []
    with run.stores.postgres() as connection, connection.cursor("documents") as rows:
        rows.itersize = BULK
        rows.execute(DOCUMENTS, {"token": token})
        while page := rows.fetchmany(BULK):
            write_documents(run, page)
            ids += [json.loads(action)["index"]["_id"] for action, _ in page]
    run.stores.search_client().indices.refresh(index=run.stores.index)
    return ids


def write_documents(run: Run, lines: list[tuple[str, str]]) -> None:
    body = io.StringIO()
    for line in itertools.chain.from_iterable(lines):
        body.write(line + "\n")
    answer = requests.post(
        f"{run.stand.env['ELASTICSEARCH_URL']}/{run.stores.index}/_bulk?refresh=false",
        data=body.getvalue().encode(),
        headers={"Content-Type": "application/x-ndjson"},
        timeout=60,
    )
    answer.raise_for_status()
    run.check(not answer.json()["errors"], "documents of the filling are refused")


def differences(run: Run) -> dict[str, list[str]]:
    """All of PostgreSQL held against all of Elasticsearch, field by field, by id."""
    found = {"not in search": [], "twice in search": [], "without a row": [], "different": []}
    rows = dict(_rows(run))
    seen = set()
    for order_id, content in _documents(run):
        if order_id in seen:
            found["twice in search"].append(order_id)
        elif order_id not in rows:
            found["without a row"].append(order_id)
        elif rows[order_id] != content:
            found["different"].append(order_id)
        seen.add(order_id)
    found["not in search"] = [order_id for order_id in rows if order_id not in seen]
    print(f"    {len(rows)} rows, {len(seen)} documents", flush=True)
    return {kind: ids for kind, ids in found.items() if ids}


def check_agreement(run: Run, tries: int = 3) -> None:
    """What is still on its way has some time to arrive."""
    run.drained(120)
    while (found := differences(run)) and (tries := tries - 1):
        time.sleep(5)
    words = {kind: f"{len(ids)}, such as {ids[:SHOWN]}" for kind, ids in found.items()}
    run.check(not found, f"the stores do not agree: {words}")


# A digest of each order is enough, and half a million of them need little memory.


def _rows(run: Run) -> Iterator[tuple[str, int]]:
    with run.stores.postgres() as connection, connection.cursor("rows") as rows:
        rows.itersize = BULK
        rows.execute("SELECT id::text, product_name, amount, created_at FROM orders")
        for order_id, name, amount, created_at in rows:
            yield order_id, _digest(name, Decimal(amount), created_at)


def _documents(run: Run) -> Iterator[tuple[str, int]]:
    client = run.stores.search_client()
    client.indices.refresh(index=run.stores.index)
    for hit in helpers.scan(client, index=run.stores.index, size=BULK):
        source = hit["_source"]
        created_at = datetime.datetime.fromisoformat(source["created_at"])
        yield hit["_id"], _digest(source["product_name"], Decimal(repr(source["amount"])), created_at)


def _digest(name: str, amount: Decimal, created_at: datetime.datetime) -> int:
    return hash((name, amount, created_at.timestamp()))
