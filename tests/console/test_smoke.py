"""The console in short: of ./dev test. The rest of this folder is ./dev test console."""

from playwright.sync_api import expect


def test_an_order_is_sent_and_searchable(console, page, unique):
    console.open()
    expect(console.sentence).to_contain_text("The gateway is ready")
    page.get_by_role("link", name="Try it").click()
    page.get_by_label("Product name").fill(unique)
    page.get_by_label("Amount").fill("12.30")
    page.get_by_role("button", name="Send the order").click()
    expect(page.get_by_role("main")).to_contain_text("It has come all the way")
    page.get_by_role("link", name="Find").click()
    page.get_by_label("Id of an order, or words of a product name").fill(unique)
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_contain_text("12.30")
