"""What several scenarios demand."""

import time

import requests

from run import TooLate


def check_refused_at_once(run) -> None:
    """New orders are refused with 503 in less than 100 ms, and told when to come back."""
    times = []
    for number in range(10):
        answer = run.post(f"{run.prefix}x-refused {number}")
        run.check(answer.status_code == 503, f"a POST is answered {answer.status_code}: {answer.text[:200]}")
        run.check("Retry-After" in answer.headers, "a 503 carries Retry-After")
        times.append(answer.elapsed.total_seconds())
    median = sorted(times)[5]
    run.in_time(median, 0.1, "refusals, at the median,")


def check_answered_in_time(run) -> None:
    """Every order of the load was answered within the request's 5 s, and a tenth."""
    answers = run.ledger().answers
    unanswered = [answer for answer in answers if answer.status is None]
    run.check(not unanswered, f"{len(unanswered)} requests without an answer, such as {unanswered[:3]}")
    run.in_time(max(answer.seconds for answer in answers), 5.5, "an answer")


def check_resumes(run, limit: float) -> None:
    took = run.until(lambda: run.post(f"{run.prefix}x-resumed").status_code == 202, 30, "orders are accepted")
    run.in_time(took, limit, "accepting orders again")


def check_reads(run, order_ids: list[str], from_cache: bool = True) -> None:
    """Orders can be read, in 100 ms at the 99th percentile."""
    session, times = requests.Session(), []
    for order_id in order_ids:
        answer = session.get(f"{run.stand.env['API_URL']}/api/orders/{order_id}", timeout=12)
        run.check(answer.status_code == 200, f"GET {order_id} is answered {answer.status_code}")
        if not from_cache:
            run.check(answer.headers["X-Cache"] == "MISS", "an order comes from a cache that is not there")
        times.append(answer.elapsed.total_seconds())
    p99 = sorted(times)[int(len(times) * 0.99) - 1]
    run.in_time(p99, 0.1, "a GET, at the 99th percentile,")


def acked_when_still(run) -> float:
    """Nothing can be stored any more: how many orders were acknowledged, once what was stored before is."""
    acked = run.stand.metric("bridge-1", "bridge_acked_total")
    for _ in range(20):
        time.sleep(1)
        before, acked = acked, run.stand.metric("bridge-1", "bridge_acked_total")
        if acked == before:
            return acked
    raise TooLate("orders are acknowledged 20 s after the fault")
