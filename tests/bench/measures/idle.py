"""Nothing to do."""

import time
from collections.abc import Iterator

from processes import cpu_seconds, rss_mib
from samples import Sample


def idle(bench) -> Iterator[Sample]:
    """Start to ready; then CPU and memory of each process while nothing happens."""
    for _ in bench.rounds(0.5):
        for side in bench.sides:
            if side.tells_ready:
                side.reset()
                started = time.monotonic()
                side.launch(side.programs)
                yield Sample("start to ready", side.name, time.monotonic() - started, "s")
                side.stop()
    for side in bench.sides:
        side.start()
        time.sleep(1)
        pids = side.pids()
        side.check()
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        started = time.monotonic()
        time.sleep(bench.idle_seconds)
        seconds = time.monotonic() - started
        side.check()
        for name, pid in pids.items():
            percent = (cpu_seconds(pid) - before[name]) / seconds * 100
            yield Sample(
                f"idle: {name}", side.name, percent, "% of a core", note=f"RSS {rss_mib(pid):.1f} MiB"
            )
        side.stop()
