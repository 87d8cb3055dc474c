"""An index that came back empty is filled from PostgreSQL, whatever dies meanwhile."""

import pytest

from search_client import delete_indices
from wait import eventually

ROWS = 20000
LAST = "FROM (SELECT * FROM jobs WHERE parameters @> '{\"refill\": true}' ORDER BY id DESC LIMIT 1) AS last"


def add_rows(system, name):
    """Orders that came by no queue, and one row that no order can be."""
    query = (
        "INSERT INTO orders SELECT gen_random_uuid(), %s, CASE n WHEN 7 THEN 'NaN'::numeric ELSE n END,"
        " '2001-01-01' FROM generate_series(1, %s) AS n"
    )
    system.postgres.execute(query, (name, ROWS))


def last(system, columns):
    return system.postgres.execute(f"SELECT {columns} {LAST}").fetchone()


def wait_for(system, condition, what):
    return eventually(lambda: (last(system, condition) or (False,))[0], what, 60, 0.02)


def documents(system, name):
    client = system.elasticsearch
    return client.count(index=system.index, query={"match": {"product_name": name}})["count"]


@pytest.mark.attack  # a look of the watch, a verification that is due, and a lease: half a minute
def test_the_scheduler_dies_while_it_fills(system, unique):
    known = "SELECT identity <> '' AND documents IS NOT NULL FROM search_index"
    eventually(lambda: system.postgres.execute(known).fetchone()[0], "the scheduler knows the index")
    eventually(lambda: system.is_ready("scheduler-1"), "search is complete")
    before = (last(system, "id") or (0,))[0]
    add_rows(system, unique)
    delete_indices(system.elasticsearch, system.index)
    late = [system.api.accept(unique) for _ in range(10)]
    wait_for(system, f"id > {before} AND done > 0 AND checkpoint IS NOT NULL", "it is filled")
    system.kill_and_wait("scheduler-1")
    done, total, finished = last(system, "done, total, finished IS NOT NULL")
    assert 0 < done <= total or finished, (done, total)  # all may be copied, but that is not yet the end
    wait_for(system, "finished IS NOT NULL", "the refill is done")
    state, result, complete = last(system, "state, result, done = total")
    assert (state, complete, result["refused"]) == ("done", True, {"count": 0, "ids": []})
    assert result["unreadable"] >= 1
    eventually(lambda: documents(system, unique) == ROWS - 1 + len(late), "all are found")
    eventually(lambda: system.is_ready("scheduler-1"), "search is complete")
    system.postgres.execute("DELETE FROM orders WHERE product_name = %s AND amount = 'NaN'", (unique,))
