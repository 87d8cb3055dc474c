"""What stands around every view: the sentence on top, the token, and the question each second."""

import datetime
import re
import time
import zoneinfo

import pytest
from playwright.sync_api import expect

from wait import eventually

WELL, READY = re.compile("All is well"), re.compile("The gateway is ready")
FORGET = "Forget the token"
STATUS, READINESS = "/api/admin/status", "/readyz"


def asked(page, path):
    """When the page asked for that, in ms of its own clock."""
    entries = page.evaluate("performance.getEntriesByType('resource').map(one => [one.name, one.startTime])")
    return [at for url, at in entries if url.endswith(path)]


def test_without_a_token(console, page):
    """What /readyz allows; nothing is asked that needs a token."""
    requests = []
    page.on(
        "request", lambda request: requests.append((request.method, request.url.removeprefix(console.url)))
    )
    console.open()
    expect(console.sentence).to_contain_text("The gateway is ready. Sign in to see the rest.")
    eventually(lambda: len(asked(page, READINESS)) >= 3, "it is asked again", interval=0.3)
    assert set(requests) == {("GET", "/"), ("GET", READINESS)}


@pytest.mark.parametrize("which", ["token", "read_token"])
def test_a_token_shows_figures(console, page, which):
    console.open()
    console.sign_in(getattr(console, which))
    expect(page.get_by_role("button", name=FORGET)).to_be_visible()
    expect(console.sentence).to_have_text(re.compile(r"All is well\.$"))
    assert asked(page, STATUS)


def test_a_wrong_token(console, page):
    """It is refused in words, and not kept."""
    console.complaints.expect(401)
    console.open()
    console.sign_in("wrong")
    expect(page.get_by_role("alert")).to_contain_text(re.compile("token", re.IGNORECASE))
    expect(page.get_by_label("Token")).to_have_value("")
    assert page.evaluate("sessionStorage.length") == 0
    count = len(asked(page, STATUS))
    page.reload()
    expect(console.sentence).to_have_text(READY)
    expect(page.get_by_label("Token")).to_be_visible()
    assert not asked(page, STATUS)
    assert count == 1
    console.sign_in()
    expect(page.get_by_role("button", name=FORGET)).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_where_a_token_is(console, page):
    """In this tab until it ends: in no cookie, in no other storage, in no address, and sent to the routes of
    operators only."""
    requests = []
    page.on("request", lambda request: requests.append(request))
    console.open()
    console.sign_in()
    expect(page.get_by_role("button", name=FORGET)).to_be_visible()
    page.reload()
    eventually(lambda: len(asked(page, STATUS)) >= 2, "the token is still there", interval=0.3)
    assert page.evaluate("Object.values(sessionStorage)") == [console.token]
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert page.evaluate("indexedDB.databases()") == []
    assert page.context.cookies() == []
    for request in requests:
        headers = request.all_headers()
        sent = headers.pop("authorization", None)
        assert sent == (f"Bearer {console.token}" if "/api/admin/" in request.url else None)
        assert "cookie" not in headers
        assert console.token not in request.url + str(headers)
    other = page.context.new_page()
    other.goto(console.url)
    expect(other.get_by_label("Token")).to_be_visible()
    other.close()
    page.get_by_role("button", name=FORGET).click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("token", [None, "read"])
def test_the_broker_is_killed(console, page, restored, token):
    """The sentence names it within 3 s, in a region that a screen reader hears, and is well again by
    itself."""
    console.complaints.expect(503)  # what /readyz answers then
    console.open()
    if token:
        console.sign_in(console.read_token)
        expect(page.get_by_role("button", name=FORGET)).to_be_visible()
    calm, name = (WELL, "well") if token else (READY, "ready")
    expect(console.sentence).to_have_text(calm)
    spoken = page.get_by_role("status").filter(has_text=calm).first.element_handle()

    killed = time.monotonic()
    restored.kill("rabbitmq")
    expect(console.sentence).to_contain_text(re.compile("rabbitmq", re.IGNORECASE))
    took = time.monotonic() - killed
    assert took < 3, took
    expect(console.sentence).to_have_class("wrong")
    # The same element speaks: a new one would not be heard.
    assert "rabbitmq" in spoken.inner_text().lower()

    expect(console.sentence).to_have_text(calm, timeout=120_000)
    expect(console.sentence).to_have_class(name)


def test_the_gateway_is_lost(console, page, restored):
    """The page says so, and since when; it goes on by itself."""
    console.complaints.expect("ERR_")
    console.open()
    console.sign_in()
    expect(console.sentence).to_have_text(WELL)
    restored.kill("gateway-1")
    with restored.stopped("gateway-1"):
        expect(console.sentence).to_contain_text("does not answer")
        expect(console.sentence).to_have_class("lost")
        now = datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin"))
        said = console.sentence.inner_text()
        hours, minutes, seconds = map(int, re.search(r"since (\d\d):(\d\d):(\d\d)", said).groups())
        since = now.replace(hour=hours, minute=minutes, second=seconds, microsecond=0)
        assert abs(now - since) < datetime.timedelta(seconds=60)
        count = len(asked(page, STATUS))
        eventually(lambda: len(asked(page, STATUS)) > count + 2, "it is asked again", interval=0.3)
        assert console.sentence.inner_text() == said
    expect(console.sentence).to_have_text(WELL, timeout=60_000)


def test_it_asks_once_a_second(console, page):
    console.open()
    console.sign_in()
    expect(console.sentence).to_have_text(WELL)
    begun, count = page.evaluate("performance.now()"), len(asked(page, STATUS))
    page.wait_for_timeout(10_000)
    seconds = (page.evaluate("performance.now()") - begun) / 1000
    times = asked(page, STATUS)
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert min(gaps[-5:]) > 990, gaps
    # A machine that stands still asks later, and never more often.
    assert seconds / 2 < len(times) - count <= seconds + 1
    assert len(asked(page, READINESS)) <= 2


def test_a_hidden_tab_asks_nothing(console, page):
    console.open()
    console.sign_in()
    eventually(lambda: len(asked(page, STATUS)) >= 2, "it asks", interval=0.3)
    set_hidden(page, True)
    page.wait_for_timeout(1000)  # what was under way
    count = len(asked(page, STATUS))
    page.wait_for_timeout(4000)
    assert len(asked(page, STATUS)) == count
    set_hidden(page, False)
    eventually(lambda: len(asked(page, STATUS)) >= count + 3, "it asks again", interval=0.3)


def set_hidden(page, hidden):
    """As when another tab is chosen. Chromium without a screen shows every tab, so the page is told what it
    would be told then."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
            const state = hidden ? 'hidden' : 'visible';
            Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


def test_nothing_is_said_while_nothing_changes(console, page):
    """A screen reader hears a change and nothing else."""
    console.open()
    console.sign_in()
    expect(console.sentence).to_have_text(WELL)
    page.evaluate(
        """() => {
            window.changes = [];
            new MutationObserver(list => window.changes.push(...list.map(one => one.type)))
                .observe(document.getElementById('sentence'),
                         {subtree: true, childList: true, characterData: true});
        }"""
    )
    count = len(asked(page, STATUS))
    eventually(lambda: len(asked(page, STATUS)) > count + 3, "it is asked", interval=0.3)
    assert page.evaluate("window.changes") == []
