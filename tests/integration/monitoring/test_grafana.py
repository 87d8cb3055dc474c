"""The dashboard as a file. Grafana itself is in no registry that the tests may use; what its panels
ask is asked of a Prometheus that has watched orders, searches, a dead letter and a retry."""

import json
import re
import subprocess
import time

import pytest
import yaml

from system import ROOT
from wait import eventually

GRAFANA = ROOT / "deploy/grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards/order-pipeline.json").read_text())
PANELS = [each for panel in DASHBOARD["panels"] for each in (panel, *panel.get("panels", []))]
QUERIES = {
    f"{panel['id']} {panel['title']}: {target['legendFormat']}": target["expr"].replace(
        "$__rate_interval", "10s"
    )
    for panel in PANELS
    for target in panel.get("targets", [])
}
SCREEN_ROWS = 25  # of Grafana's grid that a screen of 1080 pixels shows


@pytest.fixture(scope="module")
def times(shop, prometheus):
    """Start and end of a time in which everything has happened."""
    start = time.time()
    order_id = shop.api.accept("Laptop")
    shop.wait_stored(order_id)
    shop.elasticsearch.indices.put_settings(index=shop.index, settings={"index.blocks.write": True})
    retried = shop.api.accept("Laptop")
    eventually(lambda: 'outcome="retry"' in shop.metrics("bridge-1"), "a retry")
    shop.elasticsearch.indices.put_settings(index=shop.index, settings={"index.blocks.write": False})
    shop.wait_stored(retried)
    shop.queues.publish("no order")
    eventually(shop.queues.take_dead, "a dead letter")
    for _ in range(6):  # rates need a few scrapes with something between them
        assert shop.api.order(order_id).status_code == 200
        assert shop.api.search("Laptop").status_code == 200
        shop.api.refresh_now()
        shop.api.sales()
        shop.redis.flushall()
        shop.api.bulk({"orders": [{"product_name": "Cable", "amount": 1}]})
        shop.api.accept("Laptop")
        time.sleep(1)
    eventually(lambda: prometheus.query("pipeline:backlog_seconds < 1"), "all is done")
    return start, time.time()


def test_every_panel_asks(prometheus):
    for panel in PANELS:
        assert panel["type"] in ("row", "stat", "timeseries")
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        assert panel.get("datasource", {}).get("uid", "prometheus") == datasource()["uid"]


@pytest.mark.parametrize("name", QUERIES)
def test_the_query_has_answers(prometheus, times, name):
    series = prometheus.history(QUERIES[name], *times)
    assert series, QUERIES[name]
    wanted = set(re.findall(r"{{(\w+)}}", name))  # in the legend
    for labels in re.findall(r"(?<!sum\()\b\w+ by \(([\w, ]+)\)", QUERIES[name]):  # a sum of all has none
        wanted |= set(labels.split(", ")) - {"le"}
    assert all(wanted <= found.keys() for found in series), f"{wanted} not in {series}"


def test_the_pipeline_is_on_one_screen():
    shown = [panel for panel in DASHBOARD["panels"] if not panel.get("collapsed")]
    places = set()
    for panel in shown:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        assert at["y"] + at["h"] <= SCREEN_ROWS
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not places & cells, f"{panel['title']} lies on another panel"
        places |= cells
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_the_file_is_what_its_source_makes():
    made = subprocess.run([GRAFANA / "dashboard.py"], capture_output=True, text=True, check=True).stdout
    assert made == (GRAFANA / "dashboards/order-pipeline.json").read_text()


def datasource():
    text = (GRAFANA / "provisioning/datasources/prometheus.yml").read_text()
    return yaml.safe_load(text)["datasources"][0]


def test_provisioning_names_the_folder_of_the_dashboard():
    text = (GRAFANA / "provisioning/dashboards/order-pipeline.yml").read_text()
    assert yaml.safe_load(text)["providers"][0]["options"]["path"] == "/var/lib/grafana/dashboards"
    assert datasource()["type"] == "prometheus"
