"""The whole system in containers, as docker-compose.yml describes it, under load: scaled, killed,
doubled. Every block of load ends with the verdict of the independent ledger."""

import json

import pytest
import requests

from fleet import NETWORK, SECRET
from podman import SERVICES
from wait import eventually

HA = ("gateway-2", "bridge-2", "scheduler-2")


def test_services_are_confined(fleet):
    for service in SERVICES:
        container = fleet.container(service)
        status = dict(
            line.split(":\t", 1)
            for line in container.execute("cat", "/proc/1/status").splitlines()
            if ":\t" in line
        )
        assert status["Uid"].split() == ["10001"] * 4
        assert int(status["CapEff"], 16) == 0
        assert int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert "Read-only file system" in container.execute("touch", "/usr/x", check=False).stderr
        assert container.inspect()["HostConfig"]["Memory"] > 0


def test_only_the_gateway_and_the_pages_are_published(fleet):
    published = {}
    for service in (*SERVICES, "postgres", "redis", "rabbitmq", "elasticsearch"):
        for bindings in fleet.container(service).inspect()["NetworkSettings"]["Ports"].values():
            for binding in bindings or ():
                assert binding["HostIp"] == "127.0.0.1"
                published.setdefault(service, []).append(binding)
    assert set(published) == {"gateway", "rabbitmq"}


def test_refreshes_through_the_scheduler(fleet):
    """By its name, among one that is not there."""
    url = f"{fleet.url()}/api/admin/refresh"
    assert requests.post(url, timeout=10).status_code == 401
    answer = requests.post(url, headers={"Authorization": "Bearer " + SECRET}, timeout=60)
    assert answer.status_code == 200, answer.text


def test_health_follows_what_a_service_depends_on(fleet):
    persister = fleet.container("persister")
    assert persister.is_healthy()
    assert fleet.container("bridge").stop() == 0
    eventually(lambda: not persister.is_healthy(), "the persister misses its bridge", 15)
    fleet.up("bridge")
    fleet.wait_healthy("persister")


def test_scaling_under_load(fleet):
    with fleet.load() as flow:
        fleet.scale(persister=3, indexer=2)
        assert len(fleet.containers("persister")) == 3
        flow.wait_accepted(1000)
        for container in (*fleet.containers("persister"), *fleet.containers("indexer")):
            eventually(lambda c=container: orders_done(c) > 0, f"{container.name} takes part", 30)
        fleet.scale(persister=1, indexer=1)
        assert len(fleet.containers("persister")) == 1
        flow.wait_accepted(1000)


def orders_done(container):
    port = {"persister": 9102, "indexer": 9103}[container.name.split("_")[-2]]
    metrics = requests.get(f"http://{container.address(NETWORK)}:{port}/metrics", timeout=5).text
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if 'outcome="done"' in line)


@pytest.mark.parametrize("service", SERVICES)
def test_crash_under_load(fleet, service):
    with fleet.load() as flow:
        for _ in range(2):
            fleet.container(service).crash()
            flow.wait_accepted(200)


def test_servers_crash_under_load(fleet):
    with fleet.load() as flow:
        for server in ("postgres", "redis", "rabbitmq", "elasticsearch"):
            fleet.container(server).crash()
            fleet.wait_healthy(server)
            flow.wait_accepted(200)


def test_two_of_each(fleet):
    """The profile ha joins a system that runs, without restarting anything of it."""
    before = {service: fleet.container(service).pid for service in SERVICES}
    with fleet.load() as flow:
        fleet.up(*HA, profile="ha")
        flow.wait_accepted(200)
    assert {service: fleet.container(service).pid for service in SERVICES} == before
    with fleet.load(gateways=("gateway", "gateway-2")) as flow:
        for service in ("bridge", "gateway-2", "bridge-2", "scheduler"):
            fleet.container(service).crash()
            flow.wait_accepted(500)


def test_prometheus_sees_every_container(fleet):
    """Replicas included, by the names that deploy/prometheus gives."""
    fleet.up("prometheus")
    fleet.scale(persister=2)
    url = f"http://{fleet.container('prometheus').address(NETWORK)}:9090/api/v1/targets"
    wanted = [
        set(container.addresses().values())
        for service in (*SERVICES, *HA)
        for container in fleet.containers(service)
    ]
    assert len(wanted) == len(SERVICES) + len(HA) + 1

    def seen():
        targets = requests.get(url, timeout=5).json()["data"]["activeTargets"]
        up = {t["discoveredLabels"]["__address__"].split(":")[0] for t in targets if t["health"] == "up"}
        return all(addresses & up for addresses in wanted)

    eventually(seen, "every container is scraped", 90, interval=1)
    fleet.scale(persister=1)


def test_orderctl_sees_every_container(fleet):
    """In the gateway's container. The second bridge and scheduler share a name with the first."""
    fleet.up(*HA, profile="ha")
    fleet.scale(persister=2)
    services = ("bridge", "bridge-2", "persister", "indexer", "scheduler", "scheduler-2")
    wanted = {container.address(NETWORK) for name in services for container in fleet.containers(name)}

    def seen():
        answer = fleet.container("gateway").execute("orderctl", "-o", "json", "status", check=False).stdout
        ready = [service for service in json.loads(answer)["services"] if service["status"] == "ready"]
        return {str(service["replica"]).rsplit(":", 1)[0] for service in ready} >= wanted

    eventually(seen, "every replica is seen", 30)
    fleet.scale(persister=1)


def test_stops_cleanly(fleet):
    for service in (*SERVICES, *HA):
        assert fleet.container(service).stop() == 0, service
