"""Jobs: begun on the page, followed to their end, canceled; and many of them."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browsing import check_page, screenshots
from queues import original_order
from wait import eventually

REBUILD = "Rebuild the index (reindex)"
LONG_MS = 180_000  # as for a difference, which is one that is still there 30 s later
ORDERS = """INSERT INTO orders (id, product_name, amount, created_at)
    SELECT md5('many' || n)::uuid, 'many', 1, now() - interval '20 days'
    FROM generate_series(1, 100000) AS n ON CONFLICT DO NOTHING"""


@pytest.fixture
def idle(system):
    """idle() waits until no job about the index is under way: a scheduler may have begun one by itself."""
    query = "SELECT kind FROM jobs WHERE finished IS NULL AND kind <> 'refresh'"
    return lambda: eventually(
        lambda: system.postgres.execute(query).fetchone() is None, "no job is under way", 180
    )


@pytest.fixture
def jobs(console, page):
    """The view, with the token that may do everything."""
    console.open("#/jobs")
    console.sign_in()
    expect(page.get_by_role("row").nth(1).or_(page.get_by_text("There is no job."))).to_be_visible()
    return page


def form(page, name):
    return page.get_by_role("form", name=name)


def begin(page, name):
    """By the button of its form, and of the dialog if there is one; returns the id of the job."""
    form(page, name).get_by_role("button").click()
    confirm(page)
    expect(told(page)).to_contain_text("has begun.")
    return int(told(page).get_by_role("link").get_attribute("href").rsplit("/", 1)[1])


def confirm(page):
    for button in page.get_by_role("dialog").get_by_role("button").all()[1:]:
        button.click()


def told(page):
    return page.locator("main").get_by_role("status")


def row(page, job):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=str(job), exact=True))


def fact(page, label):
    """What the page of a job tells under it."""
    term = page.get_by_role("term").filter(has_text=re.compile(f"^{label}$"))
    return page.locator("dl > div").filter(has=term).get_by_role("definition")


def lists_asked_for(page):
    """Filled from now on."""
    asked = []

    def note(request):
        if request.method == "GET" and urlsplit(request.url).path.startswith("/api/admin/jobs"):
            asked.append(request.url)

    page.on("request", note)
    return asked


def test_reindex(system, jobs, idle):
    """To its end. What is seen of it is the poll's: the list is asked for only when a job appears or ends."""
    page = jobs
    idle()
    before = set(system.elasticsearch.indices.get_alias(name=system.index))
    asked = lists_asked_for(page)
    form(page, REBUILD).get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("It copies every order to a new index")
    expect(page.get_by_role("dialog")).to_contain_text("Then it deletes the old index.")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(told(page)).to_have_text("")
    assert not asked

    job = begin(page, REBUILD)
    expect(row(page, job).get_by_role("progressbar", name=f"Job {job}")).to_be_visible()
    words = re.compile(r"[a-z ]+, [\d,]+ of [\d,]+")
    expect(row(page, job).locator(".progress")).to_contain_text(words)
    screenshots(page, "jobs")
    assert len(asked) <= 3, asked
    expect(row(page, job)).to_contain_text("✓ done", timeout=LONG_MS)
    expect(row(page, job).get_by_role("progressbar")).to_have_count(0)
    assert len(asked) <= 5, asked
    check_page(page)

    row(page, job).get_by_role("link").click()
    expect(page.get_by_role("heading", name=f"Job {job}")).to_be_visible()
    (index,) = system.elasticsearch.indices.get_alias(name=system.index)
    assert index not in before
    expect(fact(page, "Index")).to_have_text(index)
    expect(fact(page, "Asked for by")).to_contain_text("console")
    expect(fact(page, "To do")).to_have_text("deletes the old index at the end")
    expect(page.get_by_role("button", name="Cancel the job")).to_be_hidden()


@pytest.fixture
def many_orders(system):
    """So many that it takes a while to copy them."""
    system.postgres.execute(ORDERS)
    system.postgres.execute("ANALYZE orders")  # the job's total is PostgreSQL's estimate
    yield
    system.postgres.execute("DELETE FROM orders WHERE product_name = 'many'")


@pytest.mark.usefixtures("many_orders")
def test_cancel_while_it_runs(system, jobs, idle):
    """On the page of the job, which follows it."""
    page = jobs
    idle()
    before = set(system.elasticsearch.indices.get_alias(name=system.index))
    job = begin(page, REBUILD)
    told(page).get_by_role("link").click()
    expect(page.get_by_role("progressbar", name=f"Job {job}")).to_be_visible()
    words = re.compile(r"copying, [\d,]+ of 1[\d,]+, [\d.]+%, [\d.,]+/s, .* left")
    expect(page.locator(".progress")).to_contain_text(words)
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("dialog")).to_contain_text("Search goes on in the old index")
    expect(page.get_by_role("dialog").get_by_role("button")).to_have_text(["Let it go on", "Cancel the job"])
    check_page(page)
    confirm(page)
    expect(fact(page, "State")).to_have_text("× canceled", timeout=LONG_MS)
    expect(page.get_by_role("button", name="Cancel the job")).to_be_hidden()
    assert set(system.elasticsearch.indices.get_alias(name=system.index)) == before
    screenshots(page, "job-canceled")


def test_verify_and_repair(system, jobs, idle, unique):
    page, order = jobs, str(uuid.uuid4())
    idle()
    then = datetime.now(UTC) - timedelta(hours=1)
    body = original_order(unique, 12.5, f"{then:%Y-%m-%dT%H:%M:%SZ}", order)
    system.queues.publish(body, message_id=order)
    system.wait_stored(order)
    system.elasticsearch.delete(index=system.index, id=order, refresh=True)
    idle()
    job = begin(page, "Verify")
    told(page).get_by_role("link").click()
    expect(fact(page, "State")).to_contain_text("done, not all is well", timeout=LONG_MS)
    expect(fact(page, "To do")).to_have_text("the orders of the last 7 days, counts and sums")
    expect(fact(page, "Missing in the index")).to_contain_text("1")
    expect(fact(page, "What to do")).to_contain_text("indexes again what is missing or different")
    check_page(page)
    screenshots(page, "job")
    fact(page, "Missing in the index").get_by_role("link", name=order).click()
    expect(page).to_have_url(f"{system.env['API_URL']}/#/find?q={order}")
    page.go_back()
    expect(page.get_by_role("heading", name=f"Job {job}")).to_be_visible()

    fact(page, "What to do").get_by_role("link").click()
    idle()
    begin(page, "Repair")
    told(page).get_by_role("link").click()
    expect(fact(page, "Repaired")).to_have_text("1 document, and deleted 0", timeout=LONG_MS)
    expect(fact(page, "State")).to_have_text("✓ done", timeout=LONG_MS)
    assert system.document(order)["product_name"] == unique


def test_repair_that_deletes(system, jobs, idle):
    """It asks once more; what it finds, it deletes."""
    page, extra = jobs, str(uuid.uuid4())
    idle()
    at = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    document = {"id": extra, "product_name": "of no order", "amount": 1, "created_at": at}
    system.elasticsearch.index(index=system.index, id=extra, document=document, refresh=True)
    repair = form(page, "Repair")
    repair.get_by_label("Orders").select_option("all")
    repair.get_by_label("Delete documents that have no order").check()
    repair.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("It deletes each document in the search index that")
    expect(page.get_by_role("dialog")).to_contain_text("can't be undone")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    idle()
    begin(page, "Repair")
    told(page).get_by_role("link").click()
    expect(fact(page, "To do")).to_contain_text("all orders, counts and sums, deletes documents")
    expect(fact(page, "Repaired")).to_contain_text("deleted 1", timeout=LONG_MS)
    expect(fact(page, "State")).to_have_text("✓ done", timeout=LONG_MS)
    assert system.document(extra) is None


def test_one_at_a_time(system, console, jobs, idle):
    page = jobs
    console.complaints.expect("409")
    idle()
    with system.stopped("scheduler-1"):
        job = begin(page, "Verify")
        expect(row(page, job)).to_contain_text("waits for a scheduler")
        form(page, "Repair").get_by_role("button").click()
        expect(told(page)).to_contain_text(f"Job {job} (verify) has not ended")
        told(page).get_by_role("link").click()
        page.get_by_role("button", name="Cancel the job").click()
        confirm(page)
        expect(told(page)).to_have_text("It is canceled.")
        expect(fact(page, "State")).to_have_text("× canceled")
    system.wait_ready()


def test_a_token_that_may_only_look(console, page):
    console.open("#/jobs")
    expect(page.get_by_text("Jobs are shown and begun with a token")).to_be_visible()
    check_page(page)
    console.complaints.expect("403")
    console.sign_in(console.read_token)
    form(page, "Verify").get_by_role("button").click()
    expect(told(page)).to_contain_text("type in the one of ADMIN_TOKEN")
    expect(form(page, "Verify").get_by_role("button")).to_be_enabled()


def test_many(console, rows, jobs):
    """500, in pages that have an address. How smooth they are, test_smooth.py tells."""
    page, ids = jobs, rows.jobs(500)
    expect(row(page, ids[-1])).to_be_visible()
    for seen in (26, 51, 76):
        page.get_by_role("link", name="Older").click()
        expect(row(page, ids[-seen])).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(26)
    assert "?cursor=" in page.url
    page.reload()
    expect(row(page, ids[-76])).to_be_visible()
    check_page(page)
    page.go_back()
    expect(row(page, ids[-51])).to_be_visible()
    row(page, ids[-51]).get_by_role("link").click()
    expect(fact(page, "Missing in the index").get_by_role("link")).to_have_count(1)
    expect(fact(page, "Sales ledger")).to_contain_text("wrong on 1 day, by 2 orders, and is mended")
    page.get_by_role("link", name="All jobs").click()
    expect(row(page, ids[-1])).to_be_visible()


def test_none_of_this_id(console, page):
    console.complaints.expect("404")
    console.open("#/jobs/999999999")
    expect(page.get_by_text("A job is shown with a token")).to_be_visible()
    console.sign_in()
    expect(page.get_by_role("alert")).to_contain_text(["There is no such job"])
    expect(page.get_by_role("progressbar")).to_have_count(0)


WORDS = [
    ({"state": "running", "done": 88, "result": {"phase": "tail"}}, "orders that came meanwhile, 88 of 88"),
    (
        {"state": "running", "done": 22, "result": {"phase": "copying", "index": "orders-9"}},
        "copying, 22 of 88, 25%",
    ),
    ({"state": "canceled", "done": 88, "error": "the old one is kept"}, "What is left"),
    ({"state": "failed", "done": 88, "error": "it is gone"}, "Error"),
    (
        {"state": "done", "done": 88, "result": {"index": "orders-9", "old": "orders-8", "old_kept": True}},
        "curl -X DELETE ELASTICSEARCH_URL/orders-8",
    ),
]


@pytest.mark.parametrize(("told", "words"), WORDS)
def test_words_of_a_reindex(console, page, told, words):
    """What hardly lasts long enough to be seen otherwise."""
    ended = None if told["state"] == "running" else "2026-01-01T00:00:01Z"
    job = {"id": 7, "kind": "reindex", "parameters": {}, "automatic": False, "cancel_requested": False,
           "error": None, "result": None, "total": 88, "requested_by": "console",
           "requested_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z",
           "finished_at": ended} | told  # fmt: skip
    page.route("**/api/admin/jobs/7", lambda route: route.fulfill(json=job))
    console.open("#/jobs/7")
    console.sign_in()
    expect(page.locator("main")).to_contain_text(words)
    expect(page.locator("main")).not_to_contain_text('"')
