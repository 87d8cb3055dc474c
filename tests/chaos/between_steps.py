"""One process is killed between each two steps of its work: at a call that it makes there (fail_call.c)."""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator

from victim import Moment, Victim

DEATH_SECONDS = 90  # a reindex may look at what differs once more, half a minute later
READY_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Point:
    name: str  # what was done last
    call: str
    argument: str
    moment: Moment
    at: int = 1  # the call of this number, of those with this argument
    starting: bool = False  # the service comes there by itself: it starts when the work waits already


class Kill:
    """One of the kills. The scenario sets `total`, arms it, and does what leads there."""

    def __init__(self, run, victim: Victim, point: Point):
        self._run, self._victim = run, victim
        self.point = point
        self.total = 0

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """In the block the process dies, see wait(). Then it is started again."""
        if self.point.starting:
            self._victim.kill()
        else:
            self._arm()
        yield
        self._victim.disarm()
        self._victim.start()
        self._run.check(self._victim.wait("readyz", READY_SECONDS), f"{self._victim.name} is ready again")

    def wait(self, done: Callable[[], int]) -> None:
        """Until it has died there; then it is counted, and how much of the work was done is said."""
        if self.point.starting:
            self._arm()
            self._victim.start()
        name = self._victim.name
        self._run.until(self._is_dead, DEATH_SECONDS, f"{name} comes to: {self.point.name}")
        code = self._victim.exit_code
        self._run.check(
            self._victim.fired and code == -signal.SIGKILL,
            f"{name} ended with {code}, not at: {self.point.name}",
        )
        count = done()
        self._run.hits(0 < count < self.total, f"killed at {count} of {self.total}: {self.point.name}")
        self._run.kills[self._victim.service] += 1
        self._run.fault(f"{self._victim.name} killed at {count} of {self.total}: {self.point.name}")

    def _arm(self) -> None:
        point = self.point
        self._victim.arm(point.call, point.at, point.argument, point.moment)

    def _is_dead(self) -> bool:
        return self._victim.exit_code is not None


@contextlib.contextmanager
def between_steps(run, name: str, points: list[Point]) -> Iterator[Iterator[Kill]]:
    """The service runs by hand while the block does. Yields the kills, one for each point."""
    victim = Victim(run.stand, name, run.stand.folder)
    with victim.instead():
        victim.start()
        run.check(victim.wait("readyz", READY_SECONDS), f"{name} is ready")
        yield (Kill(run, victim, point) for point in points)
