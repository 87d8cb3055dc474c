"""The programs that make load, and what they report: wrk, redis-benchmark, pgbench, and our own."""

import contextlib
import csv
import dataclasses
import json
import math
import os
import re
import signal
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CEILINGS = ROOT / "build/release/tests/bench/ceilings"
OPEN_LOOP = ROOT / "build/release/tests/bench/open_loop"
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)  # as open_loop prints them
PGBENCH = max(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))


@dataclasses.dataclass
class Load:
    """What a generator saw. Latency is from sending to the answer."""

    per_second: float
    seconds: float
    count: int
    p50_ms: float
    p99_ms: float
    cpu_seconds: float  # of the generator itself
    refused_per_second: float = 0.0
    late_p99_ms: float = 0.0  # sent so much later than planned
    percentiles_ms: list[float] | None = None  # at PERCENTILES

    @property
    def cores(self) -> float:
        """What the generator takes away from the servers on a small machine."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0


class Running:
    """A program that runs until it ends by itself, is interrupted, or has taken longer than its limit."""

    def __init__(self, command: list, environment: dict, limit: float):
        self._command = [str(part) for part in command]
        self._process = subprocess.Popen(
            self._command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._limit = threading.Timer(limit, self._process.kill)
        self._limit.start()
        _running.append(self)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def lines(self) -> Iterator[str]:
        """Its output as it comes, instead of finish()'s. To be read to the end before finish()."""
        return iter(self._process.stdout)

    def finish(self) -> tuple[str, float]:
        """Its output and the CPU seconds that it took; an error if it failed."""
        output = self._process.stdout.read()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._limit.cancel()
        _running.remove(self)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode != 0:
            raise RuntimeError(f"{' '.join(self._command)} ended with {self._process.returncode}:\n{output}")
        return output, usage.ru_utime + usage.ru_stime

    def kill(self) -> None:
        self._limit.cancel()
        self._process.kill()
        self._process.wait()


_running: list[Running] = []


def stop_generators() -> None:
    """Those that an error has left running."""
    for one in _running:
        one.kill()
    _running.clear()


def run(command: list, limit: float, environment: dict | None = None) -> tuple[str, float]:
    return Running(command, environment or {}, limit).finish()


def _start_wrk(url: str, connections: int, seconds: float, **settings: object) -> Running:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "15s"]
    variables = {name: str(value) for name, value in settings.items()}
    return Running([*command, "-s", HERE / "load.lua", url], variables, seconds + 60)


def _finish_wrk(running: Running, refusing: bool) -> Load:
    output, cpu = running.finish()
    result = json.loads(re.search(r"^RESULT (.*)$", output, re.MULTILINE)[1])
    if result["broken"] or result["refused"] and not refusing:
        raise RuntimeError(f"requests failed: {output}")
    seconds = result["seconds"]
    return Load(
        per_second=result["answered"] / seconds,
        seconds=seconds,
        count=result["answered"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        cpu_seconds=cpu,
        refused_per_second=result["refused"] / seconds,
        late_p99_ms=result["late_p99_ms"],
    )


def wrk(url: str, connections: int, seconds: float, refusing: bool = False, **settings: object) -> Load:
    """load.lua says what the settings are. Any answer of 400 or more is an error, unless `refusing`."""
    return _finish_wrk(_start_wrk(url, connections, seconds, **settings), refusing)


@contextlib.contextmanager
def wrk_meanwhile(url: str, connections: int, **settings: object) -> Iterator[list[Load]]:
    """Load as long as the block runs; what it saw is in the list afterwards."""
    running = _start_wrk(url, connections, 300, **settings)
    seen: list[Load] = []
    try:
        yield seen
    finally:
        running.interrupt()
        seen.append(_finish_wrk(running, refusing=False))


def ceiling(servers: dict[str, str], *arguments: object) -> Load:
    """Our bare clients: publish, consume, insert, bulk."""
    output, _ = run([CEILINGS, *arguments], 120, servers)
    result = json.loads(output)
    return Load(count=int(arguments[-1]), **result)


def start_open_loop(url: str, connections: int, rate: float, count: int, every: int) -> Running:
    """Orders at a fixed rate, whatever the answers take; open_loop.c says how, and what it prints."""
    address = urlsplit(url)
    command = [OPEN_LOOP, address.hostname, address.port, connections, rate, count, every]
    return Running(command, {}, count / rate + 60)


def open_loop_result(line: str) -> Load:
    """Of its last line of output."""
    result = json.loads(line.removeprefix("RESULT "))
    if result["broken"] or result["refused"] or not result["accepted"]:
        raise RuntimeError(f"requests failed: {line}")
    percentiles_ms = result["percentiles_ms"]
    return Load(
        per_second=result["accepted"] / result["seconds"],
        seconds=result["seconds"],
        count=result["accepted"],
        p50_ms=percentiles_ms[PERCENTILES.index(50)],
        p99_ms=percentiles_ms[PERCENTILES.index(99)],
        cpu_seconds=result["cpu_seconds"],
        late_p99_ms=result["late_p99_ms"],
        percentiles_ms=percentiles_ms,
    )


def calibration_us() -> float:
    """CPU time of the calibration loop: 1,000 steps of a fixed computation."""
    loops = 100_000
    return ceiling({}, "calibrate", loops).cpu_seconds / loops * 1e6


def redis_benchmark(address: str, connections: int, count: int, keys: int) -> Load:
    host, _, port = address.rpartition(":")
    command = ["redis-benchmark", "-h", host, "-p", port, "-c", connections, "-n", count, "-r", keys, "--csv"]
    output, cpu = run([*command, "GET", "order:00000000-0000-0000-0000-__rand_int__"], 60)
    row = list(csv.DictReader(output.splitlines()))[-1]
    per_second = float(row["rps"])
    p50_ms, p99_ms = float(row["p50_latency_ms"]), float(row["p99_latency_ms"])
    return Load(per_second, count / per_second, count, p50_ms, p99_ms, cpu)


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent of `values` do not exceed."""
    position = math.ceil(round(len(values) * percent / 100, 6))
    return sorted(values)[max(0, position - 1)]


def pgbench(dsn: str, script: str, connections: int, count: int) -> Load:
    """A prepared statement, on connections that are kept. Latency is of every 20th transaction."""
    # Not for a given time: that would begin before its connections are made.
    each = max(1, count // connections)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.sql"
        file.write_text(script)
        command = [PGBENCH, "-n", "-M", "prepared", "-c", connections, "-j", 1, "-t", each]
        log = ["--log", f"--log-prefix={folder}/log", "--sampling-rate=0.05"]
        output, cpu = run([*command, *log, "-f", file, dsn], 120)
        lines = [line for path in Path(folder).glob("log.*") for line in path.read_text().splitlines()]
    latencies_ms = [int(line.split()[2]) / 1000 for line in lines]
    per_second = float(re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)[1])
    count = each * connections
    p50_ms, p99_ms = statistics.median(latencies_ms), percentile(latencies_ms, 99)
    return Load(per_second, count / per_second, count, p50_ms, p99_ms, cpu)
