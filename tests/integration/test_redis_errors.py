"""A Redis that answers with errors is one that is away: orders are accepted, and read from PostgreSQL."""

import subprocess
import time

import pytest

from system import binary
from wait import eventually

FAULTS = {  # what Redis is told, the error that follows, how it is mended
    "READONLY": (["REPLICAOF 127.0.0.1 1"], ["REPLICAOF NO ONE"]),
    "OOM": (["CONFIG SET maxmemory 1"], ["CONFIG SET maxmemory 0"]),
    "NOAUTH": (
        ["CONFIG SET requirepass canary", "CLIENT KILL TYPE normal SKIPME yes"],
        ["ACL SETUSER default nopass"],
    ),
}
# As README says.
LEAST = "ACL SETUSER least reset on >pass resetchannels ~order:* -@all +set +get +expire +eval +ttl +del"


def tell(system, *commands):
    for command in commands:
        system.redis.execute_command(*command.split())


def redis_of(report):
    return next(d for d in report.json()["dependencies"] if d["name"] == "redis")


def reason(system):
    """Why the gateway cannot use Redis; "" while it can."""
    return redis_of(system.readiness("gateway-1")).get("reason", "")


def check(environment):
    command = [binary("gateway"), "--check"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout + result.stderr


@pytest.fixture
def stored(restored, unique):
    order_id = restored.api.accept(unique)
    restored.wait_stored(order_id)
    return order_id


@pytest.mark.parametrize("error", FAULTS)
def test_an_error_of_the_server(restored, stored, unique, error):
    system, api = restored, restored.api
    provoke, mend = FAULTS[error]
    try:
        tell(system, *provoke)
        accepted = api.accept(unique + "x")
        eventually(lambda: api.order(stored).headers["X-Cache"] == "MISS", "PostgreSQL answers")
        eventually(lambda: redis_of(system.readiness("gateway-1"))["status"] == "down", "it is told")
        eventually(lambda: reason(system).startswith(error), "it says why")  # first: the connection is lost
        assert system.readiness("gateway-1").status_code == 200
        assert "reason" not in redis_of(api.get("/readyz"))  # the public port
        status, words = check(system.environment("gateway-1"))
        assert status != 0
        assert error in words
        eventually(lambda: error in system.log("gateway-1"), "it is in the log")
        eventually(lambda: api.order(accepted).status_code == 200, "it can be read from PostgreSQL")
    finally:
        tell(system, *mend)
    start = time.monotonic()
    eventually(lambda: api.order(accepted).headers["X-Cache"] == "HIT", "the cache is used", interval=0.02)
    assert time.monotonic() - start < 4  # the gateway takes 2 s at most; the rest is the machine's
    assert check(system.environment("gateway-1"))[0] == 0


def test_the_least_privileges(system, spawn, unique):
    tell(system, LEAST)
    user = {"REDIS_USERNAME": "least", "REDIS_PASSWORD": "pass"}
    spawn(**user)  # it is ready: the probe is every command that the gateway uses
    environment = system.environment("gateway-1") | user
    assert check(environment)[0] == 0
    for command in ("set", "get", "expire", "eval"):
        tell(system, f"ACL SETUSER least -{command}")
        status, words = check(environment)
        assert status != 0
        assert "NOPERM" in words
        assert command in words
        tell(system, f"ACL SETUSER least +{command}")
    tell(system, "ACL DELUSER least")


def test_idle_connections_are_cut(restored, stored):
    system, api = restored, restored.api
    eventually(lambda: redis_of(system.readiness("gateway-1"))["status"] == "up", "it is up")
    downs = system.log("gateway-1").count("dependency is down")
    made = system.redis.info("stats")["total_connections_received"]

    def cut_unnoticed():
        assert redis_of(system.readiness("gateway-1"))["status"] == "up"
        return system.redis.info("stats")["total_connections_received"] > made + 2

    tell(system, "CONFIG SET timeout 1")
    try:
        eventually(cut_unnoticed, "connections are cut", interval=0.05)
        assert api.order(stored).status_code == 200
    finally:
        tell(system, "CONFIG SET timeout 0")
    assert system.log("gateway-1").count("dependency is down") == downs
