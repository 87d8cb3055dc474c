"""The images have been built by ./dev test containers, which also sets where podman keeps them."""

import os

import pytest

from fleet import SERVERS, Fleet
from podman import SERVICES


def pytest_sessionstart():
    assert "CONTAINERS_STORAGE_CONF" in os.environ, "run by: ./dev test containers"


@pytest.fixture(scope="session")
def fleet(tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.destroy()
    try:
        fleet.up(*SERVERS)
        fleet.up(*SERVICES)
        yield fleet
    finally:
        fleet.destroy()
