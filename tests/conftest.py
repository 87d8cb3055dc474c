"""What the tests of a whole system share, whatever they look at it with."""

import os
import subprocess
import uuid

import pytest
from xdist.scheduler import LoadScopeScheduling

from system import LOOPBACK_HOST, ROOT, System, binary, free_port
from wait import eventually, readiness

USUAL_SCALE = {"gateway": 1, "bridge": 1, "persister": 2, "indexer": 2, "scheduler": 1}


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout: see pytest-timeout")
    config.addinivalue_line("markers", "system: needs the system, so it starts servers")
    config.addinivalue_line("markers", "attack: takes all that it can get, so it runs alone")
    config.addinivalue_line("markers", "versions: part of ./dev test versions only")
    config.addinivalue_line("markers", "ipv6: runs where there is no IPv4")


def pytest_collection_modifyitems(items):
    for item in items:
        if "system" in item.fixturenames:
            item.add_marker("system")


class Distribution(LoadScopeScheduling):
    """The next test goes to the worker that is free. All tests of monitoring/ share a system: they go to one
    worker, and first."""

    def _split_scope(self, nodeid):
        return "monitoring" if "/monitoring/" in nodeid else nodeid


def pytest_xdist_make_scheduler(config, log):
    return Distribution(config, log)


@pytest.fixture(scope="session")
def system(request):
    """The system that most tests share, of each worker. Its folder stays if a test failed, for its logs."""
    worker = os.environ.get("DEV_VERSION") or os.environ.get("PYTEST_XDIST_WORKER", "alone")
    system = System(ROOT / f".run-test-{worker}")
    system.destroy()
    try:
        system.up(**USUAL_SCALE)
        system.wait_ready()
        yield system
    except BaseException:
        system.dev("down")
        raise
    if request.session.testsfailed:
        system.dev("down")
    else:
        system.destroy()


@pytest.fixture
def api(system):
    return system.api


@pytest.fixture
def unique():
    """A word that no other order contains."""
    return "w" + uuid.uuid4().hex[:12]


@pytest.fixture
def restored(system):
    """The system, brought back to its usual scale and health after a test that disturbs it: until an
    order passes, the next test may not begin."""
    yield system
    system.forget_connections()
    system.start_stopped()
    system.scale(**USUAL_SCALE)
    system.wait_ready()
    answer = eventually(lambda: accepted(system.api.post_order("restored")), "an order is accepted")
    system.wait_stored(answer.json()["order_id"])


def accepted(answer):
    return answer if answer.status_code == 202 else None


@pytest.fixture
def spawn(system):
    """Starts a gateway with another configuration beside those of ./dev; returns its URL."""
    processes = []

    def start(status="ready", **changes):
        port = free_port()
        url = f"http://{LOOPBACK_HOST}:{port}"
        ports = {"API_PORT": str(port), "ADMIN_PORT": str(free_port())}
        environment = system.environment("gateway-1") | ports | changes
        process = subprocess.Popen([binary("gateway")], env=environment, stdout=subprocess.DEVNULL)
        processes.append(process)

        def ready():
            assert process.poll() is None, f"it ended with {process.returncode}"
            return readiness(url) == status

        eventually(ready, f"it is {status}")
        return url

    start.processes = processes
    yield start
    for process in processes:
        process.terminate()
        process.wait(60)
