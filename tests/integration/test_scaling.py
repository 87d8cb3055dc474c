"""Workers, bridges and gateways come and go while orders flow, and nothing is lost."""

from load import Load, assert_kept


def test_workers_join_and_leave_under_load(restored):
    with Load([restored.env["API_URL"]], rate=400) as load:
        load.wait_accepted(300)
        restored.up(persister=4, indexer=4)
        load.wait_accepted(len(load.accepted) + 500)
        restored.up(persister=1, indexer=1)
        load.wait_accepted(len(load.accepted) + 500)
        restored.up(persister=3, indexer=2)
        load.wait_accepted(len(load.accepted) + 500)
    assert not load.unknown
    assert not load.refused
    assert_kept(restored, load)


def test_more_workers_share_the_work(restored):
    restored.up(persister=3, indexer=3)
    workers = [f"{service}-{n}" for service in ("persister", "indexer") for n in (1, 2, 3)]
    before = {worker: len(restored.log(worker)) for worker in workers}
    with Load([restored.env["API_URL"]], orders=3000) as load:
        pass
    assert_kept(restored, load)
    for worker in workers:
        assert '"level":"error"' not in restored.log(worker)[before[worker] :]


def test_gateways_join_and_leave_under_load(restored):
    restored.up(gateway=3)
    with Load(restored.env["API_URLS"].split(), rate=400) as load:
        load.wait_accepted(500)
        restored.up(gateway=2)
        load.wait_accepted(len(load.accepted) + 1000)
    assert_kept(restored, load)


def test_bridges_join_and_leave_under_load(restored):
    with Load([restored.env["API_URL"]], rate=400) as load:
        load.wait_accepted(300)
        restored.up(bridge=2)
        load.wait_accepted(len(load.accepted) + 800)
        restored.up(bridge=1)
        load.wait_accepted(len(load.accepted) + 500)
    assert_kept(restored, load)


def test_everything_restarts_while_orders_wait_in_the_queue(restored):
    """A clean stop and start of the whole system with a full queue."""
    restored.up(bridge=0)
    with Load([restored.env["API_URL"]], orders=2000) as load:
        pass
    restored.dev("down")
    restored.forget_connections()
    restored.up(bridge=1)
    assert_kept(restored, load)
