"""kill -9 of every process under load: each order that was accepted is still there."""

import pytest

from load import Load, assert_kept, missing_rows
from wait import during, eventually

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("program", ["gateway-1", "bridge-1", "persister-1", "indexer-1", "scheduler-1"])
def test_kill_a_service(restored, program):
    system = restored
    with Load([system.env["API_URL"]], rate=500) as load:
        for _ in range(3):
            load.wait_accepted(len(load.accepted) + 400)
            system.kill_and_wait(program)
            eventually(lambda: system.is_ready(program), f"{program} is ready", timeout=30)
        load.wait_accepted(len(load.accepted) + 200)
    if program != "gateway-1":
        assert not load.unknown
        assert not load.refused
    assert_kept(system, load)


def test_kill_one_bridge_of_two(restored):
    system = restored
    system.up(bridge=2)
    with Load([system.env["API_URL"]], rate=500) as load:
        for program in ("bridge-1", "bridge-2", "bridge-1"):
            load.wait_accepted(len(load.accepted) + 500)
            system.kill_and_wait(program)
    assert_kept(system, load)


def test_kill_all_five_at_once(restored):
    system = restored
    with Load([system.env["API_URL"]], rate=500) as load:
        load.wait_accepted(1000)
        old = {name: system.pid(name) for name in system.programs() if name[-1].isdigit()}
        for name in old:
            system.kill(name)
        eventually(lambda: all(system.pid(n) not in (0, p) for n, p in old.items()), "all are started again")
        system.wait_ready()
        load.wait_accepted(len(load.accepted) + 500)
    assert_kept(system, load)


@pytest.mark.parametrize("server", ["redis", "elasticsearch", "postgres", "rabbitmq"])
def test_kill_a_server(restored, server):
    system = restored
    with Load([system.env["API_URL"]], rate=300) as load:
        load.wait_accepted(1000)
        system.kill_and_wait(server)
        system.forget_connections()
        system.wait_ready(90)
        load.wait_accepted(len(load.accepted) + 300)
    if server != "rabbitmq":
        assert not load.refused
        assert not load.unknown
    assert_kept(system, load, timeout=90)


@pytest.mark.parametrize("program", ["persister-1", "indexer-1"])
def test_a_worker_that_hangs(restored, program):
    """It holds what it had until the deadline; the other one does the rest."""
    system = restored
    with Load([system.env["API_URL"]], rate=300) as load:
        load.wait_accepted(500)
        with system.frozen(program):
            at_freeze = len(load.accepted)
            load.wait_accepted(at_freeze + 600)
            before = set(list(load.accepted)[:at_freeze])
            eventually(lambda: not before & missing_rows(system, load), "what it held comes back", timeout=30)
            load.stop()
            assert_kept(system, load, timeout=30)
    eventually(lambda: system.is_ready(program), "it goes on afterwards")
    assert_kept(system, load)


def test_accepted_orders_are_never_unknown_while_the_bridge_is_stopped(restored):
    system = restored
    system.up(bridge=0)
    with Load([system.env["API_URL"]], orders=1000) as load:
        pass
    ids = list(load.accepted)

    def all_known():
        answers = [system.api.order(order_id).status_code for order_id in ids[::50]]
        return set(answers) == {200}

    # Longer than the provisional life of an order in the cache.
    during(60, all_known, "every accepted id can be read", interval=2)
    assert {system.api.order(order_id).status_code for order_id in ids} == {200}
    system.up(bridge=1)
    assert_kept(system, load)
