"""The least that a user of Elasticsearch must be allowed, as README has it, on a server that enforces it. A
server of its own makes this too long for ./dev test."""

import subprocess

import pytest

from secured import Secured
from system import binary, free_port
from test_index_faults import reasons
from wait import eventually

pytestmark = pytest.mark.attack

NAME = "private"
RUN = {"index": ["read", "write", "view_index_metadata"]}
ROLES = {
    "run": RUN,
    "create": {"index": [*RUN["index"], "create_index"]},
    "template": {"index": [*RUN["index"], "create_index"], "cluster": ["manage_index_templates"]},
    "search": {"index": ["read"]},
    "blind": {"index": ["write"]},
    "mute": {"index": ["read", "view_index_metadata"]},
}


@pytest.fixture
def secured(system):
    with Secured(system, f"{NAME}*", ROLES).running() as server:
        yield server


def test_least_privilege(system, secured, unique):
    with system.sibling(NAME, ELASTICSEARCH_URL=secured.url("run")) as ours:
        # No index yet, and none can be made: said by name, and no order is lost by it.
        order = ours.api.accept(unique)
        eventually(
            lambda: "the privilege create_index is missing" in reasons(ours, "indexer-1")["elasticsearch"],
            "the indexer names the privilege",
        )
        assert ours.api.search(unique).json()["hits"]["hits"] == []
        assert "manage_index_templates" in ours.log("indexer-1")

        # Whoever may create it is enough once.
        assert_indexer(ours, secured, "create", "the index is in place")
        mapping = secured.ask("GET", f"/{NAME}/_mapping").json()[NAME]["mappings"]
        assert mapping["properties"]["product_name"]["type"] == "text"
        ours.wait_ready()
        eventually(lambda: found(ours, unique) == [order], "the order is found")
        assert ours.queues.depth(ours.queues.dead_name) in (0, None)

        # Also behind an alias.
        actions = [
            {"remove_index": {"index": NAME}},
            {"add": {"index": f"{NAME}-000001", "alias": NAME, "is_write_index": True}},
        ]
        assert secured.ask("PUT", f"/{NAME}-000001").ok
        assert secured.ask("POST", "/_aliases", {"actions": actions}).ok
        order = ours.api.accept(unique)
        eventually(lambda: found(ours, unique) == [order], "the order is found")

        for user, service, says in (
            ("run", "indexer", "ok    elasticsearch"),
            ("run", "gateway", "ok    elasticsearch"),
            ("search", "gateway", "ok    elasticsearch"),
            ("search", "indexer", "the privilege view_index_metadata is missing"),
            ("blind", "gateway", "the privilege read is missing"),
            ("blind", "indexer", "the privilege view_index_metadata is missing"),
        ):
            said = ours.check(service, ELASTICSEARCH_URL=secured.url(user)).stdout
            assert says in said, (user, service)

        # Without "write" it is the first order that tells.
        ours.supervisor.stop("indexer-1")
        order = ours.api.accept(unique)
        assert_indexer(ours, secured, "mute", "the privilege write is missing")
        ours.supervisor.start("indexer-1")
        eventually(lambda: order in found(ours, unique), "the order is found")
        assert ours.queues.depth(ours.queues.dead_name) in (0, None)


def found(system, word):
    return [hit["_id"] for hit in system.api.search(word).json()["hits"]["hits"]]


def assert_indexer(system, secured, user, says):
    """An indexer with this user, beside the other, logs that."""
    changes = {"ELASTICSEARCH_URL": secured.url(user), "ADMIN_PORT": str(free_port())}
    environment = system.environment("indexer-1") | changes
    log = system.run / "log" / f"indexer-{user}.log"
    with log.open("w") as output:
        process = subprocess.Popen([binary("indexer")], env=environment, stderr=output)
    try:
        eventually(lambda: says in log.read_text(), f"it says: {says}", 30)
    finally:
        process.terminate()
        process.wait(60)
