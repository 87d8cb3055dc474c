"""Lanes: stands side by side, each in a process of its own. Most of a scenario's time is waiting, so that two
scenarios at once take hardly longer than one."""

import contextlib
import dataclasses
import io
import multiprocessing
import pathlib
import queue
import sys
import time
import traceback

from memory import memory_problems
from run import Result, Run, TooLate
from scenarios import REGISTRY, Skipped
from stand import Stand


@dataclasses.dataclass(frozen=True)
class Task:
    scenario: str
    turn: int = 1

    @property
    def name(self) -> str:
        return self.scenario if self.turn == 1 else f"{self.scenario}-{self.turn}"


class Lanes:
    """Each of `count` lanes plays one scenario at a time. Use it as `with Lanes(...) as lanes:`."""

    def __init__(self, count: int, folder: pathlib.Path, seed: int, long: bool):
        processes = multiprocessing.get_context("fork")
        self._tasks, self._results = processes.SimpleQueue(), processes.Queue()
        options = (folder, seed, long, self._tasks, self._results)
        self._lanes = [processes.Process(target=run_lane, args=(n + 1, *options)) for n in range(count)]

    def __enter__(self) -> "Lanes":
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, *_error) -> None:
        self.keep(0)

    def keep(self, count: int) -> None:
        """Ends lanes until so many are left. None of them may have something to do."""
        for _ in range(len(self._lanes) - count):
            self._tasks.put(None)
        while len(self._lanes) > count:
            time.sleep(0.1)
            self._lanes = [lane for lane in self._lanes if lane.is_alive()]

    def play(self, tasks: list[Task]) -> list[tuple[Task, Result, dict[str, int]]]:
        """Plays them all; returns the result of each, and the largest memory of each service meanwhile."""
        for task in tasks:
            self._tasks.put(task)
        return [self._next_result() for _ in tasks]

    def _next_result(self):
        while True:
            with contextlib.suppress(queue.Empty):
                return self._results.get(timeout=1)
            if not all(lane.is_alive() for lane in self._lanes):
                raise RuntimeError("a stand has ended; what it printed says why")


def run_lane(number: int, folder: pathlib.Path, seed: int, long: bool, tasks, results) -> None:
    with Stand(folder, number) as stand:
        stand.keep_blocks()
        warm_up(stand)
        while (task := tasks.get()) is not None:
            # What lanes print must not be mixed.
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                result, peaks = play(task, stand, seed, long)
            sys.stdout.write(printed.getvalue())
            sys.stdout.flush()
            results.put((task, result, peaks))


def warm_up(stand: Stand) -> None:
    """A first load: fresh servers are slow, and no scenario shall blame them for that."""
    run = Run("warm-up", stand, seed=0, long=False)
    with run.load():
        run.until_accepted(1000, timeout=120)
        run.recovered(60)
    run.drained()
    run.observer.close()


def play(task: Task, stand: Stand, seed: int, long: bool) -> tuple[Result, dict[str, int]]:
    scenario = REGISTRY[task.scenario]
    print(f"\n{scenario.number:2} {task.name}: {scenario.summary}")
    started = time.monotonic()
    run = Run(task.name, stand, seed, long)
    problems, repeatable = [], True
    try:
        stand.clear()
        run.stores.letters.clear()
        scenario.play(run)
    except Skipped as reason:
        print(f"    skipped: {reason}")
        run.observer.close()
        return Result(task.name, skipped=True), {}
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
        repeatable = isinstance(error, TooLate)
        if not isinstance(error, AssertionError):
            traceback.print_exc(file=sys.stdout)
    try:
        stand.repair()
        result = run.finish()
    except Exception as error:
        result = Result(task.name, problem=f"no verdict: {type(error).__name__}: {error}")
        traceback.print_exc(file=sys.stdout)
    peaks = run.observer.close()
    too_large = memory_problems(peaks)
    problems += too_large
    result.repeatable = result.repeatable and repeatable and not too_large
    result.problem = "\n".join(filter(None, [*problems, result.problem]))
    result.seconds = time.monotonic() - started
    outcome = f"FAILED: {result.problem}" if result.problem else "passed"
    print(f"    {outcome} (took {result.seconds:.0f} s, recovery {result.recovery})")
    return result, peaks
