import threading
import time

import pytest

from generators import open_loop_result
from measures.latency import Watched


def test_orders_are_asked_for_until_they_are_seen():
    asked = []

    def ask(ids):
        asked.append(list(ids))
        return ids[:1]

    with Watched(ask, 0.001) as watched:
        now = time.monotonic()
        watched.expect("a", now)
        watched.expect("b", now + 3600)  # the question overtook the answer
    assert len(watched.times_ms) == 2
    assert min(watched.times_ms) == 0
    assert asked[-1] == ["b"]


def test_a_question_that_fails_is_no_silence():
    asked = threading.Event()

    def ask(_ids):
        asked.set()
        raise RuntimeError("gone")

    watched = Watched(ask, 0.001)
    watched.__enter__()
    watched.expect("a", time.monotonic())
    assert asked.wait(10)
    with pytest.raises(RuntimeError, match="gone"):
        watched.__exit__(None, None, None)


def test_the_result_of_the_open_loop():
    line = (
        'RESULT {"accepted":100,"refused":0,"broken":0,"seconds":4.0,"cpu_seconds":1.0,"late_p99_ms":0.1,'
        '"percentiles_ms":[1,2,3,4,5]}'
    )
    load = open_loop_result(line)
    assert (load.per_second, load.p50_ms, load.p99_ms, load.cores) == (25, 1, 3, 0.25)
    with pytest.raises(RuntimeError, match="requests failed"):
        open_loop_result(line.replace('"broken":0', '"broken":1'))
