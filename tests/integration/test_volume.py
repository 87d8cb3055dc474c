"""20,000 orders over 32 connections, exact to the cent everywhere."""

import time
from datetime import UTC, datetime
from decimal import Decimal

from load import Load, assert_kept, stored_rows
from wait import eventually


def test_twenty_thousand_orders(system):
    with system.sibling("volume", scale={"persister": 2, "indexer": 2}) as ours:
        day = datetime.now(UTC).date()
        started = time.monotonic()
        with Load([ours.env["API_URL"]], orders=20_000, connections=32) as load:
            pass
        posted = time.monotonic() - started
        assert not load.refused
        assert not load.unknown
        assert len(load.accepted) == 20_000
        eventually(lambda: len(stored_rows(ours, load)) == 20_000, "20,000 rows", timeout=240)
        assert_kept(ours, load, timeout=240, at_least=20_000)

        ours.elasticsearch.indices.refresh(index="volume")
        assert ours.elasticsearch.count(index="volume")["count"] == 20_000
        assert ours.postgres.execute("SELECT count(*) FROM orders").fetchone()[0] == 20_000
        assert ours.queues.depth() == 0
        assert ours.queues.dead() == 0

        ours.api.refresh_now()
        total = Decimal(sum(cents for _, cents in load.accepted.values())) / 100
        assert sum(Decimal(revenue) for revenue in ours.api.sales().values()) == total
        if datetime.now(UTC).date() == day:
            assert Decimal(ours.api.sales()[day.isoformat()]) == total
        print(f"posted in {posted:.1f} s, everywhere after {time.monotonic() - started:.1f} s")
