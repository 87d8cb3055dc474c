"""GET /api/search: Elasticsearch's own answer."""

import unicodedata

import pytest

from api import assert_problem
from wait import eventually


def hits(response):
    return [hit["_id"] for hit in response.json()["hits"]["hits"]]


@pytest.fixture
def three(system, api, unique):
    """Three orders whose names share a word, searchable."""
    ids = [
        api.accept(f"{unique} Café{unique} {word}", 10 + n) for n, word in enumerate(("red", "green", "blue"))
    ]
    for order_id in ids:
        system.wait_stored(order_id)
    system.elasticsearch.indices.refresh(index=system.index)
    return ids


def test_finds_by_any_word_of_the_name(api, unique, three):
    assert set(hits(api.search(unique))) == set(three)
    assert hits(api.search(f"{unique} green"))[0] == three[1]
    assert hits(api.search("nothing" + unique)) == []


def test_an_order_can_be_found_soon(api, unique):
    order_id = api.accept(unique)
    eventually(lambda: hits(api.search(unique)) == [order_id], "it is found")


def test_the_body_is_that_of_elasticsearch(system, api, unique, three):
    answer = api.search(unique)
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    query = {"match": {"product_name": unique}}

    def the_same():
        """Scores depend on all that is in the index, also on what is merged between the two."""
        own = system.elasticsearch.search(index=system.index, query=query, track_total_hits=True).body
        ours = api.search(unique).json()
        return (ours, own) if ours["hits"] == own["hits"] else None

    ours, own = eventually(the_same, "both find the same")
    assert ours.keys() == own.keys()
    assert ours["hits"]["total"] == {"value": 3, "relation": "eq"}
    for hit in ours["hits"]["hits"]:
        assert hit["_source"] == api.order(hit["_id"]).json()


def test_totals_are_exact(system, api, unique):
    actions = []
    for n in range(10_050):
        actions += [{"index": {"_id": f"{unique}-{n}"}}, {"product_name": f"{unique} many"}]
    system.elasticsearch.bulk(index=system.index, operations=actions, refresh=True)
    try:
        assert api.search(unique).json()["hits"]["total"] == {"value": 10_050, "relation": "eq"}
    finally:
        removals = [{"delete": {"_id": f"{unique}-{n}"}} for n in range(10_050)]
        system.elasticsearch.bulk(index=system.index, operations=removals, refresh=True)


def test_pages(api, unique, three):
    assert len(hits(api.search(unique, size=2))) == 2
    pages = [hits(api.search(unique, size=1, **{"from": n})) for n in range(4)]
    assert [len(page) for page in pages] == [1, 1, 1, 0]
    assert {page[0] for page in pages[:3]} == set(three)
    assert api.search(unique, size=100, **{"from": 9900}).status_code == 200


def test_words_are_decoded_from_the_url(api, unique, three):
    for q in (f"{unique}+green", f"{unique}%20green", f"%67reen+{unique}"):
        assert hits(api.get(f"/api/search?q={q}"))[0] == three[1]
    assert len(hits(api.get(f"/api/search?q=caf%C3%A9{unique}"))) == 3
    assert hits(api.get(f"/api/search?size=1&q={unique}+blue")) == [three[2]]


@pytest.mark.parametrize(
    "q", ['"}}', '{"match_all":{}}', "*", "a\\", "\u0001", "x" * 2000, "🛒", "a&b=c", "%"]
)
def test_a_term_is_only_a_term(api, q):
    response = api.search(q)
    assert response.status_code == 200, response.text
    assert response.json()["timed_out"] is False


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?q=",
        "?size=5",
        "?Q=x",
        "?q=x&size=0",
        "?q=x&size=101",
        "?q=x&size=-1",
        "?q=x&size=ten",
        "?q=x&size=1.5",
        "?q=x&size=",
        "?q=x&size=99999999999999999999",
        "?q=x&from=-1",
        "?q=x&from=x",
        "?q=x&from=9991",
        "?q=x&size=100&from=9901",
        "?q=x&from=18446744073709551615",
        "?q=%ff",
    ],
)
def test_bad_questions(api, query):
    assert_problem(api.get("/api/search" + query), 400)


def test_a_broken_escape(api):
    answer = api.exchange(b"GET /api/search?q=%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 "), answer


@pytest.mark.parametrize("word", ["Café", "Ångström", "Tiếng", "한국어", "Ḋéjà"])
def test_composed_and_decomposed_forms_find_each_other(system, api, unique, word):
    """é is one character, or e with a combining one: what was sent is stored, and both are found."""
    composed, decomposed = (unicodedata.normalize(form, unique + word) for form in ("NFC", "NFD"))
    assert composed != decomposed
    ids = {name: api.accept(f"{unique} {name}") for name in (composed, decomposed)}
    for name, order_id in ids.items():
        row, document = system.wait_stored(order_id)
        assert row["product_name"] == document["product_name"] == f"{unique} {name}"
    system.elasticsearch.indices.refresh(index=system.index)
    for term in (composed, decomposed, decomposed.upper()):
        answer = api.search(term)
        assert sorted(hits(answer)) == sorted(ids.values()), term
        assert answer.json()["hits"]["total"] == {"value": 2, "relation": "eq"}
    assert hits(api.search(composed, size=1)) != hits(api.search(composed, size=1, **{"from": 1}))
