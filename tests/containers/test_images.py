"""What is in the images, and how each runs by itself."""

import subprocess

import pytest

from podman import SERVICES, image, podman

CONFINED = ("--rm", "--read-only", "--cap-drop", "all", "--network", "none")
UNUSABLE = 78
IMAGE = {service: f"order-pipeline/{service}" for service in SERVICES}


@pytest.fixture(params=SERVICES)
def service(request):
    return request.param


def test_is_small_and_confined(service):
    found = image(IMAGE[service])
    assert found["Size"] < 120_000_000
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["StopSignal"] == "SIGTERM"
    assert found["Config"]["Entrypoint"] == [service]
    assert "ADMIN_ADDRESS=::" in found["Config"]["Env"]
    assert found["Healthcheck"]["Test"] == ["CMD", service, "--health"]


def test_runs_without_anything(service):
    assert podman("run", *CONFINED, IMAGE[service], "--version").startswith(f"{service} ")


def test_the_gateway_has_orderctl():
    run = ("run", *CONFINED, "--entrypoint", "orderctl", IMAGE["gateway"])
    assert podman(*run, "--version").startswith("orderctl ")
    assert podman(*run, "status", check=False).returncode == 69  # no gateway runs there


def test_holds_no_tools():
    """Nothing to build with, nothing to fetch with."""
    packages = podman(
        *("run", *CONFINED, "--entrypoint", "dpkg-query", IMAGE["gateway"]),
        *("-W", "-f", "${Package}\\n"),
    ).split()
    assert "libczmq4" in packages
    unwanted = {"gcc", "cmake", "curl", "wget", "python3", "perl"}
    assert not [name for name in packages if name in unwanted or name.endswith("-dev")]


def test_health_fails_when_nothing_runs(service):
    result = podman("run", *CONFINED, IMAGE[service], "--health", check=False)
    assert result.returncode == 1


def test_takes_a_secret_from_a_file(tmp_path):
    secret = tmp_path / "dsn"
    secret.write_text("host=nowhere.invalid user=u password=canary dbname=d")
    secret.chmod(0o444)
    tmp_path.chmod(0o755)
    mount = ("--volume", f"{secret}:/run/secrets/dsn:ro", "--env", "POSTGRES_DSN_FILE=/run/secrets/dsn")
    result = podman("run", *CONFINED, *mount, IMAGE["persister"], "--check", check=False, timeout=60)
    assert result.returncode == 1
    assert "FAIL  postgres" in result.stdout
    assert "canary" not in result.stdout + result.stderr


def test_says_which_setting_is_unusable():
    setting = ("--env", "POSTGRES_DSN_FILE=/run/secrets/missing")
    result = podman("run", *CONFINED, *setting, IMAGE["persister"], check=False)
    assert result.returncode == UNUSABLE
    assert "POSTGRES_DSN_FILE" in result.stdout + result.stderr


def test_stops_at_once_on_sigterm(service):
    """Also while nothing that it depends on is there."""
    name = podman("run", "--detach", *CONFINED[1:], IMAGE[service]).strip()
    try:
        podman("stop", "--time", "15", name)
        assert podman("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"
    finally:
        subprocess.run(["podman", "rm", "--force", name], capture_output=True, check=True)
