"""The index is made behind an alias, by one of several indexers, with the settings of a file."""

import json

import pytest

from search_client import delete_indices, indices_of
from wait import eventually

ALIAS = "numbered"


def number(index):
    return f"{ALIAS}-{index:06}"


@pytest.fixture(scope="module")
def numbered(system, tmp_path_factory):
    """Two indexers that begin at the same moment, without an index."""
    file = tmp_path_factory.mktemp("index") / "settings.json"
    analysis = {"analyzer": {"parts": {"tokenizer": "standard", "filter": ["lowercase"]}}}
    mapping = {"properties": {"product_name": {"analyzer": "parts"}}}
    file.write_text(json.dumps({"settings": {"analysis": analysis}, "mappings": mapping}))
    delete_indices(system.elasticsearch, f"{ALIAS},{ALIAS}-*")
    with system.sibling(ALIAS, {"indexer": 2}, ORDER_INDEX_SETTINGS_FILE=str(file)) as ours:
        yield ours


def wait_behind_alias(system, index):
    """Until this index is the only one behind the alias, and all orders go there."""
    aliased = {index: {"aliases": {ALIAS: {"is_write_index": True}}}}
    eventually(
        lambda: system.elasticsearch.options(ignore_status=404).indices.get_alias(name=ALIAS).body == aliased,
        f"{index} is behind the alias",
    )


def test_the_index_is_made_behind_its_alias(numbered):
    """With the settings of the file, and by one of the indexers."""
    numbered.wait_stored(numbered.api.accept())
    wait_behind_alias(numbered, number(1))
    made = numbered.elasticsearch.indices.get(index=ALIAS)[number(1)]
    assert made["mappings"]["properties"]["product_name"] == {"type": "text", "analyzer": "parts"}
    assert made["mappings"]["properties"]["amount"] == {"type": "double"}
    assert made["settings"]["index"]["refresh_interval"] == "1s"


def test_the_index_is_deleted(numbered):
    """_bulk makes none meanwhile, and of two indexers one makes the next."""
    for _ in range(2):
        delete_indices(numbered.elasticsearch, ALIAS)
        orders = [numbered.api.accept() for _ in range(10)]
        for order in orders:
            numbered.wait_stored(order)
        wait_behind_alias(numbered, number(1))


def test_an_index_that_does_not_exist_is_empty(numbered):
    with numbered.stopped("indexer-1"), numbered.stopped("indexer-2"):
        delete_indices(numbered.elasticsearch, ALIAS)
        answer = numbered.api.search("laptop")
    assert answer.status_code == 200, answer.text
    assert answer.json()["hits"]["total"]["value"] == 0
    wait_behind_alias(numbered, number(1))


def test_the_alias_is_deleted(numbered):
    """What had it is left alone; the next number is taken."""
    indices = numbered.elasticsearch.indices
    indices.delete_alias(index=number(1), name=ALIAS)
    order = numbered.api.accept()
    numbered.wait_stored(order)
    wait_behind_alias(numbered, number(2))
    assert indices_of(numbered.elasticsearch, f"{ALIAS}-*") == [number(1), number(2)]


def test_an_index_has_the_name_of_the_alias(numbered):
    """It is used as it is, and once it is deleted, made behind the alias again."""
    client = numbered.elasticsearch
    with numbered.stopped("indexer-1"), numbered.stopped("indexer-2"):
        delete_indices(client, f"{ALIAS},{ALIAS}-*")
        client.indices.create(index=ALIAS)
    numbered.wait_stored(numbered.api.accept())
    assert indices_of(client, ALIAS) == [ALIAS]
    with numbered.stopped("indexer-1"), numbered.stopped("indexer-2"):
        delete_indices(client, ALIAS)
    numbered.wait_stored(numbered.api.accept())
    wait_behind_alias(numbered, number(1))
    assert numbered.queues.dead() == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read the file"),
        ('{"settings":', "line 1 of the file is not JSON"),
        ('{"aliases": {}}', "not aliases"),
        ('{"mappings": {"properties": {"amount": {"type": "long"}}}}', "amount is long, not double"),
    ],
)
def test_a_settings_file_that_does_not_do(system, tmp_path, text, words):
    file = tmp_path / "settings.json"
    if text is not None:
        file.write_text(text)
    for service in ("indexer", "scheduler"):
        result = system.check(service, ORDER_INDEX_SETTINGS_FILE=str(file))
        assert result.returncode == 78
        assert "ORDER_INDEX_SETTINGS_FILE: " in result.stderr
        assert words in result.stderr
        assert str(file) not in result.stderr
