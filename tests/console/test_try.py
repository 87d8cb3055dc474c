"""Try it: an order that is sent from the page is one order, whatever happens, and is followed."""

import contextlib
import json
import re

import psycopg
import pytest
from playwright.sync_api import expect

from browsing import check_page, screenshots

TIME = r"\d+(\.\d)? m?s"
DOUBT = re.compile(r"may (or may not )?have been accepted\. Send it again: the same key")
CAME = "It has come all the way"


class Form:
    """As a person uses it."""

    def __init__(self, console):
        self.page = console.page
        self.name = self.page.get_by_label("Product name")
        self.amount = self.page.get_by_label("Amount")
        self.send = self.page.get_by_role("button", name="Send the order")
        self.steps = self.page.locator(".steps li")
        self.told = self.page.get_by_role("main").get_by_role("status").filter(visible=True)
        self.sent = []  # requests with an order
        self.asked = 0  # how often for its status
        self.page.on("request", self._note)
        console.open("#/try")

    def fill(self, name, amount="12.30"):
        self.name.fill(name)
        self.amount.fill(amount)

    def keys(self):
        return [request.headers["idempotency-key"] for request in self.sent]

    def order_id(self):
        """Of the order that is followed."""
        self.page.wait_for_url("**/#/try?id=*")
        return self.page.url.partition("?id=")[2]

    def _note(self, request):
        if request.method == "POST":
            self.sent.append(request)
        elif request.url.endswith("/status"):
            self.asked += 1


@pytest.fixture
def form(console):
    return Form(console)


@contextlib.contextmanager
def orders_unwritable(system):
    """Inside of the block, orders are read and not stored."""
    with psycopg.connect(system.env["POSTGRES_DSN"], prepare_threshold=None) as connection:
        connection.execute("LOCK TABLE orders IN SHARE MODE")
        yield


def test_an_order_becomes_searchable(system, form, page, unique):
    expect(page.get_by_role("main")).to_contain_text("This sends a real order")
    check_page(page)
    screenshots(page, "try-form")
    form.fill(unique)
    form.send.click()
    order_id = form.order_id()
    expect(form.told).to_contain_text([CAME])
    for step, name in zip(form.steps.all(), ("accepted", "stored", "searchable"), strict=True):
        expect(step).to_have_text(re.compile(rf"^✓ {name} {TIME}$"))
    assert system.api.search(unique).json()["hits"]["hits"][0]["_id"] == order_id
    assert str(system.row(order_id)["amount"]) == "12.30"
    expect(page.get_by_role("heading", name=order_id)).to_be_focused()
    check_page(page)
    screenshots(page, "try")

    page.reload()  # the times before it are not known
    expect(form.told).to_contain_text([CAME])
    expect(form.steps.nth(0)).to_have_text(re.compile(r"^✓ accepted \(created \d\d:\d\d:\d\d\)$"))
    expect(form.steps.nth(1)).to_have_text(re.compile("^✓ stored $"))
    expect(form.send).to_be_hidden()
    page.get_by_role("link", name=order_id).click()
    page.wait_for_url(f"**/#/find?q={order_id}")

    page.go_back()
    expect(form.told).to_contain_text([CAME])
    page.get_by_role("link", name="Send another order").click()
    expect(form.send).to_be_enabled()
    expect(form.name).to_be_focused()
    assert len(form.sent) == 1


@pytest.mark.parametrize("amount", ["9999999999.99", "149.990", "1e2", " 7 "])
def test_the_digits_that_were_typed(system, form, unique, amount):
    form.fill(f'{unique} "quoted" \\ é', amount)
    form.send.click()
    row, _ = system.wait_stored(form.order_id())
    assert f'"amount":{amount.strip()}}}' in form.sent[0].post_data
    assert row["product_name"] == f'{unique} "quoted" \\ é'
    assert float(row["amount"]) == float(amount)


def test_a_double_click_is_one_order(system, form, page, unique):
    form.fill(unique)
    form.send.dblclick()
    order_id = form.order_id()
    box = form.send.bounding_box()
    # The second one comes when the first is answered already.
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    system.wait_stored(order_id)
    assert (len(form.sent), system.row_count(unique)) == (1, 1)
    assert form.order_id() == order_id


def test_an_enter_key_that_is_held(system, form, page, unique):
    form.fill(unique)
    for _ in range(20):  # the first press, then its repetitions
        page.keyboard.down("Enter")
        page.wait_for_timeout(30)
    page.keyboard.up("Enter")
    system.wait_stored(form.order_id())
    assert (len(form.sent), system.row_count(unique)) == (1, 1)


def test_a_lost_answer(system, console, form, page, unique):
    console.complaints.expect("ERR_FAILED")
    form.fill(unique)

    def lose(route):
        route.fetch()
        route.abort()

    page.route("**/api/orders", lose, times=1)
    form.send.click()
    expect(form.told).to_contain_text([DOUBT])
    expect(form.send).to_be_focused()
    screenshots(page, "try-lost")
    form.send.click()
    system.wait_stored(form.order_id())
    assert len(form.sent) == 2
    assert len(set(form.keys())) == 1
    assert system.row_count(unique) == 1

    page.get_by_role("link", name="Send another order").click()
    form.send.click()
    expect(form.told).to_contain_text([CAME])
    assert len(set(form.keys())) == 2
    assert system.row_count(unique) == 2


def test_another_order_has_another_key(system, console, form, page, unique):
    console.complaints.expect("ERR_FAILED")
    form.fill(f"{unique} first")
    page.route("**/api/orders", lambda route: route.abort(), times=1)
    form.send.click()
    expect(form.told).to_contain_text([DOUBT])
    form.fill(f"{unique} second")
    expect(form.told).to_have_count(0)
    form.send.click()
    assert system.wait_stored(form.order_id())[0]["product_name"] == f"{unique} second"
    assert len(set(form.keys())) == 2


AT_THE_AMOUNT = {
    "too exact": ("1.005", "amount is not a whole number of cents from 0.01 to 9999999999.99"),
    "more digits than a double has": (
        "1.0000000000000000001",
        "amount is not a whole number of cents from 0.01 to 9999999999.99",
    ),
    "negative": ("-1", "amount is not a whole number of cents from 0.01 to 9999999999.99"),
    "a comma": ("1,5", "amount is not a number: write it with a point, such as 12.50"),
    "words": ("many", "amount is not a number"),
    "more JSON": ('1,"note":1', "amount is not a number"),
}


@pytest.mark.parametrize(("amount", "words"), AT_THE_AMOUNT.values(), ids=AT_THE_AMOUNT)
def test_the_words_of_the_gateway(system, console, form, unique, amount, words):
    console.complaints.expect("(400|422)")
    form.fill(unique, amount)
    form.send.click()
    expect(form.amount).to_have_accessible_description(words)
    expect(form.amount).to_have_attribute("aria-invalid", "true")
    expect(form.amount).to_be_focused()
    expect(form.name).to_have_accessible_description("")
    form.amount.fill("2")
    expect(form.amount).to_have_accessible_description("")
    form.amount.press("Enter")
    system.wait_stored(form.order_id())
    assert system.row_count(unique) == 1


def test_a_name_that_is_too_long(console, form, page):
    console.complaints.expect(422)
    form.fill("é" * 256)
    form.send.click()
    expect(form.name).to_have_accessible_description(re.compile("^product_name is not 1 to 255 char"))
    expect(form.name).to_be_focused()
    check_page(page)
    screenshots(page, "try-wrong")


def test_a_required_field(form):
    form.fill("")
    form.send.click()
    expect(form.name).to_be_focused()
    assert not form.sent


def test_no_broker(restored, console, form, unique):
    console.complaints.expect(503)
    form.fill(unique)
    with restored.stopped("rabbitmq"):
        expect(console.sentence).to_contain_text(re.compile("rabbitmq", re.IGNORECASE))
        form.send.click()
        expect(form.told).to_contain_text(["Orders cannot be accepted now. Nothing was kept"])
    restored.wait_ready()
    form.send.click()
    restored.wait_stored(form.order_id())
    assert restored.row_count(unique) == 1


def test_a_broker_that_stands_still(restored, console, form, unique):
    console.complaints.expect(503)
    form.fill(unique)
    with restored.frozen("rabbitmq"):
        form.send.click()
        expect(form.told).to_contain_text([DOUBT])
    restored.wait_ready()
    form.send.click()
    restored.wait_stored(form.order_id())
    assert len(set(form.keys())) == 1
    assert restored.row_count(unique) == 1


@pytest.fixture
def refused_by_postgres(system, unique):
    """PostgreSQL takes no order of this name."""
    system.postgres.execute(f"ALTER TABLE orders ADD CONSTRAINT {unique} CHECK (product_name <> '{unique}')")
    yield unique
    system.postgres.execute(f"ALTER TABLE orders DROP CONSTRAINT {unique}")


def test_an_order_that_dies(form, page, rows, refused_by_postgres):
    form.fill(refused_by_postgres)
    form.send.click()
    expect(form.told).to_contain_text(
        [re.compile(rf"It died (after|within) {TIME}: \w+ at the stage persist \(letter \d+\)\.")]
    )
    expect(form.steps.nth(0)).to_contain_text("✓ accepted")
    expect(form.steps.nth(1)).to_have_text("× stored ")
    expect(page.get_by_role("link", name=re.compile("^letter"))).to_have_attribute(
        "href", re.compile(r"#/dead/\d+")
    )
    check_page(page)
    screenshots(page, "try-dead")


def test_a_hidden_tab_and_another_view(system, form, page, unique):
    """Nothing is asked while nobody looks."""
    with orders_unwritable(system):
        form.fill(unique)
        form.send.click()
        expect(page.get_by_text("so far")).to_be_visible()
        hide(page, True)
        page.wait_for_timeout(300)
        asked = form.asked
        page.wait_for_timeout(2000)
        assert form.asked == asked
        hide(page, False)
        page.wait_for_timeout(1000)
        assert form.asked > asked + 1
        order_id = form.order_id()
        page.get_by_role("link", name="Sales").click()
        page.wait_for_timeout(300)
        asked = form.asked
        page.wait_for_timeout(1000)
        assert form.asked == asked
        page.go_back()
        expect(form.steps.nth(0)).to_contain_text("✓ accepted")
        assert form.order_id() == order_id
    expect(form.told).to_contain_text([CAME])
    expect(form.steps.nth(1)).to_have_text(re.compile(r"✓ stored seen \d\d:\d\d:\d\d"))


def test_an_order_that_waits(system, console, form, page, unique):
    """It says why after a while, and that the order is safe."""
    with orders_unwritable(system):
        form.fill(unique)
        form.send.click()
        expect(form.told).to_have_text(["It takes longer than usual. It is safe, and goes on by itself."])

        def without_bridge(route):
            answer = route.fetch()
            status = answer.json()
            status["queue"]["consumers"] = 0
            route.fulfill(response=answer, json=status)

        page.route("**/api/admin/status", without_bridge)
        console.sign_in()
        page.go_back()
        page.go_forward()
        expect(form.told).to_contain_text(["It waits: no bridge takes orders now. It is safe"])
        check_page(page)
        screenshots(page, "try-waits")
    expect(form.told).to_contain_text([CAME])
    expect(form.steps.nth(0)).to_have_text(re.compile(r"^✓ accepted \(created .*\)$"))


def hide(page, hidden):
    """As when another tab is shown; Chromium without a screen has no other way."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_what_cannot_be_told_now(restored, form, page, unique):
    with restored.frozen("elasticsearch"):
        form.fill(unique)
        form.send.click()
        expect(form.steps.nth(1)).to_contain_text("✓ stored")
        expect(form.steps.nth(2)).to_have_text("? searchable cannot be told now")
    expect(form.told).to_contain_text([CAME])


def test_an_address_without_an_order(console, page):
    console.complaints.expect(404)
    console.open("#/try?id=<b>")
    expect(page.get_by_role("main")).to_contain_text("does not have the id of an order")
    console.open("#/try?id=0193a5e2-0000-7000-8000-00000000c0de")
    expect(page.get_by_role("main")).to_contain_text("There is no such order")
    expect(page.locator(".steps li").nth(0)).to_have_text("× accepted ")


def test_by_keyboard_alone(system, form, page, unique):
    page.get_by_role("link", name="Jobs").focus()
    press(page, "Tab", until=form.name)
    page.keyboard.type(unique)  # a field that is reached by the keyboard is selected
    page.keyboard.press("Tab")
    expect(form.amount).to_be_focused()
    page.keyboard.type("3.5")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    order_id = form.order_id()
    expect(form.told).to_contain_text([CAME])
    assert json.loads(form.sent[0].post_data) == {"product_name": unique, "amount": 3.5}
    press(page, "Tab", until=page.get_by_role("link", name="Send another order"))
    page.keyboard.press("Enter")
    expect(form.name).to_be_focused()
    assert system.row(order_id)


def press(page, key, until):
    """So often until that has the focus."""
    for _ in range(10):
        page.keyboard.press(key)
        if until.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("never")
