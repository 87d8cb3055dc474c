"""What the scheduler reads of an index, against Elasticsearch itself."""

import subprocess
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from system import ROOT

OWN, OLD, BOTH = "reader-own", "reader-old", "reader-both"
HOUR_US = 3600 * 10**6
HOURS = 10_050  # more than one answer has
FIRST_US = 1_700_000_000 * 10**6 // HOUR_US * HOUR_US
FIELDS = {"id": {"type": "keyword"}, "product_name": {"type": "text"}}
MAPPINGS = {
    OWN: FIELDS | {"amount": {"type": "double"}, "created_at": {"type": "date"}},
    OLD: FIELDS | {"amount": {"type": "float"}, "created_at": {"type": "keyword"}},
}
NO_ORDERS = {'no uuid, "quoted" / ü': {"x": 1}, str(uuid.uuid4()): {"amount": -1, "product_name": "half"}}


def instant(us):
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def order(number):
    """In an hour of its own, in the last of its microseconds."""
    order_id = str(uuid.UUID(int=number + (0xAB << 120)))
    return order_id, {
        "id": order_id,
        "product_name": f"thing {number}",
        "amount": number / 100,
        "created_at": instant(FIRST_US + (number + 1) * HOUR_US - 1),
    }


@pytest.fixture
def read(system):
    """Calls the reader; there are the two indices, and an alias of both."""
    indices = system.elasticsearch.indices
    settings = {"number_of_replicas": 0, "refresh_interval": -1}
    for name, properties in MAPPINGS.items():
        indices.create(index=name, settings=settings, mappings={"properties": properties})
    documents = [order(number) for number in range(HOURS)]
    put(system, OWN, documents + list(NO_ORDERS.items()))
    put(system, OLD, documents[:3])
    indices.refresh(index=f"{OWN},{OLD}")
    for name in MAPPINGS:
        indices.put_alias(index=name, name=BOTH, is_write_index=name == OWN)

    def call(index, *arguments, lines=()):
        program = ROOT / "build/release/tests/integration/read_documents"
        answer = subprocess.run(
            [program, system.env["ELASTICSEARCH_URL"], index, *arguments],
            input="".join(line + "\n" for line in lines),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return answer.stdout.splitlines()

    yield call
    indices.delete(index=f"{OWN},{OLD}")


def put(system, index, documents):
    operations = []
    for document_id, document in documents:
        operations += [{"index": {"_id": document_id}}, document]
    assert not system.elasticsearch.bulk(index=index, operations=operations)["errors"]


def hours_are_read(read):
    everything = (instant(FIRST_US), instant(FIRST_US + HOURS * HOUR_US))
    hours = read(OWN, "hours", *everything, "yes")
    assert hours == [f"{FIRST_US + i * HOUR_US} 1 {i / 100:.2f}" for i in range(HOURS)]
    assert read(OWN, "hours", instant(FIRST_US + HOUR_US), instant(FIRST_US + 3 * HOUR_US), "no") == [
        f"{FIRST_US + i * HOUR_US} 1 0.00" for i in (1, 2)
    ]
    assert read(OWN, "hours", "0001-01-01T00:00:00Z", instant(FIRST_US), "yes") == []
    assert read(OWN, "count") == [f"{HOURS + 2} 2"]
    assert "type [keyword]" in read(OLD, "hours", *everything, "yes")[0]
    assert "no such index" in read("reader-none", "hours", *everything, "yes")[0]


def places(lines):
    """{(index, id): (is an order's id, seq_no, primary_term)}"""
    found = {}
    for line in lines:
        index, kind, seq_no, term, document_id = line.split(" ", 4)
        assert (index, document_id) not in found
        found[index, document_id] = (kind == "order", int(seq_no), int(term))
    return found


def documents_are_walked_over(read):
    everything = places(read(OWN, "walk", "all"))
    assert {document_id for _, document_id in everything} == {order(i)[0] for i in range(HOURS)} | set(
        NO_ORDERS
    )
    undated = places(read(OWN, "walk", "undated"))
    assert {document_id for _, document_id in undated} == set(NO_ORDERS)
    assert sorted(kind for kind, _, _ in undated.values()) == [False, True]
    dated = read(OWN, "walk", instant(FIRST_US), instant(FIRST_US + 2 * HOUR_US))
    assert {document_id for _, document_id in places(dated)} == {order(0)[0], order(1)[0]}
    assert len(read(BOTH, "walk", "all")) == HOURS + 2 + 3


def documents_are_looked_up(system, read):
    """Also what a search does not see yet; whatever type the mapping has; by an alias of both."""
    fresh, document = order(HOURS)
    document["created_at"] = instant(FIRST_US)
    put(system, OWN, [(fresh, document)])
    ids = [order(7)[0], fresh, str(uuid.uuid4()), *NO_ORDERS]
    us = FIRST_US + 8 * HOUR_US - 1
    told = read(OWN, "get", lines=ids)
    assert told[0] == f"order {OWN} 7 1 7 {us} thing 7"
    assert told[1].startswith(f"order {OWN} ")
    assert told[1].endswith(f" {FIRST_US} thing {HOURS}")
    assert told[2] == "absent"
    assert [line.split()[:2] for line in told[3:]] == [["other", OWN]] * 2
    assert read(OLD, "get", lines=ids[:1]) == ["absent"]
    us = FIRST_US + 3 * HOUR_US - 1
    assert read(OLD, "get", lines=[order(2)[0]]) == [f"order {OLD} 2 1 2 {us} thing 2"]
    assert read(BOTH, "get", lines=ids[:1]) == told[:1]
    many = [order(i)[0] for i in range(1000)]
    assert [line.split()[0] for line in read(OWN, "get", lines=many)] == ["order"] * 1000
    assert [line.split()[0] for line in read(BOTH, "get", lines=many)] == ["order"] * 1000
    assert "no such index" in read("reader-none", "get", lines=ids)[0]


def documents_are_deleted(system, read):
    """Only as it was looked at."""
    document_id, document = order(HOURS + 1)
    put(system, OLD, [(document_id, document)])
    (told,) = read(OLD, "get", lines=[document_id])
    seq_no, term = told.split()[2:4]
    stale = f"{OLD} {document_id} {int(seq_no) - 1} {term}"
    assert read(BOTH, "delete", lines=[stale]) == ["changed"]
    again = [f"{OLD} {document_id} {seq_no} {term}", f"{OLD} {document_id} {seq_no} {term}"]
    assert read(BOTH, "delete", lines=again) == ["deleted", "gone"]
    assert read(OLD, "get", lines=[document_id]) == ["absent"]
    assert read(OLD, "delete", lines=[f"reader-none {document_id} 0 1"]) == ["gone"]


def test_document_reader(system, read):
    hours_are_read(read)
    documents_are_walked_over(read)
    documents_are_looked_up(system, read)
    documents_are_deleted(system, read)
