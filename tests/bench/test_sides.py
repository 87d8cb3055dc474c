import os
import subprocess
import sys

import pytest

import sides
from processes import cpu_seconds, largest_mib
from sides import NotStarted, Program, Side
from wait import eventually


class NoServers:
    def note_memory(self):
        pass

    def wipe(self):
        pass

    def declare_classic_queue(self):
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


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def parent(tmp_path):
    """A program that has started another one: the function makes it with the end of its shell script, starts
    it, and returns it with the other's pid."""
    started = []

    def make(then):
        log = tmp_path / "log"
        program = Program(
            "peer api", ["bash", "-c", f"sleep 600 & echo $!; {then}"], dict(os.environ), None, log
        )
        program.start()
        started.append(program)
        return program, int(eventually(lambda: log.exists() and log.read_text().strip(), "it says the pid"))

    yield make
    for program in started:
        program.stop()


def test_what_a_program_has_started_is_stopped_also_when_it_has_ended_itself(parent):
    program, child = parent("exit 3")
    eventually(program.ended, "it ends")
    assert runs(child)
    program.stop()
    eventually(lambda: not runs(child), "its child is stopped")


def test_a_stop_that_is_interrupted_leaves_nothing(parent, monkeypatch):
    program, child = parent("trap '' TERM; while true; do sleep 600; done")

    class Interrupted(BaseException):
        pass

    process, wait = program._process, program._process.wait

    def interrupted(timeout=None):
        if timeout is not None:
            raise Interrupted
        return wait()

    monkeypatch.setattr(process, "wait", interrupted)
    with pytest.raises(Interrupted):
        program.stop()
    eventually(lambda: not runs(child), "its child is stopped")
    assert process.returncode is not None


def test_a_program_that_cannot_be_started(tmp_path):
    file = tmp_path / "no-program"
    file.write_text("no program")
    file.chmod(0o755)
    program = Program("peer api", [str(file)], {}, None, tmp_path / "log")
    with pytest.raises(NotStarted, match="peer api cannot be started"):
        program.start()
    program.stop()


def test_a_program_that_is_not_ready_in_time(side, monkeypatch):
    monkeypatch.setattr(sides, "START_LIMIT_S", 0)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    side.workers = [Program("peer worker", command, {}, "http://127.0.0.1:1", side.workers[0]._log)]
    assert not side.in_turn
    with pytest.raises(NotStarted, match="peer worker is not ready"):
        side.start()
    assert side.in_turn
    side.stop()
    assert not side.in_turn
