"""The report as a page of its own: tables and plots, nothing that is fetched from elsewhere."""

import html
import io

import matplotlib

from generators import PERCENTILES
from goals import Lines, shown
from measures.growth import label
from samples import number

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import LogLocator, NullFormatter  # noqa: E402

matplotlib.rcParams |= {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
BARS_A_PLOT = 20
COLOURS = {"ours": "#1b6ca8", "ceiling": "#b0b0b0"}
OTHER_COLOURS = ("#c8743c", "#5f8f4e", "#8b5fa8", "#a89a3c")
TEMPLATE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Bench of {at}</title>
<style>
:root {{ color-scheme: light }}
body {{ font: 15px/1.5 sans-serif; color: #222; background: #fff }}
body {{ max-width: 1200px; margin: 2em auto; padding: 0 1em }}
h2 {{ margin-top: 2em }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }}
th, td {{ padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: left }}
td.number, th.number {{ text-align: right }}
.wide {{ overflow-x: auto }}
.failed {{ color: #a00 }}
svg {{ max-width: 100%; height: auto }}
</style>
<h1>Bench of {at}</h1>
<p>{machine}. {seconds} s. Calibration loop: {loop}.</p>
{failures}
<h2>Goals' figures</h2>
{goals}
{plots}
<h2>All measures</h2>
<div class="wide">{lines}</div>
</html>
"""


def page(report: dict) -> str:
    lines = report["lines"]
    plots = [
        ("Warm-up: windows one after the other, as shares of the fastest", _warm_up(report["warm_up"])),
        *(
            (f"Rates, {first + 1} to {first + len(some)}", _rates(some, _colours(lines)))
            for first, some in _some_rates(lines)
        ),
        ("Latency at a fixed rate, open loop", _latencies(lines)),
        ("With more stored, as multiples of the first", _growth(lines)),
        ("CPU of an order in the drain", _cpu(lines)),
    ]
    failures = "".join(f'<p class="failed">FAILED: {html.escape(text)}</p>' for text in report["failures"])
    loop = report["calibration_us"]
    return TEMPLATE.format(
        at=html.escape(report["at"]),
        machine=html.escape(report["machine"]),
        seconds=report["seconds"],
        loop=f"{loop['median']:.3f} µs ({loop['minimum']:.3f} – {loop['maximum']:.3f})",
        failures=failures,
        goals=_table(
            ["figure", "now", ""],
            [[row["name"], shown(row), row["unit"]] for row in report["goals"]],
            numbers={1},
        ),
        plots="\n".join(f"<h2>{html.escape(title)}</h2>\n{svg}" for title, svg in plots if svg),
        lines=_lines_table(lines),
    )


def _lines_table(lines: list[dict]) -> str:
    head = [
        "measure",
        "side",
        "median",
        "min",
        "max",
        "unit",
        "runs",
        "p50 ms",
        "p99 ms",
        "ours ÷ this",
        "note",
    ]
    rows = [
        [
            line["measure"],
            line["side"],
            number(line["median"]),
            number(line["minimum"]),
            number(line["maximum"]),
            line["unit"],
            str(line["runs"]),
            number(line["p50_ms"], 2),
            number(line["p99_ms"], 2),
            number(line.get("ours_to_this"), 2),
            line["note"],
        ]
        for line in lines
    ]
    return _table(head, rows, numbers={2, 3, 4, 6, 7, 8, 9})


def _table(head: list[str], rows: list[list[str]], numbers: set[int]) -> str:
    def row(cells: list[str], tag: str) -> str:
        return "".join(_cell(cell, tag, column in numbers) for column, cell in enumerate(cells))

    body = "\n".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return f"<table><tr>{row(head, 'th')}</tr>\n{body}</table>"


def _cell(text: str, tag: str, is_number: bool) -> str:
    kind = ' class="number"' if is_number else ""
    return f"<{tag}{kind}>{html.escape(text)}</{tag}>"


def _svg(figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]


def _log_scale(set_scale, axis) -> None:
    """With 1, 2 and 5 of each power of ten as people write them."""
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_formatter(NullFormatter())


def _colours(lines: list[dict]) -> dict[str, str]:
    """By side."""
    others = [side for side in dict.fromkeys(line["side"] for line in lines) if side not in COLOURS]
    return COLOURS | {side: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, side in enumerate(others)}


def _warm_up(windows: dict[str, list[float]]) -> str:
    if not windows:
        return ""
    figure, axes = pyplot.subplots(figsize=(9, 3))
    for server, rates in windows.items():
        fastest = max(rates)
        axes.plot(range(1, len(rates) + 1), [rate / fastest for rate in rates], marker="o", label=server)
    axes.set(xlabel="window", ylabel="rate ÷ fastest window", ylim=(0, 1.05))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return _svg(figure)


def _some_rates(lines: list[dict]) -> list[tuple[int, list[dict]]]:
    """Not too many for one plot."""
    rates = [line for line in lines if line["unit"] == "/s" and not line["measure"].startswith("growth")]
    return [(first, rates[first : first + BARS_A_PLOT]) for first in range(0, len(rates), BARS_A_PLOT)]


def _rates(lines: list[dict], colours: dict[str, str]) -> str:
    """Bars from zero; the rates of one measure are shares of its fastest side."""
    fastest = {}
    for line in lines:
        fastest[line["measure"]] = max(fastest.get(line["measure"], 0.0), line["maximum"])
    figure, axes = pyplot.subplots(figsize=(9, 0.6 + 0.25 * len(lines)))
    for position, line in enumerate(lines):
        whole = fastest[line["measure"]] or 1.0
        share = line["median"] / whole
        spread = [[share - line["minimum"] / whole], [line["maximum"] / whole - share]]
        axes.barh(position, share, xerr=spread, color=colours[line["side"]])
        axes.text(1.02, position, f"{number(line['median'])}/s", va="center")
    axes.set_yticks(range(len(lines)), [f"{line['measure']} [{line['side']}]" for line in lines])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of the measure's fastest run (median; whiskers: all runs)")
    return _svg(figure)


def _latencies(lines: list[dict]) -> str:
    lines = [line for line in lines if line["percentiles_ms"]]
    if not lines:
        return ""
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    styles = {"202": "-", "stored after 202": "--", "searchable after 202": ":"}
    shares = list(dict.fromkeys(line["measure"].partition(": ")[0] for line in lines))
    for line in lines:
        share, _, what = line["measure"].partition(": ")
        values = [max(value, 0.01) for value in line["percentiles_ms"]]  # the scale has no zero
        name = f"{what} [{line['side']}], {share.removeprefix('latency ')}"
        colour = pyplot.cm.viridis(shares.index(share) / len(shares))
        axes.plot(range(len(values)), values, styles.get(what, "-."), color=colour, marker=".", label=name)
    _log_scale(axes.set_yscale, axes.yaxis)
    axes.set_xticks(range(len(PERCENTILES)), [f"p{percent:g}" for percent in PERCENTILES])
    axes.set(xlabel="percentile (p100: the longest)", ylabel="ms")
    axes.legend(frameon=False, fontsize=7, bbox_to_anchor=(1, 1))
    return _svg(figure)


TIMES = ("refresh", "live sales")


def _growth(lines: list[dict]) -> str:
    at = Lines(lines)
    counts = at.stored_counts()
    if len(counts) < 2:
        return ""
    figure, axes = pyplot.subplots(figsize=(9, 3.5))
    for what in ("accept", "drain", "GET", "search", "refresh", "live sales"):
        first = at(label(what, counts[0]))
        known = {count: value for count in counts if (value := at(label(what, count))) is not None}
        if first:
            name = f"{what} ({'time' if what in TIMES else 'rate'})"
            axes.plot(known.keys(), [value / first for value in known.values()], marker="o", label=name)
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count / 1e6:g} M" for count in counts])
    axes.xaxis.set_minor_formatter(NullFormatter())
    _log_scale(axes.set_yscale, axes.yaxis)
    axes.set(xlabel="orders stored", ylabel=f"÷ with {counts[0]:,}")
    axes.legend(frameon=False)
    return _svg(figure)


def _cpu(lines: list[dict]) -> str:
    lines = [line for line in lines if line["measure"] == "drain" and line["cpu_seconds_per_1000_orders"]]
    if not lines:
        return ""
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.4 * len(lines)))
    names = list(dict.fromkeys(name for line in lines for name in line["cpu_seconds_per_1000_orders"]))
    left = [0.0] * len(lines)
    for name in names:
        values = [line["cpu_seconds_per_1000_orders"].get(name, 0.0) * 1000 for line in lines]
        axes.barh(range(len(lines)), values, left=left, label=name)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_yticks(range(len(lines)), [line["side"] for line in lines])
    axes.set_xlabel("µs of CPU an order")
    axes.legend(frameon=False, fontsize=7, bbox_to_anchor=(1, 1))
    return _svg(figure)
