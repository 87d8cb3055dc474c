import subprocess
import sys

import pytest

from processes import cpu_seconds, largest_mib
from sides import Program, Side


class NoServers:
    def note_memory(self):
        pass


@pytest.fixture
def side(tmp_path):
    side = Side("peer", NoServers(), "classic", "http://127.0.0.1:1")
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    side.workers = [Program("peer worker", command, {}, None, tmp_path / "log")]
    return side


def test_a_program_that_ends_is_told_and_stopping_it_is_no_error(side):
    program = side.workers[0]
    program.start()
    program._process.wait(30)
    with pytest.raises(RuntimeError, match="peer worker ended with 3"):
        side.check()
    assert side.ended().startswith("peer worker ended with 3")
    side.stop()
    assert side.ended() is None
    assert side.pids() == {}
    side.stop()


def test_a_process_that_is_gone_has_used_nothing():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(30)
    assert (cpu_seconds(gone.pid), largest_mib(gone.pid)) == (0, 0)
