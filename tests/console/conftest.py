import pytest

from archive_rows import Rows
from browsing import Console, chromium, open_context
from complaints import Complaints


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def console(system, browser):
    """A page in a browser that has never been here, not yet at any address. What it did that no page may do
    fails the test at its end."""
    with open_context(browser) as context:
        complaints = Complaints(context, system.api.url)
        yield Console(context.new_page(), complaints, system)
        assert not complaints.unexpected()


@pytest.fixture
def page(console):
    return console.page


@pytest.fixture
def rows(system):
    rows = Rows(system)
    yield rows
    rows.forget()
