import pytest

from generators import percentile
from samples import Sample, measures_table, processes_table, summarise


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7], 50, 7),
        ([7], 99, 7),
        ([3, 1, 2], 50, 2),
        (list(range(1, 101)), 99, 99),
        (list(range(1, 102)), 99, 100),
    ],
)
def test_percentile(values, percent, expected):
    assert percentile(values, percent) == expected


def test_a_line_is_the_median_of_its_runs_and_compares_ours():
    samples = [
        Sample("drain", "ceiling", 300),
        Sample("drain", "ours", 100, p99_ms=9, cpu={"bridge": 0.5, "redis": 4}),
        Sample("drain", "ceiling", 400),
        Sample("drain", "ours", 220, p99_ms=5, cpu={"bridge": 0.25, "redis": 2}),
        Sample("drain", "ours", 210, p99_ms=7, cpu={"bridge": 1, "redis": 1}),
    ]
    ceiling, ours = summarise(samples)
    assert (ours["median"], ours["minimum"], ours["maximum"], ours["runs"]) == (210, 100, 220, 3)
    assert (ours["p50_ms"], ours["p99_ms"]) == (None, 7)
    assert ours["cpu_seconds_per_1000_orders"] == {"bridge": 0.5, "redis": 2}
    assert ceiling["ours_to_this"] == pytest.approx(210 / 350)
    assert "ours_to_this" not in ours


def test_the_tables_tell_the_side_from_the_servers():
    lines = summarise(
        [
            Sample("drain", "ours", 1234.5, cpu={"bridge": 0.5, "redis": 2}),
            Sample("drain", "python", 100, cpu={"python worker": 3, "redis": 8}),
        ]
    )
    ours, python = measures_table(lines).splitlines()[1:]
    assert "1,234" in ours
    assert "500.0" in ours
    assert "3,000" in python
    assert "12.35" in python  # ours ÷ this
    rows = {
        line.split()[0]: line.split()[1:] for line in processes_table(lines, {"redis": 13.4}).splitlines()
    }
    assert rows["redis"] == ["13.4", "2,000"]
    assert rows["bridge"] == ["500.0"]
    loops = processes_table(lines, {}, loop_us=2.0)
    assert loops.splitlines()[1].split() == ["bridge", "250.0"]
