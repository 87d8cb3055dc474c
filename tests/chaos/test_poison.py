"""The generator of poison makes every kind, the same again from the same seed, and finds what is wrong."""

import random

import pytest

from poison import KINDS, Poison


@pytest.fixture
def poison():
    made = Poison("run", random.Random(1))
    made.make(200)
    return made


def letters(poison):
    return [(one.body, one.reason) for one in poison.dead.values()]


def test_every_kind_and_healthy_ones(poison):
    reasons = {one.reason for one in poison.dead.values()}
    assert reasons == {reason for reason, _ in KINDS.values()} | {"too_large"}
    assert len(poison.dead) == 200
    assert len(poison.healthy) == 20
    assert all(poison.token_in(one.body) == token for token, one in poison.made.items())


def test_a_seed_gives_the_same_again(poison):
    again = Poison("run", random.Random(1))
    again.make(200)
    assert again.made == poison.made


def test_all_is_well(poison):
    assert poison.problems(letters(poison)) == []


def test_a_lost_letter(poison):
    (problem,) = poison.problems(letters(poison)[1:])
    assert "1 dead letters are lost" in problem


def test_a_letter_that_is_there_twice(poison):
    (problem,) = poison.problems([*letters(poison), letters(poison)[7]])
    assert problem == "runp-0000008: ['unacceptable', 'unacceptable']"


def test_a_healthy_one_that_is_dead(poison):
    healthy = next(iter(poison.healthy.values()))
    (problem,) = poison.problems([*letters(poison), (healthy.body, "malformed")])
    assert problem.startswith(f"{healthy.token} is healthy")


def test_another_reason(poison):
    (body, _), *others = letters(poison)
    (problem,) = poison.problems([(body, "unknown"), *others])
    assert "unknown, not malformed" in problem
