"""A reindex that cannot end, or must not: the old index stays in use, and nothing is left of the new one."""

import contextlib

from admin_client import AdminClient
from alias_watch import watched_alias
from filling import check_agreement, empty_stores, fill
from index_jobs import check_reindexed, check_stopped, ended_job, midway, start_job
from prober import probed

from . import scenario
from .reindex import GAP_SECONDS, LONG_BYTES, SHORT_BYTES

SETTINGS = "/_cluster/settings"
DISK = "cluster.routing.allocation.disk"
BLOCK = "index.blocks.read_only_allow_delete"


@scenario(50, "reindex-canceled")
def reindex_canceled(run):
    """A reindex is canceled: the old index stays in use, the half-built one is gone, the next one works."""
    count = 100_000 if run.long else 10_000
    empty_stores(run)
    orders = fill(run, count)
    before = run.stores.indices()
    with run.load(rate=150), watched_alias(run), probed(run, orders, GAP_SECONDS):
        run.until_accepted(100)
        for turn in range(3 if run.long else 1):
            with run.slow("elasticsearch", LONG_BYTES if run.long else SHORT_BYTES):
                job = start_job(run, "reindex")
                done = midway(run, job, count).wait(1 + turn * count // 3)
                run.hits(0 < done < count, f"canceled at {done} of {count}")
                AdminClient(run.system.env).cancel(job)
                run.fault(f"canceled at {done} of {count}")
                ended_job(run, job, 60, "canceled")
            check_stopped(run, before)
        ended = ended_job(run, start_job(run, "reindex"), 120)
        run.until_accepted(100)
    check_agreement(run)
    check_reindexed(run, ended, before)
    run.recovered()


@scenario(50, "reindex-disk-full")
def reindex_disk_full(run):
    """The disk is full in a reindex: it fails with the reason, the half-built index is gone, search works."""
    count = 100_000 if run.long else 10_000
    empty_stores(run)
    orders = fill(run, count)
    before = run.stores.indices()
    full = over_the_watermark if run.long else read_only
    with run.load(rate=100), watched_alias(run), probed(run, orders, GAP_SECONDS):
        run.until_accepted(100)
        with run.slow("elasticsearch", LONG_BYTES / 4 if run.long else SHORT_BYTES):
            job = start_job(run, "reindex")
            done = midway(run, job, count).wait(count // 4)
            run.hits(0 < done < count, f"the disk is full at {done} of {count}")
            with full(run):
                run.fault(f"the disk is full at {done} of {count}")
                ended = ended_job(run, job, 120, "failed")
                print(f"    the reason: {ended['error']}", flush=True)
                run.check("read-only" in ended["error"] or "disk" in ended["error"], f"no reason: {ended}")
                run.check(run.search("lamp").status_code == 200, "search works on a full disk")
                check_stopped(run, before)
        run.until(lambda: run.stores.queue_depth() < 100, 90, "orders are indexed again")
        ended = ended_job(run, start_job(run, "reindex"), 120)
        run.until_accepted(100)
    check_agreement(run)
    check_reindexed(run, ended, before)
    run.recovered()


@contextlib.contextmanager
def read_only(run):
    """What Elasticsearch does to every index when its disk is full."""
    run.stand.elasticsearch("PUT", f"/{','.join(run.stores.all_indices())}/_settings", {BLOCK: True})
    with unblocked_at_last(run):
        yield


@contextlib.contextmanager
def over_the_watermark(run):
    """Elasticsearch itself finds that its disk is full."""
    marks = {
        f"{DISK}.watermark.{mark}": "1000tb" for mark in ("low", "high", "flood_stage")
    }  # free, at least
    run.stand.elasticsearch("PUT", SETTINGS, {"persistent": marks | {f"{DISK}.threshold_enabled": True}})
    with unblocked_at_last(run):
        try:
            run.until(lambda: run.stores.blocked(), 60, "Elasticsearch finds its disk full")
            yield
        finally:
            usual = dict.fromkeys([*marks, f"{DISK}.threshold_enabled"])
            run.stand.elasticsearch("PUT", SETTINGS, {"persistent": usual})


@contextlib.contextmanager
def unblocked_at_last(run):
    """As an operator does it who has made room: until Elasticsearch itself has looked, it takes a while."""
    try:
        yield
    finally:
        run.stand.elasticsearch("PUT", f"/{run.stores.index}/_settings", {BLOCK: None})
