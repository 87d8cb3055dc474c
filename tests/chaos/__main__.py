"""Every fault of the promises, fired at a running system under load, with a verdict by an independent ledger.

Runs all scenarios in their short form, or those named. The stand (private servers, a proxy before each, the
services) is started for the run; its logs and the ledgers stay if something failed.

A scenario in which nothing was wrong but the time that something took is played again, as NAME-2 and NAME-3:
on a machine shared with others, that may have been them. Orders lost or altered, or an answer that must not
be given, count at once.
"""

import argparse
import pathlib
import random
import sys
import time
import traceback
from xml.etree import ElementTree

from memory import memory_line, memory_problems
from run import Result, Run, TooLate
from scenarios import Scenario, Skipped, all_scenarios
from stand import Stand

TURNS = 3  # of one scenario, and
REPEATS = 5  # in one run: more of them are no accident

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


def play_all(
    chosen: list[Scenario], stand: Stand, arguments: argparse.Namespace, all_peaks: dict[str, int]
) -> list[Result]:
    results: list[Result] = []
    for scenario in chosen:
        for turn in range(1, TURNS + 1):
            name = scenario.name if turn == 1 else f"{scenario.name}-{turn}"
            result = play(scenario, name, stand, arguments, all_peaks)
            result.repeated = (
                bool(result.problem)
                and result.repeatable
                and turn < TURNS
                and sum(other.repeated for other in results) < REPEATS
            )
            results.append(result)
            if not result.repeated:
                break
    return results


def play(
    scenario: Scenario, name: str, stand: Stand, arguments: argparse.Namespace, all_peaks: dict[str, int]
) -> Result:
    print(f"\n{scenario.number:2} {name}: {scenario.summary}", flush=True)
    started = time.monotonic()
    run = Run(name, stand, arguments.folder, arguments.seed, arguments.long)
    problems, repeatable = [], True
    try:
        stand.clear()
        run.stores.take_dead_letters()
        scenario.play(run)
    except Skipped as reason:
        print(f"    skipped: {reason}", flush=True)
        run.observer.close()
        return Result(name, skipped=True)
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
        repeatable = isinstance(error, TooLate)
        if not isinstance(error, AssertionError):
            traceback.print_exc()
    try:
        stand.repair()
        result = run.finish()
    except Exception as error:
        result = Result(name, problem=f"no verdict: {type(error).__name__}: {error}")
        traceback.print_exc()
    peaks = run.observer.close()
    for service, kib in peaks.items():
        all_peaks[service] = max(kib, all_peaks.get(service, 0))
    too_large = memory_problems(peaks)
    problems += too_large
    result.repeatable = result.repeatable and repeatable and not too_large
    result.problem = "\n".join(filter(None, [*problems, result.problem]))
    result.seconds = time.monotonic() - started
    outcome = f"FAILED: {result.problem}" if result.problem else "passed"
    print(f"    {outcome} (took {result.seconds:.0f} s, recovery {result.recovery})", flush=True)
    return result


def warm_up(stand: Stand, folder: pathlib.Path) -> None:
    """A first load: fresh servers are slow, and no scenario shall blame them for that."""
    run = Run("warm-up", stand, folder, seed=0, long=False)
    with run.load():
        run.until_accepted(1000, timeout=120)
        run.recovered(60)
    run.drained()
    run.observer.close()


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
    print(f"{len(chosen)} scenarios, seed {arguments.seed}", flush=True)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    peaks: dict[str, int] = {}
    with Stand(arguments.folder) as stand:
        warm_up(stand, arguments.folder)
        results = play_all(chosen, stand, arguments, peaks)
        failed = [result for result in results if result.verdict == "FAILED"]
        if not failed:
            stand.destroy()
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
