"""The system of docker-compose.yml, run by podman-compose as a project of its own."""

import resource
import socket
import sys

import yaml

from flow import flowing
from podman import ROOT, Container, podman, run
from stores import Stores
from wait import eventually

PROJECT = "order-pipeline-test"
NETWORK = f"{PROJECT}_backend"
SERVERS = ("postgres", "redis", "rabbitmq", "elasticsearch")
SECRET = "0a1b2c3d4e5f"
COMPOSE_FILE = ROOT / "docker-compose.yml"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Fleet:
    def __init__(self, folder):
        self.folder = folder
        self.ports = {"gateway": free_port(), "gateway-2": free_port()}
        settings = dict.fromkeys(
            ("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "GRAFANA_PASSWORD", "ADMIN_TOKEN"), SECRET
        )
        settings |= {
            "ADMIN_READ_TOKEN": SECRET + "-read",
            "IDEMPOTENCY_NAMESPACE": "test",
            "LINK_KEY": "0123456789abcdef" * 4,
            "API_PORT": self.ports["gateway"],
            "API_2_PORT": self.ports["gateway-2"],
            "RABBITMQ_UI_PORT": free_port(),
            "PROMETHEUS_PORT": free_port(),
        }
        self._env_file = folder / "env"
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._override = folder / "override.yml"
        self._write_override({})
        self._loads = 0

    # --- life ---------------------------------------------------------------------------------

    def compose(self, *arguments, timeout=300):
        return run(
            *(sys.executable, "-m", "podman_compose", "--in-pod", "false", "--project-name", PROJECT),
            *("--env-file", self._env_file, "--file", COMPOSE_FILE, "--file", self._override),
            *arguments,
            cwd=ROOT,
            timeout=timeout,
        )

    def _write_override(self, counts):
        """podman-compose takes one --scale only; and this machine may allow less than Docker does."""
        files = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        services = {
            name: {"ulimits": {"nofile": files, "nproc": 1000}}
            for name, service in yaml.safe_load(COMPOSE_FILE.read_text())["services"].items()
            if "ulimits" in service
        }
        for service, count in counts.items():
            services[service]["scale"] = count
        self._override.write_text(yaml.safe_dump({"services": services}))

    def up(self, *services, profile=None):
        """Starts them as they are needed one by the other; returns when all are healthy."""
        profiles = ("--profile", profile) if profile else ()
        self.compose(*profiles, "up", "-d", "--no-build", "--no-deps", "--no-recreate", *services)
        for service in services:
            self.wait_healthy(service)

    def scale(self, **counts):
        """Brings services to so many containers. podman-compose adds, but does not take away."""
        self._write_override(counts)
        for service, count in counts.items():
            for container in self.containers(service)[count:]:
                assert container.stop() == 0, container.logs()[-2000:]
                container.remove()
        self.up(*counts)

    def wait_healthy(self, service, timeout=120):
        for container in self.containers(service):
            try:
                eventually(container.is_healthy, f"{container.name} is healthy", timeout, interval=0.5)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{container.logs()[-3000:]}") from None

    def destroy(self):
        names = podman("ps", "-aq", "--filter", f"label=io.podman.compose.project={PROJECT}").split()
        if names:
            # Those of a run that was killed cannot all be stopped.
            podman("stop", "--time", "15", *names, timeout=300, check=False)
            podman("rm", "--force", *names, timeout=300)
        for kind in ("volume", "network"):
            names = podman(kind, "ls", "-q", "--filter", f"name={PROJECT}_").split()
            if names:
                podman(kind, "rm", "--force", *names)

    # --- what is there ------------------------------------------------------------------------

    def containers(self, service):
        names = podman(
            *("ps", "-a", "--format", "{{.Names}}"),
            *("--filter", f"label=io.podman.compose.project={PROJECT}"),
            *("--filter", f"label=io.podman.compose.service={service}"),
        ).split()
        return [Container(name) for name in sorted(names)]

    def container(self, service):
        [container] = self.containers(service)
        return container

    def url(self, gateway="gateway"):
        return f"http://127.0.0.1:{self.ports[gateway]}"

    def stores(self):
        """The servers' addresses change when they are started again."""
        address = {server: self.container(server).address(NETWORK) for server in SERVERS}
        environment = {
            "POSTGRES_DSN": f"postgresql://postgres:{SECRET}@{address['postgres']}/ecommerce",
            "REDIS_ADDR": f"{address['redis']}:6379",
            "RABBITMQ_URL": f"amqp://pipeline:{SECRET}@{address['rabbitmq']}:5672/",
            "ELASTICSEARCH_URL": f"http://{address['elasticsearch']}:9200",
        }
        return Stores(
            environment, lambda *arguments: self.container("rabbitmq").execute("rabbitmqctl", *arguments)
        )

    # --- load ---------------------------------------------------------------------------------

    def load(self, gateways=("gateway",)):
        """Orders flow inside of the block; after it, none that was accepted may be missing."""
        self._loads += 1
        urls = [self.url(gateway) for gateway in gateways]
        return flowing(self.folder / f"fleet{self._loads}", urls, self.stores, seed=self._loads)
