"""Another mapping is rolled out, and an index of the program that this one replaces is taken over."""

import json

from alias_watch import watched_alias
from filling import check_agreement, empty_stores, fill
from index_jobs import check_reindexed, ended_job, start_job
from prober import probed

from . import scenario
from .index_verified import check_named, compare, damage
from .reindex import GAP_SECONDS

# Of Elasticsearch itself, and seen in what it finds.
OTHER_ANALYZER = {
    "settings": {"index": {"analysis": {"analyzer": {"names": {"type": "standard", "stopwords": ["lamp"]}}}}},
    "mappings": {"properties": {"product_name": {"type": "text", "analyzer": "names"}}},
}


@scenario(47, "mapping-rolled-out")
def mapping_rolled_out(run):
    """A mapping with another analyzer is rolled out under load, by a file and a reindex."""
    count = 100_000 if run.long else 5_000
    empty_stores(run)
    orders = fill(run, count)
    before = run.stores.indices()
    run.check(hits(run, "lamp") >= count, "every lamp is found")
    with run.load(rate=150), watched_alias(run), probed(run, orders, GAP_SECONDS):
        run.until_accepted(100)
        run.stand.index_settings.write_text(json.dumps(OTHER_ANALYZER))
        try:
            for name in ("indexer-1", "scheduler-1"):
                with run.down(name):
                    pass
            run.stand.wait_ready()
            ended = ended_job(run, start_job(run, "reindex"), 180)
        finally:
            run.stand.index_settings.write_text("{}")
        run.check(hits(run, "lamp") == 0 and hits(run, "filled") >= count, "the new analyzer is in use")
        run.until_accepted(100)
    check_agreement(run)
    check_reindexed(run, ended, before)
    for name in ("indexer-1", "scheduler-1"):
        with run.down(name):
            pass
    run.recovered(15)


def hits(run, term: str) -> int:
    return run.search(term).json()["hits"]["total"]["value"]


@scenario(47, "original-index-taken-over")
def original_index_taken_over(run):
    """An index of the original, with float amounts, is used, verified, repaired and rebuilt, under load."""
    count = 100_000 if run.long else 5_000
    empty_stores(run, original=True)
    orders = fill(run, count)
    amount = run.stores.search_client().indices.get_mapping(index=run.stores.index)
    kind = amount[run.stores.index]["mappings"]["properties"]["amount"]["type"]
    run.check(kind == "float", f"the mapping is not the original's: {kind}")
    before = run.stores.indices()
    with run.load(rate=150), watched_alias(run), probed(run, orders, GAP_SECONDS):
        run.until_accepted(200)
        check_named(run, compare(run, "verify", full=True, fields=True), [], [], [])
        run.random.shuffle(orders)
        deleted, renamed, repriced = orders[:3], orders[3:5], orders[5:7]
        damage(run, deleted, renamed, repriced, [])
        result = compare(run, "repair", full=True, fields=True)
        check_named(run, result, deleted, renamed + repriced, [])
        run.check(result["repaired"] == 7, f"7 orders are mended: {result}")
        ended = ended_job(run, start_job(run, "reindex"), 180)
        run.until_accepted(100)
    check_agreement(run)
    check_reindexed(run, ended, before)
    run.recovered()
