"""What several scenarios demand of the gateway."""

import requests


def check_refused_at_once(run) -> None:
    """New orders are refused with 503 in less than 100 ms, and told when to come back."""
    times = []
    for number in range(10):
        answer = run.post(f"{run.prefix}x-refused {number}")
        run.check(answer.status_code == 503, f"a POST is answered {answer.status_code}: {answer.text[:200]}")
        run.check("Retry-After" in answer.headers, "a 503 carries Retry-After")
        times.append(answer.elapsed.total_seconds())
    median = sorted(times)[5]
    run.check(median < 0.1, f"refusals take {median * 1000:.0f} ms, not < 100 ms")


def check_answered_in_time(run) -> None:
    """Every order of the load was answered within the request's 5 s, and a tenth."""
    late = [answer for answer in run.ledger().answers if answer.status is None or answer.seconds > 5.5]
    run.check(not late, f"{len(late)} requests without an answer in time, such as {late[:3]}")


def check_resumes(run, limit: float) -> None:
    took = run.until(lambda: run.post(f"{run.prefix}x-resumed").status_code == 202, 30, "orders are accepted")
    run.check(took <= limit, f"orders are accepted again after {took:.1f} s, not {limit:.0f} s")


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
    run.check(p99 <= 0.1, f"GET p99 is {p99 * 1000:.0f} ms, not <= 100 ms")
