"""How long a page kept its main thread busy, task by task, as Chromium's own trace tells.

A page is smooth while no task takes over 100 ms. Where other programs want the cores, too, a task also lasts
while its thread waits for one, which is no fault of the page. So each task has two times: how long it lasted,
and how much of that its thread ran (CLOCK_THREAD_CPUTIME_ID). A page waits for nothing inside of a task, so
that on a machine that does nothing else both are the same. The second is judged."""

import contextlib
import dataclasses
import json

CATEGORIES = ["disabled-by-default-devtools.timeline", "devtools.timeline", "v8", "v8.execute", "blink"]
MOST_MS = 100


@dataclasses.dataclass(frozen=True)
class Task:
    lasted_ms: float
    ran_ms: float
    did: str  # the longest things in it, the longest first


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


def assert_smooth(page, use, tries=3):
    """use() makes the page work. A machine that stands still for a moment is no fault of the page, and a
    virtual one counts as run what it was not given, so there are a few tries."""
    found = []
    for _ in range(tries):
        with traced(page) as tasks:
            use()
        assert tasks, "nothing was traced"
        found.append(tasks[0])
        if tasks[0].ran_ms <= MOST_MS:
            return
    raise AssertionError(f"in each of {tries} tries a task ran over {MOST_MS} ms: {found}")


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
    inside.sort(key=lambda span: -span["tdur"])
    return ", ".join(f"{span['name']} {span['tdur'] / 1000:.0f} ms" for span in inside[:6])
