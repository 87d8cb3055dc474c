"""The least that a user of Elasticsearch must be allowed, as README has it, on a server that enforces it. A
server of its own makes this too long for ./dev test."""

import subprocess

import pytest

from secured import Secured
from system import binary, free_port
from test_index_faults import reasons
from test_index_watch import a_scheduler
from wait import eventually

pytestmark = pytest.mark.attack

NAME = "private"
INDEX = f"{NAME}-000001"
RUN = {"index": ["read", "write", "view_index_metadata"]}
ROLES = {
    "run": RUN,
    "unaliased": {"index": [*RUN["index"], "create_index"]},
    "create": {"index": [*RUN["index"], "manage"]},
    "watch": {"index": [*RUN["index"], "monitor", "manage"]},
    "search": {"index": ["read"]},
    "blind": {"index": ["write"]},
    "mute": {"index": ["read", "view_index_metadata"]},
}


@pytest.fixture
def secured(system):
    with Secured(system, f"{NAME}*", ROLES).running() as server:
        yield server


def test_least_privilege(system, secured, unique):
    alone = {"ORDER_INDEX": NAME, "BRIDGE_ENDPOINTS": f"tcp://127.0.0.1:{free_port()}"}
    assert_indexer(system, secured, "run", "the privilege manage is missing", **alone)
    assert_indexer(system, secured, "unaliased", "the privilege manage is missing", **alone)
    assert_indexer(system, secured, "run", "the privilege manage_index_templates is missing", **alone)
    assert_indexer(system, secured, "create", "the index is in place", **alone)
    made = secured.ask("GET", f"/{NAME}").json()
    assert list(made) == [INDEX]
    assert made[INDEX]["aliases"] == {NAME: {"is_write_index": True}}
    assert made[INDEX]["mappings"]["properties"]["product_name"]["type"] == "text"

    with system.sibling(NAME, ELASTICSEARCH_URL=secured.url("run")) as ours:
        orders = [ours.api.accept(unique)]
        eventually(lambda: found(ours, unique) == orders, "the order is found")
        warning = "cannot read the statistics of the index"
        eventually(lambda: warning in ours.log("scheduler-1"), "the scheduler warns")

        # Orders wait until somebody creates a deleted index again.
        assert secured.ask("DELETE", f"/{INDEX}").ok
        orders.append(ours.api.accept(unique))
        eventually(
            lambda: "the privilege manage is missing" in reasons(ours, "indexer-1").get("elasticsearch", ""),
            "the indexer names the privilege",
        )
        assert found(ours, unique) == []
        assert_indexer(ours, secured, "create", "the index is in place")
        eventually(lambda: found(ours, unique) == orders, "it is found, and so is what was deleted")

        # Also with an index of the name itself.
        ours.supervisor.stop("indexer-1")
        assert secured.ask("DELETE", f"/{INDEX}").ok
        assert secured.ask("PUT", f"/{NAME}").ok
        ours.supervisor.start("indexer-1")
        orders.append(ours.api.accept(unique))
        eventually(lambda: found(ours, unique) == orders, "all are found")

        # The index says whose it is as soon as the scheduler may write that.
        with a_scheduler(ours, ELASTICSEARCH_URL=secured.url("watch")):
            ask = "SELECT deployment::text FROM search_index"
            deployment = ours.postgres.execute(ask).fetchone()[0]
            eventually(
                lambda: (
                    secured.ask("GET", f"/{NAME}/_mapping").json()[NAME]["mappings"].get("_meta")
                    == {"deployment": deployment}
                ),
                "the index says it",
            )

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
        eventually(lambda: order in (found(ours, unique) or []), "the order is found")
        assert ours.queues.dead() == 0


def found(system, word):
    """None while the search fails, as it does for a moment with a new index."""
    answer = system.api.search(word)
    return sorted(hit["_id"] for hit in answer.json()["hits"]["hits"]) if answer.ok else None


def assert_indexer(system, secured, user, says, **changes):
    """An indexer with this user, beside the other, logs that."""
    changes |= {"ELASTICSEARCH_URL": secured.url(user), "ADMIN_PORT": str(free_port())}
    environment = system.environment("indexer-1") | changes
    log = system.run / "log" / f"indexer-{user}.log"
    with log.open("w") as output:
        process = subprocess.Popen([binary("indexer")], env=environment, stderr=output)
    try:
        eventually(lambda: says in log.read_text(), f"it says: {says}", 30)
    finally:
        process.terminate()
        process.wait(60)
