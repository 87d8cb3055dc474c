"""Each service is given the secrets that it needs, and no others, wherever it runs."""

import re
import subprocess

import pytest
import yaml

from system import ROOT, SERVICES, binary

NEEDED = {
    "gateway": {
        *("POSTGRES_DSN", "RABBITMQ_URL", "REDIS_PASSWORD", "ELASTICSEARCH_URL", "ELASTICSEARCH_API_KEY"),
        *("ADMIN_TOKEN", "ADMIN_READ_TOKEN", "IDEMPOTENCY_NAMESPACE"),
    },
    "bridge": {"RABBITMQ_URL", "LINK_KEY"},
    "persister": {"POSTGRES_DSN", "LINK_KEY"},
    "indexer": {"ELASTICSEARCH_URL", "ELASTICSEARCH_API_KEY", "LINK_KEY"},
    "scheduler": {"POSTGRES_DSN", "RABBITMQ_URL", "ELASTICSEARCH_URL", "ELASTICSEARCH_API_KEY"},
}
ALL = set().union(*NEEDED.values())
SYSTEMD = ROOT / "deploy/systemd"


def assert_each_has_its_own(given):
    """`given`: service → names. What any of them is given, all that need it are, and nobody else."""
    there = ALL & set().union(*given.values())
    assert there >= {
        "POSTGRES_DSN",
        "RABBITMQ_URL",
        "ELASTICSEARCH_URL",
        "ADMIN_TOKEN",
        "IDEMPOTENCY_NAMESPACE",
    }
    for service, names in given.items():
        assert ALL & names == NEEDED[service] & there, service


@pytest.mark.parametrize("service", SERVICES)
def test_help_lists_the_secrets(service):
    text = subprocess.run([binary(service), "--help"], check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"^  (\w+) or \1_FILE ", text, re.MULTILINE)) == NEEDED[service]


def process_environment(pid):
    """What it was started with."""
    with open(f"/proc/{pid}/environ") as file:
        return dict(variable.split("=", 1) for variable in file.read().split("\0") if variable)


def test_dev_up(system):
    given = {service: process_environment(system.pid(f"{service}-1")) for service in SERVICES}
    assert_each_has_its_own({service: set(variables) for service, variables in given.items()})
    for service, variables in given.items():
        for foreign in (ALL - NEEDED[service]) & system.env.keys():
            value = system.env[foreign]
            assert not any(value in text for text in variables.values()), f"{service} has {foreign}"


def test_compose():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for suffix in ("", "-2"):
        own = {name: services.get(name + suffix, services[name]) for name in SERVICES}
        assert_each_has_its_own({name: set(service["environment"]) for name, service in own.items()})
        assert not any({"env_file", "secrets", "configs"} & service.keys() for service in own.values())


def test_kubernetes():
    base = ROOT / "deploy/kubernetes/base"
    given = {}
    for name in SERVICES:
        documents = yaml.safe_load_all((base / f"{name}.yaml").read_text())
        [pod] = [
            d["spec"]["template"]["spec"] for d in documents if d["kind"] in ("Deployment", "StatefulSet")
        ]
        [container], [volume] = pod["containers"], [v for v in pod["volumes"] if "secret" in v]
        given[name] = {item["key"] for item in volume["secret"]["items"]}
        files = {
            v["name"].removesuffix("_FILE")
            for v in container["env"]
            if v["value"].startswith("/run/secrets/")
        }
        assert files == given[name]
        assert "envFrom" not in container
    assert_each_has_its_own(given)
    # What all of them have is no secret.
    [common] = yaml.safe_load((base / "pod.yaml").read_text())["spec"]["template"]["spec"]["containers"]
    assert common["envFrom"] == [{"configMapRef": {"name": "order-pipeline"}}]
    assert not ALL & names_in(base / "settings.env")


def names_in(file):
    """Also those that are commented out, for people to fill in."""
    return set(re.findall(r"^#?([A-Z_]+)=", file.read_text(), re.MULTILINE))


def names_given(unit):
    files = re.findall(r"^EnvironmentFile=.*/(\S+)$", unit.read_text(), re.MULTILINE)
    made = {"link.env": set(re.findall(r"'(\w+)=%s", (ROOT / "deploy/debian/postinst").read_text()))}
    return set().union(*(made.get(file) or names_in(SYSTEMD / file) for file in files))


def test_systemd():
    common = names_given(SYSTEMD / "order-pipeline-.service.d/common.conf.in")
    assert common
    assert not ALL & common
    units = {name: next(SYSTEMD.glob(f"order-pipeline-{name}*.service.in")) for name in SERVICES}
    assert_each_has_its_own({name: names_given(unit) for name, unit in units.items()})


def test_package_keeps_its_files_closed():
    files = {f"/etc/order-pipeline/{file.name}" for file in SYSTEMD.glob("*.env")}
    assert set((ROOT / "deploy/debian/conffiles").read_text().split()) == files
    [rule] = re.findall(
        r"install\(FILES order-pipeline.env.*?\)", (SYSTEMD / "CMakeLists.txt").read_text(), re.DOTALL
    )
    assert {f"/etc/order-pipeline/{name}" for name in re.findall(r"\S+\.env", rule)} == files
    assert "PERMISSIONS OWNER_READ OWNER_WRITE COMPONENT" in rule
