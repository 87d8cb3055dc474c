"""What goes wrong around the page: what stands between it and the gateway, the browser, the clock, the person
who leaves in the middle, text that is made to mislead."""

import json
import re

import pytest
from playwright.sync_api import expect

from browsing import NARROW, assert_fits
from wait import eventually

READY = re.compile("The gateway is ready")
FORGET = "Forget the token"
STATUS, READINESS = "**/api/admin/status", "**/readyz"
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp\u200b\"'</script>" + "x" * 200


def sign_in(console, page):
    console.sign_in()
    expect(page.get_by_role("button", name=FORGET)).to_be_visible()


def answer(route, body):
    route.fulfill(status=200, content_type="application/json", body=json.dumps(body))


def test_storage_is_forbidden(console, page):
    """As by the settings of a browser: the token ends with the page then."""
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage',"
        " {get() { throw new DOMException('forbidden', 'SecurityError'); }})"
    )
    console.open()
    expect(console.sentence).to_have_text(READY)
    sign_in(console, page)
    expect(page.get_by_text("highest in 2 min").first).to_be_visible()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_token_that_no_header_takes(console, page):
    """The field refuses it, and the gateway one that is too long for it."""
    console.complaints.expect(431)
    console.open()
    console.sign_in("日本")
    assert page.get_by_label("Token").evaluate("field => field.validity.patternMismatch")
    expect(console.sentence).to_have_text(READY)
    console.sign_in("a" * 200_000)
    expect(page.get_by_role("alert")).to_contain_text("too large")
    expect(page.get_by_label("Token")).to_be_visible()
    expect(console.sentence).to_have_text(READY)


def test_what_answers_is_not_the_gateway(console, page):
    """As the login page of a proxy, with status 200."""
    console.open("#/find?q=desk")
    expect(console.sentence).to_have_text(READY)
    page.route(READINESS, lambda route: route.fulfill(body="<h1>Log in</h1>", content_type="text/html"))
    expect(console.sentence).to_contain_text("What answers is not the gateway since")
    page.route("**/api/**", lambda route: route.fulfill(body="<h1>Log in</h1>", content_type="text/html"))
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("a proxy")
    page.unroute_all()
    expect(console.sentence).to_have_text(READY)


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_public_is_refused(console, page, status):
    """As by a proxy: nothing is known then, and no token is at fault."""
    console.complaints.expect(status)
    console.open()
    expect(console.sentence).to_have_text(READY)
    page.route(READINESS, lambda route: route.fulfill(status=status, body="<h1>No</h1>"))
    expect(console.sentence).to_contain_text(f"The gateway answered {status} since")
    expect(page.get_by_role("alert")).to_be_empty()
    page.unroute_all(behavior="wait")
    expect(console.sentence).to_have_text(READY)


def test_a_proxy_with_a_prefix(console, page):
    """What the page asks for is under the prefix, too."""

    def strip(route):
        assert "/pipeline/" in route.request.url
        route.fulfill(response=route.fetch(url=route.request.url.replace("/pipeline", "")))

    page.route(console.url + "/**", strip)
    page.goto(console.url + "/pipeline/")
    sign_in(console, page)
    expect(page.get_by_text("highest in 2 min").first).to_be_visible()
    page.unroute_all(behavior="wait")


def test_the_clock_is_set_back(console, page):
    """It is asked each second nevertheless."""
    console.open()
    expect(console.sentence).to_have_text(READY)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        """() => {
            const {fetch} = window, {now} = Date;
            window.fetch = async (...all) => {
                const answer = await fetch(...all);
                Date.now = () => now() - 7200000;
                return answer;
            };
        }"""
    )
    # The playwright of a test is served only while the test waits by it.
    page.wait_for_timeout(6000)
    assert len(asked) >= 3


def test_nothing_is_left_of_a_token_that_is_forgotten(console, page):
    """Not even until the next answer."""
    console.open()
    sign_in(console, page)
    figures = page.get_by_text("highest in 2 min")
    expect(figures.first).to_be_visible()
    page.route(READINESS, lambda route: None)  # never answered
    page.get_by_role("button", name=FORGET).click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert console.sentence.inner_text().endswith("Asking the gateway …")
    expect(page.get_by_role("list").get_by_text("ready", exact=True)).to_have_count(0)
    page.unroute_all()
    expect(console.sentence).to_have_text(READY)


def test_a_question_ends_when_its_view_is_left(console, page, rows):
    rows.letters(2)
    console.open("#/sales")
    sign_in(console, page)
    page.get_by_role("link", name="Dead letters", exact=True).click()
    page.get_by_role("button", name="Discard all that match").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Sales", level=2)).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "discarded" not in rows.states()


def test_one_question_at_a_time(console, page, rows):
    rows.letters(2)
    console.open("#/dead")
    sign_in(console, page)
    held = []
    for what in ("replay", "discard"):
        page.route(f"**/dead-letters/{what}", lambda route: held.append(route))
    replay = page.get_by_role("button", name="Replay all that match")
    replay.click()
    expect(page.get_by_role("button", name="Discard all that match")).to_be_disabled()
    expect(replay).to_be_disabled()
    eventually(lambda: page.wait_for_timeout(50) or held, "it is counted")
    answer(held[0], {"matches": 2, "by_reason": {"__proto__": 1, "constructor": 1}})
    expect(page.get_by_role("dialog")).to_contain_text("Replay 2 dead letters?")
    expect(page.get_by_role("dialog")).to_contain_text("1 __proto__")
    page.keyboard.press("Escape")
    expect(replay).to_be_focused()


def test_text_that_misleads(console, page):
    """Names and reasons come from elsewhere: what would turn the line around is seen, and nothing goes beyond
    the screen."""

    def mislead(route):
        report = route.fetch().json()
        report |= {"well": False, "summary": f"constructor: redis: {HOSTILE}"}
        report["dead_letters"]["by_reason"] = {"__proto__": 1, HOSTILE: 2}
        for service in report["services"]:
            service |= {"status": "failed", "replica": HOSTILE, "reasons": [f"constructor: {HOSTILE}"]}
        for one in report["dependencies"]:
            one |= {"status": "down", "reason": f"__proto__: {HOSTILE}"}
        answer(route, report)

    console.open()
    page.route(STATUS, mislead)
    sign_in(console, page)
    expect(console.sentence).to_contain_text("Constructor: redis: <img")
    for summary in page.locator("summary").all():
        summary.click()
    for address in ("#/", "#/dead"):
        console.open(address)
        expect(page.get_by_text("\\u202egnp\\u200b").nth(1)).to_be_visible()
        shown = page.locator("body").inner_text()
        for misleading in ("\u202e", "\u200b", "native code", "[object"):
            assert misleading not in shown
        assert_fits(page, address)
        page.set_viewport_size(NARROW)
        assert_fits(page, address)
    page.unroute_all(behavior="wait")
