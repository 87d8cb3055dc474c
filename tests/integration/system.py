"""One running system, started by ./dev in a run folder of its own, and the clients to look at it.

The clients are independent of the project: requests, psycopg, pika, redis, elasticsearch.
"""

import contextlib
import errno
import os
import random
import re
import signal
import socket
import subprocess
import time
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
import requests
from elasticsearch import ApiError

from api import Api
from queues import Queues
from search_client import search_client
from supervisor import Supervisor, process_tree
from wait import eventually

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "bridge", "persister", "indexer", "scheduler")

# As ./dev has it: ::1 in `./dev test ipv6`. In URLs an IPv6 address has brackets.
LOOPBACK = os.environ.get("DEV_LOOPBACK", "127.0.0.1")
LOOPBACK_HOST = f"[{LOOPBACK}]" if ":" in LOOPBACK else LOOPBACK


def read_environment(exports):
    """The variables that a shell script of exports sets."""
    command = ["env", "-i", "bash", "-c", exports + "\nenv -0"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: value for name, value in variables.items() if name not in ("PWD", "SHLVL", "_", "PATH")}


def of_database(dsn, name):
    """The same server, another of its databases."""
    return urlsplit(dsn)._replace(path="/" + name).geturl()


def binary(service):
    return ROOT / "build/release/services" / service / service


def listen(port):
    """On the loopback address."""
    family = socket.AF_INET6 if ":" in LOOPBACK else socket.AF_INET
    return socket.create_server((LOOPBACK, port), family=family)


def free_port():
    """Below the range of which the kernel gives a port to every connection, so that it stays free until
    a program listens on it. Tests that run beside each other have ports of their own for that."""
    runner = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    while True:
        port = random.randrange(10_000 + runner * 2_500, 12_500 + runner * 2_500)
        try:
            with listen(port):
                return port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise


def free_ports(count):
    """The first of so many in a row."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as bound:
            for port in range(first, first + count):
                bound.enter_context(listen(port))
            return first


def send(signal_number, processes):
    """To each of them that has not ended meanwhile: RabbitMQ starts programs that live for a moment."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal_number)


class System:
    def __init__(self, run, settings=None):
        self.run = Path(run)
        self.settings = settings or {}
        self._counts = {}
        self._exits = contextlib.ExitStack()

    # --- life ---------------------------------------------------------------------------------

    def dev(self, *arguments, timeout=300):
        """Runs ./dev for this system; what it printed is in the error if it fails."""
        # Nothing of a shell that has read another system's .run/env may come through.
        known = ("PATH", "HOME", "LANG", "USER", "DEV_VERSION", "DEV_LOOPBACK")
        clean = {name: os.environ[name] for name in known if name in os.environ}
        result = subprocess.run(
            [ROOT / "dev", *arguments],
            env=clean | self.settings | {"DEV_RUN": str(self.run)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert result.returncode == 0, f"./dev {' '.join(arguments)} failed:\n{result.stdout}"
        return result.stdout

    def up(self, **scale):
        """Starts, or brings to another scale; returns when every service is ready."""
        counts = [f"{service}={count}" for service, count in scale.items()]
        self.dev("up", "--no-build", *(["--scale", *counts] if counts else []))
        self._counts |= scale
        self.__dict__.pop("env", None)
        self.__dict__.pop("api", None)

    def scale(self, **counts):
        """Another scale; nothing happens if it is the present one."""
        if self._counts | counts != self._counts:
            self.up(**counts)

    def start_stopped(self, but=()):
        """Processes that died so often that the supervisor gave them up, or that were stopped."""
        for program, state in self.programs().items():
            if state in ("FATAL", "EXITED", "STOPPED") and program not in but:
                self.supervisor.start(program)

    def destroy(self):
        self._exits.close()
        if self.run.exists():
            self.dev("destroy", "--yes")

    @contextlib.contextmanager
    def sibling(self, name, scale=None, **settings):
        """A second set of services on the same servers, with a database, queue and index of its
        own; `settings` override. It must be the only user of the queue that it names."""
        database, _ = self.database(name), self.env
        servers = ("REDIS_ADDR", "RABBITMQ_URL", "ELASTICSEARCH_URL")
        own = {key: self.env[key] for key in servers} | {
            "POSTGRES_DSN": database,
            "ORDER_QUEUE": name,
            "ORDER_INDEX": name,
        }
        sibling = System(f"{self.run}-{name}", own | settings)
        sibling.destroy()
        try:
            sibling.up(**(scale or {}))
            sibling.wait_gateways()
            yield sibling
        finally:
            sibling.destroy()

    def database(self, name):
        """The DSN of an additional database, made if it does not exist."""
        exists = self.postgres.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if not exists:
            self.postgres.execute(f'CREATE DATABASE "{name}"')
        return of_database(self.env["POSTGRES_DSN"], name)

    # --- processes ----------------------------------------------------------------------------

    @cached_property
    def supervisor(self):
        return Supervisor(self.run / "supervisord.conf")

    def programs(self):
        """Name → state of every process."""
        return {name: program.state for name, program in self.supervisor.programs().items()}

    def pid(self, program):
        """0 while it does not run."""
        return self.supervisor.programs()[program].pid

    def kill(self, program, signal_number=signal.SIGKILL):
        """Sends a signal and returns the process id that had it."""
        pid = self.pid(program)
        assert pid, f"{program} does not run"
        os.kill(pid, signal_number)
        return pid

    def kill_and_wait(self, program):
        """kill -9, then until the supervisor has started it again."""
        old = self.kill(program)
        eventually(lambda: self.pid(program) not in (0, old), f"{program} is started again")

    @contextlib.contextmanager
    def stopped(self, program):
        """The program does not run inside of the block (a clean stop)."""
        self.supervisor.stop(program)
        try:
            yield
        finally:
            self.supervisor.start(program)

    @contextlib.contextmanager
    def frozen(self, program):
        """The program, with all that it started, is there but does nothing inside of the block."""
        pid = self.pid(program)
        assert pid, f"{program} does not run"
        processes = process_tree(pid)
        try:
            send(signal.SIGSTOP, processes)
            yield
        finally:
            send(signal.SIGCONT, processes)

    def environment(self, program):
        """The variables that ./dev gives to a replica."""
        script = (self.run / "start" / program).read_text()
        exports = "\n".join(line for line in script.splitlines() if line.startswith("export "))
        return read_environment(exports)

    def check(self, service, **changes):
        """What --check of a service with these settings says: a CompletedProcess."""
        environment = self.environment(f"{service}-1") | changes
        return subprocess.run(
            [binary(service), "--check"], env=environment, capture_output=True, text=True, timeout=60
        )

    def livez(self, program):
        try:
            return requests.get(self.admin_url(program) + "/livez", timeout=30).status_code
        except requests.RequestException:
            return None

    def log(self, program):
        return (self.run / "log" / f"{program}.log").read_text(errors="replace")

    def rabbitmqctl(self, *arguments):
        """On a node that runs, if there are several."""
        programs = self.supervisor.programs().items()
        node = next(name for name, program in programs if name.startswith("rabbitmq") and program.pid)
        command = [str(self.run / "servers" / node / "rabbitmqctl"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=180).stdout

    # --- what the services say about themselves -----------------------------------------------

    def admin_url(self, program):
        service, number = program.rsplit("-", 1)
        return self.env[f"{service.upper()}_ADMIN_URLS"].split()[int(number) - 1]

    def readiness(self, program):
        return requests.get(self.admin_url(program) + "/readyz", timeout=30)

    def wait_ready(self, timeout=120):
        """Until every process runs, every service says that it is ready, and the gateways miss nothing."""
        for program in self.programs():
            eventually(lambda p=program: self.is_ready(p), f"{program} is ready", timeout)
        self.wait_gateways(timeout)

    def wait_gateways(self, timeout=120):
        """Until each has all that it depends on. It is ready without most of it, and what it needs for
        the next request may come back later than its server."""

        def complete(program):
            try:
                return self.readiness(program).json()["status"] == "ready"
            except requests.RequestException:
                return False

        for program in self.programs():
            if program.startswith("gateway-"):
                eventually(lambda p=program: complete(p), f"{program} has all that it needs", timeout)

    def is_ready(self, program):
        if program.rsplit("-", 1)[0] not in SERVICES:
            return self.programs()[program] == "RUNNING"
        try:
            return self.readiness(program).status_code == 200
        except requests.RequestException:
            return False

    def metrics(self, program):
        """The page as it is now: a service renders it once a second."""
        url = self.admin_url(program) + "/metrics"
        first = text = requests.get(url, timeout=30).text
        ends = time.monotonic() + 1.1
        while text == first and time.monotonic() < ends:
            time.sleep(0.05)
            text = requests.get(url, timeout=30).text
        return text

    def metric(self, program, name):
        """One that has no labels."""
        return float(re.search(rf"^{name} (\S+)$", self.metrics(program), re.MULTILINE)[1])

    # --- clients ------------------------------------------------------------------------------

    @cached_property
    def env(self):
        """What .run/env exports."""
        return read_environment((self.run / "env").read_text())

    @cached_property
    def api(self):
        return Api(self.env["API_URL"], self.env["ADMIN_TOKEN"])

    @cached_property
    def postgres(self):
        # Behind a pooler, a statement prepared in one transaction is not there in the next.
        connection = psycopg.connect(self.env["POSTGRES_DSN"], autocommit=True, prepare_threshold=None)
        connection.execute("SET timezone = 'UTC'")
        return self._exits.enter_context(connection)

    @cached_property
    def redis(self):
        host, port = self.env["REDIS_ADDR"].rsplit(":", 1)
        return redis.Redis(host.strip("[]"), int(port))

    @cached_property
    def elasticsearch(self):
        return search_client(self.env["ELASTICSEARCH_URL"], request_timeout=60)

    @cached_property
    def queues(self):
        return Queues(
            self.env["RABBITMQ_URL"], self.env.get("ORDER_QUEUE", "order_queue"), self.env["POSTGRES_DSN"]
        )

    @cached_property
    def index(self):
        return self.env.get("ORDER_INDEX", "orders")

    def forget_connections(self):
        """After PostgreSQL was restarted: connect again at the next use."""
        self.__dict__.pop("postgres", None)

    # --- where an order is --------------------------------------------------------------------

    def row(self, order_id):
        query = "SELECT id::text, product_name, amount, created_at FROM orders WHERE id = %s"
        row = self.postgres.execute(query, (order_id,), prepare=False).fetchone()
        return dict(zip(("id", "product_name", "amount", "created_at"), row, strict=True)) if row else None

    def document(self, order_id):
        """Read by id, which does not wait for Elasticsearch's refresh."""
        try:
            answer = self.elasticsearch.get(index=self.index, id=order_id)
        except ApiError as error:
            # No such document, no index yet, or one that is just being made or recovered.
            if error.status_code not in (404, 503):
                raise
            return None
        return answer["_source"]

    def wait_stored(self, order_id, timeout=60):
        """Until it is in both stores; returns the row and the document."""
        document = eventually(lambda: self.document(order_id), f"order {order_id} is indexed", timeout)
        return self.row(order_id), document

    def row_count(self, product_name):
        query = "SELECT count(*) FROM orders WHERE product_name = %s"
        return self.postgres.execute(query, (product_name,)).fetchone()[0]
