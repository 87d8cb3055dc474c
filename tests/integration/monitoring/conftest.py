import pytest

from monitoring.prometheus import Prometheus
from system import free_port


@pytest.fixture(scope="package")
def shop(system):
    """A system of its own on the shared servers, small enough to be overloaded easily."""
    with system.sibling("watched", ORDER_PREFETCH="100", MV_REFRESH_SCHEDULE="@every 5s") as sibling:
        yield sibling


@pytest.fixture(scope="package")
def prometheus(shop, tmp_path_factory):
    watching = Prometheus(tmp_path_factory.mktemp("prometheus"), shop)
    try:
        watching.start(free_port())
        yield watching
    finally:
        watching.stop()
