"""What watches the page must be able to find something."""

import pytest

from browsing import check_page, open_context
from complaints import Complaints
from tasks import assert_smooth

HOST = "http://console.test"
POLICY = (
    "default-src 'none'; connect-src *; img-src *; script-src 'unsafe-inline'; "
    "require-trusted-types-for 'script'"
)


@pytest.fixture
def bad(browser):
    """bad(SCRIPT) opens a page of that script; returns it with the complaints."""
    with open_context(browser) as context:
        complaints = Complaints(context, HOST)
        page = context.new_page()

        def open_page(script="", body="", title="A page"):
            main = f"<main><h1>A</h1>{body}</main><script>{script}</script>"
            html = f"<!doctype html><html lang=en><title>{title}</title>{main}"
            page.route(
                "**/*",
                lambda route: route.fulfill(
                    body=html,
                    content_type="text/html",
                    status=404 if "missing" in route.request.url else 200,
                    headers={"Content-Security-Policy": POLICY},
                ),
            )
            page.goto(HOST)
            return page, complaints

        yield open_page


COMPLAINTS = {
    "a message": ("console.warn('so')", "warning: so"),
    "an error": ("setTimeout(() => { throw Error('bad') })", "error: bad"),
    "a rejection": ("Promise.reject(Error('bad'))", "error: bad"),
    "a missing file": ("fetch('/missing')", "error: Failed to load resource"),
    "markup made of text": ("document.body.innerHTML = '<b>'", "policy: require-trusted-types-for"),
    "a style in an attribute": (
        "document.body.setAttribute('style', 'color: red')",
        "policy: style-src-attr",
    ),
    "another host": ("fetch('http://elsewhere.test/')", "request: http://elsewhere.test/"),
}


@pytest.mark.parametrize(("script", "complaint"), COMPLAINTS.values(), ids=COMPLAINTS)
def test_a_complaint(bad, script, complaint):
    page, complaints = bad(script)
    for _ in range(100):
        if any(seen.startswith(complaint) for seen in complaints.unexpected()):
            return
        page.wait_for_timeout(100)
    raise AssertionError(complaints.unexpected())


def test_no_complaint(bad):
    page, complaints = bad("fetch('/missing')")
    complaints.expect(404)
    page.wait_for_timeout(500)
    assert not complaints.unexpected()


def test_a_page_that_is_too_wide(bad):
    page, _ = bad(body=f"<p>{'wide' * 15}</p>")
    with pytest.raises(AssertionError, match="360 px"):
        check_page(page)


def test_a_page_that_axe_dislikes(bad):
    page, _ = bad(title="")
    with pytest.raises(AssertionError, match="document-title"):
        check_page(page)


def test_tasks(bad):
    """One that works is found, and one that waits is not."""
    page, _ = bad()
    work = "{ let sum = 0; for (let i = 0; i < 4e8; i++) sum += i % 7; sum }"
    with pytest.raises(AssertionError, match="in each of 2 tries"):
        assert_smooth(page, lambda: page.evaluate(work), tries=2)
    assert_smooth(page, lambda: page.evaluate("new Promise(resolve => setTimeout(resolve, 300))"))
