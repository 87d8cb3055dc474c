"""Configuration that cannot be used: exit 78, one line, naming the variable, never its value."""

import os
import re
import subprocess

import pytest

from api import Api
from system import ROOT, SERVICES, binary, free_port
from wait import within


def run(service, *arguments, **environment):
    return subprocess.run(
        [binary(service), *arguments],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


BAD = [
    ("gateway", "API_PORT", "http-canary"),
    ("gateway", "API_PORT", "0"),
    ("gateway", "API_PORT", "65536"),
    ("gateway", "API_PORT", "99999999999999999999"),
    ("gateway", "API_PORT", "8080x"),
    ("gateway", "API_PORT", "8080\r"),
    ("gateway", "API_CORS_ORIGINS", "https://canary.example/"),
    ("gateway", "API_CORS_ORIGINS", "*,https://canary.example"),
    ("gateway", "API_CORS_ORIGINS", "https://a.example,canary"),
    ("gateway", "API_CORS_ORIGINS", "null"),
    ("gateway", "GATEWAY_THREADS", "-1"),
    ("gateway", "ORDER_QUEUE_TYPE", "stream-canary"),
    ("gateway", "ORDER_CACHE_TTL", "soon-canary"),
    ("gateway", "ADMIN_AUTH", "maybe-canary"),
    ("gateway", "LOG_LEVEL", "loud-canary"),
    ("gateway", "RABBITMQ_URL", "http://canary/"),
    ("gateway", "RABBITMQ_URL", "amqp://user:canary@"),
    ("bridge", "RABBITMQ_URL", "amqp://user:canary@host,"),
    ("bridge", "RABBITMQ_URL", "amqp://host,amqp://user:canary@"),
    ("gateway", "ELASTICSEARCH_URL", "canary"),
    ("gateway", "REDIS_ADDR", "canary:port"),
    ("gateway", "POSTGRES_DSN", "password=canary nonsense"),
    ("persister", "POSTGRES_DSN", "host=db port=canary"),
    ("persister", "POSTGRES_DSN", "postgresql://u:canary@db:65536/x"),
    ("scheduler", "POSTGRES_DSN", "password=canary sslmode=on"),
    ("gateway", "POSTGRES_DSN", "password=canary sslmode=verify-full sslrootcert=/etc"),
    ("gateway", "POSTGRES_DSN", "password=canary connect_timeout=5s"),
    ("gateway", "ORDER_QUEUE", "canary\n"),
    ("bridge", "ORDER_QUEUE", "canary\x1b[31m"),
    ("bridge", "ORDER_QUEUE", "canary" * 50),
    ("gateway", "REDIS_CA_FILE", "/etc"),
    ("gateway", "REDIS_CA_FILE", "/etc/passwd"),
    ("bridge", "RABBITMQ_CA_FILE", "/etc"),
    ("bridge", "RABBITMQ_CA_FILE", "/etc/passwd"),
    ("indexer", "ELASTICSEARCH_CA_FILE", "/etc"),
    ("indexer", "ELASTICSEARCH_CA_FILE", "/dev/null"),
    ("bridge", "BRIDGE_BIND", "udp://canary"),
    ("bridge", "BRIDGE_BIND", "tcp://*:7100"),
    ("bridge", "BRIDGE_BIND", "tcp://canary:7100"),
    ("bridge", "BRIDGE_BIND", "ipc:///tmp/canary"),
    ("bridge", "LINK_KEY", "canary"),
    ("bridge", "LINK_AUTH", "maybe-canary"),
    ("bridge", "ADMIN_PORT", "70000"),
    ("bridge", "ORDER_PREFETCH", "0"),
    ("persister", "BRIDGE_ENDPOINTS", "canary,,"),
    ("persister", "BRIDGE_ENDPOINTS", "tcp://127.0.0.1:7100,tcp://canary:7100"),
    ("indexer", "BRIDGE_ENDPOINTS", "tcp://0.0.0.0:7100"),
    ("indexer", "BRIDGE_ENDPOINTS", "ipc:///tmp/canary"),
    ("indexer", "LINK_KEY", "canary" * 10 + "cafe"),
    ("persister", "PERSISTER_BATCH", "many-canary"),
    ("indexer", "INDEXER_BATCH", "-5"),
    ("indexer", "ELASTICSEARCH_URL", "ftp://canary"),
    ("scheduler", "MV_REFRESH_SCHEDULE", "*/0 * * * *"),
    ("scheduler", "MV_REFRESH_SCHEDULE", "canary"),
    ("scheduler", "MV_REFRESH_SCHEDULE", "60 * * * *"),
    ("scheduler", "MV_REFRESH_SCHEDULE", "5-1 * * * *"),
    ("scheduler", "MV_REFRESH_SCHEDULE", "* * * * *" * 2000),
    ("scheduler", "MV_REFRESH_SCHEDULE", "off"),
    ("scheduler", "VERIFY_SCHEDULE", "canary"),
    ("scheduler", "VERIFY_FULL_SCHEDULE", "60 * * * *"),
    ("scheduler", "INDEX_REPAIR", "canary"),
]


def assert_refused(service, name, value=None, **environment):
    result = within(1, lambda: run(service, **environment))
    assert result.returncode == 78, result
    output = result.stdout + result.stderr
    assert len(output.strip().splitlines()) == 1, output
    assert name in output
    if value and "canary" in value:
        assert "canary" not in output
    return result


@pytest.mark.parametrize(("service", "name", "value"), BAD, ids=[f"{n}={v[:20]}" for _, n, v in BAD])
def test_values_that_cannot_be_used(service, name, value):
    assert_refused(service, name, value, **{name: value})


def test_a_key_that_is_not_to_be_used():
    assert_refused("bridge", "LINK_AUTH", LINK_AUTH="off", LINK_KEY="0123456789abcdef" * 4)


def test_wildcards_are_nothing_to_connect_to():
    """Neither with a key nor without the need of one."""
    endpoints = {"BRIDGE_ENDPOINTS": "tcp://bridge:7100,tcp://*:7100"}
    assert_refused("persister", "BRIDGE_ENDPOINTS", **endpoints, LINK_KEY="0123456789abcdef" * 4)
    assert_refused("persister", "BRIDGE_ENDPOINTS", **endpoints, LINK_AUTH="off")


@pytest.mark.parametrize("service", SERVICES)
def test_both_a_value_and_a_file(service, tmp_path):
    name = {"bridge": "RABBITMQ_URL", "indexer": "ELASTICSEARCH_API_KEY"}.get(service, "POSTGRES_DSN")
    secret = tmp_path / "secret"
    secret.write_text("canary")
    assert_refused(service, name, "canary", **{name: "canary", f"{name}_FILE": str(secret)})


@pytest.mark.parametrize("content", [None, ""], ids=["not there", "empty"])
def test_a_secret_file_that_cannot_be_used(tmp_path, content):
    secret = tmp_path / "token"
    if content is not None:
        secret.write_text(content)
    assert_refused("gateway", "ADMIN_TOKEN_FILE", ADMIN_TOKEN_FILE=str(secret))


FILES = {
    "a byte order mark (U+FEFF)": b"\xef\xbb\xbfcanary\r\n",
    "UTF-16": "canary\r\n".encode("utf-16"),
    "a NUL": "canary\r\n".encode("utf-16-le"),
    "a carriage return (U+000D)": b"canary\rcanary",
    "a line feed (U+000A)": b"canary\ncanary\n",
    "a tab": b"canary\t\n",
    "a control character (U+001A)": b"canary\x1a",
    "a control character (U+0085)": b"canary\xc2\x85",
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize(
    ("service", "name"),
    [("gateway", "REDIS_PASSWORD"), ("persister", "POSTGRES_DSN"), ("bridge", "LINK_KEY")],
)
def test_what_is_in_a_secret_file_is_named(tmp_path, service, name, what):
    secret = tmp_path / "secret"
    secret.write_bytes(FILES[what])
    result = assert_refused(service, f"{name}_FILE", "canary", **{f"{name}_FILE": str(secret)})
    assert what in result.stdout + result.stderr


def test_a_byte_order_mark_before_certificates(tmp_path):
    """OpenSSL would overlook the certificate behind it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=canary"]
        + ["-keyout", tmp_path / "key", "-out", tmp_path / "good"],
        check=True,
        capture_output=True,
    )
    good = (tmp_path / "good").read_bytes()
    for content in (b"\xef\xbb\xbf" + good, good + b"\xef\xbb\xbf" + good, good.decode().encode("utf-16")):
        (tmp_path / "ca").write_bytes(content)
        for service, name in (("bridge", "RABBITMQ_CA_FILE"), ("indexer", "ELASTICSEARCH_CA_FILE")):
            result = assert_refused(service, name, "canary", **{name: str(tmp_path / "ca")})
            assert re.search("byte order mark|UTF-16", result.stdout + result.stderr)


@pytest.mark.parametrize("end", ["\n", "\r\n\r\n\n"], ids=["one line end", "several"])
def test_a_secret_from_a_file(system, spawn, tmp_path, end):
    token = tmp_path / "token"
    token.write_bytes(b"from-a-file" + end.encode())
    url = spawn(ADMIN_TOKEN="", ADMIN_TOKEN_FILE=str(token))
    Api(url, "from-a-file").refresh_now()
    assert Api(url, "other").refresh().status_code == 401


@pytest.mark.parametrize("service", SERVICES)
def test_help_and_version(service):
    result = run(service, "--help")
    assert result.returncode == 0
    assert "LOG_LEVEL" in result.stdout
    result = run(service, "--version")
    assert result.returncode == 0
    assert service in result.stdout
    result = run(service, "--nonsense")
    assert result.returncode not in (0, 78)


def known_settings(service):
    return set(re.findall(r"^  ([A-Z][A-Z_]+)", run(service, "--help").stdout, re.MULTILINE))


@pytest.mark.parametrize("service", SERVICES)
def test_each_setting_is_in_the_readme(service):
    configure = (ROOT / "README.md").read_text().partition("\n## Configure\n")[2].partition("\n## ")[0]
    assert known_settings(service) <= set(re.findall("`([A-Z][A-Z_]+)", configure))


@pytest.mark.parametrize("service", SERVICES)
def test_dev_up_takes_each_setting(service):
    """But those that it chooses itself, for each replica: ports, and where bridges and workers meet."""
    text = subprocess.run([ROOT / "dev", "up", "--help"], check=True, capture_output=True, text=True).stdout
    chosen = {"API_PORT", "ADMIN_PORT", "ADMIN_ADDRESS"}
    chosen |= {"BRIDGE_BIND", "BRIDGE_ENDPOINTS", "LINK_KEY", "LINK_AUTH"}
    assert known_settings(service) - set(re.findall(r"\b[A-Z][A-Z_]+\b", text)) <= chosen


@pytest.mark.parametrize("service", SERVICES)
def test_check(system, service):
    """--check tells whether the dependencies can be reached, and starts nothing."""
    environment = system.environment(f"{service}-1")
    result = run(service, "--check", **environment)
    assert result.returncode == 0, result
    unreachable = {
        "POSTGRES_DSN": "postgresql://u:canary@127.0.0.1:1/x",
        "RABBITMQ_URL": "amqp://u:canary@127.0.0.1:1/",
        "ELASTICSEARCH_URL": "http://127.0.0.1:1",
        "REDIS_ADDR": "127.0.0.1:1",
    }
    result = run(service, "--check", **(environment | unreachable))
    assert result.returncode not in (0, 78), result
    assert "canary" not in result.stdout + result.stderr


def test_a_port_that_is_taken(system):
    environment = system.environment("gateway-1") | {"ADMIN_PORT": str(free_port())}
    result = run("gateway", **environment)
    assert result.returncode not in (0, 78)
    assert environment["API_PORT"] in result.stdout + result.stderr
