"""An index that is misconfigured is no order's fault: nothing is dead-lettered, the reason is told in
Elasticsearch's words, and everything is indexed after the repair."""

import contextlib

from api import assert_problem
from search_client import delete_indices
from wait import eventually

NAME = "faulty"
FIRST, SECOND = f"{NAME}-1", f"{NAME}-2"
ORDERS = 30  # more than the 20 rejects that stop the line


@contextlib.contextmanager
def setting(indices, name, value, index=NAME):
    indices.put_settings(index=index, settings={name: value})
    try:
        yield
    finally:
        indices.put_settings(index=index, settings={name: None})


@contextlib.contextmanager
def an_alias_without_a_write_index(indices):
    """From then on the name is that of an alias of two."""
    for name in (FIRST, SECOND):
        indices.create(index=name, mappings={"properties": {"product_name": {"type": "text"}}})
    remove = [{"remove_index": {"index": name}} for name in indices.get(index=NAME)]
    add = [{"add": {"index": name, "alias": NAME}} for name in (FIRST, SECOND)]
    indices.update_aliases(actions=[*remove, *add])
    try:
        yield
    finally:
        writes = {"add": {"index": SECOND, "alias": NAME, "is_write_index": True}}
        indices.update_aliases(actions=[{"remove": {"index": FIRST, "alias": NAME}}, writes])


@contextlib.contextmanager
def a_closed_index(indices):
    indices.close(index=SECOND)
    try:
        yield
    finally:
        indices.open(index=SECOND)


@contextlib.contextmanager
def another_template(indices):
    """With the pattern and the priority of the indexer's own."""
    indices.put_index_template(name="another", index_patterns=[NAME], priority=500)
    try:
        yield
    finally:
        indices.delete_index_template(name="another")


def reasons(system, program):
    report = system.readiness(program).json()
    return {d["name"]: d.get("reason", "") for d in report["dependencies"] if d["status"] == "down"}


def accept_and_wait_for(system, words):
    """Orders that cannot be indexed; until the indexer is not ready and says why."""
    orders = [system.api.accept() for _ in range(ORDERS)]
    eventually(
        lambda: words in reasons(system, "indexer-1").get("elasticsearch", ""), f"it says: {words}", 30
    )
    assert not system.is_ready("indexer-1")
    return orders


def assert_search_fails(system, words):
    """At once; and the gateway says why, also when nobody searches."""
    eventually(
        lambda: words in reasons(system, "gateway-1").get("elasticsearch", ""), f"it says: {words}", 30
    )
    assert_problem(system.api.search("laptop"), 502)


def test_nothing_is_lost_by_an_index_that_is_misconfigured(system):
    indices = system.elasticsearch.indices
    delete_indices(system.elasticsearch, f"{NAME},{NAME}-*")
    system.elasticsearch.options(ignore_status=404).indices.delete_index_template(name=NAME)
    with another_template(indices), system.sibling(NAME) as faulty:
        orders = [faulty.api.accept()]
        faulty.wait_stored(orders[0])
        assert "existing templates [another]" in faulty.log("indexer-1")

        with setting(indices, "index.default_pipeline", "none"):
            orders += accept_and_wait_for(faulty, "pipeline with id [none] does not exist")
        faulty.wait_stored(orders[-1])
        with setting(indices, "index.blocks.read", True):
            assert_search_fails(faulty, "index read")
            assert "index read" in faulty.check("gateway").stdout
        eventually(lambda: faulty.api.search("laptop").status_code == 200, "a search succeeds")

        with an_alias_without_a_write_index(indices):
            more = accept_and_wait_for(faulty, "has no write index")
        with a_closed_index(indices):
            more += accept_and_wait_for(faulty, "closed")
            assert_search_fails(faulty, "closed")
            assert "closed" in faulty.check("gateway").stdout
            assert "closed" in faulty.check("indexer").stdout
        for order in more:
            faulty.wait_stored(order)
        assert all(faulty.row(order) for order in orders)
        faulty.wait_ready()
        assert faulty.queues.dead() == 0
    indices.delete(index=[FIRST, SECOND])


def test_a_mapping_that_does_not_fit(system):
    indices = system.elasticsearch.indices
    unfit = {"product_name": {"type": "integer"}}, {"amount": {"type": "long"}}
    for properties, words in zip(unfit, ("product_name is integer", "amount is long"), strict=True):
        indices.create(index="unfit", mappings={"properties": properties})
        try:
            result = system.check("indexer", ORDER_INDEX="unfit")
            assert result.returncode == 1
            assert words in result.stdout
        finally:
            indices.delete(index="unfit")
    assert system.check("indexer", ORDER_INDEX="unfit").returncode == 0  # it would be created
