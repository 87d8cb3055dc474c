"""What is measured: our services, or another implementation of the same contract, on the same servers.
One side runs at a time, and each time it starts on empty servers."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from generators import HERE
from processes import cpu_seconds, largest_mib
from servers import Servers
from system import System, binary, free_port

START_LIMIT_S, STOP_LIMIT_S = 60, 20


class NotStarted(RuntimeError):
    """A side that cannot be started, or that is not ready in time."""


class Program:
    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], answers: str | None, log: Path
    ):
        self.name = name
        self._command = command
        self._environment = environment
        self.answers = answers  # a URL that answers below 500 when it is ready; None: nobody knows
        self._log = log
        self._process: subprocess.Popen | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, **settings: str) -> None:
        """`settings`: others than its own."""
        try:
            with open(self._log, "ab") as log:
                # A group of its own: what it starts ends with it.
                self._process = subprocess.Popen(
                    self._command,
                    env=self._environment | settings,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise NotStarted(f"{self.name} cannot be started: {error}") from error

    def ended(self) -> str | None:
        """How, if it has ended by itself."""
        if self._process is None or self._process.poll() is None:
            return None
        return f"{self.name} ended with {self._process.returncode}; see {self._log}"

    def check(self) -> None:
        if ended := self.ended():
            raise RuntimeError(ended)

    def ready(self) -> bool:
        self.check()
        if self.answers is None:
            return True
        try:
            return requests.get(self.answers, timeout=3).status_code < 500
        except requests.RequestException:
            return False

    def stop(self) -> None:
        """With all that it has started; also when the wait is interrupted."""
        process = self._process
        if process is None:
            return
        try:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._process = None


class Side:
    def __init__(self, name: str, servers: Servers, queue_type: str, url: str):
        self.name = name
        self.queue_type = queue_type
        self.url = url
        self.largest_mib: dict[str, float] = {}
        self.in_turn = False  # it is what is measured, since the servers were emptied for it
        self._servers = servers
        self.api: list[Program] = []
        self.workers: list[Program] = []
        self.others: list[Program] = []

    @property
    def programs(self) -> list[Program]:
        return self.api + self.workers + self.others

    @property
    def tells_ready(self) -> bool:
        return all(program.answers for program in self.programs)

    def reset(self) -> None:
        """Nothing runs, and the servers are empty."""
        self.stop()
        self.in_turn = True
        self._servers.wipe()
        if self.queue_type == "classic":
            self._servers.declare_classic_queue()

    def start(self, programs: list[Program] | None = None, **settings: str) -> None:
        """On empty servers. Default: all of them."""
        self.reset()
        self.launch(self.programs if programs is None else programs, **settings)

    def launch(self, programs: list[Program], **settings: str) -> None:
        """Returns when they are ready."""
        for program in programs:
            program.start(**settings)
        end = time.monotonic() + START_LIMIT_S
        for program in programs:
            while not program.ready():
                if time.monotonic() > end:
                    raise NotStarted(f"{program.name} is not ready after {START_LIMIT_S} s")
                time.sleep(0.01)

    def stop(self, programs: list[Program] | None = None) -> None:
        """Default: all of them."""
        running = [one for one in (self.programs if programs is None else programs) if one.pid]
        if running:
            self._servers.note_memory()
        for one in running:
            self.largest_mib[one.name] = max(self.largest_mib.get(one.name, 0.0), largest_mib(one.pid))
        for one in running:
            one.stop()
        if programs is None:
            self.in_turn = False

    def check(self) -> None:
        for program in self.programs:
            program.check()

    def ended(self) -> str | None:
        """What has ended by itself, and how."""
        return next((ended for program in self.programs if (ended := program.ended())), None)

    def pids(self) -> dict[str, int]:
        return {program.name: program.pid for program in self.programs if program.pid}


def ours(system: System, servers: Servers, log: Path) -> Side:
    side = Side("ours", servers, "quorum", system.env["API_URL"])

    def program(service: str) -> Program:
        name = f"{service}-1"
        environment = system.environment(name) | {"POSTGRES_DSN": servers.env["POSTGRES_DSN"]}
        return Program(service, [str(binary(service))], environment, system.admin_url(name) + "/readyz", log)

    side.api = [program("gateway")]
    side.workers = [program("bridge"), program("persister"), program("indexer")]
    side.others = [program("scheduler")]
    return side


def peer(name: str, servers: Servers, api: list[str], worker: list[str], log: Path) -> Side:
    """Another implementation: commands for its API and its worker; an empty one is missing."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | servers.env | {"API_PORT": str(port), "ORDER_QUEUE_TYPE": "classic"}
    side = Side(name, servers, "classic", url)
    if api:
        side.api = [Program(f"{name} api", api, environment, url + "/api/dashboard/sales", log)]
    if worker:
        side.workers = [Program(f"{name} worker", worker, environment, None, log)]
    return side


def python_worker(servers: Servers, log: Path) -> Side:
    """The yardstick that comes with the project."""
    return peer("python", servers, [], [sys.executable, str(HERE / "peer_worker.py")], log)


class Meter:
    """CPU seconds of a side and of the servers while something is done."""

    def __init__(self, side: Side, servers: Servers):
        self._side, self._servers = side, servers
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in (self._side.pids() | self._servers.pids).items()}

    def per_1000(self, orders: float, generator: float | None = None) -> dict[str, float]:
        """By process, for a thousand orders."""
        self._side.check()
        used = {
            name: value - self._before[name] for name, value in self._now().items() if name in self._before
        }
        if generator is not None:
            used["load generator"] = generator
        return {name: value / orders * 1000 for name, value in used.items()} if orders else {}
