"""Asks 20 times a second what index the alias stands for. It must never be without one, or have two."""

import contextlib
import threading
import time
from collections.abc import Iterator

import requests

PERIOD_SECONDS = 0.05
SHOWN = 5


class Sightings:
    """What the answers say; of a server that is down there is none."""

    def __init__(self):
        self.asked = 0
        self.names: list[str] = []  # one after the other
        self.faults: list[str] = []

    def saw(self, indices: list[str]) -> None:
        self.asked += 1
        if len(indices) != 1:
            self.faults.append(f"answer {self.asked}: {indices or 'no index'}, after {self.names[-1:]}")
        elif self.names[-1:] != indices:
            self.names += indices


class AliasWatch:
    def __init__(self, url: str, alias: str):
        self.sightings = Sightings()
        self._url = f"{url}/{alias}/_alias"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        session = requests.Session()
        next_at = time.monotonic()
        while not self._stop.wait(max(0.0, next_at - time.monotonic())):
            next_at = max(next_at + PERIOD_SECONDS, time.monotonic())
            with contextlib.suppress(requests.RequestException):
                answer = session.get(self._url, timeout=5)
                if answer.status_code in (200, 404):  # else Elasticsearch is starting
                    self.sightings.saw(sorted(answer.json()) if answer.status_code == 200 else [])


@contextlib.contextmanager
def watched_alias(run) -> Iterator[None]:
    """In the block the alias always stands for exactly one index."""
    watch = AliasWatch(run.stand.env["ELASTICSEARCH_URL"], run.stores.index)
    try:
        yield
    finally:
        watch.close()
    seen = watch.sightings
    print(f"    alias: asked {seen.asked} times, {' → '.join(seen.names)}", flush=True)
    run.check(seen.asked > 0, "nobody was asked what the alias stands for")
    run.check(not seen.faults, f"the alias has {len(seen.faults)} times not one index: {seen.faults[:SHOWN]}")
