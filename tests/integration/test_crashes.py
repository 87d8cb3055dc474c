"""kill -9 of every process under load: each order that was accepted is still there."""

import pytest

from load import Load, assert_kept, missing_rows
from wait import during, eventually


@pytest.mark.parametrize("program", ["gateway-1", "bridge-1", "persister-1", "indexer-1", "scheduler-1"])
def test_kill_a_service(restored, program):
    system = restored
    with Load([system.env["API_URL"]], rate=500) as load:
        for _ in range(3):
            load.wait_accepted(len(load.accepted) + 400)
            system.kill_and_wait(program)
            eventually(lambda: system.is_ready(program), f"{program} is ready")
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
        system.wait_ready()
        load.wait_accepted(len(load.accepted) + 300)
    if server != "rabbitmq":
        assert not load.refused
        assert not load.unknown
    assert_kept(system, load)


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
            eventually(lambda: not before & missing_rows(system, load), "what it held comes back")
            load.stop()
            assert_kept(system, load)
    eventually(lambda: system.is_ready(program), "it goes on afterwards")
    assert_kept(system, load)


def test_accepted_orders_are_never_unknown_while_the_bridge_is_stopped(restored):
    system = restored
    system.up(bridge=0)
    with Load([system.env["API_URL"]], orders=1000) as load:
        pass
    ids = list(load.accepted)

    def all_known():
        return all(system.api.read(order_id) for order_id in ids[::50])

    # Longer than the provisional life of an order in the cache.
    during(60, all_known, "every accepted id can be read", interval=2)
    for order_id in ids:
        system.api.read(order_id)
    system.up(bridge=1)
    assert_kept(system, load)
