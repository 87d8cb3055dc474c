"""Jobs that make the search index again, or compare it: how far they are, what holds when they are over."""

import time
from collections.abc import Callable

from admin_client import AdminClient
from midway import Midway
from run import Run

STARTS_SECONDS = 30
SWAP_SECONDS = 600
UNFINISHED = "SELECT count(*) FROM jobs WHERE finished IS NULL"


def start_job(run: Run, kind: str, **parameters) -> int:
    return AdminClient(run.system.env).start(kind, **parameters)


def ended_job(run: Run, job: int, timeout: float, state: str = "done") -> dict:
    """The job, when it has ended by itself, and as it must."""
    ended = AdminClient(run.system.env).ended_job(job, timeout)
    print(
        f"    job {job} ({ended['kind']}): {ended['state']}, {ended['done']} of {ended['total']}", flush=True
    )
    run.check(ended["state"] == state, f"the job ends {state}: {ended}")
    return ended


def automatic_job(run: Run, kind: str, timeout: float = STARTS_SECONDS) -> int:
    """The one that the scheduler has started by itself, the newest."""
    newest = "SELECT max(id) FROM jobs WHERE automatic AND kind = %s"
    run.must_come(lambda: run.stores.query(newest, kind) is not None, timeout, f"a {kind} starts by itself")
    return run.stores.query(newest, kind)


def copied(run: Run, job: int) -> int:
    return run.stores.query("SELECT done FROM jobs WHERE id = %s", job)


def midway(run: Run, job: int, total: int) -> Midway:
    return Midway(run, "orders copied", total, lambda: copied(run, job))


def until_swapped(run: Run, before: list[str], timeout: float = SWAP_SECONDS) -> list[str]:
    """Until the alias stands for another index; returns it."""
    run.must_come(
        lambda: run.stores.indices() not in ([], before), timeout, "the alias stands for the new index"
    )
    return run.stores.indices()


def check_reindexed(run: Run, job: dict, before: list[str]) -> None:
    """One index is left, the job's; it is a new one, behind the alias."""
    now = run.stores.indices()
    run.check(
        now == [job["result"]["index"]] != before, f"search is in the new index: {now}, {job['result']}"
    )
    check_settled(run, now)


def check_stopped(run: Run, before: list[str]) -> None:
    """The old index is in use, and no other one is left."""
    now = run.stores.indices()
    run.check(now == before, f"the old index {before} is still in use, not {now}")
    check_settled(run, now)


def check_settled(run: Run, indices: list[str]) -> None:
    left = run.stores.all_indices()
    run.check(left == indices, f"no other index is left beside {indices}: {left}")
    aliases = run.stores.search_client().indices.get_alias(index=indices)[indices[0]]["aliases"]
    run.check(set(aliases) <= {run.stores.index}, f"no other alias is left: {aliases}")
    state = run.stores.rows_of("SELECT building, missing, fault FROM search_index")
    run.check(state == [(None, None, None)], f"nothing is being built, missing or wrong: {state}")


def until_quiet(run: Run, timeout: float = 60) -> None:
    """No job is left that a scheduler has in hand."""
    run.must_come(lambda: run.stores.query(UNFINISHED) == 0, timeout, "every job has ended")


def holds_for(run: Run, seconds: float, condition: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        run.check(condition(), what)
        time.sleep(0.2)
