import argparse
import importlib.util
import sys
from pathlib import Path

import pytest

from goals import GOAL_PEERS
from samples import Sample
from sides import NotStarted, peer


class Servers:
    warm = True

    def check(self):
        pass


class Side:
    api = ()

    def __init__(self, name, ended=None):
        self.name, self._ended, self.in_turn, self.stopped = name, ended, False, 0

    def ended(self):
        return self._ended if self.in_turn else None

    def stop(self):
        self.stopped += 1
        self.in_turn = False


@pytest.fixture(scope="module")
def main():
    spec = importlib.util.spec_from_file_location("bench_main", Path(__file__).parent / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(main, other, failure):
    """The sides of the samples, and what failed, of two measures in which the peer has a turn after ours."""
    bench = main.Bench.__new__(main.Bench)
    bench.servers, bench.ours, bench.quick, bench.warm_up, bench._end = Servers(), Side("ours"), True, {}, 1e9
    bench._all_sides, bench._out = [bench.ours, other], []

    def run(name):
        def measure(bench):
            """Anything."""
            for side in bench.sides:
                side.in_turn = True
                if side is other and (error := failure(name)):
                    raise error
                yield Sample(name, side.name, 1)
                side.in_turn = False

        return measure

    main.MEASURES = {"first": (run("first"), 1), "second": (run("second"), 1)}
    samples, failures = main.measure_all(bench, ["first", "second"], lambda _text: None)
    return [(sample.measure, sample.side) for sample in samples], failures


def in_the_first(error):
    return lambda name: error if name == "first" else None


def test_a_peer_that_ends_is_reported_and_the_measures_go_on_without_it(main):
    other = Side("peer", "peer worker ended with 3")
    sides, failures = measured(main, other, in_the_first(RuntimeError("a request failed")))
    assert sides == [("first", "ours"), ("first", "ours"), ("second", "ours")]
    assert failures == ["first: peer worker ended with 3"]
    assert other.stopped


def test_a_peer_that_is_not_ready_takes_part_no_more(main):
    sides, failures = measured(main, Side("peer"), in_the_first(NotStarted("peer api is not ready")))
    assert sides == [("first", "ours"), ("first", "ours"), ("second", "ours")]
    assert failures == ["first: peer: peer api is not ready"]


def test_a_peer_that_fails_is_left_out_of_that_measure_only(main):
    sides, failures = measured(main, Side("peer"), in_the_first(RuntimeError("requests failed")))
    assert sides == [("first", "ours"), ("first", "ours"), ("second", "ours"), ("second", "peer")]
    assert failures == ["first: peer: requests failed"]


def test_what_fails_in_our_own_turn_is_no_fault_of_a_peer(main):
    sides, failures = measured(main, Side("peer"), lambda _name: None)
    assert len(sides) == 4
    bench = main.Bench.__new__(main.Bench)
    bench.ours = Side("ours")
    bench.ours.in_turn = True
    bench.sides = [bench.ours, Side("peer")]
    assert bench.leave_out(RuntimeError("a request failed")) is None
    assert len(bench.sides) == 2


def test_several_peers_each_with_its_commands(main):
    command = f"{sys.executable} -c 'a b' X=1"
    arguments = main.parse(
        ["--peer-api", f"one={command}", "--peer-worker", "one=true", "--peer-worker", "two=true"]
    )
    assert arguments.peer_api == [("one", [sys.executable, "-c", "a b", "X=1"])]
    assert arguments.peer_worker == [("one", ["true"]), ("two", ["true"])]
    assert main.parse([]).peer_api == []


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "=true",
        "ours=true",
        "python=true",
        "ceiling=true",
        "a=",
        "a=true 'b",
        "a=no-such-program",
        "A b=true",
    ],
)
def test_no_peer(main, text):
    with pytest.raises(argparse.ArgumentTypeError):
        main.named_command(text)


def test_one_api_and_one_worker_a_peer(main, capsys):
    with pytest.raises(SystemExit):
        main.parse(["--peer-worker", "one=true", "--peer-worker", "one=false"])
    assert "one API and one worker" in capsys.readouterr().err


def test_the_peers_of_the_goals_have_names_that_can_be_given(main):
    for name in {name for names in GOAL_PEERS.values() for name in names}:
        assert main.named_command(f"{name}=true") == (name, ["true"])


class System:
    env = {"POSTGRES_DSN": "postgresql://postgres:secret@127.0.0.1:5432/ecommerce?sslmode=disable"}

    def pid(self, _name):
        return 1


def test_what_a_peer_is_told(tmp_path):
    """Go's pq refuses a server without TLS unless the DSN says sslmode=disable."""
    from servers import Servers

    log = tmp_path / "log"
    print_settings = (
        "import os; print(*(os.environ[name] for name in ('POSTGRES_DSN', 'API_PORT', 'ORDER_QUEUE_TYPE')))"
    )
    side = peer("peer", Servers(System()), [sys.executable, "-c", print_settings], [], log)
    side.api[0].start()
    side.api[0]._process.wait(30)
    dsn, port, queue_type = log.read_text().split()
    assert dsn == "postgresql://postgres:secret@127.0.0.1:5432/bench?sslmode=disable"
    assert side.url == f"http://127.0.0.1:{port}"
    assert queue_type == side.queue_type == "classic"
    side.api[0].stop()
