"""CPU time and memory of a process and all that it has started, from /proc."""

import os
import re
from pathlib import Path

from supervisor import process_tree

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    # The name, in parentheses, may hold anything.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(root: int) -> float:
    """User and system time of a process and its descendants, finished ones included."""
    ticks = 0
    for pid in process_tree(root):
        try:
            ticks += sum(int(value) for value in _stat(pid)[11:15])
        except OSError:
            continue
    return ticks / TICKS


def _kib(pid: int, file: str, field: str) -> int:
    """0 if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    match = re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def rss_mib(pid: int) -> float:
    """What one process has in memory now."""
    return _kib(pid, "status", "VmRSS") / 1024


def largest_mib(root: int) -> float:
    """The largest resident set of a process so far. If it has started others: what all of them
    have now, memory that they share counted once."""
    pids = process_tree(root)
    if len(pids) == 1:
        return _kib(root, "status", "VmHWM") / 1024
    return sum(_kib(pid, "smaps_rollup", "Pss") for pid in pids) / 1024
