"""The description of the API: it is valid, it is served, and the gateway does what it says."""

import os
import subprocess
from pathlib import Path

import pytest
import requests
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from system import ROOT
from wait import eventually

SOURCE = ROOT / "services/gateway/openapi.yaml"
FOLDER = Path(__file__).parent
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
LONGEST_S = 90


def test_valid():
    errors = list(OpenAPIV31SpecValidator(yaml.safe_load(SOURCE.read_text())).iter_errors())
    assert not errors, errors


@pytest.mark.parametrize("port", ["API", "admin"])
def test_served(system, port):
    url = system.api.url if port == "API" else system.admin_url("gateway-1")
    answer = requests.get(url + "/openapi.json", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == yaml.safe_load(SOURCE.read_text())


@pytest.mark.attack
def test_schemathesis(system, spawn, tmp_path):
    """Every check of schemathesis, on each route. schemathesis.toml says what is left out, and why."""
    url = spawn(API_METRICS="on", SERVICE_ADMIN_URLS=system.admin_url("bridge-1"))
    token = {"Authorization": f"Bearer {system.env['ADMIN_TOKEN']}"}
    letters = "/api/admin/dead-letters"
    system.queues.publish(*(b"no order %d" % number for number in range(20)))
    eventually(
        lambda: len(requests.get(url + letters, headers=token, timeout=30).json()["dead_letters"]) == 20,
        "there are dead letters to be shown",
    )
    try:
        tried = subprocess.run(
            [ROOT / "build/python/bin/schemathesis", "--config-file", FOLDER / "schemathesis.toml", "run"]
            + [url + "/openapi.json", "--seed", SEED, "--max-examples", "20", "--max-time", str(LONGEST_S)]
            + ["--continue-on-failure", "--no-shrink", "--no-color", "--generation-database", "none"],
            cwd=tmp_path,
            env=os.environ
            | {"ADMIN_TOKEN": system.env["ADMIN_TOKEN"], "SCHEMATHESIS_HOOKS": "schemathesis_hooks"}
            | {"PYTHONPATH": str(FOLDER)},
            capture_output=True,
            text=True,
            timeout=3 * LONGEST_S,
        )
        assert tried.returncode == 0, tried.stdout[-20000:] + tried.stderr[-5000:]
    finally:
        system.queues.take_dead()
    query = "SELECT id FROM jobs WHERE finished IS NULL"
    eventually(lambda: system.postgres.execute(query).fetchone() is None, "what was asked for has ended", 120)
