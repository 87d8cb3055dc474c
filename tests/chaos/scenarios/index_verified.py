"""Documents are changed by hand, under load: a verification names exactly those, a repair mends them."""

import json
import signal
import time
import uuid

from filling import check_agreement, empty_stores, fill, write_documents
from index_jobs import ended_job, start_job
from poison import Poison, publish

from . import scenario

FROZEN_SECONDS = 8  # less than a bridge waits for a worker


@scenario(49, "verify-and-repair")
def verify_and_repair(run):
    """Documents are deleted, changed and added by hand: verify names exactly those, repair mends them, orders
    that are still on their way are no difference."""
    count = 100_000 if run.long else 5_000
    empty_stores(run)
    orders = fill(run, count)
    run.random.shuffle(orders)
    deleted, renamed, repriced = orders[:7], orders[7:18], orders[18:23]
    added = [str(uuid.UUID(int=run.random.getrandbits(128))) for _ in range(4)]
    with run.load(rate=150):
        run.until_accepted(200)
        damage(run, deleted, renamed, repriced, added)
        if run.long:  # a sum of amounts does not tell a name
            result = compare(run, "verify", full=True)
            check_named(run, result, deleted, repriced, added)
        with_late_orders(run)
        result = compare(run, "verify", full=True, fields=True)
        check_named(run, result, deleted, renamed + repriced, added)
        if run.long:
            result = compare(run, "repair", full=True, fields=True)
            run.check(result["repaired"] == 23 and result["deleted"] == 0, f"23 orders are mended: {result}")
            result = compare(run, "verify", full=True, fields=True)
            check_named(run, result, [], [], added)
        result = compare(run, "repair", full=True, fields=True, delete_extra=True)
        run.check(
            result["deleted"] == len(added), f"{len(added)} documents without a row are deleted: {result}"
        )
        check_named(run, compare(run, "verify", full=True, fields=True), [], [], [])
        run.until_accepted(200)
    check_agreement(run)
    run.recovered()


def damage(run, deleted: list[str], renamed: list[str], repriced: list[str], added: list[str]) -> None:
    """Behind everybody's back."""
    lines = [(json.dumps({"delete": {"_id": one}}),) for one in deleted]
    for one in renamed:
        lines.append((json.dumps({"update": {"_id": one}}), json.dumps({"doc": {"product_name": "Another"}})))
    for number, one in enumerate(repriced):
        change = {"doc": {"amount": 9000.01 + number}}
        lines.append((json.dumps({"update": {"_id": one}}), json.dumps(change)))
    for one in added:
        order = {"id": one, "product_name": "Nobody's", "amount": 1.5, "created_at": "2026-01-02T03:04:05Z"}
        lines.append((json.dumps({"index": {"_id": one}}), json.dumps(order)))
    write_documents(run, lines)
    run.stores.search_client().indices.refresh(index=run.stores.index)
    run.fault(f"{len(deleted)} documents deleted, {len(renamed) + len(repriced)} changed, {len(added)} added")


def with_late_orders(run) -> None:
    """Orders of two years ago are in PostgreSQL when a verification begins, and in search a moment later."""
    late = Poison(f"{run.prefix}late", run.random).make(200)
    healthy = [one.order_id for one in late if not one.reason]
    run.kill("indexer-1", signal.SIGSTOP)
    publish(run.system.env["RABBITMQ_URL"], run.stores.queue, [one for one in late if not one.reason])
    rows = "SELECT count(*) FROM orders WHERE id = ANY(%s::uuid[])"
    run.until(
        lambda: run.stores.query(rows, healthy) == len(healthy), FROZEN_SECONDS, "the late orders are rows"
    )
    job = start_job(run, "verify", full=True)
    time.sleep(3)  # it reads the rows at once
    run.stand.kill("indexer-1", signal.SIGCONT)
    result = ended_job(run, job, 300)["result"]
    named = set(result["missing"]["ids"]) & set(healthy)
    run.check(not named, f"orders on their way are taken for missing: {result}")


def compare(run, kind: str, **parameters) -> dict:
    return ended_job(run, start_job(run, kind, **parameters), 300)["result"]


def check_named(run, result: dict, missing: list[str], different: list[str], extra: list[str]) -> None:
    for what, ids in (("missing", missing), ("different", different), ("extra", extra)):
        named = result[what]
        run.check(
            named["count"] == len(ids) and sorted(named["ids"]) == sorted(ids),
            f"exactly {len(ids)} are {what}: {result}",
        )
    run.check(not result["approximate"], f"all of them are known: {result}")
