"""Find: an order by its id, with all that is known of it, or orders by words."""

import re
import uuid

import pytest
from playwright.sync_api import expect

from browsing import check_page, screenshots
from queues import original_order
from test_try import orders_unwritable, press
from wait import eventually

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)>",
    "turned around": "invoice \u202egnp.exe\u202c \u2066x",
    "long": "W" * 241,  # 255 with the word before it
    "quotes": "\"'&amp;</td><script>alert(1)</script>",
}

LETTER = """INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id, body, body_bytes,
        properties, digest, died_at, state, replayed_as)
    VALUES ('order_queue', %s, '', %s, 1, %s, '{}', 2, '', '', '2026-01-02T03:04:05Z', %s, %s) RETURNING id"""


class Finder:
    """As a person uses it."""

    def __init__(self, console):
        self.page = console.page
        self._console = console
        self.main = self.page.get_by_role("main")
        self.field = self.page.get_by_label("Id of an order, or words of a product name")
        self.button = self.main.get_by_role("button", name="Find")
        self.told = self.main.get_by_role("status")
        self.rows = self.page.locator("tbody tr")

    def open(self, q):
        self._console.open(f"#/find?q={q}")

    def find(self, q):
        self.field.fill(q)
        self.button.click()

    def fact(self, name):
        """What stands beside this name."""
        return self.page.locator("dt", has_text=name).first.locator("+ dd")


@pytest.fixture
def finder(console):
    finder = Finder(console)
    console.open("#/find")
    return finder


def add_letter(system, order_id, reason="refused", stage="persist", state="dead", replayed_as=None):
    values = (reason, stage, order_id, state, replayed_as)
    return system.postgres.execute(LETTER, values).fetchone()[0]


def searchable(api, order_id):
    eventually(
        lambda: api.get(f"/api/orders/{order_id}/status").json()["state"] == "searchable", "it is searchable"
    )
    return order_id


# --- by words ---------------------------------------------------------------------------------


def test_pages_of_words(system, api, finder, page, unique):
    orders = [{"product_name": f"{unique} no {i}", "amount": 1234.5} for i in range(45)]
    assert api.bulk({"orders": orders}).status_code == 201
    eventually(lambda: api.search(unique).json()["hits"]["total"]["value"] == 45, "all are found")
    # Those that match as well as each other change places when Elasticsearch merges segments.
    system.elasticsearch.indices.forcemerge(index=system.index, max_num_segments=1)
    finder.find(unique)
    expect(finder.told).to_have_text("45 orders found.")
    expect(page.locator("caption")).to_have_text("Orders 1 to 20")
    expect(finder.rows).to_have_count(20)
    expect(finder.rows.first).to_contain_text("1,234.50")
    expect(page.get_by_role("link", name="Previous page")).to_have_count(0)
    check_page(page)
    screenshots(page, "find-words")
    seen = set(page.locator("tbody a").all_inner_texts())

    page.get_by_role("link", name="Next page").click()
    expect(page.locator("caption")).to_have_text("Orders 21 to 40")
    seen |= set(page.locator("tbody a").all_inner_texts())
    page.reload()
    expect(page.locator("caption")).to_have_text("Orders 21 to 40")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("caption")).to_have_text("Orders 41 to 45")
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    seen |= set(page.locator("tbody a").all_inner_texts())
    assert len(seen) == 45
    page.get_by_role("link", name="Previous page").click()
    expect(page.locator("caption")).to_have_text("Orders 21 to 40")
    page.go_back()
    page.go_back()
    page.go_back()
    expect(page.locator("caption")).to_have_text("Orders 1 to 20")

    order_id = page.locator("tbody a").first.inner_text()
    page.locator("tbody a").first.click()
    expect(finder.fact("State")).to_have_text("✓ searchable")
    expect(finder.field).to_have_value(order_id)
    page.go_back()
    expect(finder.field).to_have_value(unique)
    expect(finder.rows).to_have_count(20)


def test_no_such_words(finder, page, unique):
    finder.find(unique)
    expect(finder.told).to_have_text("No order is found.")
    expect(finder.main).to_contain_text("An order is found about a second after it was sent.")
    expect(finder.main).not_to_contain_text("36 characters")
    check_page(page)


def test_a_part_of_an_id(finder):
    finder.find("0193a5e2-0000")
    expect(finder.main).to_contain_text("An id is looked for as a whole: all of its 36 characters.")


def test_blanks(finder, page):
    finder.find("  ")
    expect(finder.told).to_have_text("Type in the id of an order, or words of a product name.")
    expect(finder.field).to_be_focused()
    expect(page).to_have_url(re.compile("#/find$"))


def status_without(route, worker):
    """As a bridge tells it, whose gateway does not know where the worker would be."""
    answer = route.fetch()
    status = answer.json()
    for one in status["services"]:
        if one["name"] == "bridge":
            one |= {"status": "degraded", "reasons": [f"{worker}s: no worker takes jobs"]}
    status["services"] = [one for one in status["services"] if one["name"] != worker]
    route.fulfill(response=answer, json=status)


def test_why_nothing_is_found(console, finder, page, unique):
    page.route("**/api/admin/status", lambda route: status_without(route, "indexer"))
    console.sign_in()
    finder.find(unique)
    expect(finder.main).to_contain_text("New orders are not found now: no indexer takes orders now.")


def test_the_same_words_again(api, finder, unique):
    finder.find(unique)
    expect(finder.told).to_have_text("No order is found.")
    searchable(api, api.accept(unique))
    finder.button.click()
    expect(finder.told).to_have_text("1 order found.")


def test_beyond_the_reach_of_a_search(console, finder, page):
    console.open("#/find?q=a&from=9981")
    expect(finder.told).to_contain_text("A search reaches its first 10,000 orders")
    page.get_by_role("link", name="To the first orders").click()
    page.wait_for_url("**/#/find?q=a")


def test_the_last_page_within_reach(console, finder, page, unique):
    hit = {"id": str(uuid.uuid4()), "product_name": unique, "amount": 1, "created_at": "2026-01-01T00:00:00Z"}
    answer = {"hits": {"total": {"value": 12345}, "hits": [{"_source": hit}] * 20}}
    page.route("**/api/search?*", lambda route: route.fulfill(json=answer))
    console.open("#/find?q=a&from=9980")
    expect(page.locator("caption")).to_have_text("Orders 9,981 to 10,000")
    expect(finder.main).to_contain_text("A search reaches its first 10,000 orders.")
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)


def test_a_page_that_is_no_number(console, finder):
    console.complaints.expect(400)
    console.open("#/find?q=a&from=x")
    expect(finder.told).to_contain_text("A query parameter is invalid")


def test_an_index_that_is_filled(finder, page, unique):
    def lack(route):
        answer = route.fetch()
        route.fulfill(response=answer, headers=answer.headers | {"x-search-incomplete": "0.125"})

    page.route("**/api/search?*", lack)
    finder.find(unique)
    expect(finder.told).to_have_text(
        "No order is found. The index is being filled: it lacks 12.5% of the orders."
    )


def test_no_index_server(restored, console, finder, unique):
    console.complaints.expect("50[24]")
    with restored.stopped("elasticsearch"):
        finder.find(unique)
        expect(finder.told).to_contain_text("search")
    expect(finder.rows).to_have_count(0)


# --- by id ------------------------------------------------------------------------------------


def test_an_order_that_has_come_all_the_way(system, api, finder, page, unique):
    order_id = searchable(api, api.accept(unique, 12.3))
    finder.find(f" {order_id.upper()} ")
    expect(finder.fact("State")).to_have_text("✓ searchable")
    expect(finder.fact("Stored")).to_have_text("yes")
    expect(finder.fact("Searchable")).to_have_text("yes")
    expect(finder.fact("Product name")).to_have_text(unique)
    expect(finder.fact("Amount")).to_have_text("12.30")
    expect(finder.fact("Read")).to_have_text("from Redis")
    created_at = api.order(order_id).json()["created_at"]
    expect(finder.fact("Created").locator("time")).to_have_attribute("datetime", created_at)
    expect(finder.page.locator("dt", has_text="Created")).to_have_count(1)
    expect(finder.main).to_contain_text("None.")
    check_page(page)
    screenshots(page, "find-order")
    system.redis.delete(f"order:{order_id}")
    page.reload()
    expect(finder.fact("Read")).to_have_text("from PostgreSQL")


def test_an_order_on_its_way(system, console, api, finder, page, unique):
    with orders_unwritable(system):
        order_id = api.accept(unique)
        finder.find(order_id)
        expect(finder.fact("State")).to_contain_text("… accepted")
        page.route("**/api/admin/status", lambda route: status_without(route, "persister"))
        console.sign_in()
        expect(finder.main).to_contain_text("It waits: no persister takes orders now. It is safe")
        expect(finder.fact("Stored")).to_have_text("not yet")
        expect(finder.fact("Searchable")).to_have_text("not yet")
        expect(finder.fact("Product name")).to_have_text(unique)
        screenshots(page, "find-accepted")
    finder.page.get_by_role("link", name="Follow it").click()
    page.wait_for_url(f"**/#/try?id={order_id}")
    expect(finder.main).to_contain_text("It has come all the way")


def test_an_order_that_is_stored_alone(restored, api, finder, unique):
    with restored.stopped("indexer-1"), restored.stopped("indexer-2"):
        order_id = api.accept(unique)
        eventually(lambda: restored.row(order_id), "it is stored")
        finder.find(order_id)
        expect(finder.fact("State")).to_contain_text("… stored")
        expect(finder.fact("Searchable")).to_have_text("not yet")


def test_a_dead_order(system, console, rows, finder, page):
    console.complaints.expect(409)
    order_id, other_id = str(uuid.uuid4()), str(uuid.uuid4())
    old = add_letter(system, order_id, state="replayed", replayed_as=other_id)
    dead = add_letter(system, order_id, reason="value_out_of_range")
    finder.find(order_id)
    expect(finder.fact("State")).to_have_text("× dead ")
    expect(finder.fact("Created")).to_have_text("not known")
    expect(finder.fact("Stored")).to_have_text("no")
    expect(finder.main).to_contain_text("It died: its dead letter is all that is left of it.")
    expect(finder.rows).to_have_count(2)
    newest, oldest = finder.rows.all()
    expect(newest).to_contain_text("value_out_of_range")
    expect(newest.get_by_role("link")).to_have_attribute("href", f"#/dead/{dead}")
    expect(newest.locator("time")).to_have_attribute("datetime", "2026-01-02T03:04:05Z")
    expect(newest.locator("td").last).to_have_text("dead")
    expect(oldest.locator("td").last).to_have_text(f"replayed as {other_id}")
    expect(oldest.get_by_role("link", name=f"Letter {old}")).to_have_attribute("href", f"#/dead/{old}")
    check_page(page)
    screenshots(page, "find-dead")
    console.complaints.expect(404)
    oldest.get_by_role("link", name=other_id).click()
    expect(finder.told).to_have_text("No order has this id.")


def test_a_letter_of_an_order_that_lives(system, api, rows, finder, unique):
    """Another order came under its id: that one died, and not this one."""
    order_id = searchable(api, api.accept(unique))
    letter = rows.poison(original_order("another", order_id=order_id))
    finder.find(order_id)
    expect(finder.fact("State")).to_have_text("✓ searchable ")
    expect(finder.rows).to_have_count(1)
    expect(finder.rows.first).to_contain_text("id_conflict")
    answer = api.request(
        "POST",
        f"/api/admin/dead-letters/{letter}/replay",
        json={"order": {"product_name": f"{unique} again", "amount": 2}, "new_id": True},
        headers={"Authorization": f"Bearer {api.admin_token}"},
    )
    new_id = answer.json()["order_id"]
    system.wait_stored(new_id)
    finder.button.click()
    expect(finder.rows.first.locator("td").last).to_have_text(f"replayed as {new_id}")
    finder.rows.first.get_by_role("link", name=new_id).click()
    expect(finder.fact("Product name")).to_have_text(f"{unique} again")


def test_an_id_of_no_order(console, finder, page):
    console.complaints.expect(404)
    finder.find("0193a5e2-0000-7000-8000-00000000c0de")
    expect(finder.told).to_have_text("No order has this id.")
    expect(finder.main).to_contain_text("It was never accepted here")
    check_page(page)
    screenshots(page, "find-nothing")


def test_what_cannot_be_told_now(restored, api, finder, page, unique):
    order_id = searchable(api, api.accept(unique))
    with restored.frozen("postgres"):
        finder.find(order_id)
        expect(finder.fact("State")).to_have_text("✓ searchable ")
        expect(finder.fact("Stored")).to_have_text("cannot be told now")
        expect(finder.main).to_contain_text("They cannot be told now")
    with restored.frozen("elasticsearch"):
        finder.button.click()
        expect(finder.fact("Searchable")).to_have_text("cannot be told now")
        expect(finder.fact("Stored")).to_have_text("yes")
        screenshots(page, "find-untold")


def test_a_lost_gateway(console, finder, page, unique):
    console.complaints.expect("ERR_FAILED")
    page.route("**/api/orders/**", lambda route: route.abort())
    finder.find(str(uuid.uuid4()))
    expect(finder.main).to_contain_text("The gateway does not answer")


# --- whatever it is ---------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name(api, finder, page, unique, hostile):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    order_id = searchable(api, api.accept(f"{unique} {hostile}"))
    shown = "".join(f"\\u{ord(c):04x}" if c in "\u202e\u202c\u2066" else c for c in hostile)
    finder.find(unique)
    expect(finder.rows.first).to_contain_text(f"{unique} {shown}")
    check_page(page)
    finder.rows.first.get_by_role("link").click()
    expect(finder.fact("Product name")).to_have_text(f"{unique} {shown}")
    check_page(page)
    screenshots(page, "find-hostile")
    finder.open(hostile.replace("&", "%26"))
    expect(finder.field).to_have_value(hostile)
    expect(finder.told).to_contain_text("found")
    assert page.locator("main :is(img, script)").count() == 0
    assert not dialogs
    assert order_id


def test_by_keyboard_alone(api, finder, page, unique):
    searchable(api, api.accept(unique))
    page.get_by_role("link", name="Jobs").focus()
    press(page, "Tab", until=finder.field)
    page.keyboard.type(unique)
    page.keyboard.press("Enter")
    expect(finder.told).to_have_text("1 order found.")
    expect(finder.field).to_be_focused()
    press(page, "Tab", until=finder.rows.first.get_by_role("link"))
    page.keyboard.press("Enter")
    expect(finder.fact("Product name")).to_have_text(unique)
