import pytest

from goals import goals, goals_table, ratio, shown
from samples import Sample, summarise


def figures(*samples, loop_us=2.0):
    rows = goals(summarise(list(samples)), cores=2, loop_us=loop_us)
    return {(row["name"], row["unit"]): row["value"] for row in rows}


@pytest.mark.parametrize(
    ("value", "to", "expected"), [(3, 2, 1.5), (0, 2, 0), (3, 0, None), (None, 2, None), (3, None, None)]
)
def test_ratio(value, to, expected):
    assert ratio(value, to) == expected


def test_nothing_measured_is_no_figure():
    assert set(figures().values()) == {None}
    assert "not measured" in goals_table(goals([], cores=2, loop_us=None))


def test_a_peer_that_stored_nothing_is_no_division_by_zero():
    found = figures(Sample("drain", "ours", 100), Sample("drain", "peer", 0))
    assert found["drain ÷ peer", "×"] is None


def test_peers_of_the_goals():
    samples = [
        Sample("drain", "ours", 12_000),
        Sample("drain", "camel", 4_000),
        Sample("accept, 64 connections", "ours", 9_000),
        Sample("accept, 64 connections", "original", 0),
    ]
    rows = goals(summarise(samples), cores=2, loop_us=2)
    texts = {row["name"]: shown(row) for row in rows}
    assert texts["drain ÷ camel"] == "3.00"
    assert texts["accept, 64 connections, drain stopped ÷ original"] == "not measured"
    assert texts["accept, 512 connections, drain stopped ÷ original"] == "not in this run"
    assert "accept, 1 connection, drain stopped ÷ original" not in texts
    assert "not in this run" in goals_table(rows)


def test_drain():
    found = figures(
        Sample("drain", "ceiling", 200),
        Sample("drain", "ours", 150, cpu={"bridge": 0.004, "indexer": 0.002, "postgres": 1}),
        Sample("drain", "python", 50),
        Sample("drain", "ours, CURVE", 140),
    )
    assert found["drain ÷ (cores ÷ CPU of bare consuming, inserting, _bulk)", "×"] == 0.75
    assert found["drain ÷ python", "×"] == 3
    assert ("drain ÷ ours, CURVE", "×") not in found
    assert found["own CPU of an order in the drain: bridge", "µs"] == 4
    assert found["own CPU of an order in the drain: bridge", "loops"] == 2
    assert found["own CPU of an order in the drain: all of them", "µs"] == 6
    assert ("own CPU of an order in the drain: postgres", "µs") not in found


def test_accepting_and_draining_at_once_as_a_share_of_the_cores():
    running = "accept, 64 connections, drain running"
    found = figures(
        Sample("drain", "ceiling", 10_000),
        # 100 µs an order: 5,000/s are half a core of two.
        Sample("accept, 64 connections", "ceiling", 9_000, cpu={"rabbitmq": 0.06, "load generator": 0.04}),
        Sample(running, "ours", 5_000),
        Sample(f"{running}: stored meanwhile", "ours", 4_000),
    )
    assert found[f"{running}: both, of the bare clients' CPU sum", "×"] == pytest.approx(0.25 + 0.4)


def test_the_ledger():
    found = figures(
        Sample("PostgreSQL's CPU of an order: drain", "no ledger", 4, "µs"),
        Sample("PostgreSQL's CPU of an order: drain", "ours", 5, "µs"),
    )
    assert found["PostgreSQL's CPU of an order: drain ÷ without the ledger", "×"] == 1.25
    assert found["PostgreSQL's CPU of an order: one a statement ÷ without the ledger", "×"] is None


def test_growth_is_beside_the_first_stage():
    found = figures(
        Sample("growth: refresh at 10,000", "ours", 2, "ms"),
        Sample("growth: drain at 10,000", "ours", 100),
        Sample("growth: refresh at 2,000,000", "ours", 3, "ms"),
        Sample("growth: drain at 2,000,000", "ours", 90),
    )
    assert found["refresh at 2,000,000 ÷ at 10,000 stored", "×"] == 1.5
    assert found["drain at 2,000,000 ÷ at 10,000 stored", "×"] == 0.9
