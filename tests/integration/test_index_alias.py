"""The index is made behind an alias, by one of several indexers, with the settings of a file."""

import json

import pytest

from search_client import delete_indices, indices_of
from wait import eventually

ALIAS = "numbered"


def number(index):
    return f"{ALIAS}-{index:06}"


def settings_file(folder):
    file = folder / "settings.json"
    analysis = {"analyzer": {"parts": {"tokenizer": "standard", "filter": ["lowercase"]}}}
    mapping = {"properties": {"product_name": {"analyzer": "parts"}}}
    file.write_text(json.dumps({"settings": {"analysis": analysis}, "mappings": mapping}))
    return str(file)


def wait_behind_alias(system, index):
    """Until this index is the only one behind the alias, and all orders go there."""
    aliased = {index: {"aliases": {ALIAS: {"is_write_index": True}}}}
    eventually(
        lambda: system.elasticsearch.options(ignore_status=404).indices.get_alias(name=ALIAS).body == aliased,
        f"{index} is behind the alias",
    )


def test_the_index_is_behind_an_alias(system, tmp_path):
    """In one go: a second system takes long to start. Its two indexers begin at the same moment."""
    client = system.elasticsearch
    delete_indices(client, f"{ALIAS},{ALIAS}-*")
    settings = {"ORDER_INDEX_SETTINGS_FILE": settings_file(tmp_path)}
    with system.sibling(ALIAS, {"indexer": 2}, **settings) as ours:
        is_made(ours, client)
        is_made_again(ours, client)
        the_alias_is_deleted(ours, client)
        an_index_has_its_name(ours, client)
        assert ours.queues.dead() == 0


def is_made(ours, client):
    """With the settings of the file, and by one of the indexers."""
    ours.wait_stored(ours.api.accept())
    wait_behind_alias(ours, number(1))
    made = client.indices.get(index=ALIAS)[number(1)]
    assert made["mappings"]["properties"]["product_name"] == {"type": "text", "analyzer": "parts"}
    assert made["mappings"]["properties"]["amount"] == {"type": "double"}
    assert "refresh_interval" not in made["settings"]["index"]


def is_made_again(ours, client):
    """_bulk makes none meanwhile, and of two indexers one makes the next."""
    for _ in range(2):
        delete_indices(client, ALIAS)
        for order in [ours.api.accept() for _ in range(10)]:
            ours.wait_stored(order)
        wait_behind_alias(ours, number(1))


def the_alias_is_deleted(ours, client):
    """What had it is left alone; the next number is taken."""
    client.indices.delete_alias(index=number(1), name=ALIAS)
    ours.wait_stored(ours.api.accept())
    wait_behind_alias(ours, number(2))
    assert indices_of(client, f"{ALIAS}-*") == [number(1), number(2)]


def an_index_has_its_name(ours, client):
    """Without an index a search finds nothing. An index of that name is used as it is. Once it is deleted,
    another one is made behind the alias."""
    with ours.stopped("indexer-1"), ours.stopped("indexer-2"):
        delete_indices(client, f"{ALIAS},{ALIAS}-*")
        answer = ours.api.search("laptop")
        assert answer.status_code == 200, answer.text
        assert answer.json()["hits"]["total"]["value"] == 0
        client.indices.create(index=ALIAS)
    ours.wait_stored(ours.api.accept())
    assert indices_of(client, ALIAS) == [ALIAS]
    with ours.stopped("indexer-1"), ours.stopped("indexer-2"):
        delete_indices(client, ALIAS)
    ours.wait_stored(ours.api.accept())
    wait_behind_alias(ours, number(1))


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
