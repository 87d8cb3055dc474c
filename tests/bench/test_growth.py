import importlib

import pytest

growth = importlib.import_module("measures.growth")  # the package's `growth` is the measure


class Servers:
    env = {}

    def __init__(self):
        self.inserted = []

    def insert_rows(self, count, stored=0):
        self.inserted.append((stored, count))

    def wait_merged(self, limit_s):
        self.merge_limit_s = limit_s


class Bench:
    quick, growth_10m = False, True

    def __init__(self):
        self.servers = Servers()


@pytest.mark.parametrize(
    ("stored", "number", "inserts", "limit_s"),
    [(0, 10_000, 1, 125), (10_000, 1_000_000, 1, 615), (2_000_000, 10_000_000, 8, 4120)],
)
def test_more_is_stored_past_the_services_and_may_take_longer(monkeypatch, stored, number, inserts, limit_s):
    fillers = []

    class Running:
        def __init__(self, command, _environment, limit):
            fillers.append((command[1:], limit))

        def finish(self):
            pass

    monkeypatch.setattr(growth, "Running", Running)
    bench = Bench()
    growth._store(bench, stored, number)
    assert fillers == [(["bulk", "orders", (number - stored) // 2], limit_s)] * 2
    assert bench.servers.merge_limit_s == limit_s
    assert len(bench.servers.inserted) == inserts
    assert bench.servers.inserted[0][0] == stored
    assert bench.servers.inserted[-1][1] == number
