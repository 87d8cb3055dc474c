"""The figures that the project is led by: ratios of what one run measured."""

from measures.growth import EMPTY, label
from measures.ledger import DRAIN, SINGLE
from samples import aligned, number, own_cpu

# The peers that the project has goals beside, by measure: as they are called in --peer-api and --peer-worker.
GOAL_PEERS = {
    "drain": ["camel"],
    "accept, 64 connections": ["original"],
    "accept, 512 connections": ["original"],
}
YARDSTICKS = (
    "ours",
    "ceiling",
    "ours, CURVE",
    "none waits",
    "time to the row",
    "no reindex",
    "none looks",
    "no ledger",
)


def ratio(value: float | None, to: float | None) -> float | None:
    """None if one of them is not known or there is nothing to divide by."""
    return value / to if value is not None and to else None


class Lines:
    def __init__(self, lines: list[dict]):
        self._lines = {(line["measure"], line["side"]): line for line in lines}

    def __call__(self, measure: str, side: str = "ours", field: str = "median") -> float | None:
        return self._lines.get((measure, side), {}).get(field)

    def cpu(self, measure: str, side: str) -> float | None:
        """CPU seconds for an order, of all that worked for it."""
        used = self._lines.get((measure, side), {}).get("cpu_seconds_per_1000_orders")
        return sum(used.values()) / 1000 if used else None

    def peers(self, measure: str) -> list[str]:
        """Those that were measured, and those of the goals."""
        measured = [side for (name, side) in self._lines if name == measure and side not in YARDSTICKS]
        return list(dict.fromkeys(measured + GOAL_PEERS.get(measure, [])))

    def has(self, measure: str, side: str) -> bool:
        return (measure, side) in self._lines

    def own_cpu(self, measure: str) -> dict[str, float]:
        """µs of an order by process of ours."""
        line = self._lines.get((measure, "ours"))
        return {name: value * 1000 for name, value in own_cpu(line).items()} if line else {}

    def stored_counts(self) -> list[int]:
        prefix = label("drain", 0)[:-1]
        names = {name for (name, _) in self._lines if name.startswith(prefix)}
        return sorted(int(name.removeprefix(prefix).replace(",", "")) for name in names)


def share_of_cores(at: Lines, running: str, stopped: str, cores: int) -> float | None:
    """What accepting and draining at once do together, as the CPU that the bare clients and their servers
    would take for as much, of all cores."""
    accepted, stored = at(running), at(f"{running}: stored meanwhile")
    accept_cpu, drained = at.cpu(stopped, "ceiling"), at("drain", "ceiling")
    if accepted is None or stored is None or not accept_cpu or not drained:
        return None
    return accepted * accept_cpu / cores + stored / drained


def goals(lines: list[dict], cores: int, loop_us: float | None) -> list[dict]:
    """Each with a name, a figure or None when what it needs was not measured, a unit, and what stands there
    instead of None."""
    at, rows = Lines(lines), []

    def add(name: str, value: float | None, unit: str = "×", absent: str = "not measured") -> None:
        rows.append({"name": name, "value": value, "unit": unit, "absent": absent})

    def add_peers(name: str, measure: str) -> None:
        for peer in at.peers(measure):
            absent = "not measured" if at.has(measure, peer) else "not in this run"
            add(f"{name} ÷ {peer}", ratio(at(measure), at(measure, peer)), absent=absent)

    add(
        "drain ÷ (cores ÷ CPU of bare consuming, inserting, _bulk)",
        ratio(at("drain"), at("drain", "ceiling")),
    )
    add_peers("drain", "drain")
    for connections in (1, 64, 512):
        stopped = f"accept, {connections} connection{'s' if connections > 1 else ''}"
        add(f"{stopped}, drain stopped ÷ bare publisher", ratio(at(stopped), at(stopped, "ceiling")))
        add_peers(f"{stopped}, drain stopped", stopped)
    for connections in (64, 512):
        stopped = f"accept, {connections} connections"
        running = f"{stopped}, drain running"
        add(f"{running} ÷ bare publisher", ratio(at(running), at(running, "ceiling")))
        add(f"{running}: both, of the bare clients' CPU sum", share_of_cores(at, running, stopped, cores))
    add("cached GET ÷ redis-benchmark -c 64", ratio(at("GET, cached"), at("GET, cached", "ceiling")))
    stored = "latency at 50 %: stored after 202"
    add("stored after 202 at half load, p50", at(stored, field="p50_ms"), "ms")
    add("stored after 202 at half load, p99", at(stored, field="p99_ms"), "ms")
    for count in at.stored_counts():
        if count == EMPTY:
            continue
        for what in ("refresh", "live sales", "drain"):
            value = ratio(at(label(what, count)), at(label(what, EMPTY)))
            add(f"{what} at {count:,} ÷ at {EMPTY:,} stored", value)
    for measure in (DRAIN, SINGLE):
        add(f"{measure} ÷ without the ledger", ratio(at(measure), at(measure, "no ledger")))
    processes = at.own_cpu("drain")
    for name, used in (*processes.items(), ("all of them", sum(processes.values()) if processes else None)):
        add(f"own CPU of an order in the drain: {name}", used, "µs")
        add(f"own CPU of an order in the drain: {name}", ratio(used, loop_us), "loops")
    return rows


def shown(row: dict) -> str:
    return number(row["value"], 2) or row["absent"]


def goals_table(rows: list[dict]) -> str:
    cells = [["figure", "now", ""], *([row["name"], shown(row), row["unit"]] for row in rows)]
    return aligned(cells, left={0, 2})
