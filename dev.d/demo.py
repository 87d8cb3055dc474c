"""Posts a bounded stream of orders and shows live where they are.

Reads the connection settings from the environment (.run/env). Counts by the ids of its own
orders, so that others may use the system at the same time.
"""

import argparse
import http.client
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pika
import psycopg2

PRODUCTS = {
    "Laptop": 1299.99, "Laptop Stand": 49.90, "Mechanical Keyboard": 119.00, "Mouse": 29.95,
    "27-inch Monitor": 349.00, "USB-C Cable": 9.99, "Webcam": 79.50, "Headphones": 199.00,
    "Desk Lamp": 39.90, "Office Chair": 449.00, "Standing Desk": 689.00, "Espresso Machine": 549.00,
    "Café au lait bowl": 12.50, "Notebook, squared": 3.20, "Fountain Pen": 64.00, "Backpack": 89.00,
}  # fmt: skip

POSTERS = 8
CHUNK = 5000  # ids in one query
SETTLE_SECONDS = 60


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev demo", add_help=False)
    parser.add_argument("--orders", type=int, default=500, metavar="N")
    parser.add_argument("--rate", type=float, default=100, metavar="R")
    arguments = parser.parse_args()
    if not 1 <= arguments.orders <= 1_000_000:
        parser.error("--orders must be 1 to 1000000")
    if not 0 < arguments.rate <= 100_000:
        parser.error("--rate must be above 0 and at most 100000")
    return arguments


class Stream:
    """Posts `total` orders at `rate` per second from a few threads, each with one connection."""

    def __init__(self, total, rate, api_urls):
        self.total = total
        self.rate = rate
        self.lock = threading.Lock()
        self.next = 0
        self.accepted = []
        self.amount_cents = 0
        self.refused = 0
        self.last_refusal = ""
        self.stopped = False
        self.started = time.monotonic()
        self.threads = [
            threading.Thread(target=self._post, args=(api_urls[i % len(api_urls)],), daemon=True)
            for i in range(POSTERS)
        ]
        for thread in self.threads:
            thread.start()

    def running(self):
        return any(thread.is_alive() for thread in self.threads)

    def _take(self):
        with self.lock:
            if self.stopped or self.next >= self.total:
                return None
            self.next += 1
            return self.started + (self.next - 1) / self.rate

    def _post(self, api_url):
        address = urlsplit(api_url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        while (due := self._take()) is not None:
            time.sleep(max(0, due - time.monotonic()))
            name, price = random.choice(list(PRODUCTS.items()))
            cents = round(price * 100) * random.choice((1, 1, 1, 2, 3))
            body = json.dumps({"product_name": name, "amount": cents / 100})
            try:
                connection.request("POST", "/api/orders", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                problem = None if response.status == 202 else f"{response.status} {answer.decode()}"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                problem = str(error)
            with self.lock:
                if problem is None:
                    self.accepted.append(json.loads(answer)["order_id"])
                    self.amount_cents += cents
                else:
                    self.refused += 1
                    self.last_refusal = problem


class Stores:
    """Looks into each store directly, not through our services."""

    def __init__(self):
        self.postgres = psycopg2.connect(os.environ["POSTGRES_DSN"])
        self.postgres.autocommit = True
        self.channel = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"])).channel()
        self.queue = os.environ.get("ORDER_QUEUE", "order_queue")
        index = os.environ.get("ORDER_INDEX", "orders")
        self.count_url = f"{os.environ['ELASTICSEARCH_URL']}/{index}/_count?ignore_unavailable=true"
        self.rows_seen = set()
        self.documents = 0

    def queued(self, suffix=""):
        return self.channel.queue_declare(self.queue + suffix, passive=True).method.message_count

    def dead(self):
        """In the queue of dead letters, and those that a scheduler has archived."""
        with self.postgres.cursor() as cursor:
            cursor.execute("SELECT coalesce(sum(1 + copies), 0) FROM dead_letters WHERE state = 'dead'")
            return self.queued(".dead") + int(cursor.fetchone()[0])

    def rows(self, ids):
        missing = [i for i in ids if i not in self.rows_seen]
        with self.postgres.cursor() as cursor:
            for chunk in chunks(missing):
                # Literals without a type, because the column may be uuid or text.
                cursor.execute("SELECT id::text FROM orders WHERE id IN %s", (tuple(chunk),))
                self.rows_seen.update(row[0] for row in cursor.fetchall())
        return len(self.rows_seen)

    def count_documents(self, ids):
        return sum(self._count_documents(chunk) for chunk in chunks(ids))

    def _count_documents(self, ids):
        query = json.dumps({"query": {"ids": {"values": ids}}}).encode()
        request = urllib.request.Request(self.count_url, query, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)["count"]


def chunks(items):
    return [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]


def today_revenue(api_url):
    with urllib.request.urlopen(f"{api_url}/api/dashboard/sales", timeout=10) as response:
        sales = json.load(response)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return next((day["total_revenue"] for day in sales if day["date"].startswith(today)), 0)


def refresh(api_url):
    headers = {"Authorization": "Bearer " + os.environ.get("ADMIN_TOKEN", "")}
    request = urllib.request.Request(f"{api_url}/api/admin/refresh", b"", headers, method="POST")
    with urllib.request.urlopen(request, timeout=300):
        pass


def show(line, final=False):
    if sys.stdout.isatty():
        print("\r\033[K" + line, end="\n" if final else "", flush=True)
    else:
        print(line, flush=True)


def watch(stream, stores, dead_before):
    """Until every accepted order is in both stores or among the dead letters."""
    give_up = None
    while True:
        running = stream.running()
        with stream.lock:
            ids = list(stream.accepted)
            refused = stream.refused
        rows, documents = stores.rows(ids), stores.count_documents(ids)
        dead = stores.dead() - dead_before
        line = (
            f"accepted {len(ids):>6}/{stream.total}   refused {refused}   "
            f"in the queue {stores.queued():>5}   PostgreSQL {rows:>6}   "
            f"Elasticsearch {documents:>6}   dead letters {dead}"
        )
        settled = not running and rows + dead >= len(ids) and documents + dead >= len(ids)
        show(line, final=settled)
        if settled:
            return True
        if not running:
            give_up = give_up or time.monotonic() + SETTLE_SECONDS
            if time.monotonic() > give_up:
                show(line, final=True)
                return False
        time.sleep(0.5 if sys.stdout.isatty() else 1)


def main():
    arguments = parse_arguments()
    api_urls = os.environ["API_URLS"].split()
    stores = Stores()
    dead_before = stores.dead()
    revenue_before = today_revenue(api_urls[0])

    stream = Stream(arguments.orders, arguments.rate, api_urls)
    try:
        settled = watch(stream, stores, dead_before)
    except KeyboardInterrupt:
        stream.stopped = True
        print(f"\nStopped; {len(stream.accepted)} orders had been accepted.")
        return 130
    if stream.refused:
        print(f"{stream.refused} orders were refused; the last with: {stream.last_refusal}")
    if not settled:
        print(f"Not everything arrived within {SETTLE_SECONDS} s. ./dev status and ./dev logs tell more.")
        return 1

    refresh(api_urls[0])
    revenue = today_revenue(api_urls[0])
    print(
        f"Today's revenue on the dashboard: {revenue_before:,.2f} before, {revenue:,.2f} now "
        f"(this stream: {stream.amount_cents / 100:,.2f})"
    )
    return 1 if stream.refused else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, psycopg2.Error, pika.exceptions.AMQPError) as error:
        sys.exit(f"error: {error or type(error).__name__}\n       Does everything run? ./dev status tells.")
