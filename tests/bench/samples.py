"""What was measured, and how it is shown."""

import dataclasses
import statistics

from generators import Load
from servers import NAMES as SERVER_NAMES

GENERATOR = "load generator"


@dataclasses.dataclass
class Sample:
    """One run of one measure for one side."""

    measure: str
    side: str  # "ours", "ceiling", or the name of a peer
    value: float
    unit: str = "/s"
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu: dict[str, float] | None = None  # process → CPU seconds for 1,000 orders
    note: str = ""
    generator_cores: float | None = None
    percentiles_ms: list[float] | None = None  # at generators.PERCENTILES

    @classmethod
    def of(cls, measure: str, side: str, load: Load, **more: object) -> "Sample":
        """A rate with its latencies."""
        return cls(
            measure,
            side,
            load.per_second,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            generator_cores=load.cores,
            **more,
        )

    def __str__(self) -> str:
        latency = "" if self.p99_ms is None else f" p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms"
        return f"{self.measure} [{self.side}]: {self.value:,.1f} {self.unit}{latency} {self.note}"


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _median_each(lists: list[list[float]]) -> list[float] | None:
    return [statistics.median(values) for values in zip(*lists, strict=True)] if lists else None


def _median_cpu(runs: list[Sample]) -> dict[str, float]:
    names = dict.fromkeys(name for run in runs for name in run.cpu or {})
    return {
        name: statistics.median(run.cpu[name] for run in runs if run.cpu and name in run.cpu)
        for name in names
    }


def summarise(samples: list[Sample]) -> list[dict]:
    """One line for each measure and side: median and spread of its runs, and how ours compares."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.measure, sample.side), []).append(sample)
    lines = []
    for (measure, side), runs in groups.items():
        values = [run.value for run in runs]
        median = statistics.median(values)
        line = {
            "measure": measure,
            "side": side,
            "median": median,
            "minimum": min(values),
            "maximum": max(values),
            "unit": runs[0].unit,
            "runs": len(runs),
            "p50_ms": _median([run.p50_ms for run in runs]),
            "p99_ms": _median([run.p99_ms for run in runs]),
            "cpu_seconds_per_1000_orders": _median_cpu(runs),
            "generator_cores": _median([run.generator_cores for run in runs]),
            "percentiles_ms": _median_each([run.percentiles_ms for run in runs if run.percentiles_ms]),
            "note": min(runs, key=lambda run: abs(run.value - median)).note,
        }
        lines.append(line)
    medians = {line["measure"]: line["median"] for line in lines if line["side"] == "ours"}
    for line in lines:
        if line["side"] != "ours" and line["median"] and line["measure"] in medians:
            line["ours_to_this"] = medians[line["measure"]] / line["median"]
    return lines


def number(value: float | None, digits: int = 1) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def own_cpu(line: dict) -> dict[str, float]:
    """Of the side's own processes, without servers and load generator."""
    cpu = line["cpu_seconds_per_1000_orders"]
    return {name: value for name, value in cpu.items() if name not in (*SERVER_NAMES, GENERATOR)}


def measures_table(lines: list[dict]) -> str:
    rows = [
        [
            "measure",
            "side",
            "median",
            "min – max",
            "unit",
            "runs",
            "p50 ms",
            "p99 ms",
            "own CPU µs",
            "load cores",
            "ours ÷ this",
            "note",
        ]
    ]
    for line in lines:
        rows.append(
            [
                line["measure"],
                line["side"],
                number(line["median"]),
                f"{number(line['minimum'])} – {number(line['maximum'])}",
                line["unit"],
                str(line["runs"]),
                number(line["p50_ms"], 2),
                number(line["p99_ms"], 2),
                number(sum(own_cpu(line).values()) * 1000 if own_cpu(line) else None),
                number(line["generator_cores"], 2),
                number(line.get("ours_to_this"), 2),
                line["note"],
            ]
        )
    return aligned(rows, left={0, 1, 4, 11})


def processes_table(lines: list[dict], largest_mib: dict[str, float], loop_us: float | None = None) -> str:
    """CPU for an order of every process in each measure that stores or takes orders: µs, or multiples of
    the calibration loop, whose time is `loop_us`."""
    lines = [line for line in lines if line["side"] != "ceiling"]
    measures = list(dict.fromkeys(line["measure"] for line in lines if line["cpu_seconds_per_1000_orders"]))
    names = dict.fromkeys([*(n for line in lines for n in line["cpu_seconds_per_1000_orders"]), *largest_mib])
    rows = [["process", "largest RSS MiB", *measures]]
    for name in names:
        row = [name, number(largest_mib.get(name))]
        for measure in measures:
            values = [
                line["cpu_seconds_per_1000_orders"][name]
                for line in lines
                if line["measure"] == measure
                and name in line["cpu_seconds_per_1000_orders"]
                # Servers work for every side: these are the figures beside ours.
                and (line["side"] == "ours" or name not in (*SERVER_NAMES, GENERATOR))
            ]
            row.append(number(values[0] * 1000 / (loop_us or 1.0)) if values else "")
        rows.append(row)
    return aligned(rows, left={0})


def aligned(rows: list[list[str]], left: set[int]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
