"""What each service says about itself."""

import re

import pytest
import requests

from system import free_port
from wait import eventually

SAMPLE = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? (-?[0-9.e+-]+|\+Inf|NaN)")

DEPENDENCIES = {
    "gateway-1": ["postgres", "redis", "rabbitmq", "elasticsearch", "scheduler", "search_index"],
    "bridge-1": ["rabbitmq"],
    "persister-1": ["postgres"],
    "indexer-1": ["elasticsearch"],
    "scheduler-1": ["postgres", "elasticsearch", "search_index"],
}


@pytest.mark.parametrize("program", DEPENDENCIES)
def test_live_and_ready(system, program):
    live = requests.get(system.admin_url(program) + "/livez", timeout=30)
    assert live.status_code == 200
    eventually(lambda: system.is_ready(program), f"{program} is ready")
    ready = system.readiness(program)
    assert ready.headers["Content-Type"].split(";")[0] == "application/json"
    for name in DEPENDENCIES[program]:
        assert name in ready.text, f"{program} does not list {name}: {ready.text}"


@pytest.mark.parametrize("program", DEPENDENCIES)
def test_metrics_are_prometheus_text(system, program):
    response = requests.get(system.admin_url(program) + "/metrics", timeout=30)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    lines = [line for line in response.text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert SAMPLE.fullmatch(line), line


@pytest.mark.parametrize("program", [name for name in DEPENDENCIES if name != "gateway-1"])
def test_other_paths_and_methods(system, program):
    assert requests.get(system.admin_url(program) + "/nothing", timeout=30).status_code == 404
    assert requests.post(system.admin_url(program) + "/livez", timeout=30).status_code == 405


def test_secrets_are_nowhere(system):
    secrets = [system.env[name] for name in ("ADMIN_TOKEN", "IDEMPOTENCY_NAMESPACE")]
    secrets += [system.env["POSTGRES_DSN"].split(":")[2].split("@")[0]]
    secrets += [system.env["RABBITMQ_URL"].split(":")[2].split("@")[0]]
    for program in DEPENDENCIES:
        text = system.log(program) + system.metrics(program) + system.readiness(program).text
        for secret in secrets:
            assert secret not in text, program


def test_wrong_credentials_of_redis(spawn):
    """The tests' Redis lets anyone in, and answers PING even to those whom it has just refused."""
    port = free_port()
    spawn("degraded", REDIS_USERNAME="canary", REDIS_PASSWORD="canary", ADMIN_PORT=str(port))

    def redis():
        ready = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=30)
        assert "canary" not in ready.text
        return next(d for d in ready.json()["dependencies"] if d["name"] == "redis")["status"]

    eventually(lambda: redis() == "down", "redis is down")
