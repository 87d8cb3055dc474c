"""Brings the servers to a steady state, so that a measure does not see how they get there.

Elasticsearch is the one that needs it: its compiler works for the first million documents, and on busy
cores two windows may be alike long before. What is warm is the process; wiping its indices does not cool
it, which the last window shows.
"""

import time
from collections.abc import Callable

from generators import ceiling, redis_benchmark
from servers import CEILING_INDEX, CEILING_QUEUE, Servers

WINDOW = 50_000
STEADY = 0.1  # two windows in a row differ by less than this share of the faster one
COMPILED = 20  # windows: until then it is Elasticsearch's compiler that is measured
LIMIT_S, QUICK_LIMIT_S = 240, 30
OTHERS_LIMIT_S, QUICK_OTHERS_LIMIT_S = 30, 5


def is_steady(rates: list[float]) -> bool:
    if len(rates) < 2:
        return False
    fast = max(rates[-2:])
    return fast > 0 and fast - min(rates[-2:]) < STEADY * fast


def run_windows(
    window: Callable[[], float], limit_s: float, least: int = 2, clock=time.monotonic
) -> list[float]:
    """The rates of windows one after the other: at least so many, and until they are steady or the time is
    over."""
    end = clock() + limit_s
    rates = [window()]
    while not (is_steady(rates) and len(rates) >= least) and clock() < end:
        rates.append(window())
    return rates


def described(name: str, rates: list[float]) -> str:
    shown = [f"{rate:,.0f}" for rate in rates]
    if len(shown) > 8:
        shown[4:-3] = ["…"]
    verdict = "steady" if is_steady(rates) else "NOT STEADY"
    return f"{name}: {' '.join(shown)}/s in {len(rates)} windows of {WINDOW:,}: {verdict}"


def warm(servers: Servers, quick: bool, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Nothing if they are warm. The rates of the windows by server."""
    if servers.warm:
        return {}
    say(f"warming the servers: until two windows of {WINDOW:,} differ by less than {STEADY:.0%}")
    env = servers.env

    def bulk() -> float:
        return ceiling(env, "bulk", CEILING_INDEX, WINDOW).per_second

    def insert() -> float:
        return ceiling(env, "insert", WINDOW).per_second

    def queue() -> float:
        published = ceiling(env, "publish", CEILING_QUEUE, "quorum", 2000, WINDOW)
        consumed = ceiling(env, "consume", CEILING_QUEUE, WINDOW)
        return WINDOW / (published.seconds + consumed.seconds)

    def get() -> float:
        return redis_benchmark(env["REDIS_ADDR"], 64, WINDOW, WINDOW).per_second

    limit_s = QUICK_LIMIT_S if quick else LIMIT_S
    others_limit_s = QUICK_OTHERS_LIMIT_S if quick else OTHERS_LIMIT_S
    servers.wipe()
    servers.make_index(CEILING_INDEX)
    windows = {}
    for name, window, limit, least in (
        ("elasticsearch", bulk, limit_s, 2 if quick else COMPILED),
        ("postgres", insert, others_limit_s, 2),
        ("rabbitmq", queue, others_limit_s, 2),
        ("redis", get, others_limit_s, 2),
    ):
        windows[name] = run_windows(window, limit, least)
        say(f"    {described(name, windows[name])}")
    servers.wipe()
    servers.make_index(CEILING_INDEX)
    say(f"    elasticsearch after its indices were deleted: {bulk():,.0f}/s")
    servers.wipe()
    servers.warm = True
    return windows
