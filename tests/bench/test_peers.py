import importlib.util
from pathlib import Path

import pytest

from samples import Sample

pytest.importorskip("matplotlib")  # ./dev bench installs it


class Servers:
    warm = True

    def check(self):
        pass


class Side:
    api = ()

    def __init__(self, name, ended=None):
        self.name, self._ended = name, ended

    def ended(self):
        return self._ended

    def stop(self):
        pass


def test_a_peer_that_ends_is_reported_and_the_measure_goes_on_without_it():
    spec = importlib.util.spec_from_file_location("bench_main", Path(__file__).parent / "__main__.py")
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    bench = main.Bench.__new__(main.Bench)
    bench.servers, bench.ours, bench.quick, bench.warm_up, bench._end = Servers(), Side("ours"), True, {}, 1e9
    bench.sides = [bench.ours, Side("peer", "peer worker ended with 3")]

    def run(bench):
        """Anything."""
        for side in bench.sides:
            if side.name == "peer":
                raise RuntimeError("a request failed")
            yield Sample("anything", side.name, 1)

    main.MEASURES = {"anything": (run, 1)}
    samples, failures = main.measure_all(bench, ["anything"], lambda _text: None)
    assert [sample.side for sample in samples] == ["ours", "ours"]
    assert failures == ["anything: peer worker ended with 3"]
    assert bench.sides == [bench.ours]
