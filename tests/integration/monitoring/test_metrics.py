"""deploy/METRICS.md is what the services export: no more, no less, with the same types and labels."""

import re
from collections import defaultdict

import pytest

from monitoring.prometheus import promtool
from queues import original_order
from system import ROOT, SERVICES
from wait import eventually

ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<services>[\w, ]+) \|(?P<labels>[^|]*)\|", re.M)
SAMPLE = re.compile(r"^(?P<name>\w+)(\{(?P<labels>.*)\})? \S+$")


def documented():
    """Service → name → (type, labels), from the table."""
    result = defaultdict(dict)
    for row in ROW.finditer((ROOT / "deploy/METRICS.md").read_text()):
        services = SERVICES if row["services"] == "all" else row["services"].split(", ")
        labels = frozenset(re.findall(r"`(\w+)`", row["labels"]))
        for service in services:
            assert row["name"] not in result[service], f"{row['name']} is documented twice"
            result[service][row["name"]] = (row["type"], labels)
    return result


def exported(text):
    """Name → (type, labels), from an exposition; every series of a metric has the same labels."""
    types, labels = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            types[name] = kind
        elif not line.startswith("#"):
            sample = SAMPLE.match(line)
            names = frozenset(re.findall(r'(\w+)="', sample["labels"] or "")) - {"le"}
            name = sample["name"]
            if name not in types:
                name = re.sub("_(bucket|sum|count)$", "", name)
            assert labels.setdefault(name, names) == names, line
    return {name: (kind, labels[name]) for name, kind in types.items()}


@pytest.fixture(scope="module")
def used(shop):
    """A dead letter has been there, and has been counted: its metrics appear with the first."""
    shop.queues.publish("no order")
    eventually(shop.queues.take_dead, "a dead letter")
    names = documented()["bridge"].keys()
    eventually(lambda: exported(shop.metrics("bridge-1")).keys() == names, "its metrics")
    return shop


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_is_what_is_exported(used, service):
    assert exported(used.metrics(f"{service}-1")) == documented()[service]


@pytest.mark.parametrize("service", SERVICES)
def test_promtool_has_no_complaints(used, service):
    assert promtool("check", "metrics", input=used.metrics(f"{service}-1")) == ""


def test_an_order_is_counted_everywhere(shop):
    def counts():
        text = "\n".join(shop.metrics(f"{service}-1") for service in SERVICES)
        names = (
            'orders_accepted_total{route="post_order"}',
            'bridge_outcomes_total{stage="persist",outcome="done",code=""}',
            'bridge_outcomes_total{stage="index",outcome="done",code=""}',
            'bridge_order_age_seconds_count{stage="index"}',
            "bridge_acked_total",
        )
        return [float(re.search(rf"^{re.escape(name)} (.+)$", text, re.M)[1]) for name in names]

    eventually(lambda: shop.queues.depth() == 0 == shop.metric("bridge-1", "bridge_in_flight"), "all is done")
    before = counts()
    shop.api.accept()
    eventually(lambda: counts() == [n + 1 for n in before], "one more everywhere")


def test_the_depth_of_the_queues_is_known(shop):
    def metric(name):
        return shop.metric("bridge-1", name + r'\{queue="[^"]*"\}')

    eventually(lambda: metric("order_queue_consumers") == 1, "one bridge consumes")
    with shop.stopped("persister-1"):
        shop.queues.publish(*(original_order("deep") for _ in range(150)))
        eventually(lambda: metric("order_queue_messages") == 50, "what exceeds the window waits")
    eventually(lambda: metric("order_queue_messages") == 0, "the queue is worked off")
    eventually(lambda: shop.is_ready("bridge-1"), "the bridge is ready")
