"""How long a page kept its main thread busy, task by task, as Chromium's own trace tells.

A page is smooth while no task takes over 100 ms. Where other programs want the cores, too, a task also lasts
while its thread waits for one, which is no fault of the page. So each task has two times: how long it lasted,
and how much of that its thread ran (CLOCK_THREAD_CPUTIME_ID). A page waits for nothing inside of a task, so
that on a machine that does nothing else both are the same. The second is judged."""

import contextlib
import dataclasses
import json

CATEGORIES = ["disabled-by-default-devtools.timeline", "devtools.timeline"]
MOST_MS = 100


@dataclasses.dataclass(frozen=True)
class Task:
    lasted_ms: float
    ran_ms: float
    did: str  # the longest thing in it


@contextlib.contextmanager
def traced(page):
    """Yields a list that is filled at the end of the block: the tasks of the page's main thread, the one that
    ran longest first."""
    found = []
    browser = page.context.browser
    browser.start_tracing(page=page, categories=CATEGORIES)
    try:
        yield found
    finally:
        found += read_tasks(json.loads(browser.stop_tracing())["traceEvents"])


def assert_smooth(tasks):
    assert tasks, "nothing was traced"
    assert tasks[0].ran_ms <= MOST_MS, tasks[:3]


def read_tasks(events):
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    spans = [event for event in events if event["ph"] == "X" and (event["pid"], event["tid"]) in main]
    found = []
    for task in spans:
        if task["name"] == "RunTask":
            found.append(Task(task["dur"] / 1000, task["tdur"] / 1000, longest_inside(task, spans)))
    return sorted(found, key=lambda task: -task.ran_ms)


def longest_inside(task, spans):
    """Of the tasks that are told of; to look through all would take longer than the page did."""
    if task["dur"] < MOST_MS * 500:
        return ""
    begin, end = task["ts"], task["ts"] + task["dur"]
    inside = [
        span
        for span in spans
        if span is not task and span["pid"] == task["pid"] and begin <= span["ts"] <= end and "tdur" in span
    ]
    longest = max(inside, key=lambda span: span["tdur"], default=None)
    return longest["name"] if longest else ""
