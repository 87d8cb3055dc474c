"""The view that a person sees first: how each part of the way of an order is."""

import re

import pytest
from playwright.sync_api import expect

from browsing import NARROW, assert_fits, check_page, screenshot, screenshots
from wait import eventually

PARTS = [
    "Gateway",
    "RabbitMQ",
    "Bridge",
    "PostgreSQL",
    "Elasticsearch",
    "Dead letters",
    "Redis",
    "Scheduler",
]
# A change of the system is on the page within 3 s, where the cores are free.
SOON_MS = 10_000
# Elasticsearch takes its time to start.
BACK_MS = 180_000


@pytest.fixture
def way(console):
    """The view, with the token that may only look."""
    console.open()
    console.sign_in(console.read_token)
    expect(console.sentence).to_have_text("✓All is well.", timeout=BACK_MS)
    return console


def part(page, name):
    return page.locator(".way > li").filter(has=page.get_by_role("heading", name=name, exact=True))


def badge(page, name):
    return part(page, name).locator(".title .badge")


def figure(page, name):
    return part(page, name).locator(".figure strong")


def number(locator):
    return float(locator.inner_text().removesuffix("/s").replace(",", ""))


def test_all_is_well(way):
    page = way.page
    expect(page.locator(".way h3")).to_have_text(PARTS)
    for name in PARTS:
        expect(badge(page, name)).to_have_text(re.compile("^✓ (ready|up|none)$"))
    check_page(page)


def test_orders_pass(way, system):
    """Every figure on the way moves, and so does the arrow into each part; then all comes to rest."""
    page = way.page
    moving = ["Gateway", "PostgreSQL", "Elasticsearch"]

    def all_move():
        for _ in range(50):
            system.api.accept()
        return all(number(figure(page, name)) > 0 for name in moving)

    eventually(all_move, "the rates are on the page")
    for name in moving:
        expect(part(page, name).locator(".sparkline .line")).to_have_attribute("d", re.compile("L.*L"))
        expect(part(page, name).locator(".highest")).to_have_text(
            re.compile(r"^highest in 2 min: [1-9][\d,.]*/s$")
        )
    for name in ("RabbitMQ", "PostgreSQL", "Elasticsearch"):
        eventually(
            lambda name=name: (
                [system.api.accept() for _ in range(20)]
                and "flows" in part(page, name).get_attribute("class")
            ),
            f"orders come into {name}",
        )
    screenshots(page, "way")
    expect(figure(page, "Gateway")).to_have_text("0/s")
    expect(part(page, "RabbitMQ")).to_contain_text("0 in flight, nothing is behind")
    expect(page.locator(".way > .flows")).to_have_count(0)


def test_orders_wait(way, restored):
    """Without a persister they come no further, and that is told."""
    page = way.page
    for program in ("persister-1", "persister-2"):
        restored.supervisor.stop(program)
    expect(badge(page, "PostgreSQL")).to_have_text("× 2 of 2 persisters unreachable", timeout=SOON_MS)
    for _ in range(30):
        restored.api.accept()
    expect(figure(page, "Bridge")).to_have_text("30")
    expect(effect(page, "PostgreSQL")).to_have_text("Orders wait in RabbitMQ. Start a persister.")
    expect(part(page, "RabbitMQ")).to_contain_text("30 in flight, standing still")
    for program in ("persister-1", "persister-2"):
        restored.supervisor.start(program)
    expect(badge(page, "PostgreSQL")).to_have_text("✓ up")
    expect(figure(page, "Bridge")).to_have_text("0")


def effect(page, name):
    return part(page, name).locator(".effect")


def test_no_indexer_was_ever_seen(way, restored):
    """Nobody knows then that the address that does not answer is an indexer's: the bridge's word tells."""
    page = way.page
    way.complaints.expect("ERR_")  # the gateway starts again
    for program in ("indexer-1", "indexer-2", "gateway-1"):
        restored.supervisor.stop(program)
    restored.supervisor.start("gateway-1")
    address = restored.admin_url("indexer-1").removeprefix("http://")
    expect(badge(page, "Elasticsearch")).to_have_text("× no indexer", timeout=BACK_MS)
    expect(effect(page, "Elasticsearch")).to_have_text(
        "Orders are safe, but search does not find new ones. Start an indexer."
    )
    expect(badge(page, "Bridge")).to_have_text("! not ready")  # and takes orders
    expect(badge(page, "PostgreSQL")).to_have_text("✓ up")
    expect(way.sentence).to_have_text(
        re.compile(r"^!Bridge .* not ready since .*indexers: no worker takes jobs; 2 more things are wrong")
    )
    way.sentence.locator("summary").click()
    told = way.sentence.locator("li")
    expect(told).to_have_count(3)
    expect(told.nth(1)).to_have_text(re.compile(rf"^A service at {address} has been unreachable since "))
    check_page(page)
    screenshots(page, "way-no-indexer")
    for program in ("indexer-1", "indexer-2"):
        restored.supervisor.start(program)
    expect(way.sentence.locator("details")).to_be_hidden(timeout=BACK_MS)
    expect(badge(page, "Elasticsearch")).to_have_text("✓ up", timeout=BACK_MS)


def test_a_persister_is_killed(way, restored):
    page = way.page
    address = restored.admin_url("persister-2").removeprefix("http://")
    with restored.stopped("persister-2"):
        expect(way.sentence).to_have_text(
            re.compile(
                rf"^!Persister {address} has been unreachable since \d\d:\d\d:\d\d: .*Connection refused"
            ),
            timeout=SOON_MS,
        )
        assert_local_time(way.sentence)
        expect(badge(page, "PostgreSQL")).to_have_text("! 1 of 2 persisters unreachable")
        expect(part(page, "PostgreSQL").locator(".since")).to_have_text(re.compile(r"^since \d\d:\d\d:\d\d$"))
        part(page, "PostgreSQL").locator("summary").click()
        rows = part(page, "PostgreSQL").locator(".replicas > li")
        expect(rows).to_have_count(2)
        expect(rows.filter(has_text="× unreachable")).to_contain_text(address)
        expect(rows.filter(has_text="✓ ready")).to_contain_text("done")
        check_page(page)
        screenshots(page, "way-persister")
    expect(way.sentence).to_have_text("✓All is well.")
    expect(badge(page, "PostgreSQL")).to_have_text("✓ up")
    expect(rows.first).to_be_visible()  # what a person opened stays open


def assert_local_time(locator):
    """In the zone of the viewer, with UTC on hover."""
    instant = locator.locator("time")
    hour = int(instant.inner_text()[-8:-6])
    utc = int(re.fullmatch(r"\d{4}-\d\d-\d\d (\d\d):\d\d:\d\d UTC", instant.get_attribute("title"))[1])
    assert (hour - utc) % 24 in (1, 2), "Berlin's"


def test_elasticsearch_is_down(way, restored):
    page = way.page
    way.complaints.expect(503)  # where the cores are busy, the status is late once
    with restored.stopped("elasticsearch"):
        expect(badge(page, "Elasticsearch")).to_have_text("× down", timeout=SOON_MS)
        expect(badge(page, "Gateway")).to_have_text("! degraded")
        expect(part(page, "Gateway").locator("> .trouble")).to_contain_text("Elasticsearch: ")
        expect(badge(page, "PostgreSQL")).to_have_text("✓ up")
        expect(way.sentence).to_have_class("wrong")
        check_page(page)
        screenshots(page, "way-elasticsearch")
    expect(way.sentence).to_have_text("✓All is well.", timeout=BACK_MS)
    expect(badge(page, "Elasticsearch")).to_have_text("✓ up")


def test_the_broker_is_killed(way, restored):
    page = way.page
    with restored.stopped("rabbitmq"):
        expect(way.sentence).to_have_class("wrong", timeout=SOON_MS)
        expect(badge(page, "RabbitMQ")).to_have_text("× down")
        expect(badge(page, "Gateway")).to_have_text("× not ready")
        screenshot(page, "way-rabbitmq")
    expect(way.sentence).to_have_text("✓All is well.", timeout=BACK_MS)
    expect(badge(page, "RabbitMQ")).to_have_text("✓ up")


def test_replicas(way, restored):
    page = way.page
    restored.scale(bridge=2, persister=3)
    for name, number, words in (
        ("Bridge", 2, "bridges"),
        ("PostgreSQL", 3, "persisters"),
        ("Elasticsearch", 2, "indexers"),
    ):
        summary = part(page, name).locator("summary")
        expect(summary).to_have_text(f"{number} {words}")
        summary.press("Enter")
        rows = part(page, name).locator(".replicas > li")
        expect(rows).to_have_count(number)
        for row in rows.all():
            expect(row).to_contain_text(re.compile(r"✓ ready .*:\d+.* since \d\d:\d\d:\d\d.*\d/s"))
    screenshots(page, "way-replicas")


def test_dead_letters(way, rows):
    page = way.page
    rows.letters(30)
    expect(figure(page, "Dead letters")).to_have_text("30", timeout=SOON_MS)
    expect(badge(page, "Dead letters")).to_have_text("! waiting")
    expect(way.sentence).to_contain_text("30 dead letters wait for a decision, the oldest died at ")
    check_page(page)
    part(page, "Dead letters").get_by_role("link", name="15 malformed").click()
    expect(page).to_have_url(re.compile("#/dead.state=dead&reason=malformed$"))


def test_without_a_token(console):
    page = console.page
    console.open()
    expect(console.sentence).to_have_text("iThe gateway is ready. Sign in to see the rest.")
    expect(page.get_by_text("With one (ADMIN_READ_TOKEN is enough)")).to_be_visible()
    expect(badge(page, "Gateway")).to_have_text("✓ takes orders")
    for name in ("RabbitMQ", "PostgreSQL", "Elasticsearch", "Redis", "Scheduler"):
        expect(badge(page, name)).to_have_text("✓ up")
    for name in ("Bridge", "Dead letters"):
        expect(badge(page, name)).to_have_text("? not known")
    expect(figure(page, "Gateway")).to_be_hidden()
    check_page(page)
    screenshots(page, "way-no-token")


def test_without_a_token_while_redis_is_down(console, restored):
    page = console.page
    console.open()
    with restored.stopped("redis"):
        expect(console.sentence).to_have_text("!The gateway is degraded; down: Redis.")
        expect(badge(page, "Redis")).to_have_text("× down")
    expect(console.sentence).to_have_class("ready")
    expect(badge(page, "Redis")).to_have_text("✓ up")


@pytest.mark.parametrize("width", [NARROW["width"], 800, 1280, 2560])
def test_widths(way, width):
    page = way.page
    page.set_viewport_size({"width": width, "height": 1200})
    assert_fits(page, f"{width} px")
    boxes = [part(page, name).bounding_box() for name in PARTS]
    for box in boxes:
        assert box["width"] <= width
    for number, box in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert not overlap(box, other)
    if width == NARROW["width"]:
        assert sorted(boxes, key=lambda box: box["y"]) == boxes, "top to bottom"
    if width >= 1280:
        row = boxes[:4]
        assert sorted(row, key=lambda box: box["x"]) == row, "left to right"
        assert len({box["y"] for box in row}) == 1
    screenshot(page, f"way-{width}")


def overlap(one, other):
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "width"), ("y", "height"))
    )


def test_no_motion_where_none_is_wanted(way):
    page = way.page
    arrow = ".way > .rabbitmq .arrow span"
    page.locator(".way > .rabbitmq").evaluate("part => part.classList.add('flows')")
    look = f"getComputedStyle(document.querySelector('{arrow}'), '::before').animationName"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(look) == "none"
