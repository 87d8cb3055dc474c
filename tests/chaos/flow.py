"""Orders flow while a test fires its own faults; in the end none that was accepted may be missing."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from ledger import Ledger
from stores import Stores
from verdict import judge

LOAD_CLIENT = pathlib.Path(__file__).parent / "load_client.py"


class Flow:
    def __init__(self, ledger_path: pathlib.Path, client: subprocess.Popen):
        self.ledger = Ledger(ledger_path)
        self._client = client

    def wait_accepted(self, more: int, timeout: float = 60) -> None:
        """Until so many more have been accepted."""
        target, ends = self.ledger.accepted_count + more, time.monotonic() + timeout
        while self.ledger.accepted_count < target:
            assert self._client.poll() is None, "the load client has ended"
            assert time.monotonic() < ends, f"not within {timeout} s: {more} more orders are accepted"
            time.sleep(0.1)
            self.ledger.read_on()

    def pause_since(self, start: float) -> float:
        """The longest time without an order accepted, from `start` (as of time.time()) on."""
        self.ledger.read_on()
        times = [start, *(e.accepted_at for e in self.ledger.accepted if e.accepted_at > start)]
        return max((after - before for before, after in zip(times, times[1:], strict=False)), default=0.0)


@contextlib.contextmanager
def flowing(
    ledger_path: pathlib.Path, urls: list[str], stores: Callable[[], Stores], rate: float = 200, seed: int = 1
) -> Iterator[Flow]:
    """The ledger's file name begins the name of each order. `stores` is called when the load has ended: the
    servers' addresses may have changed."""
    prefix = ledger_path.name
    command = [sys.executable, LOAD_CLIENT, *(word for url in urls for word in ("--url", url))]
    command += ["--ledger", ledger_path, "--prefix", prefix, "--rate", str(rate), "--seed", str(seed)]
    command += ["--concurrency", "32", "--orders", "0", "--settle", "30"]
    client = subprocess.Popen(command)
    flow = Flow(ledger_path, client)
    try:
        flow.wait_accepted(500)
        yield flow
        flow.wait_accepted(500)
    finally:
        client.send_signal(signal.SIGTERM)
        client.wait(60)
    flow.ledger.read_on()
    assert_kept(flow.ledger, stores, prefix)


def assert_kept(ledger: Ledger, stores: Callable[[], Stores], prefix: str, timeout: float = 60) -> None:
    ends = time.monotonic() + timeout
    while True:
        verdict = judge(ledger, stores().contents(prefix))
        if verdict.clean or time.monotonic() > ends:
            break
        time.sleep(1)
    print(
        f"{prefix}: {len(ledger.accepted)} accepted, {len(ledger.refused)} refused, "
        f"{len(ledger.unknown)} unknown, {verdict.count('lost')} lost"
    )
    assert verdict.clean, verdict.describe()
