"""A job of the scheduler builds the index anew, and swaps it for the old one."""

import contextlib

import pytest

from search_client import indices_of
from wait import eventually


@pytest.fixture
def indices(system):
    """Those behind the alias are ours, whatever a test does."""
    yield system.elasticsearch.indices
    for name in ("blocked", "archived"):
        system.elasticsearch.indices.delete(index=name, ignore_unavailable=True)


def ask(system, path, **options):
    """The scheduler starts jobs by itself, too: the answer when none is in the way."""
    headers = {"Authorization": f"Bearer {system.api.admin_token}"}

    def taken():
        answer = system.api.request("POST", path, headers=headers, **options)
        assert answer.status_code in (202, 409), answer.text
        return answer.status_code == 202 and answer.json()

    return eventually(taken, "no other job is under way")


def begin(system, **parameters):
    return ask(system, "/api/admin/jobs", json={"kind": "reindex", "parameters": parameters})["id"]


def job(system, number, columns="state, result, error"):
    return system.postgres.execute(f"SELECT {columns} FROM jobs WHERE id = %s", (number,)).fetchone()


def ended(system, number, state="done"):
    eventually(lambda: job(system, number, "finished IS NOT NULL")[0], "the job ends", 60, 0.05)
    assert job(system, number)[0] == state, job(system, number)
    return job(system, number)[1:]


def until_copying(system, number):
    """And a half-built index is there."""
    eventually(lambda: (job(system, number)[1] or {}).get("phase") == "copying", "it copies", 60, 0.05)
    return job(system, number)[1]["index"]


def of_number(system, name):
    return int(name.removeprefix(f"{system.index}-"))


def stored(system, name, count=10):
    orders = [system.api.accept(name, 10 + number) for number in range(count)]
    for order in orders:
        system.wait_stored(order)
    return orders


def found(system, name):
    answer = system.api.search(name, size=50)
    assert answer.status_code == 200, answer.text
    return {hit["_id"] for hit in answer.json()["hits"]["hits"]}


def assert_found(system, name, orders):
    """A swap loses no order that search has found: the new index was refreshed before."""
    assert found(system, name) == set(orders)


@contextlib.contextmanager
def full_disk(indices, index):
    """As far as new indices see: none of them can be written to."""
    indices.put_index_template(
        name="full",
        index_patterns=[f"{index}-*"],
        priority=900,
        template={"settings": {"index.blocks.read_only_allow_delete": True}},
    )
    try:
        yield
    finally:
        indices.delete_index_template(name="full")


def test_reindex(system, indices, unique):
    orders = stored(system, unique)
    eventually(lambda: found(system, unique) == set(orders), "they are found")
    (old,) = indices_of(system.elasticsearch, system.index)
    indices.create(index="archived")
    indices.put_alias(index="archived", name=system.index)
    number = begin(system)
    result, error = ended(system, number)
    assert error is None
    (new,) = indices_of(system.elasticsearch, system.index)
    assert of_number(system, new) > of_number(system, old)
    assert result["index"] == new
    assert result["old"] == old
    assert result["old_kept"]  # the one that is not ours
    assert result["refused"]["count"] == 0
    assert result["copied"] >= len(orders)
    assert_found(system, unique, orders)
    assert not indices.exists(index=old)
    assert indices.exists(index="archived")
    about = indices.get(index=new)[new]
    assert list(about["aliases"]) == [system.index]
    deployment = system.postgres.execute("SELECT deployment::text FROM search_index").fetchone()[0]
    assert about["mappings"]["_meta"] == {"deployment": deployment}
    assert "refresh_interval" not in about["settings"]["index"]  # as before the copy
    assert job(system, number, "done > 0 AND done >= total")[0]
    columns = "identity LIKE %s || '%%', building, missing"
    uuid = about["settings"]["index"]["uuid"]
    row = system.postgres.execute(f"SELECT {columns} FROM search_index", (uuid,)).fetchone()
    assert row == (True, None, None)
    system.wait_stored(system.api.accept(unique))  # orders go on


def concrete(system, indices):
    """An index as the original program made it takes the place of the alias."""
    amount = {"mappings": {"properties": {"product_name": {"type": "text"}, "amount": {"type": "float"}}}}

    def made():
        names = indices_of(system.elasticsearch, system.index)
        if names == [system.index]:
            return True
        for name in names:
            indices.delete(index=name)
        with contextlib.suppress(Exception):  # an indexer was faster
            indices.create(index=system.index, **amount)
        return False

    eventually(made, "there is a concrete index", interval=0)


def test_a_concrete_index(restored, indices, unique):
    system = restored
    orders = stored(system, unique, 3)
    concrete(system, indices)
    _, error = ended(system, begin(system, keep_old=True), "failed")
    assert "cannot be kept" in error
    assert indices_of(system.elasticsearch, system.index) == [system.index]
    result, _ = ended(system, begin(system))
    assert (result["old"], result["old_kept"]) == (system.index, False)
    assert indices_of(system.elasticsearch, system.index) == [result["index"]]
    assert_found(system, unique, orders)


def test_another_deployments_index(restored, indices):
    system = restored
    (index,) = indices_of(system.elasticsearch, system.index)
    meta = indices.get(index=index)[index]["mappings"]["_meta"]
    other = "00000000-0000-4000-8000-000000000000"
    indices.put_mapping(index=index, meta={"deployment": other})
    try:
        _, error = ended(system, begin(system), "failed")
        assert f"belongs to the deployment {other}" in error
        assert indices_of(system.elasticsearch, f"{system.index}-*") == [index]
    finally:
        indices.put_mapping(index=index, meta=meta)


def test_a_full_disk(system, indices, unique):
    orders = stored(system, unique, 3)
    (old,) = indices_of(system.elasticsearch, system.index)
    with full_disk(indices, system.index):
        _, error = ended(system, begin(system), "failed")
    assert "read-only-allow-delete" in error
    assert indices_of(system.elasticsearch, f"{system.index}-*") == [old]
    assert_found(system, unique, orders)


def test_cancel(system, indices):
    (old,) = indices_of(system.elasticsearch, system.index)
    with full_disk(indices, system.index):
        number = begin(system)
        half_built = until_copying(system, number)
        ask(system, f"/api/admin/jobs/{number}/cancel")
        _, error = ended(system, number, "canceled")
    assert error is None
    assert indices_of(system.elasticsearch, f"{system.index}-*") == [old]
    assert half_built != old


def test_the_scheduler_is_killed(restored, indices, unique):
    """Where it copies: it, or another one, goes on with the index that it has made. The old one is kept."""
    system = restored
    orders = stored(system, unique)
    (old,) = indices_of(system.elasticsearch, system.index)
    with full_disk(indices, system.index):
        number = begin(system, keep_old=True)
        half_built = until_copying(system, number)
        system.kill("scheduler-1")
    indices.put_settings(index=half_built, settings={"index.blocks.read_only_allow_delete": None})
    result, _ = ended(system, number)
    assert (result["index"], result["old"], result["old_kept"]) == (half_built, old, True)
    assert indices_of(system.elasticsearch, system.index) == [half_built]
    assert_found(system, unique, orders)
    assert indices.get(index=old)[old]["aliases"] == {}
    indices.delete(index=old)
