"""Elasticsearch and Redis die, freeze, refuse, answer in mixed ways."""

import asyncio
import concurrent.futures
import contextlib
import json
import time

import aiohttp
import psycopg

from bulk_faults import BulkFaults
from checks import acked_when_still, check_reads

from . import scenario

BLOCK = "index.blocks.read_only_allow_delete"


@scenario(15, "elasticsearch-down")
def elasticsearch_down(run):
    """Elasticsearch freezes, is killed, is read-only: PostgreSQL keeps filling, no ack, no dead letters."""
    with run.load():
        run.until_accepted(400)
        with run.stopped("elasticsearch"):
            check_only_postgres_fills(run)
            if run.long:  # until the bridge's window is full
                window = run.stand.metric("bridge-1", "bridge_window")
                run.until(lambda: run.stand.in_flight() == window, 60, "the window is full")
        run.until_accepted(200)
        run.kill("elasticsearch")
        check_only_postgres_fills(run)
        run.until(lambda: run.stand.in_flight() < 200, 180, "Elasticsearch is back")
        run.stand.elasticsearch("PUT", f"/{run.stores.index}/_settings", {BLOCK: True})
        run.fault("index read-only")
        try:
            check_only_postgres_fills(run)
        finally:
            run.stand.elasticsearch("PUT", f"/{run.stores.index}/_settings", {BLOCK: None})
    run.recovered()


def check_only_postgres_fills(run) -> None:
    acked = acked_when_still(run)
    rows = run.stores.row_count(run.prefix)
    run.until(lambda: run.stores.row_count(run.prefix) >= rows + 500, 20, "PostgreSQL keeps filling")
    run.check(run.stand.metric("bridge-1", "bridge_acked_total") == acked, "nothing is acknowledged")
    run.check(not run.own_dead_letters(), "nothing is dead-lettered")


@scenario(16, "mixed-bulk-answers", stands_for="work that is done in part")
def mixed_bulk_answers(run):
    """_bulk answers 200 with mixed items: only the failed ones again, the refused one dead-lettered."""
    poison = f"{run.prefix}-poison document"
    run.expected_dead.add(poison)

    def poison_letters() -> list:
        return [
            letter for letter in run.own_dead_letters() if json.loads(letter[1])["product_name"] == poison
        ]

    with (
        BulkFaults(run.stand.env["ELASTICSEARCH_URL"], poison) as faults,
        run.down("indexer-1"),
        run.extra("indexer", {"ELASTICSEARCH_URL": faults.url}) as indexer,
    ):
        run.until(indexer.is_ready, 30, "the indexer is ready")
        with run.load():
            run.until_accepted(300)
            faults.refuse_some = True
            run.fault("items answered 429")
            order_id = run.post(poison).json()["order_id"]
            run.fault("a document answered 400")
            run.until_accepted(500)
            run.must_come(poison_letters, 30, "the refused document is dead-lettered")
            faults.refuse_some = False
            faults.refuse_all = True
            run.fault("whole requests answered 429")
            time.sleep(2)
            faults.refuse_all = False
            run.until_accepted(300)
        run.drained()
    (properties, _), *others = poison_letters()
    headers = properties.headers
    run.check(
        not others and headers["x-stage"] == "index" and headers["x-reason"] == "bulk_400",
        f"one dead letter, for its document: {headers}",
    )
    run.check(run.stores.has_row(order_id), "its row is kept")
    run.check(faults.refused_items > 0, "items were refused")
    run.check(faults.refused_requests > 0, "requests were refused")
    run.check(faults.repeated == 0, f"{faults.repeated} items that were done came again")
    run.recovered()


@scenario(17, "redis-faults", stands_for="a cache that is away")
def redis_faults(run):
    """Redis gone, stalled, out of memory: POST 202, reads from PostgreSQL, GET p99 <= 100 ms."""
    with run.load():
        run.until_accepted(500)
        known = [entry.order_id for entry in run.ledger().accepted[:100]]
        run.until(lambda: run.stores.hold(known), 20, "they are stored")
        run.kill("redis")
        run.until_accepted(100)
        with run.down("redis"):
            check_reads(run, known, from_cache=False)
            run.until_accepted(200)
        run.stand.wait_ready()
        run.stand.cache().client_pause(5000, all=True)
        run.fault("CLIENT PAUSE 5 s")
        check_reads(run, known)
        run.until_accepted(200)
        with out_of_memory(run):
            run.until_accepted(300)
            check_reads(run, known)
    refused = [answer for answer in run.ledger().answers if answer.status != 202]
    run.check(not refused, f"{len(refused)} POSTs were not answered 202, such as {refused[:3]}")
    run.recovered()


@contextlib.contextmanager
def out_of_memory(run):
    """Redis refuses to write while the block runs."""
    run.until(lambda: run.stand.cache().ping(), 20, "Redis answers again")
    cache = run.stand.cache()
    usual = {name: cache.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
    cache.config_set("maxmemory-policy", "noeviction")
    cache.config_set("maxmemory", "1mb")
    run.fault("Redis out of memory")
    try:
        yield
    finally:
        for name, value in usual.items():
            cache.config_set(name, value)


async def get_many(url: str, count: int) -> set[int]:
    """That many requests at once; returns their statuses."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def get() -> int:
            async with session.get(url) as answer:
                return answer.status

        return set(await asyncio.gather(*(get() for _ in range(count))))


@scenario(18, "cold-reads", alone=True)
def cold_reads(run):
    """1,000 concurrent cold reads of one id cost one query per gateway."""
    run.minimum_accepted = 1
    with run.load(orders=1) as client:
        client.wait(60)
    run.drained()
    order_id = run.ledger().accepted[0].order_id
    run.stand.cache().delete(f"order:{order_id}")
    url = f"{run.stand.env['API_URL']}/api/orders/{order_id}"
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        psycopg.connect(run.stand.env["POSTGRES_DSN"]) as holder,
    ):
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")  # all miss before one is answered
        statuses = pool.submit(asyncio.run, get_many(url, 1000))
        run.fault("1,000 cold reads")
        under_way = r"http_requests_in_flight\{[^}]*\}"
        run.until(lambda: run.stand.metric("gateway-1", under_way) >= 1000, 4, "all of them are under way")
        waiting = run.stores.reads_waiting()
        holder.rollback()
        run.check(statuses.result() == {200}, f"answers: {statuses.result()}")
    run.check(waiting == 1, f"{waiting} queries for 1,000 reads of one order")


@scenario(32, "one-key-two-payloads", stands_for="clients that compete")
def one_key_two_payloads(run):
    """One Idempotency-Key, two payloads at once, Redis up and down: one row, the loser 422 or id_conflict."""
    with run.load():
        run.until_accepted(1000)
    pairs = 100 if run.long else 30
    ids = ask_in_pairs(run, range(pairs))
    with run.down("redis"):
        ids |= ask_in_pairs(run, range(pairs, 2 * pairs))
    run.fault(f"{2 * pairs} pairs of payloads under one key")
    run.stand.wait_ready()
    run.drained()

    prefix = f"{run.prefix}x"
    rows, documents = run.stores.rows(prefix), run.stores.documents(prefix)
    run.check(rows.keys() == ids, f"{len(ids)} orders were accepted, {len(rows)} are stored")
    for order_id, stored in rows.items():
        run.check(len(stored) == 1, f"{order_id} has {len(stored)} rows")
        run.check(documents.get(order_id) == stored[0], f"{order_id}: row and document differ")
    for properties, body in run.stores.letters.all():
        if f"{prefix}-pair".encode() in body:
            run.check(properties.headers["x-reason"] == "id_conflict", f"dead letter: {properties.headers}")
    run.recovered()


def ask_in_pairs(run, numbers: range) -> set[str]:
    """Two payloads at once for each key; returns the ids that were given."""
    ids = set()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for number in numbers:
            asked = [
                pool.submit(
                    run.post, f"{run.prefix}x-pair {number} {side}", key=f"{run.prefix}-pair-{number}"
                )
                for side in "ab"
            ]
            answers = [one.result() for one in asked]
            statuses = [answer.status_code for answer in answers]
            run.check(set(statuses) <= {202, 422} and 202 in statuses, f"answers: {statuses}")
            given = {answer.json()["order_id"] for answer in answers if answer.status_code == 202}
            run.check(len(given) == 1, f"one key named {given}")
            ids |= given
    return ids
