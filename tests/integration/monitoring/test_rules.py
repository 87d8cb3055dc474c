"""The rules as files: well-formed, complete, and each alert with a test of both its sides."""

import pytest
import yaml

from monitoring.prometheus import RULES, alerts, promtool
from system import ROOT

UNIT_TESTS = ROOT / "tests/integration/monitoring/alert_rules.yml"


def test_promtool_accepts_configuration_and_rules():
    promtool("check", "config", ROOT / "deploy/prometheus/prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)


def test_every_alert_fires_above_its_limit_and_not_below():
    promtool("test", "rules", UNIT_TESTS)


@pytest.mark.parametrize("name", alerts())
def test_both_sides_are_tested(name):
    sides = {
        bool(check["exp_samples"])
        for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"]
        for check in test["promql_expr_test"]
        if f'alertname="{name}"' in check["expr"]
    }
    assert sides == {True, False}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_to_do(name):
    alert = alerts()[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description"}
    assert len(alert["annotations"]["description"].split()) >= 12
