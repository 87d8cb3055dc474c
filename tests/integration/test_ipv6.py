"""In a network namespace without IPv4: `./dev test ipv6` makes it, and runs tests of orders in it besides."""

import socket
import subprocess

import pytest
import requests

from system import LOOPBACK, SERVICES, binary, free_port
from test_links import links  # noqa: F401, a fixture
from wait import eventually

pytestmark = pytest.mark.ipv6


def test_there_is_no_ipv4(system):
    assert LOOPBACK == "::1"
    with pytest.raises(OSError, match="unreachable|assign"):
        socket.create_connection(("127.0.0.1", 1), 1)


@pytest.mark.parametrize("service", SERVICES)
def test_health_of_what_listens_everywhere(system, service):
    """As the images do: the health check of a container asks the service itself."""
    ports = {"ADMIN_ADDRESS": "::", "ADMIN_PORT": str(free_port()), "API_PORT": str(free_port())}
    own = {"gateway": {"API_ADDRESS": "::"}, "bridge": {"BRIDGE_BIND": f"tcp://[::1]:{free_port()}"}}
    environment = system.environment(f"{service}-1") | ports | own.get(service, {})
    process = subprocess.Popen([binary(service)], env=environment, stdout=subprocess.DEVNULL)

    def healthy():
        assert process.poll() is None, f"it ended with {process.returncode}"
        asked = subprocess.run([binary(service), "--health=live"], env=environment, capture_output=True)
        return asked.returncode == 0

    try:
        eventually(healthy, "it says that it lives")
    finally:
        process.terminate()
        process.wait(60)


def test_the_api_listens_everywhere_by_default(spawn):
    assert requests.get(spawn(API_ADDRESS="") + "/livez", timeout=30).status_code == 200


@pytest.mark.parametrize("bind", ["[::1]", "[::]", "*"])
def test_links(system, links, bind):  # noqa: F811
    """Bridge and workers by TCP, with the deployment's key."""
    links.start("bridge", BRIDGE_BIND=f"tcp://{bind}:{links.port}")
    links.start("persister")
    links.start("indexer")
    for order_id in links.publish(3):
        assert system.wait_stored(order_id)[0]
    assert links.refused() == 0
