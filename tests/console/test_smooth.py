"""The page stays smooth where there is much to show. Tasks are judged by the time that the page's thread ran
in them (tasks.py): on a machine that does much else, how long they lasted says little."""

import pytest
from playwright.sync_api import expect

from tasks import assert_smooth

LETTERS, JOBS = 10_000, 500


@pytest.fixture
def much(rows):
    rows.letters(LETTERS)
    rows.jobs(JOBS)


@pytest.fixture
def signed_in(console, page):
    console.open()
    console.sign_in()
    expect(page.get_by_role("button", name="Forget the token")).to_be_visible()
    return console


def use(page, address):
    """A view is opened, read to its end and left open for a few answers, then the next page of it."""
    page.goto(address)
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    page.mouse.move(600, 400)
    for _ in range(10):
        page.mouse.wheel(0, 1200)
        page.wait_for_timeout(50)
    page.wait_for_timeout(3000)
    older = page.get_by_role("link", name="Older")
    if older.count():
        older.click()
        page.wait_for_timeout(1500)


def test_letters(signed_in, page, much):
    assert_smooth(page, lambda: use(page, signed_in.url + "/#/dead?state=all"))


def test_jobs(signed_in, page, much):
    assert_smooth(page, lambda: use(page, signed_in.url + "/#/jobs"))


def test_the_way(signed_in, page, much):
    assert_smooth(page, lambda: page.wait_for_timeout(10_000))
