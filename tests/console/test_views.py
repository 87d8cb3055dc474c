"""What every view must stand: a reload, back and forward, a narrow screen, the dark, the keyboard alone, no
motion."""

import pytest
from playwright.sync_api import expect

from browsing import check_page, screenshots
from wait import eventually

FORGET = "Forget the token"
POISON = '{"product_name":"Desk","amount":"much"}'

# Name → address; {letter}, {job} and {order} are things that are there.
VIEWS = {
    "way": "#/",
    "try": "#/try",
    "try-order": "#/try?id={order}",
    "find": "#/find",
    "find-order": "#/find?q={order}",
    "find-words": "#/find?q=desk",
    "sales": "#/sales",
    "dead": "#/dead",
    "dead-filtered": "#/dead?state=all&reason=malformed&stage=intake",
    "letter": "#/dead/{letter}",
    "letter-missing": "#/dead/999999999",
    "jobs": "#/jobs",
    "job": "#/jobs/{job}",
    "job-missing": "#/jobs/999999999",
    "nothing": "#/nothing/here",
}

# All that the tab key must reach, one of a group of radio buttons, and what it has reached.
CONTROLS = """() => {
    const groups = new Set();
    return [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
        .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled)
        .filter(one => one.type !== 'radio' || !groups.has(one.name) && groups.add(one.name));
}"""
FOCUSED = """() => {
    const one = document.activeElement;
    const outlined = part => {
        const style = getComputedStyle(part);
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
            || part instanceof SVGElement && style.stroke !== 'none' && parseFloat(style.strokeWidth) >= 2;
    };
    return one === document.body ? null : {
        number: reached.indexOf(one) < 0 ? reached.push(one) - 1 : reached.indexOf(one),
        outlined: [one, ...one.children].some(outlined),
        what: one.outerHTML.slice(0, 120),
    };
}"""
MISSED = f"""() => ({CONTROLS})()
    .filter(one => !reached.includes(one) && !reached.some(other => other.name && other.name === one.name))
    .map(one => one.outerHTML.slice(0, 120))"""


@pytest.fixture
def things(system, unique, rows):
    order = system.api.accept(f"Desk {unique}")
    system.wait_stored(order)
    return {"order": order, "letter": rows.poison(POISON), "job": rows.jobs(3)[-1]}


@pytest.fixture
def signed_in(console, page):
    console.complaints.expect(404)  # what is missing
    console.open()
    console.sign_in()
    expect(page.get_by_role("button", name=FORGET)).to_be_visible()
    return console


def wait_settled(page):
    """Until the view has what it asks for."""
    expect(page.get_by_role("heading", level=2).first).to_be_visible()
    expect(page.get_by_text("Asking", exact=False).filter(visible=True)).to_have_count(0)
    page.wait_for_timeout(1500)  # the next answer


def content(page):
    return page.get_by_role("heading", level=2).first.inner_text(), page.title()


@pytest.mark.parametrize("name", VIEWS)
def test_a_view(signed_in, page, things, name):
    """Opened by its address: axe, three sizes and colours, the same after a reload, all by keyboard."""
    signed_in.open(VIEWS[name].format(**things))
    wait_settled(page)
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.title().endswith(" · Order pipeline")
    screenshots(page, name)
    check_page(page)
    before = content(page)
    page.reload()
    wait_settled(page)
    assert content(page) == before
    assert page.url.endswith(VIEWS[name].format(**things))
    assert_reached_by_keyboard(page)
    assert_moves_not(page)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_without_a_token(console, page, name):
    """It says what it needs, or does without."""
    console.complaints.expect(404)
    nothing = {"order": "0193a5e2-0000-7000-8000-00000000c0de", "letter": 1, "job": 1}
    console.open(VIEWS[name].format(**nothing))
    wait_settled(page)
    check_page(page)
    assert page.get_by_label("Token").is_visible()


def assert_reached_by_keyboard(page):
    """The tab key comes by every control, and each shows that it has the focus."""
    page.evaluate("() => { window.reached = []; document.activeElement.blur() }")
    most = page.evaluate(f"() => ({CONTROLS})().length") + 30
    for _ in range(most):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            break
        assert focused["outlined"], f"no sign of the focus: {focused['what']}"
    missed = page.evaluate(MISSED)
    assert not missed, missed


def assert_moves_not(page):
    """Whoever asked for less motion sees none."""
    page.emulate_media(reduced_motion="reduce")
    moving = page.evaluate(
        """() => [...document.querySelectorAll('*')].filter(one => {
            const style = getComputedStyle(one);
            return style.animationName !== 'none' || style.scrollBehavior === 'smooth'
                || style.transitionDuration.split(', ').some(one => one !== '0s');
        }).map(one => one.outerHTML.slice(0, 120))"""
    )
    page.emulate_media(reduced_motion="no-preference")
    assert not moving, moving


def test_back_and_forward(signed_in, page):
    """By the links of the page, then through the history; where one is, is marked."""
    seen = []
    for link in page.get_by_role("navigation").get_by_role("link").all():
        link.click()
        expect(link).to_have_attribute("aria-current", "page")
        wait_settled(page)
        seen.append((page.url, *content(page)))
    assert len({title for *_, title in seen}) == len(seen)
    for url, *expected in reversed(seen[:-1]):
        page.go_back()
        expect(page).to_have_url(url)
        eventually(lambda expected=expected: list(content(page)) == expected, "the view before")
    for url, *expected in seen[1:]:
        page.go_forward()
        expect(page).to_have_url(url)
        eventually(lambda expected=expected: list(content(page)) == expected, "the view after")


def test_filters_are_an_address(signed_in, page, rows):
    """What is chosen in a form can be gone back from, and sent to somebody else."""
    rows.letters(4)
    signed_in.open("#/dead")
    wait_settled(page)
    page.get_by_label("Reason").fill("id_conflict")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(f"{signed_in.url}/#/dead?reason=id_conflict")
    expect(page.get_by_role("row")).to_have_count(3)  # with that of the heads
    page.go_back()
    expect(page.get_by_label("Reason")).to_have_value("")
    expect(page.get_by_role("row")).to_have_count(5)
    page.go_forward()
    page.reload()
    expect(page.get_by_label("Reason")).to_have_value("id_conflict")
    expect(page.get_by_role("row")).to_have_count(3)


def test_a_dialog(signed_in, page, rows):
    """It has the focus and keeps it; Escape closes it, nothing is done, and the focus is where it was."""
    rows.letters(2)
    signed_in.open("#/dead")
    wait_settled(page)
    button = page.get_by_role("button", name="Discard all that match")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    check_page(page)
    screenshots(page, "dialog")
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement.closest('dialog') !== null || !document.hasFocus()"
            " || document.activeElement === document.body"
        )
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    assert "discarded" not in rows.states()


def test_focus_and_selection_stay(signed_in, page):
    """The page changes each second under a person's hands, and only what differs."""
    for name in ("way", "jobs", "dead"):
        signed_in.open(VIEWS[name])
        wait_settled(page)
        main = page.get_by_role("main")
        control = main.locator("a[href], button, input, summary").filter(visible=True).first
        control.focus()
        held = page.evaluate_handle("document.activeElement")
        page.evaluate("getSelection().selectAllChildren(document.querySelector('h2'))")
        selected = page.evaluate("String(getSelection())")
        page.wait_for_timeout(3500)
        assert held.evaluate("one => one === document.activeElement && one.isConnected"), name
        assert page.evaluate("String(getSelection())") == selected != ""
