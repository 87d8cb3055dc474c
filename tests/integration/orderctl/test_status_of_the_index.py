"""What orderctl tells of the search index and of the jobs about it, against a stub of the gateway."""

from orderctl.samples import GOOD, job, status


def test_jobs_tell_it(orderctl, gateway):
    automatic = job(8, kind="repair", requested_by=None, automatic=True, done=10**7, total=10**7)
    automatic |= {"result": {"index": "orders-000003", "copied": 12, "refused": {"count": 0, "ids": []}}}
    gateway.routes["GET", "/api/admin/jobs"] = (200, {"jobs": [automatic], "next": None}, {})
    gateway.routes["GET", "/api/admin/jobs/8"] = (200, automatic, {})
    assert "10000000 of 10000000 the scheduler" in orderctl("jobs").stdout
    assert "orders-000003, 12 orders copied" in orderctl("jobs", "show", 8).stdout


def told(orderctl, gateway, ends_with=GOOD, **changes):
    answer = status(**changes)
    gateway.routes["GET", "/api/admin/status"] = (200, answer, {})
    return orderctl("status", ends_with=ends_with).stdout


def test_the_index(orderctl, gateway):
    index = status()["index"]
    text = told(orderctl, gateway)
    assert "index        search lacks no order that is known\n" in text
    assert "0 missing, 0 extra, 0 different; all orders never\n" in text
    text = told(orderctl, gateway, index=index | {"verified_at": None})
    assert "verified     never\n" in text
    text = told(orderctl, gateway, index=index | {"missing": 0.0123, "fault": "too much \33 is missing"})
    assert "search lacks 1.23 % of the orders\n" in text
    assert r"too much \u001b is missing" in text
    assert "index        unknown\n" in told(orderctl, gateway, index=None)


def test_what_runs(orderctl, gateway):
    running = job(
        12,
        kind="repair",
        started_at="2026-11-29T22:55:29Z",
        done=50,
        total=200,
        result={"phase": "copying"},
    )
    text = told(orderctl, gateway, jobs=[job(13, state="waiting"), job(14, kind="refresh"), running])
    assert text.count("\n  running  ") == 1
    assert "running      job 12 (repair) running, copying: 50 of 200, 5/s, 31 s left\n" in text
