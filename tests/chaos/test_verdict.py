"""The verdict finds each kind of violation, and finds nothing where all is well."""

import dataclasses
import pathlib
from decimal import Decimal

import pytest

from ledger import NOT_SENT, Ledger, Writer
from verdict import Contents, Dead, Stored, judge

LAPTOP, LAMP = "run-1 Laptop", "run-2 Lamp"
REFUSED, UNKNOWN = "run-3 Refused", "run-4 Unknown"


@dataclasses.dataclass
class Case:
    """Two accepted orders, a refused and an unknown one; all is well. The tests break it."""

    writer: Writer
    path: pathlib.Path
    contents: Contents

    def findings(self, **judged) -> dict[str, list[str]]:
        found = judge(Ledger(self.path), self.contents, **judged).findings
        return {kind: items for kind, items in found.items() if items}


@pytest.fixture
def case(tmp_path):
    path = tmp_path / "ledger"
    writer = Writer(path)
    for name, order_id in ((LAPTOP, "id-1"), (LAMP, "id-2")):
        writer.asked(name, "12.50", f"key of {name}")
        writer.answered(name, 202, order_id, None, 0.01)
    writer.asked(REFUSED, "1.00", None)
    writer.answered(REFUSED, 503, None, "queue_unavailable", 0.01)
    writer.asked(UNKNOWN, "1.00", None)
    writer.answered(UNKNOWN, 503, None, "outcome_unknown", 5.0)
    laptop, lamp = Stored(LAPTOP, Decimal("12.50")), Stored(LAMP, Decimal("12.50"))
    return Case(
        writer,
        path,
        Contents({"id-1": [laptop], "id-2": [lamp]}, {"id-1": laptop, "id-2": lamp}, [], {LAPTOP, LAMP}),
    )


def test_all_is_well(case):
    assert case.findings() == {}


def test_an_unknown_order_may_be_stored(case):
    stored = Stored(UNKNOWN, Decimal("1.00"))
    case.contents.rows["id-4"], case.contents.documents["id-4"] = [stored], stored
    assert case.findings() == {}


def test_a_proxy_that_has_lost_the_gateway_knows_nothing(case):
    """Its page has no code, and its 502 or 503 is no refusal."""
    name, stored = "run-5 Proxied", Stored("run-5 Proxied", Decimal("1.00"))
    case.writer.asked(name, "1.00", None)
    case.writer.answered(name, 502, None, None, 0.01)
    case.contents.rows["id-5"], case.contents.documents["id-5"] = [stored], stored
    assert case.findings() == {}


def test_lost_without_a_row(case):
    del case.contents.rows["id-1"], case.contents.documents["id-1"]
    assert case.findings() == {"lost": [f"id-1 ({LAPTOP}): no row"]}


def test_lost_without_a_document(case):
    del case.contents.documents["id-1"]
    assert case.findings() == {
        "lost": [f"id-1 ({LAPTOP}): no document"],
        "rows without document": [f"id-1 ({LAPTOP})"],
    }


def test_an_unknown_order_has_a_row_and_no_document(case):
    case.contents.rows["id-4"] = [Stored(UNKNOWN, Decimal("1.00"))]
    assert case.findings() == {"rows without document": [f"id-4 ({UNKNOWN})"]}


def test_a_document_without_its_row(case):
    case.contents.documents["id-4"] = Stored(UNKNOWN, Decimal("1.00"))
    assert case.findings() == {"documents without row": ["id-4"]}


@pytest.mark.parametrize("name", [REFUSED, "run-9 Nobody asked for it"])
def test_stored_though_nobody_was_promised_it(case, name):
    stored = Stored(name, Decimal("1.00"))
    case.contents.rows["id-3"], case.contents.documents["id-3"] = [stored], stored
    assert case.findings() == {"spurious": [f"id-3 ({name})"]}


def test_two_rows_with_one_id(case):
    case.contents.rows["id-1"] *= 2
    assert case.findings() == {"duplicates": ["id-1: 2 rows"]}


def test_one_order_under_two_ids(case):
    stored = Stored(LAPTOP, Decimal("12.50"))
    case.contents.rows["id-9"], case.contents.documents["id-9"] = [stored], stored
    assert case.findings() == {"duplicates": [f"{LAPTOP}: ['id-1', 'id-9']"]}


@pytest.mark.parametrize(
    "altered", [Stored(LAPTOP, Decimal("12.51")), Stored("run-1 Laptop, altered", Decimal("12.50"))]
)
def test_altered_on_the_way(case, altered):
    case.contents.rows["id-1"], case.contents.documents["id-1"] = [altered], altered
    (finding,) = case.findings()["altered"]
    assert "id-1" in finding


@pytest.mark.parametrize(
    "altered", [Stored(LAPTOP, Decimal("12.51")), Stored("run-1 Laptop, altered", Decimal("12.50"))]
)
def test_a_document_that_differs_from_its_row(case, altered):
    case.contents.documents["id-1"] = altered
    (finding,) = case.findings()["altered"]
    assert "id-1" in finding


def test_a_healthy_order_in_the_dead_letters(case):
    del case.contents.rows["id-1"], case.contents.documents["id-1"]
    case.contents.dead.append(Dead(LAPTOP, {"x-reason": "malformed"}))
    assert list(case.findings()) == ["healthy dead-lettered"]


def test_what_the_scenario_poisoned_is_dead_lettered(case):
    del case.contents.documents["id-1"]
    case.contents.dead.append(Dead(LAPTOP, {"x-reason": "bulk_400"}))
    assert case.findings(expected_dead=frozenset({LAPTOP})) == {}


def test_poisoned_and_nowhere_is_lost_all_the_same(case):
    del case.contents.rows["id-1"], case.contents.documents["id-1"]
    assert list(case.findings(expected_dead=frozenset({LAPTOP}))) == ["lost"]


def test_what_the_fault_destroyed_is_excused(case):
    del case.contents.rows["id-1"], case.contents.documents["id-1"]
    assert case.findings(excused=frozenset({LAPTOP})) == {}
    assert list(case.findings(excused=frozenset({LAMP}))) == ["lost"]


def test_what_the_fault_destroyed_between_the_stores_is_excused(case):
    del case.contents.documents["id-1"]
    assert case.findings(excused=frozenset({LAPTOP})) == {}
    assert list(case.findings(excused=frozenset({LAMP}))) == ["lost", "rows without document"]


def test_refused_and_readable(case):
    case.contents.cached_names.add(REFUSED)
    assert case.findings() == {"refused but readable": [REFUSED]}


def test_one_key_that_names_two_orders(case):
    case.writer.asked(LAPTOP, "12.50", f"key of {LAPTOP}")
    case.writer.answered(LAPTOP, 202, "id-7", None, 0.01)
    (finding,) = case.findings()["contradictory answers"]
    assert "id-1" in finding
    assert "id-7" in finding


@pytest.mark.parametrize(
    ("status", "code", "is_refused"),
    [
        (400, "malformed", True),
        (503, "queue_unavailable", True),
        (None, NOT_SENT, True),
        (503, "outcome_unknown", False),
        (504, None, False),
        (None, "ServerDisconnectedError", False),
    ],
)
def test_what_counts_as_refused(tmp_path, status, code, is_refused):
    writer = Writer(tmp_path / "ledger")
    writer.asked(LAPTOP, "1.00", None)
    writer.answered(LAPTOP, status, None, code, 0.01)
    entry = Ledger(tmp_path / "ledger").entries[LAPTOP]
    assert entry.refused == is_refused
    assert entry.unknown != is_refused


def test_refused_once_and_unknown_once_is_unknown(case):
    case.writer.asked(REFUSED, "1.00", None)
    case.writer.answered(REFUSED, None, None, "ServerDisconnectedError", 0.01)
    ledger = Ledger(case.path)
    assert ledger.entries[REFUSED].unknown


def test_a_ledger_that_is_still_being_written(case):
    ledger = Ledger(case.path)
    with open(case.path, "ab") as half:
        half.write(b'{"event":"asked","name":"run-5","amount":"1","key":null,')
        half.flush()
        ledger.read_on()
        assert "run-5" not in ledger.entries
        half.write(b'"at":1.0}\n')
    ledger.read_on()
    assert ledger.entries["run-5"].unknown
