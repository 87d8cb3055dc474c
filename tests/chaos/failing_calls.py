"""Every call that a service makes, made to fail once: the first of its kind, the second, the third, …; while
it starts, and while it works.

The service must then either carry on, or end cleanly and be good again after its restart. That is judged here
at once; whether an order was lost, by the ledger at the end. Every order names the failure during which it
was made.
"""

import collections
import concurrent.futures
import dataclasses
import itertools
import signal
import time
import uuid
from collections.abc import Callable, Iterator

import requests

from ledger import Writer, is_definite_refusal
from victim import CRASHES, Victim

MEMORY = ["malloc", "calloc", "realloc"]
RESOURCES = [
    "socket", "accept4", "eventfd", "epoll_create1", "epoll_ctl", "timerfd_create", "bind", "listen", "fopen",
    "open_memstream", "pthread_create", "poll", "zmq_msg_init_size",
]  # fmt: skip
# Whatever happens on a link to somebody else is no reason to end.
LINKS = [
    "connect", "getaddrinfo", "read", "write", "recv", "send", "writev", "epoll_wait", "zmq_send",
    "zmq_msg_send",
]  # fmt: skip
POSTGRES = [
    "PQconnectdbParams", "PQexec", "PQexecParams", "PQsetnonblocking", "PQenterPipelineMode",
    "PQsendPrepare", "PQsendQueryParams", "PQsendQueryPrepared", "PQpipelineSync", "PQflush",
    "PQconsumeInput",
]  # fmt: skip
ELASTICSEARCH = [
    "curl_easy_init", "curl_multi_init", "curl_multi_add_handle", "curl_slist_append", "curl_easy_setopt",
]  # fmt: skip
RABBITMQ = [
    "amqp_socket_open_noblock", "amqp_basic_ack", "amqp_basic_nack", "amqp_send_frame",
    "amqp_send_method", "amqp_simple_wait_frame_noblock",
]  # fmt: skip
REDIS = ["redisAsyncConnect", "redisAsyncFormattedCommand"]
EVERYWHERE = MEMORY + RESOURCES + LINKS
CALLS = {
    "gateway": EVERYWHERE + POSTGRES + ELASTICSEARCH + RABBITMQ + REDIS,
    "bridge": EVERYWHERE + RABBITMQ,
    "persister": EVERYWHERE + POSTGRES,
    "indexer": EVERYWHERE + ELASTICSEARCH,
    "scheduler": EVERYWHERE + POSTGRES + ELASTICSEARCH + RABBITMQ,
}
# Out of memory or of descriptors, a service may end; what the others refuse here is for want of memory.
UNREADABLE_FILE = ("read", 78)  # of the configuration, at the start
MAY_END_IT = frozenset(MEMORY + RESOURCES + ELASTICSEARCH) | {"PQconnectdbParams", "redisAsyncConnect"}

# A connection that is not watched ends by its time limit of 10 s: only in the long form.
LINGERING = frozenset(["epoll_ctl"])

LONG_ALL = 1000
START_SECONDS = 20
ANSWER_SECONDS = 12
ARRIVAL_SECONDS = 3
NEW_CONNECTIONS = 8  # kept open to servers more than before


@dataclasses.dataclass
class Failure:
    """One call to fail; its number begins the names of its orders."""

    number: int
    call: str
    at: int
    starting: bool

    def __str__(self) -> str:
        return f"{self.call} {self.at} {'at the start' if self.starting else 'at work'}"


class Orders:
    """A ledger client that makes a few orders at a time."""

    def __init__(self, run, url: str):
        self._writer = Writer(run.ledger_path)
        self._url, self._prefix, self._random = url, run.prefix, run.random
        self._numbers = itertools.count()  # posts come from several threads

    def post(self, failure: Failure) -> str | None:
        """The id, or None when it was not accepted. A key is tried again until its fate is known."""
        number = next(self._numbers)
        name = f"{self._prefix}-{number:06d} {failure}"
        amount = f"{self._random.randint(1, 500_000) / 100:.2f}"
        key = f"{self._prefix}-key-{number}" if number % 2 else None
        for _ in range(3 if key else 1):
            order_id, is_known = self._attempt(name, amount, key)
            if is_known:
                return order_id
            time.sleep(0.2)
        return None

    def _attempt(self, name: str, amount: str, key: str | None) -> tuple[str | None, bool]:
        self._writer.asked(name, amount, key)
        asked = time.monotonic()
        status, order_id, code = None, None, None
        try:
            answer = requests.post(
                f"{self._url}/api/orders",
                data=f'{{"product_name":"{name}","amount":{amount}}}'.encode(),
                headers={"Idempotency-Key": key} if key else {},
                timeout=ANSWER_SECONDS,
            )
            members = answer.json()
            status, order_id, code = answer.status_code, members.get("order_id"), members.get("code")
        except (requests.RequestException, ValueError) as error:
            code = type(error).__name__
        self._writer.answered(name, status, order_id, code, time.monotonic() - asked)
        return order_id, status == 202 or is_definite_refusal(status, code)


class Torture:
    """Makes the calls of one service fail, one after another."""

    def __init__(self, run, victim: Victim, visit: Callable[[Failure], list[str]]):
        """`visit` gives the service some of everything to do, and returns what is wrong with its answers."""
        self._run, self._victim, self._visit = run, victim, visit
        self._failures = 0
        self._open_files = 0
        self._spent = collections.Counter()
        self.ends: collections.Counter[str] = collections.Counter()
        self.problems: list[str] = []

    def go_on(self, seconds: float | None) -> None:
        """All numbers of all calls; with a limit in seconds, the first one of each and some of the others."""
        ends = time.monotonic() + seconds if seconds else float("inf")
        with self._victim.instead():
            self._start_anew()
            calls = [call for call in CALLS[self._victim.service] if self._run.long or call not in LINGERING]
            series = {(call, starting): self._numbers() for call in calls for starting in (False, True)}
            while series and time.monotonic() < ends:
                for which in list(series):
                    if time.monotonic() > ends and self._failures >= len(calls) * 2:
                        break
                    call, starting = which
                    self._failures += 1
                    failure = Failure(self._failures, call, next(series[which]), starting)
                    try:
                        happened = self._at_start(failure) if starting else self._at_work(failure)
                    except Exception as error:  # the next one begins anew
                        happened = self._problem(failure, f"{type(error).__name__}: {error}")
                    if not happened:
                        del series[which]
            self._victim.disarm()

    def _numbers(self) -> Iterator[int]:
        """1, 2, 3, …; in the short form with gaps that grow, in the long form only after many."""
        at = 1
        while True:
            yield at
            at += self._run.random.randint(1, max(1, at - (LONG_ALL if self._run.long else 0)))

    def report(self) -> None:
        fired = sum(self.ends.values())
        ends = ", ".join(f"{count} {end}" for end, count in self.ends.most_common())
        print(f"    {fired} calls failed: {ends}", flush=True)
        self._run.check(not self.problems, "\n".join(self.problems))
        self._run.check(fired >= 30, f"only {fired} calls failed: the run says nothing")

    # --- one failure

    def _start_anew(self) -> None:
        self._victim.kill()
        self._victim.disarm()
        self._victim.start()
        if not self._victim.wait("readyz", START_SECONDS):
            raise AssertionError(f"{self._victim.name} does not become ready: {self._victim.output()[-500:]}")
        self._visit(Failure(self._failures, "none", 0, False))
        self._open_files = len(self._victim.descriptors())

    def _at_start(self, failure: Failure) -> bool:
        self._victim.kill()
        self._victim.arm(failure.call, failure.at)
        self._victim.start()
        ready = self._victim.wait("readyz", START_SECONDS)
        if not self._victim.fired:
            self._victim.disarm()
            return False
        self._run.faults += 1
        if not ready and self._victim.exit_code is None:
            return self._problem(failure, "neither ready nor ended")
        self._end_or_life(failure)
        return True

    def _at_work(self, failure: Failure) -> bool:
        if self._victim.exit_code is not None or not self._victim.wait("readyz", START_SECONDS):
            self._start_anew()
        self._victim.arm(failure.call, failure.at)
        wrong = self._visit(failure)
        if not self._victim.fired:
            self._victim.disarm()
            return False
        self._run.faults += 1
        for what in wrong:
            self._problem(failure, what)
        if not self._end_or_life(failure):
            return True
        if not self._victim.wait("readyz", START_SECONDS):
            return self._problem(failure, "not ready again")
        ends = time.monotonic() + 5
        while len(files := self._victim.descriptors()) > self._open_files + NEW_CONNECTIONS:
            if time.monotonic() > ends:
                kinds = collections.Counter(file.partition(":")[0] for file in files)
                self._problem(failure, f"{len(files)} descriptors, {self._open_files} before: {dict(kinds)}")
                self._victim.kill()
                break
            time.sleep(0.05)
        return True

    def _end_or_life(self, failure: Failure) -> bool:
        """Whether it lives; if not, that it ended as it may."""
        if self._victim.wait("livez", ANSWER_SECONDS):
            self.ends["carried on"] += 1
            return True
        code = self._victim.exit_code
        if code is None:
            self._victim.kill()
            self._problem(failure, "it hangs")
            return False
        self.ends[signal.Signals(-code).name if code < 0 else f"exit {code}"] += 1
        if -code in CRASHES:
            self._problem(failure, f"it crashed: {signal.Signals(-code).name}")
        elif code not in (-signal.SIGABRT, 1, 70, 78):
            self._problem(failure, f"it ended with {code}")
        elif failure.call not in MAY_END_IT and (failure.call, code) != UNREADABLE_FILE:
            self._problem(failure, f"it ended with {code}, though it can go on")
        return False

    def _problem(self, failure: Failure, what: str) -> bool:
        """Keeps it; True, as the call did fail."""
        log = "\n".join(self._victim.output()[-2500:].splitlines()[-14:])
        self.problems.append(f"{self._victim.name}, {failure}: {what}\n{log}")
        print(f"    {failure}: {what}", flush=True)
        return True


class GatewayVisit:
    """Some of every request that there is."""

    def __init__(self, run, url: str):
        self._run, self._url = run, url
        self.orders = Orders(run, url)
        self._pool = concurrent.futures.ThreadPoolExecutor(16)
        self._stored = None
        self._refresh = None

    def __call__(self, failure: Failure) -> list[str]:
        run, pool = self._run, self._pool
        if self._stored is None:
            self._stored = self._store()
        run.stores.cache().delete(f"order:{self._stored}")
        token = {"Authorization": f"Bearer {run.system.env['ADMIN_TOKEN']}"}
        bulk = (
            '{"orders":[{"product_name":"one of two","amount":1},{"product_name":"two of two","amount":2}]}'
        )
        orders = [pool.submit(self.orders.post, failure) for _ in range(5)]
        others = [
            pool.submit(self._ask, {200, 500, 503}, "GET", f"/api/orders/{self._stored}"),
            pool.submit(self._ask, {404, 500, 503}, "GET", f"/api/orders/{uuid.uuid4()}"),
            pool.submit(self._ask, {200, 502, 503, 504}, "GET", "/api/search?q=calls"),
            pool.submit(self._ask, {200, 500, 503}, "GET", "/api/dashboard/sales"),
            pool.submit(self._ask, {201, 500, 503}, "POST", "/api/bulk-orders", data=bulk),
        ]
        if self._refresh is None or self._refresh.done():  # at most one a second: nobody waits for it
            others += [self._refresh] if self._refresh else []
            self._refresh = pool.submit(
                self._ask, {200, 500, 503, 504}, "POST", "/api/admin/refresh", headers=token
            )
        concurrent.futures.wait(orders)
        return [problem for answer in others if (problem := answer.result())]

    def _store(self) -> str:
        """An order that the reads ask for."""
        order_id = self.orders.post(Failure(0, "none", 0, False))
        self._run.until(lambda: self._run.stores.has_row(order_id), 10, "an order to be read")
        return order_id

    def _ask(self, expected: set[int], method: str, path: str, **options) -> str | None:
        started = time.monotonic()
        try:
            answer = requests.request(method, self._url + path, timeout=ANSWER_SECONDS, **options)
        except requests.Timeout:
            return f"{method} {path}: no answer within {ANSWER_SECONDS} s"
        except requests.RequestException:
            return None
        seconds = time.monotonic() - started
        if answer.status_code not in expected:
            return f"{method} {path}: {answer.status_code} {answer.text[:200]}"
        if seconds > ANSWER_SECONDS - 1:
            return f"{method} {path}: answered after {seconds:.1f} s"
        return None


class PipelineVisit:
    """A few orders through all of it, and a message that becomes a dead letter."""

    def __init__(self, run, victim: Victim):
        self._run, self._victim = run, victim
        self.orders = Orders(run, run.system.env["API_URL"])
        self._pool = concurrent.futures.ThreadPoolExecutor(8)
        self._search = run.stores.search_client()
        self.poison: list[bytes] = []

    def __call__(self, failure: Failure) -> list[str]:
        if self._victim.service == "bridge":
            self.poison.append(f"poison {self._run.prefix} {failure.number}".encode())
            self._run.stand.services.queues.publish(self.poison[-1])
        posts = [self._pool.submit(self.orders.post, failure) for _ in range(8)]
        missing = [order_id for post in posts if (order_id := post.result())]
        ends = time.monotonic() + ARRIVAL_SECONDS
        while missing and self._victim.exit_code is None and time.monotonic() < ends:
            documents = self._search.mget(index=self._run.stores.index, ids=missing, source=False)["docs"]
            missing = [document["_id"] for document in documents if not document.get("found")]
            time.sleep(0.01)
        return []


class SchedulerVisit:
    """A refresh asked for, beside those that its schedule brings, and a dead letter to archive."""

    def __init__(self, run, victim: Victim):
        self._run, self._victim = run, victim
        self.orders = Orders(run, run.system.env["API_URL"])
        self._pool = concurrent.futures.ThreadPoolExecutor(4)
        self.poison: list[bytes] = []

    def __call__(self, failure: Failure) -> list[str]:
        self.orders.post(failure)
        self.poison.append(f"poison {self._run.prefix} {failure.number}".encode())
        self._run.stand.services.queues.publish(self.poison[-1])
        asked = self._pool.submit(self._run.refresh)
        while not asked.done() and self._victim.exit_code is None:
            concurrent.futures.wait([asked], timeout=0.05)
        if asked.done() and asked.result().status_code not in (200, 500, 503, 504):
            return [f"POST /api/admin/refresh: {asked.result().status_code} {asked.result().text}"]
        return []
