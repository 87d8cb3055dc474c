"""A browser with a console in it, and what every view of it must stand."""

import contextlib
import os

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from system import ROOT

CHROMIUM = "/usr/bin/chromium"
PICTURES = ROOT / "build/test-results/console"
SIZE = {"width": 1280, "height": 800}
NARROW = {"width": 360, "height": 740}

# What is looked for may take long on a machine that does much else.
LIMIT_MS = 60_000
expect.set_options(timeout=LIMIT_MS)


@contextlib.contextmanager
def chromium():
    """Debian's. Its sandbox refuses to run as root. Until the block ends, nothing else in this process can
    use asyncio."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=os.geteuid() != 0, timeout=2 * LIMIT_MS
        )
        try:
            yield browser
        finally:
            browser.close()


def open_context(browser, **options):
    """As a first visitor has it. Times there are not UTC, so that one that is taken for the other is seen."""
    context = browser.new_context(
        **{"viewport": SIZE, "color_scheme": "light", "locale": "en-GB", "timezone_id": "Europe/Berlin"}
        | options
    )
    context.set_default_timeout(LIMIT_MS)
    return context


class Console:
    """The page as a test uses it."""

    def __init__(self, page, complaints, system):
        self.page = page
        self.complaints = complaints
        self.url = system.env["API_URL"]
        self.token = system.env["ADMIN_TOKEN"]
        self.read_token = system.env["ADMIN_READ_TOKEN"]

    def open(self, address="#/"):
        """A view, by its address."""
        self.page.goto(self.url + "/" + address)

    def sign_in(self, token=None):
        """Types a token in, by default the one that may do everything."""
        self.page.get_by_label("Token").fill(token or self.token)
        self.page.get_by_role("button", name="Sign in").click()

    @property
    def sentence(self):
        """What stands on top, a Locator."""
        return self.page.locator("#sentence")


def check_page(page):
    """Axe finds nothing in light, in dark, and where the screen is narrow; nothing goes beyond the screen's
    sides. The page is as before afterwards."""
    size = page.viewport_size
    try:
        for scheme, width in (("light", size), ("dark", size), ("light", NARROW), ("dark", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(width)
            where = f"{page.url}, {scheme}, {width['width']} px"
            assert_fits(page, where)
            result = Axe().run(page)
            assert result.violations_count == 0, f"{where}:\n{result.generate_report()}"
    finally:
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(size)


def assert_fits(page, where):
    """Nothing makes the page scroll sideways."""
    width, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= screen, f"{where}: {width} px wide"


def screenshot(page, name):
    """As NAME.png, in full, beside the results of the tests."""
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def screenshots(page, name):
    """Of the page as it is: in light, in dark, and on a narrow screen."""
    size = page.viewport_size
    screenshot(page, name)
    page.emulate_media(color_scheme="dark")
    screenshot(page, f"{name}-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(NARROW)
    screenshot(page, f"{name}-narrow")
    page.set_viewport_size(size)
