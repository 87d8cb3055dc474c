"""Searches for 100 known orders, several times a second: old ones, and the newest that search has found.

An order that an answer lacks has a gap: the time from the last answer that had it to the next one. Times in
which there is no answer at all, as the server is down, are told apart.
"""

import collections
import contextlib
import pathlib
import random
import threading
import time
from collections.abc import Iterator

import requests

from ledger import Ledger

PERIOD_SECONDS = 0.25
OLD, NEW = 50, 50
NEW_A_ROUND = 10


class Gaps:
    """What the answers say about the known orders."""

    def __init__(self, old: list[str]):
        self.answers = 0
        self.longest = 0.0
        self.longest_what = ""
        self.longest_silence = 0.0
        self._old = list(old)
        self._new: collections.deque[str] = collections.deque()
        self._awaited: list[str] = []  # not found yet: no gap
        self._seen_at: dict[str, float] = {}
        self._lacked: collections.Counter[str] = collections.Counter()  # answers without it, by order
        self._answer_at: float | None = None

    def expect(self, order_ids: list[str]) -> None:
        """Orders that search will find."""
        self._awaited += order_ids

    def known(self) -> list[str]:
        """What to search for."""
        return [*self._old, *self._new, *self._awaited]

    @property
    def missing(self) -> list[str]:
        """Those that the last answer lacked although one before had them."""
        return [one for one in [*self._old, *self._new] if self._lacked[one]]

    def saw(self, now: float, found: set[str]) -> None:
        self.answers += 1
        if self._answer_at is not None:
            self.longest_silence = max(self.longest_silence, now - self._answer_at)
        self._answer_at = now
        for one in [*self._old, *self._new]:
            if one not in found:
                self._lacked[one] += one in self._seen_at
                continue
            if lacked := self._lacked.pop(one, 0):
                self._note(now - self._seen_at[one], one, lacked)
            self._seen_at[one] = now
        for one in [one for one in self._awaited if one in found]:
            self._awaited.remove(one)
            self._new.append(one)
            self._seen_at[one] = now
        # The newest stay, and those that wait to be found again.
        spare = [one for one in self._new if not self._lacked[one]][: max(0, len(self._new) - NEW)]
        for one in spare:
            self._new.remove(one)
            del self._seen_at[one]

    def _note(self, gap: float, order_id: str, lacked: int) -> None:
        if gap > self.longest:
            age = "an old order" if order_id in self._old else "an order found shortly before"
            self.longest, self.longest_what = gap, f"{age}, {lacked} answers without it"

    def __str__(self) -> str:
        gap = f"{self.longest:.1f} s ({self.longest_what})" if self.longest else "none"
        missing = f", {len(self.missing)} still missing" if self.missing else ""
        silence = f"no answer for {self.longest_silence:.1f} s at most"
        return f"{self.answers} answers, longest gap {gap}{missing}, {silence}"


class Prober:
    def __init__(self, url: str, index: str, ledger_path: pathlib.Path, old: list[str]):
        self.gaps = Gaps(old)
        self._url = f"{url}/{index}/_search"
        self._ledger = Ledger(ledger_path)
        self._counted = self._ledger.accepted_count
        self._random = random.Random(1)
        self._session = requests.Session()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            with contextlib.suppress(requests.RequestException):
                self._search()

    def _search(self) -> None:
        self._ledger.read_on()
        fresh = self._ledger.accepted[self._counted :]
        self._counted += len(fresh)
        chosen = self._random.sample(fresh, min(NEW_A_ROUND, len(fresh)))
        self.gaps.expect([entry.order_id for entry in chosen])
        ids = self.gaps.known()
        body = {"query": {"ids": {"values": ids}}, "size": len(ids), "_source": False}
        answer = self._session.post(self._url, json=body, timeout=10)
        # No index: an answer without any order. Anything else but 200 is none.
        if answer.status_code in (200, 404):
            found = (
                {hit["_id"] for hit in answer.json()["hits"]["hits"]} if answer.status_code == 200 else set()
            )
            self.gaps.saw(time.monotonic(), found)


@contextlib.contextmanager
def probed(run, old: list[str], longest: float) -> Iterator[Gaps]:
    """In the block known orders are searched for; in the end none is missing, and none was for `longest`
    seconds."""
    sample = run.random.sample(old, min(OLD, len(old)))
    prober = Prober(run.stand.env["ELASTICSEARCH_URL"], run.stores.index, run.ledger_path, sample)
    gaps = prober.gaps
    try:
        run.until(lambda: gaps.answers > 0, 10, "a search is answered")
        yield gaps
        run.must_come(lambda: not gaps.missing, 30, "every order that search had found is found again")
    finally:
        prober.close()
        print(f"    prober: {gaps}", flush=True)
    run.in_time(gaps.longest, longest, "finding again what search had found")
