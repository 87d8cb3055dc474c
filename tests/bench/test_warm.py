import pytest

from warm import described, is_steady, run_windows


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([], False),
        ([100], False),
        ([100, 100], True),
        ([0, 0], False),
        ([100, 109], True),
        ([109, 100], True),
        ([90, 100], False),  # exactly a tenth
        ([100, 50, 51], True),
        ([100, 101, 150], False),
    ],
)
def test_steady_is_a_difference_of_the_last_two_below_a_tenth(rates, expected):
    assert is_steady(rates) == expected


def test_windows_end_when_they_are_steady():
    rates = iter([10, 20, 40, 42, 1000])
    assert run_windows(lambda: next(rates), 60) == [10, 20, 40, 42]


def test_so_many_windows_are_run_at_least():
    rates = iter([10, 10, 20, 30, 31, 1000])
    assert run_windows(lambda: next(rates), 60, least=4) == [10, 10, 20, 30, 31]


def test_windows_end_when_the_time_is_over():
    times = iter([0, 100, 200, 241])
    rates = iter(range(1, 1000, 300))
    assert run_windows(lambda: next(rates), 240, clock=lambda: next(times)) == [1, 301, 601]


def test_what_was_done_is_said():
    assert described("redis", [100, 1000]).startswith("redis: 100 1,000/s in 2 windows")
    assert described("redis", [100, 1000]).endswith("NOT STEADY")
    assert described("redis", [100, 101]).endswith(": steady")
    assert "…" in described("redis", list(range(1, 30)))
