"""Dead letters: found, read, corrected and replayed, discarded; one and many."""

import json
import re
import uuid

import pytest
from playwright.sync_api import expect

from archiver import Archiver
from browsing import NARROW, check_page, screenshots
from queues import original_order
from system import ROOT
from tasks import assert_smooth
from wait import eventually

LIST = "#/dead"


@pytest.fixture
def dead(console, page):
    """The page of an operator; no script of a letter may open a dialog there."""
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    console.open(LIST)
    console.sign_in()
    expect(page.get_by_text("letter is dead").or_(page.get_by_text("letters are dead"))).to_be_visible()
    return page


def filtered(console, **parameters):
    console.open(LIST + "?" + "&".join(f"{name}={value}" for name, value in parameters.items()))


def listed(page):
    return page.get_by_role("region", name="Letters").locator("tbody tr")


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def told(page, words):
    expect(page.locator("[role=status]:visible, [role=alert]").filter(has_text=words)).to_have_count(1)


def letter_of(rows, system, body):
    """(ID, ORDER_ID) of a letter that died of its body."""
    number = rows.poison(body)
    return number, row_of(system, number, "order_id::text")[0]


def row_of(system, number, columns):
    return system.postgres.execute(f"SELECT {columns} FROM dead_letters WHERE id = %s", (number,)).fetchone()


def test_every_reason_is_explained():
    """Those that the archive counts by name."""
    source = (ROOT / "services/clients/postgres/dead_letter_archive.c").read_text()
    names = re.search(r"dead_letter_reasons\[.*?\{(.*?)\}", source, re.DOTALL)[1]
    codes = set(re.findall(r'"(\w+)"', names)) - {"other"}
    script = (ROOT / "services/gateway/console/reasons.js").read_text()
    listed = re.search(r"REASON_CODES = \[(.*?)\]", script, re.DOTALL)[1]
    assert codes == set(re.findall(r"'(\w+)'", listed))
    for code in codes:
        patterns = re.findall(r"/(\^\w+\$?)/", script)
        assert any(re.search(pattern, code) for pattern in patterns), code


@pytest.mark.parametrize("address", [LIST, "#/dead/1"])
def test_without_a_token(console, page, address):
    console.open(address)
    expect(page.get_by_text("Type in the token above")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Replay|Discard"))).to_have_count(0)


# --- the list -----------------------------------------------------------------------------------


def test_filters(console, dead, rows, unique):
    """They are the address: pages, back and reload."""
    ids = rows.letters(120, unique)
    filtered(console, detail=unique)
    newest, older = str(ids[-1]), str(ids[-51])
    expect(listed(dead)).to_have_count(50)
    expect(listed(dead).first).to_contain_text(newest)
    dead.get_by_role("link", name="Older").click()
    expect(listed(dead).first).to_contain_text(older)
    assert "cursor=" in dead.url
    dead.reload()
    expect(listed(dead).first).to_contain_text(older)
    dead.go_back()
    expect(listed(dead).first).to_contain_text(newest)

    dead.get_by_label("Reason").fill("id_conflict")
    dead.get_by_label("Stage").select_option("persist")
    press(dead, "Filter")
    expect(dead).to_have_url(re.compile("reason=id_conflict&stage=persist"))
    expect(dead).not_to_have_url(re.compile("cursor"))
    expect(listed(dead).filter(has_text="malformed")).to_have_count(0)
    expect(listed(dead)).to_have_count(50)
    dead.reload()
    expect(dead.get_by_label("Reason")).to_have_value("id_conflict")
    expect(dead.get_by_label("Text in the detail")).to_have_value(unique)
    dead.go_back()
    expect(dead.get_by_label("Reason")).to_have_value("")
    expect(listed(dead).filter(has_text="malformed")).to_have_count(25)
    dead.get_by_role("link", name="No filter").click()
    expect(dead).to_have_url(re.compile("#/dead$"))


def test_a_link_of_the_counts(dead, rows, unique):
    rows.letters(3, unique)
    dead.get_by_role("link", name=re.compile(r"^\d+ id_conflict$")).click()
    expect(dead).to_have_url(re.compile(r"#/dead\?reason=id_conflict$"))
    expect(listed(dead)).to_have_count(1)
    expect(dead.get_by_text("Another order with the same id is stored").first).to_be_visible()


def test_times_are_local(console, dead, rows, unique, system):
    """Typed in Berlin, in the address as UTC, and in the form as typed."""
    ids = rows.letters(2, unique)
    system.postgres.execute("UPDATE dead_letters SET died_at = '2026-01-15T11:30:05Z' WHERE id = %s", ids[:1])
    filtered(console, detail=unique)
    expect(listed(dead)).to_have_count(2)
    dead.get_by_label("Died since").fill("2026-01-15T12:30:05")
    dead.get_by_label("Died before").fill("2026-01-15T12:30:06")
    press(dead, "Filter")
    expect(dead).to_have_url(re.compile("since=2026-01-15T11%3A30%3A05Z&until=2026-01-15T11%3A30%3A06Z"))
    expect(listed(dead)).to_have_count(1)
    expect(listed(dead).locator("time")).to_have_text("2026-01-15 12:30:05")
    expect(listed(dead).locator("time")).to_have_attribute("title", "2026-01-15 11:30:05 UTC")
    dead.reload()
    expect(dead.get_by_label("Died since")).to_have_value("2026-01-15T12:30:05")


def test_a_filter_that_the_gateway_refuses(console, dead):
    console.complaints.expect(400)
    filtered(console, order_id="no-uuid")
    told(dead, "order_id is invalid")


def test_the_list_follows(console, dead, rows, unique):
    """A new letter comes in; what has the focus keeps it."""
    ids = rows.letters(2, unique)
    filtered(console, detail=unique)
    link = dead.get_by_role("link", name=str(ids[0]), exact=True)
    link.focus()
    rows.letters(1, unique)
    expect(listed(dead)).to_have_count(3)
    expect(link).to_be_focused()


def test_ten_thousand(console, dead, rows, unique):
    """That they are smooth, test_smooth.py tells."""
    ids = rows.letters(10_000, unique)
    filtered(console, detail=unique)
    expect(listed(dead)).to_have_count(50)
    expect(dead.get_by_role("link", name="5,000 malformed")).to_be_visible()
    dead.get_by_role("link", name="Older").click()
    expect(listed(dead).first).to_contain_text(str(ids[-51]))
    rows.letters(1, unique)
    expect(dead.get_by_text("10,001 letters are dead")).to_be_visible()
    check_page(dead)
    screenshots(dead, "dead")


# --- one ----------------------------------------------------------------------------------------

IMAGE = "<img src=x onerror=alert(1)>"
HOSTILE = {
    "markup": (IMAGE, IMAGE, "shown as text"),
    "markup in JSON": (json.dumps({"product_name": IMAGE}), f'"product_name": "{IMAGE}"', "JSON"),
    "bidi": ('{"product_name":"\u202egnp.exe\u2066"}', '"\\u202egnp.exe\\u2066"', "JSON"),
    "no UTF-8": (b"\xff\xfe<img src=x>", "00000000  ff fe 3c 69 6d 67 20 73", "shown as bytes"),
    "bytes, many": (b"\xff" * 9000, "00000ff0  ff", "the first 4.1 kB"),
    "1 MiB": ("x y" * (1 << 20), "x yx yx y", "The archive has not all of it"),
    "1 MiB of one word": ('{"product_name":"' + "x" * 1_000_000 + '"}', "xxxxx", "this is the beginning"),
    "deep": ("[" * 500_000 + "]" * 500_000, "[[[[", "this is the beginning"),
    "empty": ("", "", "0 bytes"),
}


@pytest.mark.parametrize(("body", "shown", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body(console, dead, rows, body, shown, words):
    number = rows.poison(body)
    console.open(LIST)
    expect(dead.get_by_role("link", name=str(number), exact=True)).to_be_visible()

    def use():
        console.open(LIST)
        console.open(f"#/dead/{number}")
        expect(dead.locator("pre").first).to_contain_text(shown)
        dead.mouse.wheel(0, 2000)

    assert_smooth(dead, use)
    expect(dead.get_by_role("region", name="Body")).to_contain_text(shown)
    expect(dead.get_by_text(words, exact=False).first).to_be_visible()
    expect(dead.locator("main img")).to_have_count(0)
    check_page(dead)


def test_correct_and_replay(console, dead, rows, system, unique):
    """A refusal first, with the words of the gateway at the field; digits stay as they are."""
    console.complaints.expect(422)
    order = original_order(unique).replace("12.5", "12.3456789012345678901")
    number, order_id = letter_of(rows, system, order)
    console.open(f"#/dead/{number}")
    amount = dead.get_by_label("Amount")
    expect(amount).to_have_value("12.3456789012345678901")
    expect(dead.get_by_label("Product name")).to_have_value(unique)
    expect(dead.get_by_label("Order id")).to_have_value(order_id)
    expect(dead.get_by_label("Created at")).to_have_value("2024-05-06T07:08:09.123456789Z")
    screenshots(dead, "letter")
    press(dead, "Correct and replay")
    told(dead, "amount is not a whole number of cents")
    expect(amount).to_be_focused()
    amount.fill("12,35")
    press(dead, "Correct and replay")
    told(dead, "amount is not a number")
    amount.fill("9999999999.99")
    press(dead, "Correct and replay")
    told(dead, f"Letter {number} is on its way again, as order {order_id}")
    expect(dead.locator(".badge")).to_have_text("✓ replayed")
    expect(dead.get_by_role("link", name=order_id).first).to_have_attribute("href", f"#/find?q={order_id}")
    expect(dead.get_by_role("button", name="Correct and replay")).to_have_count(0)
    row, _ = system.wait_stored(order_id)
    assert (row["product_name"], str(row["amount"])) == (unique, "9999999999.99")
    assert row_of(system, number, "state, ended_by") == ("replayed", "console")
    check_page(dead)


def test_a_body_that_can_be_read_in_part(console, dead, rows, unique):
    number = rows.poison('{"x":{"amount":1},"product_name":"' + unique + '","amount":12,5}')
    console.open(f"#/dead/{number}")
    expect(dead.get_by_label("Product name")).to_have_value(unique)
    expect(dead.get_by_label("Amount")).to_have_value("12")


def test_a_number_in_quotes(console, dead, rows, system, unique):
    """The field shows it as it ought to be, so what was wrong stands beside it."""
    order = original_order(unique, 249.5).replace("249.5", '"249.90"')
    number, order_id = letter_of(rows, system, order)
    console.open(f"#/dead/{number}")
    amount = dead.get_by_label("Amount")
    expect(amount).to_have_value("249.90")
    expect(amount).to_have_accessible_description(
        'Its amount is not a number: it is the text "249.90"; from here it is sent as a number.'
    )
    expect(dead.locator(".hint")).to_have_count(1)
    check_page(dead)
    screenshots(dead, "letter-text")
    press(dead, "Correct and replay")
    told(dead, f"Letter {number} is on its way again, as order {order_id}")
    row, _ = system.wait_stored(order_id)
    assert str(row["amount"]) == "249.90"


def test_a_conflict(console, dead, rows, system, unique):
    console.complaints.expect(422)
    stored = json.loads(original_order(unique))
    system.queues.publish(json.dumps(stored))
    system.wait_stored(stored["id"])
    number = rows.poison(json.dumps(stored | {"product_name": f"{unique} other"}))
    console.open(f"#/dead/{number}")
    other = dead.get_by_label("Make it another order")
    expect(other).to_be_checked()
    other.uncheck()
    press(dead, "Correct and replay")
    told(dead, "needs a new id")
    other.check()
    press(dead, "Correct and replay")
    told(dead, f"Letter {number} is on its way again")
    replayed_as = row_of(system, number, "replayed_as::text")[0]
    assert replayed_as != stored["id"]
    assert system.wait_stored(replayed_as)[0]["product_name"] == f"{unique} other"
    assert system.row(stored["id"])["product_name"] == unique


def test_what_is_no_order(console, dead, rows):
    console.complaints.expect(422)
    number = rows.poison(IMAGE)
    console.open(f"#/dead/{number}")
    press(dead, "Replay as it is")
    told(dead, "The body of the letter is no order")
    expect(dead.locator(".badge")).to_have_text("! dead")


def test_replay_as_it_is(console, dead, rows, system, unique):
    number, order_id = real_letters(system, unique, 1)[0]
    console.open(f"#/dead/{number}")
    press(dead, "Replay as it is")
    told(dead, f"Letter {number} is on its way again, as order {order_id}")
    expect(dead.get_by_role("heading", name=f"Dead letter {number}")).to_be_focused()
    system.wait_stored(order_id)


def test_discard(console, dead, rows, system):
    """It asks for a reason, and says that it cannot be undone; Cancel does nothing."""
    number = rows.poison(IMAGE)
    console.open(f"#/dead/{number}")
    press(dead, "Discard …")
    dialog = dead.get_by_role("dialog", name=f"Discard letter {number}?")
    expect(dialog).to_contain_text("cannot be undone")
    check_page(dead)
    press(dialog, "Cancel")
    expect(dead.get_by_role("button", name="Discard …")).to_be_focused()
    assert row_of(system, number, "state") == ("dead",)
    press(dead, "Discard …")
    press(dialog, "Discard")
    expect(dialog).to_be_visible()  # without a reason
    dialog.get_by_label("Why?").fill(f"of no use {IMAGE}")
    press(dialog, "Discard")
    told(dead, f"Letter {number} is discarded")
    expect(dead.locator(".badge")).to_have_text("× discarded")
    expect(dead.get_by_text(f"of no use {IMAGE}")).to_be_visible()
    assert row_of(system, number, "state, ended_reason") == ("discarded", f"of no use {IMAGE}")


def test_somebody_was_faster(console, dead, rows, system):
    console.complaints.expect(409)
    number = rows.poison(IMAGE)
    console.open(f"#/dead/{number}")
    expect(dead.locator(".badge")).to_have_text("! dead")
    headers = {"Authorization": f"Bearer {console.token}", "X-Operator": "ada"}
    path = f"/api/admin/dead-letters/{number}/discard"
    assert system.api.request("POST", path, json={"reason": "no"}, headers=headers).status_code == 200
    press(dead, "Replay as it is")
    told(dead, "The letter was replayed or discarded before: it was discarded at")
    expect(dead.locator(".badge")).to_have_text("× discarded")
    expect(dead.get_by_text("ada", exact=True)).to_be_visible()


def test_a_letter_that_is_not_there(console, dead):
    console.complaints.expect(404)
    console.open("#/dead/999999999")
    told(dead, "There is no such dead letter")


# --- many ---------------------------------------------------------------------------------------


def real_letters(system, unique, count):
    """Letters of orders that can be stored: their (ID, ORDER_ID)."""
    made = []
    for _ in range(count):
        order = str(uuid.uuid4())
        body = original_order(unique, order_id=order).encode()
        sql = """INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id, body,
                body_bytes, properties, digest, died_at)
            VALUES ('order_queue', 'sqlstate_23514', %s, 'persist', 3, %s, %s, %s, '', '', now())
            RETURNING id"""
        made.append((system.postgres.execute(sql, (unique, order, body, len(body))).fetchone()[0], order))
    return made


def test_replay_many(console, dead, rows, system, unique):
    made = real_letters(system, unique, 12)
    rows.letters(3, "another")
    filtered(console, detail=unique)
    press(dead, "Replay all that match …")
    dialog = dead.get_by_role("dialog", name="Replay 12 dead letters?")
    expect(dialog).to_contain_text("12 sqlstate_23514")
    expect(dialog).to_contain_text("It takes 240 ms or longer")
    dialog.get_by_label("At most").fill("20")
    expect(dialog).to_contain_text("It takes 600 ms or longer")
    check_page(dead)
    press(dialog, "Replay")
    told(dead, "12 letters to replay: job")
    expect(dead.get_by_text("done: 12 of 12 letters (12 searchable)")).to_be_visible()
    expect(dead.get_by_text("No letter matches")).to_be_visible()
    for _, order in made:
        assert system.row(order)["product_name"] == unique
    number = dead.get_by_role("link", name=re.compile(r"^job \d+$")).inner_text().split()[1]
    parameters = system.postgres.execute("SELECT parameters FROM jobs WHERE id = %s", (number,)).fetchone()[0]
    assert (parameters["per_second"], parameters["filter"]) == (20, {"detail": unique})
    console.open(f"#/dead/{made[0][0]}")
    dead.get_by_role("link", name=f"job {number}").click()
    expect(dead).to_have_url(re.compile(f"#/jobs/{number}$"))


def test_discard_many(console, dead, rows, system, unique):
    """The numbers of the dry run are what happens; without a reason nothing does."""
    ids = rows.letters(31, unique)
    filtered(console, detail=unique, state="all")
    press(dead, "Discard all that match …")
    dialog = dead.get_by_role("dialog", name="Discard 31 dead letters?")
    expect(dialog).to_contain_text("16 malformed")
    expect(dialog).to_contain_text("15 id_conflict")
    expect(dialog).to_contain_text(f"in the detail: {unique}")
    expect(dialog).to_contain_text("cannot be undone")
    screenshots(dead, "dead-discard")
    press(dialog, "Cancel")
    told(dead, "Nothing was done")
    press(dead, "Discard all that match …")
    dialog.get_by_label("Why?").fill("   ")
    press(dialog, "Discard")
    dialog.get_by_label("Why?").fill("made for a test")
    press(dialog, "Discard")
    expect(dead.get_by_text("done: 31 of 31 letters (31 discarded)")).to_be_visible()
    expect(listed(dead).filter(has_text="× discarded")).to_have_count(31)
    query = "SELECT count(*) FROM dead_letters WHERE id = ANY (%s) AND ended_reason = 'made for a test'"
    assert system.postgres.execute(query, (ids,)).fetchone() == (31,)
    press(dead, "Discard all that match …")
    told(dead, "No dead letter matches: nothing to do")


def test_what_was_told_goes_with_its_filter(console, dead, rows, unique):
    """On a narrow screen, too, it is seen when it comes; nothing is offered in vain."""
    rows.letters(1, unique)
    filtered(console, detail=unique)
    dead.set_viewport_size(NARROW)
    dead.evaluate("scrollTo(0, 0)")
    press(dead, "Discard all that match …")
    press(dead.get_by_role("dialog"), "Cancel")
    answer = dead.get_by_text("Nothing was done.")
    expect(answer).to_be_in_viewport()
    dead.get_by_label("Text in the detail").fill(f"{unique} none")
    press(dead, "Filter")
    expect(dead.get_by_text("No letter matches.")).to_be_visible()
    expect(answer).to_have_count(0)
    for what in ("Replay", "Discard"):
        expect(dead.get_by_role("button", name=f"{what} all that match …")).to_be_disabled()
    dead.go_back()
    expect(dead.get_by_role("button", name="Discard all that match …")).to_be_enabled()


# --- what cannot be done ------------------------------------------------------------------------


def test_a_token_that_may_only_look(console, page, rows, unique):
    console.complaints.expect(403)
    number = rows.letters(1, unique)[0]
    console.open(LIST)
    console.sign_in(console.read_token)
    expect(page.get_by_role("link", name=str(number), exact=True)).to_be_visible()
    press(page, "Discard all that match …")
    told(page, "This token may look and change nothing")
    page.get_by_role("link", name=str(number), exact=True).click()
    press(page, "Replay as it is")
    told(page, "type in the one of ADMIN_TOKEN")


def test_archive_off(console, dead, rows, restored, unique):
    console.complaints.expect(409)
    system = restored
    rows.letters(2, unique)
    with system.stopped("scheduler-1"):
        off = Archiver(system, system.queues, DEAD_LETTER_ARCHIVE="off")
        try:
            expect(dead.get_by_text("They are not archived now")).to_be_visible()
            filtered(console, detail=unique)
            press(dead, "Replay all that match …")
            press(dead.get_by_role("dialog"), "Replay")
            told(dead, "Dead letters are not archived now, so many cannot be replayed")
        finally:
            off.stop()


def test_without_postgresql(console, dead, rows, restored, unique):
    """It is said; when PostgreSQL is back, the letters are, too."""
    console.complaints.expect(503)
    system = restored
    number = rows.letters(1, unique)[0]
    with system.stopped("postgres"):
        eventually(lambda: system.readiness("gateway-1") != "ready", "the gateway knows")
        filtered(console, detail=unique)
        dead.reload()
        expect(dead.get_by_text("How many are dead is not known now")).to_be_visible()
        expect(dead.locator("main [role=status].error").first).to_contain_text(
            re.compile("PostgreSQL|No answer in time|database", re.IGNORECASE)
        )
        press(dead, "Discard all that match …")
        expect(dead.locator("main [role=status].error")).to_have_count(2)
    expect(listed(dead)).to_have_count(1)
    expect(dead.get_by_role("link", name=str(number), exact=True)).to_be_visible()
    system.forget_connections()
