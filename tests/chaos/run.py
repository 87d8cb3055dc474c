"""One scenario's run: its load, its ledger, the faults that were fired, and the verdict at the end."""

import collections
import contextlib
import dataclasses
import json
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import requests

from ledger import Ledger
from observer import Observer
from proxy import Mode
from stand import Extra, Stand, extra
from stores import Stores
from verdict import judge

HERE = pathlib.Path(__file__).parent


class ScenarioFailed(AssertionError):
    """The system did not do what the scenario says it must."""


class TooLate(ScenarioFailed):
    """It did not do it in time or fast enough, which may be the machine's fault."""


@dataclasses.dataclass
class Result:
    name: str
    accepted: int = 0
    faults: int = 0
    redelivered: int = 0
    unknown: int = 0
    lost: int = 0
    spurious: int = 0
    duplicates: int = 0
    recovery_seconds: float | None = None
    seconds: float = 0.0
    problem: str = ""
    skipped: bool = False
    repeatable: bool = False  # nothing is wrong but the time that something took, or the fault missed
    repeated: bool = False
    kills: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    @property
    def recovery(self) -> str:
        return "–" if self.recovery_seconds is None else f"{self.recovery_seconds:.1f}"

    @property
    def verdict(self) -> str:
        if self.problem:
            return "repeated" if self.repeated else "FAILED"
        return "skipped" if self.skipped else "passed"


class Run:
    """What a scenario works with. `long` asks for the long form."""

    def __init__(self, name: str, stand: Stand, seed: int, long: bool):
        self.name = name
        self.stand = self.system = stand
        self.proxies = stand.proxies
        self.long = long
        self.random = random.Random(f"{seed}/{name}")
        self.prefix = f"c{self.random.getrandbits(32):08x}"
        self.ledger_path = stand.folder / f"{name}.ledger"
        self.ledger_path.unlink(missing_ok=True)
        self._ledger = Ledger(self.ledger_path)
        self.stores = Stores(self.system.env, stand.rabbitmqctl)
        self.observer = Observer(stand.services)
        self.faults = 0
        self.kills: collections.Counter[str] = collections.Counter()  # kill -9, by service or server
        self.expected_dead: set[str] = set()  # names that the scenario itself made unacceptable to a store
        self.excused: set[str] = set()  # names that the fault itself destroyed, such as with a deleted queue
        self.minimum_accepted = 1000
        self.expects_redelivery = False
        self._recovery: float | None = None

    # --- the load

    @contextlib.contextmanager
    def load(
        self,
        rate: float = 400,
        concurrency: int = 64,
        orders: int = 0,
        settle: float = 45,
        plain: bool = False,
        urls: list[str] | None = None,
    ) -> Iterator[subprocess.Popen]:
        """Orders arrive while the block runs; afterwards the unknown ones are asked for once more.

        `plain`: none has a key. PostgreSQL may have to be asked what a key stands for.
        `urls`: of the gateways, if they are not those of the stand."""
        options = {
            "--ledger": self.ledger_path,
            "--prefix": self.prefix,
            "--rate": rate,
            "--concurrency": concurrency,
            "--orders": orders,
            "--settle": settle,
            "--seed": self.random.getrandbits(31),
        }
        command = [sys.executable, HERE / "load_client.py"]
        for option, value in options.items():
            command += [option, value]
        command += ["--plain"] * plain
        for url in urls or self.system.env["API_URLS"].split():
            command += ["--url", url]
        client = subprocess.Popen(list(map(str, command)))
        try:
            yield client
        finally:
            client.send_signal(signal.SIGTERM)
            client.wait(settle + 60)

    def ledger(self) -> Ledger:
        """All that was asked and answered until now."""
        self._ledger.read_on()
        return self._ledger

    def accepted_so_far(self) -> int:
        return self.ledger().accepted_count

    def until_accepted(self, more: int, timeout: float = 60) -> None:
        """Wait until so many more orders have been accepted than now: the load is really flowing."""
        target = self.accepted_so_far() + more
        self.until(lambda: self.accepted_so_far() >= target, timeout, f"{more} more orders accepted")

    # --- faults

    def fault(self, what: str) -> None:
        """Count a fault that was fired."""
        self.faults += 1
        print(f"    fault {self.faults}: {what}", flush=True)

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL, at: str = "") -> None:
        """`at`: how far the work is that it hits."""
        self.stand.kill(name, sig)
        if sig is signal.SIGKILL:
            self.kills[name.partition("-")[0]] += 1
        self.fault(f"{sig.name} {name}{at and f' at {at}'}")

    @contextlib.contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """The process is frozen while the block runs."""
        self.kill(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self.stand.kill(name, signal.SIGCONT)

    @contextlib.contextmanager
    def down(self, name: str) -> Iterator[None]:
        """The process does not run while the block runs; it was stopped cleanly."""
        self.stand.stop(name)
        self.fault(f"{name} stopped")
        try:
            yield
        finally:
            self.stand.start(name)

    @contextlib.contextmanager
    def without_archive(self) -> Iterator[None]:
        """No scheduler runs while the block does: dead letters stay in their queue."""
        names = [name for name in self.stand.service_names() if name.startswith("scheduler-")]
        for name in names:
            self.stand.stop(name)
        try:
            yield
        finally:
            for name in names:
                self.stand.start(name)

    @contextlib.contextmanager
    def mode(self, link: str, mode: Mode) -> Iterator[None]:
        """The link to one server behaves in this way while the block runs."""
        self.proxies[link].set_mode(mode)
        self.fault(f"{link}: {mode.value}")
        try:
            yield
        finally:
            self.proxies[link].set_mode(Mode.PASS)
            self.proxies[link].reset()

    @contextlib.contextmanager
    def slow(self, link: str, bytes_per_second: float) -> Iterator[None]:
        """Each connection to one server carries no more while the block runs, so that faults hit its work."""
        self.proxies[link].bytes_per_second = bytes_per_second
        try:
            yield
        finally:
            self.proxies[link].bytes_per_second = None

    def extra(self, service: str, settings: dict[str, str]) -> contextlib.AbstractContextManager[Extra]:
        """One more replica of a service, with settings of its own, while the block runs."""
        return extra(self.stand, service, settings)

    # --- waiting and checking

    def until(self, condition: Callable[[], bool], timeout: float, what: str) -> float:
        """Wait for a condition; returns the seconds that it took."""
        started = time.monotonic()
        last_error = ""
        while True:
            try:
                if condition():
                    return time.monotonic() - started
            except Exception as error:  # a server that is down right now is what we wait for
                last_error = f" ({type(error).__name__}: {error})"
            if time.monotonic() - started > timeout:
                raise TooLate(f"not within {timeout:.0f} s: {what}{last_error}")
            time.sleep(0.1)

    def must_come(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait for what would be lost if it did not come: no lateness of the machine's."""
        try:
            self.until(condition, timeout, what)
        except TooLate as late:
            raise ScenarioFailed(str(late)) from None

    def check(self, good: bool, what: str) -> None:
        if not good:
            raise ScenarioFailed(what)

    def hits(self, good: bool, what: str) -> None:
        """Whether a fault hits what it is meant for."""
        if not good:
            raise TooLate(f"the fault missed: {what}")

    def fast_enough(self, share: float, least: float, what: str) -> None:
        if share < least:
            raise TooLate(f"{share:.0%}, not {least:.0%}, {what}")

    def in_time(self, seconds: float, limit: float, what: str) -> None:
        if seconds > limit:
            raise TooLate(f"{what} took {seconds:.2f} s, not {limit:g} s")

    def recovered(self, limit: float = 5.0, url: str | None = None) -> None:
        """The fault is over: a fresh order must reach both stores within `limit` seconds from now.

        `url`: of the gateway that gets it, if it is not the first of the stand."""
        started = time.monotonic()
        client = self.stores.search_client()

        def arrived() -> bool:
            answer = self.post(f"{self.prefix}x-recovery probe", url=url)
            if answer.status_code != 202:
                return False
            order_id = answer.json()["order_id"]
            asked = time.monotonic()
            while time.monotonic() - asked < limit:
                if self.stores.has_row(order_id) and client.exists(index=self.stores.index, id=order_id):
                    return True
                time.sleep(0.05)
            return False

        self.until(arrived, 60, "a fresh order in both stores")
        took = time.monotonic() - started
        self._recovery = max(took, self._recovery or 0.0)
        self.in_time(took, limit, "a fresh order's way to both stores")

    # --- requests beside the load; their names are outside of the verdict unless they begin with prefix + "-"

    def post(
        self,
        name: str,
        amount: str = "1.00",
        key: str | None = None,
        timeout: float = 12,
        url: str | None = None,
    ) -> requests.Response:
        headers = {"Idempotency-Key": key} if key else {}
        body = f'{{"product_name":"{name}","amount":{amount}}}'
        url = url or self.system.env["API_URL"]
        return requests.post(f"{url}/api/orders", data=body.encode(), headers=headers, timeout=timeout)

    def get(self, order_id: str, timeout: float = 12) -> requests.Response:
        return requests.get(f"{self.system.env['API_URL']}/api/orders/{order_id}", timeout=timeout)

    def search(self, term: str) -> requests.Response:
        return requests.get(f"{self.system.env['API_URL']}/api/search", params={"q": term}, timeout=12)

    def get_dashboard(self) -> requests.Response:
        return requests.get(f"{self.system.env['API_URL']}/api/dashboard/sales", timeout=12)

    def dashboard_total(self) -> Decimal:
        days = self.get_dashboard().json(parse_float=Decimal, parse_int=Decimal)
        return sum((day["total_revenue"] for day in days), Decimal(0))

    def refresh(self) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.system.env['ADMIN_TOKEN']}"}
        return requests.post(f"{self.system.env['API_URL']}/api/admin/refresh", headers=headers, timeout=60)

    # --- the end

    def own_dead_letters(self) -> list:
        prefix = self.prefix.encode()
        return [(properties, body) for properties, body in self.stores.letters.all() if prefix in body]

    def expect_dead(self, letters: list) -> None:
        self.expected_dead |= {json.loads(body)["product_name"] for _, body in letters}

    def drained(self, timeout: float = 60) -> None:
        """Wait until the queue is empty and nothing is in flight."""
        self.until(
            lambda: self.stores.queue_depth() == 0 and self.stand.in_flight() == 0,
            timeout,
            "the queue is empty",
        )

    def finish(self) -> Result:
        """The verdict. What is still missing has some time to arrive."""
        self.drained(120)
        ends = time.monotonic() + 30
        while True:
            verdict = judge(
                self.ledger(),
                self.stores.contents(self.prefix),
                frozenset(self.expected_dead),
                frozenset(self.excused),
            )
            if verdict.clean or time.monotonic() > ends:
                break
            time.sleep(1)
        if self.expects_redelivery:
            with contextlib.suppress(TooLate):
                self.until(lambda: self.observer.redelivered() > 0, 3, "a bridge tells of a redelivery")
        ledger = self.ledger()
        result = Result(
            self.name,
            ledger.accepted_count,
            self.faults,
            self.observer.redelivered(),
            len(ledger.unknown),
            verdict.count("lost"),
            verdict.count("spurious"),
            verdict.count("duplicates"),
            self._recovery,
            kills=self.kills,
        )
        if not verdict.clean:
            result.problem = verdict.describe()
            return result
        result.repeatable = True
        if result.accepted < self.minimum_accepted:
            result.problem = f"only {result.accepted} orders accepted: the run says nothing"
        elif not result.faults:
            result.problem = "no fault was fired: the run says nothing"
        elif self.expects_redelivery and not result.redelivered:
            result.problem = "no redelivery seen: the fault did not hit orders in flight"
        return result
