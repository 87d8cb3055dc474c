"""Tests wait for a condition and never sleep for a guess."""

import time

import requests


def eventually(condition, what, timeout=60, interval=0.1):
    """Until `condition()` is true; returns its value. Fails naming `what` and the last value, after a
    look that began when the time was over: this process may have stood still itself."""
    end = time.monotonic() + timeout
    while True:
        is_last = time.monotonic() >= end
        value = condition()
        if value:
            return value
        assert not is_last, f"not within {timeout} s: {what} (last: {value!r})"
        time.sleep(interval)


def within(seconds, call, tries=10):
    """What `call()` returns the first time that it takes less than so long. A promise of the product; a
    machine that stands still for a moment is no breach of it, so there are a few tries."""
    took = []
    for _ in range(tries):
        start = time.monotonic()
        value = call()
        took.append(time.monotonic() - start)
        if took[-1] < seconds:
            return value
    raise AssertionError(f"never within {seconds} s, but in {took}")


def during(seconds, condition, what, interval=0.5):
    """`condition()` holds at every look for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        assert value, f"no longer: {what} (last: {value!r})"
        time.sleep(interval)


def lives(url):
    """Whether a service answers there; False while nobody listens."""
    try:
        return requests.get(url + "/livez", timeout=30).ok
    except requests.ConnectionError:
        return False


def readiness(url):
    """What a service says of itself, "ready" or another word; None while nobody listens."""
    try:
        return requests.get(url + "/readyz", timeout=30).json()["status"]
    except requests.ConnectionError:
        return None
