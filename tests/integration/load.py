"""Orders posted by many connections, and a ledger of what became of each, kept by the client."""

import http.client
import json
import random
import threading
import time
import uuid
from decimal import Decimal
from urllib.parse import urlsplit

from elasticsearch import helpers

from wait import eventually


class Load:
    """Posts orders whose names are `tag` and a number, each once, until `orders` are posted or
    stop() is called; at most `rate` per second. Use it as `with Load(...) as load:`."""

    def __init__(self, api_urls, orders=None, connections=16, rate=None):
        self.tag = "t" + uuid.uuid4().hex[:12]
        self.api_urls = api_urls
        self.orders = orders
        self.rate = rate
        self.accepted = {}  # id → (product name, cents)
        self.refused = []  # product names: answered, and certainly not to be stored
        self.unknown = []  # product names: no answer, or one that says it is not known
        self._lock = threading.Lock()
        self._next = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(connections)
        ]

    def __enter__(self):
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        if exception[0] is None and self.orders is not None:
            self.wait()
        self.stop()

    def stop(self):
        self._stop.set()
        self.wait()

    def wait(self):
        for thread in self._threads:
            thread.join()

    def wait_accepted(self, count, timeout=120):
        eventually(lambda: len(self.accepted) >= count, f"{count} orders accepted", timeout)

    def _take(self):
        with self._lock:
            if self._stop.is_set() or (self.orders is not None and self._next >= self.orders):
                return None
            self._next += 1
            return self._next

    def _run(self, number):
        urls = self.api_urls[number % len(self.api_urls) :] + self.api_urls[: number % len(self.api_urls)]
        connection = None
        chooser = random.Random(f"{self.tag}{number}")
        while (n := self._take()) is not None:
            if self.rate:
                self._stop.wait(max(0, self._started + n / self.rate - time.monotonic()))
            if connection is None:
                address = urlsplit(urls[0])
                connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
            name, cents = f"{self.tag} {n}", chooser.randint(1, 1_000_000)
            body = json.dumps({"product_name": name, "amount": cents / 100})
            try:
                connection.request("POST", "/api/orders", body)
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                self.unknown.append(name)
                connection.close()
                connection = None
                urls = urls[1:] + urls[:1]  # as a client behind a balancer: try another one
                self._stop.wait(0.05)
                continue
            if response.status == 202:
                self.accepted[json.loads(answer)["order_id"]] = (name, cents)
            elif b"outcome_unknown" in answer:
                self.unknown.append(name)
            else:
                assert response.status == 503, answer
                self.refused.append(name)
                self._stop.wait(0.02)


def assert_kept(system, load, timeout=120, at_least=1000):
    """Every accepted order is one row and one document with the same content; nothing that was
    refused is stored; every document has its row; nothing is left in the queue."""
    assert len(load.accepted) >= at_least, f"only {len(load.accepted)} accepted: proves nothing"
    eventually(lambda: not missing_rows(system, load), "every accepted order is a row", timeout)
    eventually(lambda: not missing_documents(system, load), "every accepted order is indexed", timeout)
    eventually(lambda: system.queues.depth() == 0, "the queue is empty", timeout)

    rows = stored_rows(system, load)
    expected = {i: (name, Decimal(cents) / 100) for i, (name, cents) in load.accepted.items()}
    assert {i: rows[i] for i in expected} == expected

    names = [name for name, _ in rows.values()]
    assert len(names) == len(set(names)), "an order is stored twice"
    assert not set(names) & set(load.refused), "a refused order is stored"
    assert set(rows) - set(expected) <= {i for i, (name, _) in rows.items() if name in set(load.unknown)}

    system.elasticsearch.indices.refresh(index=system.index)
    documents = {
        hit["_id"]: (hit["_source"]["product_name"], Decimal(str(hit["_source"]["amount"])))
        for hit in helpers.scan(
            system.elasticsearch,
            index=system.index,
            size=5000,
            query={"query": {"match": {"product_name": load.tag}}},
        )
    }
    assert set(documents) <= set(rows), "a document without its row"
    assert {i: documents[i] for i in expected} == expected
    assert system.queues.dead() == 0


def stored_rows(system, load):
    query = "SELECT id::text, product_name, amount FROM orders WHERE product_name LIKE %s"
    return {row[0]: (row[1], row[2]) for row in system.postgres.execute(query, (load.tag + " %",))}


def missing_rows(system, load):
    return set(load.accepted) - set(stored_rows(system, load))


def missing_documents(system, load):
    ids, missing = list(load.accepted), set()
    for start in range(0, len(ids), 2000):
        answer = system.elasticsearch.mget(index=system.index, ids=ids[start : start + 2000], source=False)
        missing |= {doc["_id"] for doc in answer["docs"] if not doc.get("found")}
    return missing
