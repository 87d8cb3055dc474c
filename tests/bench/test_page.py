from goals import goals
from page import page
from samples import Sample, summarise


def report(*samples):
    lines = summarise(list(samples))
    return {
        "machine": "2 cores <fast>",
        "at": "2026-01-01",
        "seconds": 1,
        "calibration_us": {"median": 2.0, "minimum": 1.9, "maximum": 2.1},
        "warm_up": {"elasticsearch": [1000.0, 2000.0, 2100.0]},
        "failures": ["drain: <broken>"],
        "goals": goals(lines, 2, 2.0),
        "lines": lines,
    }


def test_a_page_has_the_figures_and_needs_nothing_from_elsewhere():
    text = page(
        report(
            Sample("drain", "ours", 1234.5, cpu={"bridge": 0.5}),
            Sample("drain", "ceiling", 2000),
            Sample("latency at 50 %: 202", "ours", 1, "ms", 1, 3, percentiles_ms=[0, 2, 3, 4, 5]),
            Sample("growth: drain at 10,000", "ours", 100),
            Sample("growth: drain at 1,000,000", "ours", 90),
        )
    )
    assert "1,234" in text or "1,235" in text
    assert "&lt;broken&gt;" in text
    assert text.count("<svg") == 5
    for asking in ("<script", "<link", "<img", "src=", "@import", "url(http"):
        assert asking not in text


def test_a_page_of_nothing():
    assert "not measured" in page(report() | {"warm_up": {}})
