"""The files that describe the system to others: docker-compose.yml, .env.example, the manifests for
Kubernetes, the settings under systemd."""

import json
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml

from podman import ROOT, SERVICES, podman

SCHEMA = json.loads((ROOT / "tests/containers/compose_spec/compose-spec.json").read_text())
KUBERNETES = ROOT / "deploy/kubernetes"
KUBERNETES_VERSIONS = ("1.29", "1.37")


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def known_settings():
    """Service → the variables that it reads, as its --help prints them."""
    known = {}
    for service in SERVICES:
        text = podman("run", "--rm", "--network", "none", f"order-pipeline/{service}", "--help")
        found = re.findall(r"^  ([A-Z][A-Z_]+)(?: or ([A-Z_]+_FILE))?", text, re.M)
        known[service] = {name for names in found for name in names if name}
        assert "LOG_LEVEL" in known[service]
    return known


ADMIN_PORTS = {"bridge": 9101, "persister": 9102, "indexer": 9103, "scheduler": 9104}


def admin_urls(text):
    """SERVICE_ADMIN_URLS as host → port."""
    urls = [urlsplit(url) for url in text.split(",")]
    assert {url.scheme for url in urls} == {"http"}
    return {url.hostname: url.port for url in urls}


# --- compose ------------------------------------------------------------------------------------


def complaints(document):
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(document)]


def test_compose_file_follows_the_specification(compose):
    assert complaints(compose) == []


def test_the_specification_finds_mistakes(compose):
    assert complaints(compose | {"service": {}})
    gateway = compose["services"]["gateway"]
    assert complaints({"services": {"gateway": gateway | {"helthcheck": {}}}})
    assert complaints({"services": {"gateway": gateway | {"depends_on": {"redis": {"condition": "ready"}}}}})


def test_every_container_is_bounded_and_watched(compose):
    for name, service in compose["services"].items():
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        # Those of the project have their check in the image; what ends has none.
        assert "healthcheck" in service or "build" in service or service["restart"] == "on-failure", name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        for dependency in service.get("depends_on", {}).values():
            assert dependency == {"condition": "service_healthy"}, name


def test_compose_sets_only_what_the_services_know(compose, known_settings):
    for name, service in compose["services"].items():
        if "build" in service:
            unknown = set(service["environment"]) - known_settings[service["build"]["target"]]
            assert not unknown, name


def test_the_gateway_is_given_every_service_of_compose(compose):
    """Each container of a service by one name: each address of it is a replica."""
    names = {}
    for service in compose["services"].values():
        name = service.get("build", {}).get("target")
        if name in ADMIN_PORTS:
            networks = service["networks"]
            aliases = networks["backend"].get("aliases", []) if isinstance(networks, dict) else []
            names.setdefault(name, []).append(set(aliases))
    for own, replicas in names.items():
        for service, description in compose["services"].items():
            if description.get("build", {}).get("target") == own and len(replicas) == 1:
                replicas[0].add(service)
    known = {name: set.intersection(*replicas) for name, replicas in names.items()}
    for gateway in ("gateway", "gateway-2"):
        given = admin_urls(compose["services"][gateway]["environment"]["SERVICE_ADMIN_URLS"])
        assert sorted(given.values()) == sorted(ADMIN_PORTS.values())
        for host, port in given.items():
            [service] = [name for name, number in ADMIN_PORTS.items() if number == port]
            assert host in known[service], host


def make_env(folder):
    (folder / "deploy").mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy/make-env", folder / "deploy")
    shutil.copy(ROOT / ".env.example", folder)
    subprocess.run([folder / "deploy/make-env"], check=True)
    return read_settings(folder / ".env")


def test_each_secret_must_be_given(tmp_path):
    """None has a default, and deploy/make-env makes each a random one, once."""
    needed = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = read_settings(ROOT / ".env.example")
    assert {name for name, value in example.items() if value == ""} == needed

    made = make_env(tmp_path)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    secrets = [made[name] for name in needed]
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in secrets)
    assert len(set(secrets)) == len(secrets)
    assert {n: v for n, v in made.items() if n not in needed} == {n: v for n, v in example.items() if v}
    assert make_env(tmp_path) == made


def test_settings_that_an_older_env_lacks_are_added(tmp_path):
    """Its own stay: the volumes hold its passwords. One that is there and empty was never used."""
    made = make_env(tmp_path)
    older = made | {"API_PORT": "8090", "ADMIN_TOKEN": "", "COMPOSE_PROFILES": ""}
    del older["LINK_KEY"], older["GRAFANA_PORT"]
    text = "# mine\n" + "\n".join(f"{name}={value}" for name, value in older.items())
    (tmp_path / ".env").write_text(text)  # without a line break at its end
    completed = make_env(tmp_path)
    for name in "LINK_KEY", "ADMIN_TOKEN":
        assert re.fullmatch("[0-9a-f]{64}", completed[name])
    kept = made | {"API_PORT": "8090", "COMPOSE_PROFILES": ""}
    assert completed == kept | {name: completed[name] for name in ("LINK_KEY", "ADMIN_TOKEN")}
    assert (tmp_path / ".env").read_text().startswith("# mine\n")


def read_settings(path):
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


# --- Kubernetes ---------------------------------------------------------------------------------


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(folder):
    """What `kubectl apply -k` would send for the example."""
    shutil.copytree(KUBERNETES, folder / "kubernetes", ignore=shutil.ignore_patterns("secrets.env"))
    example = folder / "kubernetes/example"
    shutil.copy(example / "secrets.env.example", example / "secrets.env")
    command = ["kubectl", "kustomize", str(example)]
    return documents(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    if not shutil.which("kubectl"):
        pytest.skip("there is no kubectl to put the manifests together")
    return rendered(tmp_path_factory.mktemp("kubernetes"))


def of_kind(manifests, *kinds):
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] in kinds}


def config_maps(manifests):
    """That of the settings, and that of the search index."""
    found = of_kind(manifests, "ConfigMap")
    index, settings = (found[name] for name in sorted(found))
    return settings, index


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_manifests_follow_the_schemas(manifests, version):
    assert len(manifests) > 20
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_find_mistakes(manifests):
    gateway = of_kind(manifests, "Deployment")["gateway"]
    gateway = gateway | {"spec": gateway["spec"] | {"replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(gateway, KUBERNETES_VERSIONS[0], strict=True)


def test_pods_are_as_restricted_as_can_be(manifests):
    """Pod Security Standards, "restricted", and a root file system that cannot be written."""
    pods = of_kind(manifests, "Deployment", "StatefulSet")
    assert set(pods) == set(SERVICES)
    for name, pod in pods.items():
        spec = pod["spec"]["template"]["spec"]
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert spec["automountServiceAccountToken"] is False
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"startupProbe", "livenessProbe", "readinessProbe", "resources"} <= container.keys(), name


def test_manifests_fit_together(manifests, known_settings):
    pods = of_kind(manifests, "Deployment", "StatefulSet")
    [secret] = of_kind(manifests, "Secret").values()
    config, index = config_maps(manifests)
    assert json.loads(index["data"]["order-index.json"]) == {}
    every_setting = set().union(*known_settings.values())
    assert set(config["data"]) <= every_setting
    for name, pod in pods.items():
        spec = pod["spec"]["template"]["spec"]
        [container] = spec["containers"]
        [volume] = [v for v in spec["volumes"] if "secret" in v]
        assert volume["secret"]["secretName"] == secret["metadata"]["name"]
        assert {item["key"] for item in volume["secret"]["items"]} <= secret["data"].keys()
        assert {variable["name"] for variable in container["env"]} <= known_settings[name]
        files = {v["value"] for v in container["env"] if v["name"].endswith("_FILE")}
        folders = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        expected = {f"{folders['secrets']}/{item['path']}" for item in volume["secret"]["items"]}
        if "ORDER_INDEX_SETTINGS_FILE" in known_settings[name]:
            assert {"name": index["metadata"]["name"]} in [v.get("configMap") for v in spec["volumes"]]
            expected.add(f"{folders['order-index']}/order-index.json")
        assert files == expected
        assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
        assert container["image"].endswith(f"/order-pipeline/{name}:0.1.0")
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports

    for name, service in of_kind(manifests, "Service").items():
        assert service["spec"]["selector"] == pods[name]["spec"]["template"]["metadata"]["labels"]
        ports = {port["name"] for port in pods[name]["spec"]["template"]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for name, budget in of_kind(manifests, "PodDisruptionBudget").items():
        assert budget["spec"]["selector"] == pods[name]["spec"]["selector"]
    scaled = of_kind(manifests, "HorizontalPodAutoscaler")
    assert set(scaled) == {"persister", "indexer"}
    assert not any("replicas" in pods[name]["spec"] for name in scaled)


def test_each_bridge_is_listed_by_its_name(manifests):
    stateful = of_kind(manifests, "StatefulSet")["bridge"]["spec"]
    names = [f"tcp://bridge-{i}.{stateful['serviceName']}:7100" for i in range(stateful["replicas"])]
    config, _ = config_maps(manifests)
    assert config["data"]["BRIDGE_ENDPOINTS"] == ",".join(names)
    headless = of_kind(manifests, "Service")["bridge"]["spec"]
    assert headless["clusterIP"] == "None"
    assert headless["publishNotReadyAddresses"] is True


def test_the_gateway_is_let_to_every_service(manifests):
    """By a name that has every pod's address, ready or not; and the policies let it through."""
    config, _ = config_maps(manifests)
    given = admin_urls(config["data"]["SERVICE_ADMIN_URLS"])
    assert given == ADMIN_PORTS
    services, policies = of_kind(manifests, "Service"), of_kind(manifests, "NetworkPolicy")
    pods = of_kind(manifests, "Deployment", "StatefulSet")
    for name, port in given.items():
        spec = services[name]["spec"]
        assert spec["clusterIP"] == "None"
        assert spec["publishNotReadyAddresses"] is True
        assert {"name": "admin", "port": port, "targetPort": "admin"} in spec["ports"]
        [container] = pods[name]["spec"]["template"]["spec"]["containers"]
        assert {"name": "admin", "containerPort": port} in container["ports"]
    labels = {"app.kubernetes.io/part-of": "order-pipeline"}
    [inward] = policies["order-pipeline-status"]["spec"]["ingress"]
    assert inward["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway", **labels}}}
    ]
    assert inward["ports"] == [{"port": "admin"}]
    [[expression]] = [policies["order-pipeline-status"]["spec"]["podSelector"]["matchExpressions"]]
    assert set(expression["values"]) == set(ADMIN_PORTS)
    outward = {"to": [{"podSelector": {"matchLabels": labels}}], "ports": [{"port": 9101, "endPort": 9104}]}
    assert outward in policies["gateway"]["spec"]["egress"]


# --- systemd ------------------------------------------------------------------------------------


def test_systemd_settings_are_known(known_settings):
    files = (ROOT / "deploy/systemd").glob("*.env")
    names = set(re.findall(r"^#?([A-Z_]+)=", "".join(file.read_text() for file in files), re.M))
    assert len(names) > 8
    gateway = read_settings(ROOT / "deploy/systemd/gateway.env")
    given = gateway["SERVICE_ADMIN_URLS"].split(",")
    assert given == [f"http://127.0.0.1:{port}" for port in ADMIN_PORTS.values()]
    assert names <= set().union(*known_settings.values())
