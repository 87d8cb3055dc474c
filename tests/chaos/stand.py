"""The test stand: private servers, a proxy before each of them, and the services behind the proxies.

The servers are one system of ./dev without services, the services another one without servers of its own.
To a scenario both look like one.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import psycopg
import redis
import requests

from proxy import Mode, Proxy

sys.path.append(str(pathlib.Path(__file__).parents[1] / "integration"))
from supervisor import process_tree  # noqa: E402
from system import SERVICES, System, of_database  # noqa: E402

SERVERS = {
    "postgres": "POSTGRES_DSN",
    "redis": "REDIS_ADDR",
    "rabbitmq": "RABBITMQ_URL",
    "elasticsearch": "ELASTICSEARCH_URL",
}
ONE_OF_EACH = dict.fromkeys(SERVICES, 1)


def address_of(setting: str, value: str) -> tuple[str, int]:
    if setting == "REDIS_ADDR":
        host, _, port = value.rpartition(":")
        return host, int(port)
    url = urlsplit(value)
    return url.hostname, url.port


def sum_of(metrics: str, pattern: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", metrics, re.MULTILINE))


def send_signal(pid: int, sig: signal.Signals) -> list[int]:
    """To the process; what cannot be handled goes to all that it started as well. Returns who had it."""
    processes = [pid] if sig is signal.SIGTERM else process_tree(pid)
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, sig)
    return processes


class Stand:
    """Built once for all scenarios of a run; `servers` and `services` are systems of ./dev."""

    server_user = "postgres" if os.getuid() == 0 else ""

    def __init__(self, folder: pathlib.Path, number: int = 1):
        """`number`: of the stand, if several use the folder."""
        self.folder = folder / f"stand-{number}"
        self.servers = System(folder / f"servers-{number}")
        self.services = System(folder / f"services-{number}")
        self.index_settings = self.folder / "index-settings.json"
        self.proxies: dict[str, Proxy] = {}
        self._stopped: set[str] = set()

    def __enter__(self) -> "Stand":
        try:
            self._start()
        except BaseException:
            self.halt()
            raise
        return self

    def __exit__(self, *_error) -> None:
        self.halt()

    def _start(self) -> None:
        self.destroy()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.servers.up(**dict.fromkeys(SERVICES, 0))
        self.proxies |= {server: self.new_proxy(server) for server in SERVERS}
        self.services.settings |= {
            setting: self.through(self.proxies[server], setting) for server, setting in SERVERS.items()
        }
        # No verification comes by itself in the middle of a scenario.
        self.services.settings |= {"VERIFY_SCHEDULE": "off", "VERIFY_FULL_SCHEDULE": "off"}
        self.services.settings |= {"ORDER_INDEX_SETTINGS_FILE": str(self.index_settings)}
        self.index_settings.write_text("{}")
        self.services.up(**ONE_OF_EACH)

    def keep_blocks(self) -> None:
        """Elasticsearch lifts a block of writing when it has found room on its disk: it looks each 30 s."""
        self.elasticsearch(
            "PUT", "/_cluster/settings", {"persistent": {"cluster.info.update.interval": "1h"}}
        )

    def halt(self) -> None:
        """Stops everything; logs and data stay."""
        for system in (self.services, self.servers):
            if system.run.exists():
                system.dev("down")
        for proxy in self.proxies.values():
            proxy.close()
        self.proxies.clear()

    def destroy(self) -> None:
        """Stops and deletes everything."""
        self.halt()
        self.services.destroy()
        self.servers.destroy()

    def repair(self, scale: dict[str, int] | None = None) -> None:
        """Undoes whatever a scenario has left behind: links pass, frozen processes go on, the usual scale,
        everything ready."""
        for proxy in self.proxies.values():
            proxy.set_mode(Mode.PASS)
            proxy.bytes_per_second = None
        for system in (self.servers, self.services):
            for program in system.supervisor.programs().values():
                if program.pid:
                    send_signal(program.pid, signal.SIGCONT)
        self._stopped.clear()
        self.restart_given_up()
        self.scale(**(ONE_OF_EACH | (scale or {})))
        self.wait_ready()

    def clear(self) -> None:
        """An empty table and an empty cache, so that looking at them stays cheap. The documents stay: nobody
        asks whether they have rows."""
        self.sql("TRUNCATE orders")
        self.sql("UPDATE search_index SET missing = NULL, fault = NULL")
        self.cache().flushall()

    @property
    def env(self) -> dict[str, str]:
        """The services' settings, with the servers' own addresses: what looks from outside does not go
        through the proxies."""
        return self.services.env | {setting: self.servers.env[setting] for setting in SERVERS.values()}

    # --- proxies

    def new_proxy(self, server: str) -> Proxy:
        return Proxy(*address_of(SERVERS[server], self.servers.env[SERVERS[server]]))

    def through(self, proxy: Proxy, setting: str) -> str:
        """The server's setting, led through a proxy."""
        value = self.servers.env[setting]
        host, port = address_of(setting, value)
        return value.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")

    # --- processes

    def _of(self, name: str) -> System:
        return self.servers if name in SERVERS else self.services

    def service_names(self) -> list[str]:
        return list(self.services.programs())

    def pid(self, name: str) -> int:
        return self._of(name).pid(name)

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> list[int]:
        """Signals the program, all its processes, as soon as it runs; returns their ids."""
        self.wait_running(name)
        return send_signal(self.pid(name), sig)

    def wait_running(self, name: str, timeout: float = 90) -> None:
        def runs() -> bool:
            self.restart_given_up()
            return self.pid(name) > 0

        self._until(runs, timeout, f"{name} runs")

    def wait_ready(self, names: list[str] | None = None, timeout: float = 180) -> None:
        """Until the services say that they are ready (so their servers answer)."""
        self.restart_given_up()
        for name in names if names is not None else self.service_names():
            self._until(lambda name=name: self.services.is_ready(name), timeout, f"{name} is ready")

    def is_ready(self, name: str) -> bool:
        return self.services.is_ready(name)

    def restart_given_up(self) -> None:
        """Processes that died so often that the supervisor gave them up."""
        for system in (self.servers, self.services):
            system.start_stopped(but=self._stopped)

    def stop(self, name: str) -> None:
        """A clean stop; it stays stopped."""
        self._stopped.add(name)
        self._of(name).supervisor.stop(name)

    def start(self, name: str) -> None:
        self._stopped.discard(name)
        self._of(name).supervisor.start(name)

    def scale(self, **counts: int) -> None:
        """Changes how many of a service run; waits until they are ready."""
        self.services.scale(**counts)

    def log_path(self, name: str) -> pathlib.Path:
        return self._of(name).run / "log" / f"{name}.log"

    def metric(self, name: str, pattern: str) -> float:
        """The sum of a service's metrics that match a regular expression."""
        return sum_of(self.services.metrics(name), pattern)

    def in_flight(self) -> int:
        """Orders that the bridges hold, by their own account. Much cheaper than asking RabbitMQ."""
        names = [name for name in self.service_names() if name.startswith("bridge-")]
        return int(sum(self.metric(name, "bridge_in_flight") for name in names))

    @staticmethod
    def _until(condition, timeout: float, what: str) -> None:
        ends = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > ends:
                raise AssertionError(f"not within {timeout:.0f} s: {what}")
            time.sleep(0.1)

    # --- servers

    def rabbitmqctl(self, *arguments: str) -> str:
        return self.servers.rabbitmqctl(*arguments)

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.env["POSTGRES_DSN"], autocommit=True) as connection:
            connection.execute(statement)

    def new_database(self, name: str) -> str:
        self.sql(f'CREATE DATABASE "{name}"')
        return of_database(self.env["POSTGRES_DSN"], name)

    def drop_database(self, name: str) -> None:
        self.sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    def orders_total(self):
        with psycopg.connect(self.env["POSTGRES_DSN"]) as connection:
            return connection.execute("SELECT coalesce(sum(amount), 0) FROM orders").fetchone()[0]

    def elasticsearch(self, method: str, path: str, body: dict | None = None) -> dict:
        answer = requests.request(method, self.env["ELASTICSEARCH_URL"] + path, json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def cache(self) -> redis.Redis:
        host, _, port = self.env["REDIS_ADDR"].rpartition(":")
        return redis.Redis(host=host, port=int(port), socket_timeout=10)


class Extra:
    """One more replica of a service, started by hand with settings of its own."""

    def __init__(self, stand: Stand, service: str, settings: dict[str, str]):
        self.name = f"extra {service}"
        port = free_port()
        environment = {"ADMIN_PORT": str(port), **settings}
        if service == "gateway":
            environment["API_PORT"] = str(free_port())
            self.api_url = f"http://127.0.0.1:{environment['API_PORT']}"
        exports = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
        script = (stand.services.run / "start" / f"{service}-1").read_text()
        before, program = script.rsplit("exec ", 1)
        self._url = f"http://127.0.0.1:{port}"
        self.log = stand.folder / f"extra-{service}-{port}.log"
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", f"{before}{exports}exec {program}"], stdout=log, stderr=log
            )
        self.pid = self._process.pid

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self._url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def metric(self, pattern: str) -> float:
        """As of a service of the stand, at most a second old."""
        return sum_of(requests.get(f"{self._url}/metrics", timeout=5).text, pattern)

    def signal(self, sig: signal.Signals) -> None:
        send_signal(self.pid, sig)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()


def other_database(dsn: str) -> dict[str, str]:
    """Settings of a replica beside the stand's own ones: it does not archive the stand's dead letters, and
    the stand's index is none of its."""
    return {"POSTGRES_DSN": dsn, "DEAD_LETTER_ARCHIVE": "off", "ORDER_INDEX": "other"}


@contextlib.contextmanager
def extra(stand: Stand, service: str, settings: dict[str, str]):
    replica = Extra(stand, service, settings)
    try:
        yield replica
    finally:
        replica.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
