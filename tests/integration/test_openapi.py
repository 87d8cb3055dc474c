"""The description of the API: it is valid, it is served, and the gateway does what it says."""

import json
import os
import subprocess

import pytest
import requests
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from system import ROOT

SOURCE = ROOT / "services/gateway/openapi.yaml"


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
