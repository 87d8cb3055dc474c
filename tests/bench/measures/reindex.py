"""Building the search index anew from the rows."""

import threading
import time
from collections.abc import Iterator

import requests

from generators import ceiling, wrk, wrk_meanwhile
from samples import Sample
from servers import CEILING_INDEX
from wait import eventually

LIMIT_S = 300
LIVE_RATE, CONNECTIONS = 1000, 64


def reindex(bench) -> Iterator[Sample]:
    """Rows → a new index that search uses, beside bare _bulk of as many documents; POSTs meanwhile."""
    count = bench.size(1_000_000, quick=50_000)
    side, servers = bench.ours, bench.servers
    side.start()
    servers.insert_rows(count)
    rebuild(bench)  # until the JVM has compiled
    for _ in bench.rounds(0.6):
        servers.make_index(CEILING_INDEX)
        servers.wait_merged()
        load = ceiling(servers.env, "bulk", CEILING_INDEX, count)
        yield Sample("reindex", "ceiling", load.per_second)
        servers.search("DELETE", f"/{CEILING_INDEX}")
        servers.wait_merged()
        swapped, ended = rebuild(bench)
        note = f"swapped after {swapped:.1f} s; the job has ended after {ended:.1f} s"
        yield Sample("reindex", side.name, count / swapped, note=note)
    for _ in bench.rounds():
        load = wrk(side.url, CONNECTIONS, 2 * bench.seconds, POST="orders", RATE=LIVE_RATE)
        yield Sample.of("accept during a reindex", "no reindex", load)
        with (
            wrk_meanwhile(side.url, CONNECTIONS, POST="orders", RATE=LIVE_RATE) as seen,
            Depth(servers) as depth,
        ):
            swapped, _ = rebuild(bench)
        note = f"{swapped:.1f} s to the swap; at most {depth.most:,} in the queue"
        yield Sample.of("accept during a reindex", side.name, seen[0], note=note)
    side.stop()


class Depth:
    """How deep the order queue became during the block."""

    def __init__(self, servers):
        self._servers = servers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = 0

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.most = max(self.most, self._servers.depth())

    def __enter__(self) -> "Depth":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()


def rebuild(bench) -> tuple[float, float]:
    """Seconds until search uses the new index, and until the job has ended."""
    servers, side = bench.servers, bench.ours
    headers = {"Authorization": f"Bearer {servers.env['ADMIN_TOKEN']}"}
    with requests.Session() as session:
        session.headers.update(headers)
        before = servers.used_index()
        answer = eventually(lambda: _ask(session, side.url), "no other job runs", LIMIT_S)
        started = time.monotonic()
        job = side.url + answer.headers["Location"]
        swapped = None
        while time.monotonic() < started + LIMIT_S:
            side.check()
            if swapped is None and servers.used_index() != before:
                swapped = time.monotonic() - started
            state = session.get(job, timeout=30).json()
            if state["finished_at"]:
                if state["state"] != "done" or swapped is None:
                    raise RuntimeError(f"the reindex has ended: {state}")
                return swapped, time.monotonic() - started
            time.sleep(0.05)
    raise RuntimeError(f"the reindex took more than {LIMIT_S} s: {state}")


def _ask(session: requests.Session, url: str) -> requests.Response | None:
    """None while another job runs: a scheduler that has just been started verifies the last days."""
    answer = session.post(url + "/api/admin/jobs", json={"kind": "reindex"}, timeout=30)
    if answer.status_code == 409:
        return None
    answer.raise_for_status()
    return answer
