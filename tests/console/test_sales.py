"""Sales: bars and a table that say what the API does, and the button that brings what is new."""

import math
import re
import uuid
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from playwright.sync_api import expect

from browsing import check_page, open_context, screenshots
from complaints import Complaints
from queues import original_order
from system import ROOT

DAY = timedelta(days=1)
EMPTY_MAX = 7  # more days in a row without sales are one bar


def sell(system, amounts):
    """Amount by age in days, as another producer would write it; the view is refreshed afterwards."""
    now = datetime.now(UTC)
    for days, amount in amounts.items():
        order, then = str(uuid.uuid4()), now - timedelta(days=days)
        body = original_order("sold", amount, f"{then:%Y-%m-%dT%H:%M:%SZ}", order)
        system.queues.publish(body, message_id=order)
        system.wait_stored(order)
    system.api.refresh_now()


def days_sold(system):
    """What the bars must say, the oldest first, by the API's numbers."""
    sales = {date.fromisoformat(day): float(value) for day, value in system.api.sales().items()}
    today = datetime.now(UTC).date()
    day, words = min(sales), []
    while day <= max(today, *sales):
        if day in sales:
            words.append(f"{day}{suffix(day, today)}: {sales[day]:,.2f}")
            day += DAY
            continue
        first = day
        while day not in sales and day <= today:
            day += DAY
        empty = [first + n * DAY for n in range((day - first).days)]
        if len(empty) > EMPTY_MAX:
            words.append(f"{first} to {empty[-1]}: no sales")
        else:
            late = {today: " as of the last refresh"}
            words += [f"{one}{suffix(one, today)}: no sales{late.get(one, '')}" for one in empty]
    return words


def suffix(day, today):
    return {today: " (today)", today - DAY: " (yesterday)"}.get(day, "")


def bars(page):
    return page.get_by_role("listbox", name="Sales by day").get_by_role("option")


def labels(page):
    return bars(page).evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")


def test_bars_and_table(system, console, page):
    sell(system, {0: 12.5, 1: 1234.5, 2: 0.01, 5: 7.77, 40: 100})
    console.open("#/sales")
    expect(bars(page).last).to_be_visible()
    expected = days_sold(system)
    assert labels(page) == expected
    assert sum("no sales" in label for label in expected) >= 3

    # As high as they say.
    sales = [0 if "no sales" in label else float(label.split(": ")[1].replace(",", "")) for label in expected]
    heights = bars(page).evaluate_all("all => all.map(one => one.querySelector('.bar').height.baseVal.value)")
    assert heights == pytest.approx([100 * value / max(sales) for value in sales], abs=1e-4)
    days = sum(value > 0 for value in sales)
    expect(page.get_by_text(f"{sum(sales):,.2f} on {days} days with sales")).to_be_visible()

    below = [text for text in page.locator(".below span").all_inner_texts() if text]
    assert below[-1] == "today"
    assert all(re.match(r"\d\d-\d\d$|…$", text) for text in below[:-1])
    assert len(below) == min(len(sales), math.ceil(len(sales) / math.ceil(len(sales) / 7)))

    page.get_by_text("The same as a table").click()
    rows = page.get_by_role("table", name="Sales by day").get_by_role("row").all()[1:]
    table = [
        ": ".join(row.get_by_role("rowheader").or_(row.get_by_role("cell")).all_inner_texts()) for row in rows
    ]
    assert table == expected[::-1]
    check_page(page)
    screenshots(page, "sales")


def test_keyboard_and_pointer(system, console, page):
    sell(system, {0: 5, 1: 6, 2: 7})
    console.open("#/sales")
    expect(bars(page).last).to_have_attribute("aria-selected", "true")
    all_labels = labels(page)
    amounts = page.locator("strong")
    expect(amounts).to_have_text(all_labels[-1])

    # One stop: from the button to the bars, and from there to the table.
    page.get_by_role("button", name="Refresh now").focus()
    page.keyboard.press("Tab")
    expect(bars(page).last).to_be_focused()
    for key, at in (("ArrowLeft", -2), ("ArrowLeft", -3), ("ArrowRight", -2), ("Home", 0), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        expect(page.locator(":focus")).to_have_attribute("aria-label", all_labels[at])
        expect(page.get_by_role("option", selected=True)).to_have_count(1)
        expect(amounts).to_have_text(all_labels[at])
        expect(page.locator(".below .chosen")).to_have_count(1)
        expect(page.locator(".below span").nth(at)).to_have_class("chosen")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    expect(bars(page).last).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_text("The same as a table")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(bars(page).last).to_be_focused()

    bars(page).nth(-2).hover()
    expect(amounts).to_have_text(all_labels[-2])
    expect(bars(page).last).to_be_focused()


def test_refresh(system, console, page, unique):
    sell(system, {0: 1})
    console.open("#/sales")
    console.sign_in()
    expect(page.get_by_text("Orders since the last refresh are not in the figures yet.")).to_be_visible()
    expect(page.get_by_text("Last refreshed")).to_be_visible()
    before = bars(page).last.get_attribute("aria-label")
    bars(page).last.focus()
    system.wait_stored(system.api.accept(unique, 321.09))
    page.get_by_role("button", name="Refresh now").click()
    expect(page.get_by_text("The sales are refreshed.")).to_be_visible()
    expect(bars(page).last).not_to_have_attribute("aria-label", before)
    assert labels(page) == days_sold(system)
    amount = float(labels(page)[-1].split(": ")[1].replace(",", ""))
    assert amount - float(before.split(": ")[1].replace(",", "")) == pytest.approx(321.09)


def test_a_refresh_by_another(system, console, page, unique):
    """Whoever asked for it: the page takes its numbers."""
    sell(system, {0: 1})
    console.open("#/sales")
    console.sign_in()
    expect(page.get_by_text("Last refreshed")).to_be_visible()
    bars(page).last.focus()
    system.wait_stored(system.api.accept(unique, 11))
    system.api.refresh_now()
    expect(bars(page).last).to_have_attribute("aria-label", days_sold(system)[-1])
    expect(bars(page).last).to_be_focused()


def test_who_may_not_refresh(system, console, page):
    console.complaints.expect("401")
    console.open("#/sales")
    page.get_by_role("button", name="Refresh now").click()
    expect(page.get_by_text("To refresh takes a token: type it in above.")).to_be_visible()
    expect(page.get_by_text("Last refreshed")).to_have_count(0)
    console.complaints.expect("403")
    console.sign_in(console.read_token)
    page.get_by_role("button", name="Refresh now").click()
    expect(page.get_by_text("This token may look and change nothing")).to_be_visible()


def test_no_scheduler(system, console, page):
    console.complaints.expect("503")
    console.open("#/sales")
    console.sign_in()
    with system.stopped("scheduler-1"):
        page.get_by_role("button", name="Refresh now").click()
        expect(page.get_by_text("this may take minutes")).to_be_visible()
        expect(page.get_by_text("The scheduler is unavailable")).to_be_visible()
        expect(page.get_by_role("button", name="Refresh now")).to_be_enabled()
    system.wait_ready()


def test_none_and_no_database(system, spawn, browser):
    """Another gateway, on a database without orders; then without the database."""
    dsn = system.database("console_sales")
    schema = (ROOT / "services/clients/postgres/schema.sql").read_text()
    with psycopg.connect(dsn) as postgres:
        postgres.execute(schema)
    url = spawn("degraded", POSTGRES_DSN=dsn)  # no scheduler is there
    with open_context(browser) as context:
        complaints = Complaints(context, url)
        complaints.expect("503")
        page = context.new_page()
        page.goto(f"{url}/#/sales")
        expect(page.get_by_text("No sales are known as of the last refresh.")).to_be_visible()
        expect(bars(page)).to_have_count(0)
        check_page(page)
        system.postgres.execute('DROP DATABASE "console_sales" WITH (FORCE)')
        page.reload()
        expect(page.get_by_role("alert").filter(has_text="The order store")).to_be_visible()
        assert not complaints.unexpected()
