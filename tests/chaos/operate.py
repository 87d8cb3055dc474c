"""What an operator relies on, in full: dead letters archived and replayed, the search index rebuilt, verified
and repaired, jobs, orders that are waited for, two groups on a cluster of RabbitMQ.

100,000 dead letters are archived, 5,000 are replayed, 500,000 orders go to a new index, the index of 200,000
is deleted, 2,000 clients wait, schedulers stand still in a job.
Every service and server is killed (kill -9) under load at points that the seed chooses, and between each two
steps of the work, at a call that the service makes there. Each kill is printed with how much was done. One
that comes before the work or after it does not count, and the run has not passed. The verdict is the one of
./dev test chaos.
"""

import argparse
import collections
import pathlib
import random
import sys
import time

from lanes import Task, play, warm_up
from memory import memory_line
from scenarios import Scenario, all_scenarios
from stand import SERVERS, SERVICES, Stand

PROMISES = (45, 46, 47, 48, 49, 50, 51, 52, 54)
LEAST_KILLS = 3  # of each service and server


def parse(scenarios: list[Scenario]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev test operate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scenarios:\n" + "\n".join(f"  {one.name:28} {one.summary}" for one in scenarios),
    )
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="which to play (default: all)")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1 << 31),
        help="replays the random choices of a run",
    )
    parser.add_argument("--folder", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {one.name for one in scenarios}:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; --help tells the names")
    return arguments


def main() -> int:
    scenarios = [one for one in all_scenarios() if one.number in PROMISES]
    arguments = parse(scenarios)
    chosen = [one for one in scenarios if not arguments.names or one.name in arguments.names]
    print(f"{len(chosen)} scenarios, seed {arguments.seed}", flush=True)
    arguments.folder.mkdir(parents=True, exist_ok=True)

    kills: collections.Counter[str] = collections.Counter()
    peaks: dict[str, int] = {}
    problems, started = [], time.monotonic()
    with Stand(arguments.folder) as stand:
        warm_up(stand)
        for number, one in enumerate(chosen, 1):
            minutes = (time.monotonic() - started) / 60
            print(f"\n--- {number} of {len(chosen)}, after {minutes:.0f} min", end="", flush=True)
            result, its_peaks = play(Task(one.name), stand, arguments.seed, long=True)
            kills += result.kills
            for service, kib in its_peaks.items():
                peaks[service] = max(kib, peaks.get(service, 0))
            if result.problem:
                problems.append(f"{one.name}: {result.problem}")
        if not arguments.names:
            problems += [
                f"{name} was killed {kills[name]} times, not {LEAST_KILLS}"
                for name in [*SERVICES, *SERVERS]
                if kills[name] < LEAST_KILLS
            ]
        if not problems:
            stand.destroy()

    print(f"\nkill -9: {', '.join(f'{name} {count}' for name, count in sorted(kills.items()))}")
    print(memory_line(peaks))
    for problem in problems:
        print(f"\n{problem}")
    if problems:
        print(f"\nlogs and ledgers are in {arguments.folder}")
    print(f"\nseed {arguments.seed}\n\n{int(not problems)} passed, {int(bool(problems))} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
