"""Kills while a piece of work is under way. One before its beginning or after its end says nothing."""

import contextlib
import time
from collections.abc import Callable

STALLED_SECONDS = 150


class Midway:
    def __init__(self, run, what: str, total: int, done: Callable[[], int]):
        """`done` tells how much of `total` is done; it may fail while a server is down."""
        self._run = run
        self._what = what
        self._total = total
        self._done = done

    def kill_at_points(self, targets: list[str]) -> None:
        """kill -9 of each, in this order, at seeded points that are spread over the work."""
        for number, target in enumerate(targets):
            share = (number + self._run.random.uniform(0.2, 0.8)) / len(targets)
            self._kill(target, max(1, int(share * self._total)))

    def _kill(self, target: str, point: int) -> None:
        self._run.stand.wait_running(target)
        done = self.wait(point)
        self._run.hits(0 < done < self._total, f"kill -9 {target} at {done} of {self._total} {self._what}")
        self._run.kill(target, at=f"{done} of {self._total} {self._what}")

    def wait(self, point: int) -> int:
        """Until so much is done; returns how much it is."""
        done, moved_at = -1, time.monotonic()
        while True:
            self._run.stand.restart_given_up()
            before = done
            with contextlib.suppress(Exception):  # a server is down just now
                done = self._done()
            if done >= point:
                return done
            if done > before:
                moved_at = time.monotonic()
            stalled = time.monotonic() - moved_at > STALLED_SECONDS
            self._run.check(not stalled, f"at {done} of {self._total} {self._what} nothing moves any more")
            time.sleep(0.01)

    def wait_end(self) -> None:
        self.wait(self._total)
