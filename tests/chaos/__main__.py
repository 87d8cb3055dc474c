"""Every fault of the promises, fired at a running system under load, with a verdict by an independent ledger.

Runs all scenarios in their short form, or those named, two at once. Each of the two has a stand of its own
(private servers, a proxy before each, the services), which is started for the run; its logs and the ledgers
stay if something failed.

A scenario in which nothing was wrong but the time that something took is played again, alone, as NAME-2 and
NAME-3: the machine may have been busy with something else. Orders lost or altered, or an answer that must not
be given, count at once.
"""

import argparse
import pathlib
import random
import sys
from xml.etree import ElementTree

from lanes import Lanes, Task
from memory import memory_line
from run import Result
from scenarios import Scenario, all_scenarios
from stand import Stand

TURNS = 3  # of one scenario, and
REPEATS = 5  # in one run: more of them are no accident
WORTH_ANOTHER_STAND = 4  # scenarios: starting a stand takes as long as two

COLUMNS = {
    "scenario": lambda result: result.name,
    "accepted": lambda result: result.accepted,
    "faults": lambda result: result.faults,
    "redelivered": lambda result: result.redelivered,
    "unknown": lambda result: result.unknown,
    "lost": lambda result: result.lost,
    "spurious": lambda result: result.spurious,
    "duplicates": lambda result: result.duplicates,
    "recovery s": lambda result: result.recovery,
    "took s": lambda result: f"{result.seconds:.0f}",
    "verdict": lambda result: result.verdict,
}


def play_all(lanes: Lanes, chosen: list[Scenario]) -> tuple[list[Result], dict[str, int]]:
    """First what can be played beside another one. Then the lanes end but for one: what needs the machine for
    itself, and what was too late, has it."""
    results: list[Result] = []
    peaks: dict[str, int] = {}

    def play(tasks: list[Task]) -> list[Task]:
        """Returns those to be played again."""
        again = []
        for task, result, its_peaks in lanes.play(tasks):
            results.append(result)
            for service, kib in its_peaks.items():
                peaks[service] = max(kib, peaks.get(service, 0))
            if result.problem and result.repeatable and task.turn < TURNS:
                result.repeated = sum(other.repeated for other in results) < REPEATS
                if result.repeated:
                    again.append(Task(task.scenario, task.turn + 1))
        return again

    waiting = play([Task(scenario.name) for scenario in chosen if not scenario.alone])
    lanes.keep(1)
    waiting += [Task(scenario.name) for scenario in chosen if scenario.alone]
    while waiting:
        waiting += play([waiting.pop(0)])
    return results, peaks


def table(results: list[Result]) -> str:
    rows = [list(COLUMNS), *([str(column(result)) for column in COLUMNS.values()] for result in results)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for name, *figures in rows:
        cells = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]))
    return "\n".join(lines)


def write_junit(path: pathlib.Path, results: list[Result]) -> None:
    suite = ElementTree.Element(
        "testsuite",
        name="chaos",
        tests=str(len(results)),
        failures=str(sum(bool(result.problem) for result in results)),
        skipped=str(sum(result.skipped for result in results)),
    )
    for result in results:
        case = ElementTree.SubElement(suite, "testcase", name=result.name, time=f"{result.seconds:.1f}")
        if result.problem:
            ElementTree.SubElement(case, "failure").text = result.problem
        if result.skipped:
            ElementTree.SubElement(case, "skipped")
    ElementTree.ElementTree(suite).write(path)


def parse(scenarios: list[Scenario]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev test chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="which to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the scenarios and leave")
    parser.add_argument(
        "--one-per-class", action="store_true", help="only the scenarios that stand for a class of faults"
    )
    parser.add_argument("--long", action="store_true", help="the long form of each: more and longer faults")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1 << 31),
        help="replays the random choices of a run",
    )
    parser.add_argument("--junitxml", type=pathlib.Path, metavar="FILE", help="also write the results there")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    known = {scenario.name for scenario in scenarios}
    if unknown := set(arguments.names) - known:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; --list tells the names")
    return arguments


def main() -> int:
    scenarios = all_scenarios()
    arguments = parse(scenarios)
    if arguments.list:
        for scenario in scenarios:
            stands_for = scenario.stands_for and f" [{scenario.stands_for}]"
            print(f"{scenario.number:2}  {scenario.name:30}{scenario.summary}{stands_for}")
        return 0
    chosen = [
        scenario
        for scenario in scenarios
        if (not arguments.names or scenario.name in arguments.names)
        and (scenario.stands_for or not arguments.one_per_class)
    ]
    count = 2 if sum(not scenario.alone for scenario in chosen) >= WORTH_ANOTHER_STAND else 1
    print(f"{len(chosen)} scenarios, {count} at once, seed {arguments.seed}", flush=True)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with Lanes(count, arguments.folder, arguments.seed, arguments.long) as lanes:
        results, peaks = play_all(lanes, chosen)
    failed = [result for result in results if result.verdict == "FAILED"]
    if not failed:
        for number in range(count):
            Stand(arguments.folder, number + 1).destroy()
    if arguments.junitxml:
        write_junit(arguments.junitxml, [result for result in results if not result.repeated])
    print(f"\n{table(results)}\n\n{memory_line(peaks)}")
    for result in results:
        if result.problem:
            print(f"\n{result.name}, {result.verdict}:\n{result.problem}")
    if failed:
        print(f"\nseed {arguments.seed}; logs and ledgers are in {arguments.folder}")
    passed = [result for result in results if result.verdict == "passed"]
    print(f"\n{len(passed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
