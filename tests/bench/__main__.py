"""Measures what this system exists for, beside the ceilings of its parts and beside other
implementations of the same contract.

Starts servers and services of its own, measures every thing several times, in turn with its
ceiling, prints a table, writes it as JSON and as a page with plots, cleans up. Fails only if something
does not work: no figure is judged.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import resource
import shlex
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("integration", "chaos")]

from generators import ROOT, calibration_us, stop_generators  # noqa: E402
from goals import YARDSTICKS, goals, goals_table  # noqa: E402
from measures import MEASURES  # noqa: E402
from page import page  # noqa: E402
from samples import Sample, measures_table, processes_table, summarise  # noqa: E402
from servers import Servers  # noqa: E402
from sides import NotStarted, Side, ours, peer, python_worker  # noqa: E402
from system import SERVICES, System  # noqa: E402
from warm import warm  # noqa: E402

LIMIT_S, QUICK_LIMIT_S, GROWTH_10M_LIMIT_S = 3600, 300, 9000
CLEANING_S = 20


class Bench:
    """What the measures share: sides, servers, sizes, and the time that is left."""

    def __init__(self, arguments: argparse.Namespace, system: System, end: float, log: Path):
        self.quick = arguments.quick
        self.seconds = 1.0 if self.quick else 3.0  # of most loads
        self.hold_seconds = 6.0 if self.quick else 30.0
        self.latency_seconds = 3.0 if self.quick else 20.0
        self.peer_seconds = 10.0 if self.quick else 60.0  # a slow drain ends then
        self.growth_10m = arguments.growth_10m
        self.highest_rates: dict[str, float] = {}  # of a side, at which draining keeps pace
        self.loops_us = [calibration_us()]
        self.warm_up: dict[str, list[float]] = {}
        self.idle_seconds = 3.0 if self.quick else 8.0
        self.servers = Servers(system)
        self.ours = ours(system, self.servers, log)
        self._all_sides = [self.ours, python_worker(self.servers, log)]
        apis, workers = dict(arguments.peer_api), dict(arguments.peer_worker)
        for name in dict.fromkeys([*apis, *workers]):
            commands = apis.get(name, []), workers.get(name, [])
            self._all_sides.append(peer(name, self.servers, *commands, log))
        self._out: list[Side] = []  # take part no more
        self.sides = list(self._all_sides)  # those of the measure that runs
        self._repetitions = 1 if self.quick else 3
        self._end = end
        self._measure_end = end

    @property
    def api_sides(self) -> list[Side]:
        return [side for side in self.sides if side.api]

    def gather(self) -> None:
        """For the next measure, also those that were left out of the one before."""
        self.sides = [side for side in self._all_sides if side not in self._out]

    def leave_out(self, error: Exception) -> str | None:
        """The peer that was measured when `error` came takes no part in this measure any more, and in none
        after it if it has ended by itself or was never ready. What happened; None if no peer was measured."""
        for side in self.sides:
            if side is not self.ours and side.in_turn:
                ended = side.ended()
                if ended or isinstance(error, NotStarted):
                    self._out.append(side)
                self.sides.remove(side)
                return ended or f"{side.name}: {error}"
        return None

    def size(self, count: int, quick: int) -> int:
        return quick if self.quick else count

    def allow(self, share: float) -> None:
        """The measure that begins may repeat within this share of the time that is left."""
        now = time.monotonic()
        self._measure_end = now + share * (self._end - now)

    def rounds(self, share: float = 1.0) -> Iterator[None]:
        """Once with --quick, else three times, but no more than fit into this share of the measure's time."""
        started = time.monotonic()
        end = started + share * (self._measure_end - started)
        for done in range(self._repetitions):
            now = time.monotonic()
            if done and now + (now - started) / done > end:
                return
            self.loops_us.append(calibration_us())
            yield

    def stop(self) -> None:
        stop_generators()
        for side in self._all_sides:
            side.stop()

    def largest_mib(self) -> dict[str, float]:
        largest = dict(self.servers.largest_mib)
        for side in self._all_sides:
            largest |= side.largest_mib
        return largest


def machine() -> str:
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}; "
        "servers, services and load generators all on it"
    )


def named_command(text: str) -> tuple[str, list[str]]:
    """NAME=CMD: the name of a peer, and a command with its arguments."""
    name, _, command = text.partition("=")
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name) or name in (*YARDSTICKS, "python"):
        raise argparse.ArgumentTypeError(f"not NAME=CMD with a name of its own: {text}")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{command}: {error}") from error
    if not words or shutil.which(words[0]) is None:
        raise argparse.ArgumentTypeError(f"no such program: {command}")
    return name, words


def parse(given: list[str] | None = None) -> argparse.Namespace:
    listed = "\n".join(f"  {name:10} {run.__doc__.splitlines()[0]}" for name, (run, _) in MEASURES.items())
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description=__doc__,
        epilog=f"measures:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="MEASURE", help="what to measure (default: everything)")
    parser.add_argument(
        "--quick", action="store_true", help="smaller sizes, once each: five minutes instead of sixty"
    )
    parser.add_argument(
        "--growth-10m", action="store_true", help="growth also to ten million orders: 150 minutes at most"
    )
    parser.add_argument(
        "--peer-api",
        metavar="NAME=CMD",
        type=named_command,
        action="append",
        default=[],
        help="also measure this implementation's API; it listens on API_PORT. Peers get the settings of the "
        "services, the same servers with nothing in them, not even tables, and a classic queue; each runs "
        "until it is terminated. May be given for several peers",
    )
    parser.add_argument(
        "--peer-worker",
        metavar="NAME=CMD",
        type=named_command,
        action="append",
        default=[],
        help="also measure this implementation's worker, with the API of the same NAME if there is one",
    )
    arguments = parser.parse_args(given)
    if unknown := set(arguments.names) - MEASURES.keys():
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    for named in (arguments.peer_api, arguments.peer_worker):
        if len(dict(named)) < len(named):
            parser.error("a peer has one API and one worker")
    return arguments


class TimeIsOver(BaseException):
    """Raised by the alarm wherever the run is. Not an Exception: nobody but measure_all() takes it."""


def time_is_over(_signal, _frame) -> None:
    raise TimeIsOver


def measure_all(bench: Bench, names: list[str], say) -> tuple[list[Sample], list[str]]:
    """The samples, and what did not work. A measure that fails does not keep the others from running."""
    samples, failures = [], []
    try:
        for position, name in enumerate(names):
            left = names[position + 1 :]
            seconds = {other: MEASURES[other][1] for other in names[position:]}
            bench.gather()
            while failed := measure(bench, name, seconds, samples, failures, say):
                say(f"    FAILED: {failed}; once more without this peer")
                failures.append(f"{name}: {failed}")
    except TimeIsOver:
        failures.append(f"the time was over in {name}; left out: {', '.join(left) or 'nothing'}")
    return samples, failures


def measure(
    bench: Bench, name: str, seconds: dict[str, float], samples: list[Sample], failures: list[str], say
) -> str | None:
    """What a peer has failed at, if one has: the measure is not complete then. `seconds`: the shares of this
    measure and of those after it."""
    try:
        if name != "cold":
            bench.warm_up |= warm(bench.servers, bench.quick, say)
        bench.allow(seconds[name] / sum(seconds.values()))
        say(f"{name}: {MEASURES[name][0].__doc__}")
        for sample in MEASURES[name][0](bench):
            samples.append(sample)
            say(f"    {sample}")
        if name != "cold":
            bench.servers.check()
    except Exception as error:
        failed = bench.leave_out(error)
        bench.stop()
        if failed:
            return failed
        failures.append(f"{name}: {error}")
        say(f"    FAILED: {error}")
    return None


def print_report(report: dict) -> None:
    lines, largest_mib, loop_us = report["lines"], report["largest_rss_mib"], report["calibration_us"]
    print(f"\n{report['machine']}\n\n{measures_table(lines)}\n")
    print(f"CPU µs of an order, by process:\n{processes_table(lines, largest_mib)}\n")
    print(
        f"The same in calibration loops of {loop_us['median']:.3f} µs "
        f"({loop_us['minimum']:.3f} – {loop_us['maximum']:.3f} in this run):\n"
        f"{processes_table(lines, largest_mib, loop_us['median'])}\n"
    )
    print(f"{goals_table(report['goals'])}\n")
    print("own CPU µs: of the side alone, for an order; without servers and load generator")


def main() -> int:
    arguments = parse()
    started = time.monotonic()
    limit = QUICK_LIMIT_S if arguments.quick else GROWTH_10M_LIMIT_S if arguments.growth_10m else LIMIT_S
    # Terminated as if interrupted: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, most), most))

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {text}".rstrip(), flush=True)

    folder = ROOT / ".run/bench"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "services.log"
    log.unlink(missing_ok=True)
    system = System(ROOT / ".run-bench")
    load_average = os.getloadavg()[0]
    if load_average > 0.5:
        say(f"the machine is busy (load average {load_average:.1f}): expect figures of little use")
    bench = None
    try:
        system.destroy()
        say("starting the servers")
        system.up(**dict.fromkeys(SERVICES, 1))
        for service in SERVICES:
            system.supervisor.stop(f"{service}-1")
        bench = Bench(arguments, system, started + limit - CLEANING_S, log)
        signal.signal(signal.SIGALRM, time_is_over)
        signal.setitimer(signal.ITIMER_REAL, max(1.0, started + limit - CLEANING_S - time.monotonic()))
        samples, failures = measure_all(bench, arguments.names or list(MEASURES), say)
        signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        # Whatever the sides do, the servers are stopped.
        with contextlib.ExitStack() as exits:
            exits.callback(system.destroy)
            if bench:
                exits.callback(bench.stop)

    lines = summarise(samples)
    loop_us = statistics.median(bench.loops_us)
    seconds = time.monotonic() - started
    report = {
        "machine": machine(),
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "quick": arguments.quick,
        "load_average_before": load_average,
        "calibration_us": {"median": loop_us, "minimum": min(bench.loops_us), "maximum": max(bench.loops_us)},
        "warm_up": bench.warm_up,
        "failures": failures,
        "largest_rss_mib": bench.largest_mib(),
        "goals": goals(lines, os.cpu_count(), loop_us),
        "lines": lines,
    }
    output = folder / f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}.json"
    output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    output.with_suffix(".html").write_text(page(report))
    print_report(report)
    print(f"{seconds:.0f} s; also in {output.relative_to(ROOT)}, with plots in the .html beside it")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
