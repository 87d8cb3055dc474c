"""Tests wait for a condition and never sleep for a guess."""

import time


def eventually(condition, what, timeout=20, interval=0.1):
    """Until `condition()` is true; returns its value. Fails naming `what` and the last value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {timeout} s: {what} (last: {value!r})"
        time.sleep(interval)


def during(seconds, condition, what, interval=0.5):
    """`condition()` holds at every look for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        assert value, f"no longer: {what} (last: {value!r})"
        time.sleep(interval)
