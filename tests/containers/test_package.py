"""The Debian package, installed on a machine with systemd that is a container: starts, is confined,
comes back after a crash, stops cleanly, and leaves nothing behind."""

import json

import pytest

from fleet import NETWORK, SECRET
from podman import Container, podman
from wait import eventually

UNITS = (
    "order-pipeline-gateway",
    "order-pipeline-bridge",
    "order-pipeline-scheduler",
    "order-pipeline-persister@9102",
    "order-pipeline-persister@9112",
    "order-pipeline-indexer@9103",
)
SETTINGS = {
    "order-pipeline": "ORDER_QUEUE=package\nORDER_INDEX=package\n",
    "postgres": f"POSTGRES_DSN=user=postgres password={SECRET} dbname=ecommerce host=postgres\n",
    "rabbitmq": f"RABBITMQ_URL=amqp://pipeline:{SECRET}@rabbitmq:5672/\n",
    "elasticsearch": "ELASTICSEARCH_URL=http://elasticsearch:9200\n",
    "redis": "REDIS_ADDR=redis:6379\n",
    "gateway": f"ADMIN_TOKEN={SECRET}\nIDEMPOTENCY_NAMESPACE={SECRET}\n",
}
# Of these each service gets what its --help lists (tests/integration/test_secrets.py).
SECRETS = {
    "LINK_KEY",
    "POSTGRES_DSN",
    "RABBITMQ_URL",
    "ELASTICSEARCH_URL",
    "ADMIN_TOKEN",
    "IDEMPOTENCY_NAMESPACE",
}


@pytest.fixture(scope="module")
def machine(fleet):
    """Privileged, because systemd has to confine the services within."""
    machine = Container("order-pipeline-test-machine")
    machine.remove()
    podman(
        *("run", "--detach", "--privileged", "--systemd=always", "--network", NETWORK),
        *("--name", machine.name, "order-pipeline/machine"),
    )
    try:
        eventually(lambda: "running" in systemctl(machine, "is-system-running"), "systemd is up", 60)
        for file, settings in SETTINGS.items():
            path = f"/etc/order-pipeline/{file}.env"
            machine.execute("sh", "-c", f'printf "%s" "$1" >> {path}', "sh", settings)
        yield machine
    finally:
        machine.remove()


def systemctl(machine, *arguments):
    result = machine.execute("systemctl", *arguments, check=False)
    return result.stdout + result.stderr


def properties(machine, unit):
    lines = systemctl(machine, "show", unit).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def ready(machine, port):
    url = f"http://127.0.0.1:{port}/readyz"
    return machine.execute("curl", "-sf", url, check=False).returncode == 0


def test_nothing_runs_before_it_is_told_to(machine):
    for unit in UNITS:
        assert properties(machine, unit)["ActiveState"] == "inactive"


def test_starts_and_stores_an_order(machine, fleet):
    print(systemctl(machine, "enable", "--now", "order-pipeline.target", *UNITS))
    for port in (9101, 9102, 9103, 9104, 9105, 9112):
        eventually(lambda p=port: ready(machine, p), f"port {port} is ready", 60)
    order = json.dumps({"product_name": "Package", "amount": 1})
    answer = machine.execute("curl", "-s", "http://127.0.0.1:8080/api/orders", "-d", order)
    order_id = json.loads(answer)["order_id"]
    stores = fleet.stores()
    eventually(lambda: stores.has_row(order_id), "it is stored", 30)
    client = stores.search_client()
    eventually(lambda: client.exists(index="package", id=order_id), "it is indexed", 30)


def test_orderctl_sees_every_service(machine):
    """As README tells; with its manual page."""
    command = ". /etc/order-pipeline/gateway.env; export ADMIN_TOKEN; orderctl -o json status"
    ready = dict.fromkeys(("gateway", "bridge", "persister", "indexer", "scheduler"), "ready")

    def told():
        answer = json.loads(machine.execute("sh", "-c", command, check=False).stdout)
        return {service["name"]: service["status"] for service in answer["services"]}

    eventually(lambda: told() == ready, "all are ready", 30)
    content = machine.execute("sh", "-c", "dpkg-deb --contents /package/*.deb")
    assert "./usr/share/man/man1/orderctl.1" in content


@pytest.mark.parametrize("unit", UNITS)
def test_is_confined(machine, unit):
    found = properties(machine, unit)
    assert found["ActiveState"] == "active"
    status = machine.execute("cat", f"/proc/{found['MainPID']}/status")
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(values["Uid"].split()[0]) >= 60000  # DynamicUser
    assert int(values["CapEff"], 16) == int(values["CapBnd"], 16) == 0
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"
    assert found["ProtectSystem"] == "strict"
    assert int(found["MemoryMax"]) <= 1 << 30
    exposure = machine.execute("systemd-analyze", "security", "--no-pager", f"{unit}.service", check=False)
    assert float(exposure.stdout.split("service:")[1].split()[0]) < 2.0


@pytest.mark.parametrize("unit", UNITS)
def test_is_given_its_own_secrets(machine, unit):
    service = unit.removeprefix("order-pipeline-").partition("@")[0]
    known = machine.execute(f"/usr/libexec/order-pipeline/{service}", "--help")
    pid = properties(machine, unit)["MainPID"]
    given = machine.execute("cat", f"/proc/{pid}/environ")
    names = {variable.split("=")[0] for variable in given.split("\0")}
    assert names & SECRETS == {name for name in SECRETS if f"  {name} or " in known}


def test_comes_back_after_a_crash(machine):
    unit = "order-pipeline-persister@9102"
    before = properties(machine, unit)["MainPID"]
    systemctl(machine, "kill", "--signal=KILL", unit)
    eventually(lambda: properties(machine, unit)["MainPID"] not in ("0", before), "another process", 20)
    eventually(lambda: ready(machine, 9102), "it is ready", 30)


def test_an_unusable_setting_ends_it_for_good(machine):
    """Restarting would not mend it."""
    unit = "order-pipeline-persister@nonsense"
    systemctl(machine, "start", unit)
    eventually(lambda: properties(machine, unit)["ActiveState"] == "failed", "it gives up", 20)
    assert properties(machine, unit)["ExecMainStatus"] == "78"
    systemctl(machine, "reset-failed", unit)


def test_removed_it_leaves_nothing(machine):
    before = {unit: properties(machine, unit)["MainPID"] for unit in UNITS}
    assert "0" not in before.values()
    machine.execute("apt-get", "purge", "-y", "order-pipeline")
    for pid in before.values():
        assert machine.execute("test", "-e", f"/proc/{pid}", check=False).returncode == 1
    found = machine.execute("find", "/etc", "/usr", "/var/lib/dpkg/info", "-name", "order-pipeline*")
    assert found == ""
    assert machine.execute("test", "-e", "/usr/bin/orderctl", check=False).returncode == 1
    assert "inactive" in systemctl(machine, "is-active", *UNITS)
    journal = machine.execute("journalctl", "--no-pager", "-u", "order-pipeline-*")
    assert journal.count('"message":"stopped"') >= len(UNITS)
