"""What watches the index from outside must find what is wrong."""

import pytest

from alias_watch import Sightings
from prober import NEW, Gaps


def test_an_alias_that_moves_is_no_fault():
    seen = Sightings()
    for indices in (["orders-000001"], ["orders-000001"], ["orders-000002"]):
        seen.saw(indices)
    assert not seen.faults
    assert (seen.asked, seen.names) == (3, ["orders-000001", "orders-000002"])


@pytest.mark.parametrize("indices", [[], ["orders-000001", "orders-000002"]])
def test_an_alias_without_an_index_or_with_two_is(indices):
    seen = Sightings()
    for answer in (["orders-000001"], indices, ["orders-000002"]):
        seen.saw(answer)
    assert len(seen.faults) == 1


def test_no_gap_while_all_is_found():
    gaps = Gaps(["a", "b"])
    for now in (1.0, 2.0):
        gaps.saw(now, {"a", "b"})
    assert (gaps.longest, gaps.missing) == (0.0, [])


def test_a_gap_lasts_from_the_last_answer_with_the_order_to_the_next():
    gaps = Gaps(["a", "b"])
    for now, found in ((1.0, {"a", "b"}), (2.0, {"b"}), (3.0, {"b"}), (4.5, {"a", "b"})):
        gaps.saw(now, found)
    assert (gaps.longest, gaps.missing) == (3.5, [])


def test_an_order_that_does_not_come_back_is_missing():
    gaps = Gaps(["a"])
    gaps.saw(1.0, {"a"})
    gaps.saw(2.0, set())
    assert gaps.missing == ["a"]


def test_a_new_order_has_no_gap_before_it_is_found():
    gaps = Gaps([])
    gaps.expect(["new"])
    gaps.saw(1.0, set())
    assert (gaps.known(), gaps.missing) == (["new"], [])
    gaps.saw(2.0, {"new"})
    gaps.saw(3.0, set())
    assert gaps.missing == ["new"]
    gaps.saw(4.0, {"new"})
    assert gaps.longest == 2.0


def test_the_newest_are_kept_and_those_that_are_missing():
    gaps = Gaps([])
    gaps.expect(["gone"])
    gaps.saw(1.0, {"gone"})
    names = [str(number) for number in range(2 * NEW)]
    gaps.expect(names)
    gaps.saw(2.0, set(names))
    assert gaps.missing == ["gone"]
    assert gaps.known() == ["gone", *names[1 - NEW :]]


def test_silence_is_told_apart():
    gaps = Gaps(["a"])
    for now in (1.0, 9.0):
        gaps.saw(now, {"a"})
    assert (gaps.longest, gaps.longest_silence) == (0.0, 8.0)
