"""The search index is gone, or is an old one: the system says so and makes it whole again, by itself."""

import contextlib
import time

import requests

from filling import check_agreement, delete_indices, empty_stores, fill
from index_jobs import automatic_job, check_settled, ended_job, midway, until_quiet
from prober import probed

from . import scenario
from .archive import shuffled
from .reindex import LONG_BYTES, SHORT_BYTES

NOTICED_SECONDS = 60
SNAPSHOT = "/_snapshot/chaos"
INCOMPLETE = "X-Search-Incomplete"


@scenario(48, "index-deleted")
def index_deleted(run):
    """The index is deleted under load: said within a minute, refilled by itself, all found by id."""
    count, rate = (200_000, 500) if run.long else (10_000, 150)
    targets = ["scheduler-1", "elasticsearch", "postgres"] if run.long else ["scheduler-1"]
    lost(run, count, rate, targets, delete_indices)


@scenario(48, "index-deleted-unseen")
def index_deleted_unseen(run):
    """The index is deleted while no scheduler runs: the next one notices it, and refills it by itself."""

    def delete_unseen(run) -> None:
        with run.down("scheduler-1"):
            delete_indices(run)
            run.until(run.stores.indices, 30, "the indexer makes another index")
            run.until_accepted(100)

    lost(run, 50_000 if run.long else 5_000, 150, [], delete_unseen)


@scenario(48, "index-restored")
def index_restored(run):
    """An old snapshot is restored under load: said within a minute, what it lacks is indexed by itself."""
    count = 50_000 if run.long else 5_000
    with snapshots(run):

        def restore(run) -> None:
            client = run.stores.search_client()
            name = run.stores.indices()[0]
            client.indices.close(index=name)
            answer = client.snapshot.restore(
                repository="chaos",
                snapshot="old",
                indices=[name],
                include_global_state=False,
                wait_for_completion=True,
            )
            run.check(answer["snapshot"]["shards"]["failed"] == 0, f"the snapshot is restored: {answer}")

        def before_the_load(run) -> None:
            run.stores.search_client().snapshot.create(
                repository="chaos", snapshot="old", indices=run.stores.index, wait_for_completion=True
            )
            fill(run, count)

        lost(run, count, 150, [], restore, before_the_load)


def lost(run, count: int, rate: float, targets: list[str], destroy, before_the_load=lambda run: None) -> None:
    """Under load the index is destroyed; `targets` are killed while it is filled again."""
    empty_stores(run)
    orders = fill(run, count)
    before_the_load(run)
    with run.load(rate=rate, settle=120), contextlib.ExitStack() as slow:
        run.until_accepted(300)
        with probed(run, orders, 600) as prober:  # the longest gap lasts as long as the filling
            # Slow enough for everybody to say that search is incomplete.
            slow.enter_context(run.slow("elasticsearch", (LONG_BYTES if run.long else SHORT_BYTES) / 4))
            destroy(run)
            run.fault("the index is not the one that it was")
            destroyed_at = time.monotonic()
            check_noticed(run)
            print(f"    noticed after {time.monotonic() - destroyed_at:.1f} s", flush=True)
            job = automatic_job(run, "repair")
            if targets:
                midway(run, job, count).kill_at_points(shuffled(run, targets))
            slow.close()
            ended_job(run, job, 600 if run.long else 180)
            run.must_come(lambda: not prober.missing, 60, "every known order is found again")
            print(f"    all is back after {time.monotonic() - destroyed_at:.1f} s", flush=True)
        run.system.wait_ready()
        run.must_come(lambda: share_missing(run) is None, 10, "search is said to be complete again")
        run.until_accepted(300)
    until_quiet(run)
    check_agreement(run)
    check_settled(run, run.stores.indices())
    run.recovered(15)


def check_noticed(run) -> None:
    """Scheduler not ready, gateway only degraded, and each answer says what share is missing."""
    run.until(
        lambda: reason(run, "scheduler-1") != "", NOTICED_SECONDS, "the scheduler says that it is incomplete"
    )
    run.check(not run.stand.is_ready("scheduler-1"), "the scheduler is ready without its index")
    run.until(lambda: reason(run, "gateway-1") != "", 10, "the gateway says that search is incomplete")
    run.check(run.stand.is_ready("gateway-1"), "the gateway is not ready for want of a whole index")
    run.until(lambda: 0 < share_missing(run) <= 1, 10, "answers say what share is missing")


def reason(run, name: str) -> str:
    """Why the index is not what it must be, as a service says it; nothing when all is well."""
    report = requests.get(f"{run.stand.services.admin_url(name)}/readyz", timeout=5).json()
    return next(
        (one.get("reason", "") for one in report["dependencies"] if one["name"] == "search_index"), ""
    )


def share_missing(run) -> float | None:
    answer = run.search("lamp")
    answer.raise_for_status()
    return float(answer.headers[INCOMPLETE]) if INCOMPLETE in answer.headers else None


@contextlib.contextmanager
def snapshots(run):
    """A place for snapshots, while the block runs."""
    folder = run.stand.servers.run / "servers" / "elasticsearch" / "snapshots"
    settings = {"type": "fs", "settings": {"location": str(folder)}}
    run.stand.elasticsearch("PUT", SNAPSHOT, settings)
    try:
        yield
    finally:
        run.stand.wait_running("elasticsearch")
        run.stand.elasticsearch("DELETE", f"{SNAPSHOT}/old")
        run.stand.elasticsearch("DELETE", SNAPSHOT)
