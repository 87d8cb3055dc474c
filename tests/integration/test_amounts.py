"""The reader of amounts beside Python's decimal, which is exact. No service runs."""

import random
import re
import subprocess
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, localcontext

import pytest

from system import ROOT

NUMBER = re.compile(rb"[ \t\n\r]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t\n\r]*")
LARGEST = 999_999_999_999  # cents
EXPONENTS = 10**17  # a Decimal has no larger ones; with such a one a text is zero or no amount
EXACT = Context(prec=100_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


def read(texts):
    lines = "".join(text.hex() + "\n" for text in texts)
    program = ROOT / "build/release/tests/integration/read_amounts"
    return subprocess.run(
        [program], input=lines, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def decimal_says(text):
    """Cents, or why there are none."""
    if not NUMBER.fullmatch(text):
        return "malformed"
    mantissa, _, exponent = text.decode().strip().lower().partition("e")
    power = int(max(-EXPONENTS, min(Decimal(exponent or 0), EXPONENTS)))
    with localcontext(EXACT):
        cents = Decimal(f"{mantissa}e{power}") * 100
        whole = abs(cents) <= LARGEST and cents == cents.to_integral_value()
    return str(int(cents)) if whole else "unacceptable"


def jansson_refuses(text):
    """What the parser itself does not take: integers of more than 64 bits, doubles that overflow."""
    if re.fullmatch(rb"-?[0-9]+", text.strip()):
        return not -(2**63) <= Decimal(text.decode()) < 2**63
    return abs(float(text)) == float("inf")


def check(texts):
    """Returns how many of the texts are amounts."""
    amounts = 0
    for text, ours in zip(texts, read(texts), strict=True):
        exact = decimal_says(text)
        if ours == "malformed" and exact == "unacceptable" and jansson_refuses(text):
            continue
        assert ours == exact, text[:100]
        amounts += ours not in ("malformed", "unacceptable")
    return amounts


def spelled(dice, cents):
    """One of the many ways to write an amount, now and then a little beside it."""
    digits = str(cents) + "0" * dice.choice((0, 0, 1, 2, 20))
    power = -2 - (len(digits) - len(str(cents)))
    if dice.random() < 0.2:  # a digit far behind the last
        digits += "0" * dice.randrange(30) + dice.choice("015")
        power = -2 - (len(digits) - len(str(cents)))
    point = dice.randrange(-20, len(digits) + 20)  # where it is written
    exponent = len(digits) + power - point
    if point <= 0:
        text = "0." + "0" * -point + digits
    elif point >= len(digits):
        text = digits + "0" * (point - len(digits)) + dice.choice(("", ".0", ".000"))
    else:
        text = digits[:point] + "." + digits[point:]
    text = re.sub(r"^0+(?=[0-9])", "", text)
    if exponent or dice.random() < 0.1:
        sign = "-" if exponent < 0 else dice.choice(("", "+"))
        text += dice.choice("eE") + sign + dice.choice(("", "00")) + str(abs(exponent))
    return (dice.choice(("", "-")) + text).encode()


@pytest.mark.parametrize("seed", range(4))
def test_amounts_of_every_spelling(seed):
    dice = random.Random(seed)
    texts = [spelled(dice, dice.randrange(10 ** dice.randrange(1, 14))) for _ in range(50_000)]
    assert len(texts) / 2 < check(texts) < len(texts)


def test_texts_of_a_number_s_characters():
    dice = random.Random(12)
    texts = [
        "".join(dice.choices("0123456789.e+-E0 ", k=dice.randrange(12))).encode() for _ in range(200_000)
    ]
    assert check(texts) > 1000


def test_texts_that_cost_no_time():
    zeros = b"0" * 60_000
    texts = [b"0." + zeros + b"1", b"0." + zeros + b"1e60001", b"1." + zeros + b"1", b"1e" + zeros + b"2"]
    texts += [b"1e" + b"9" * 60_000, b"1e-" + b"9" * 60_000, b"0e" + b"9" * 60_000, b"1" + zeros + b"e-60000"]
    texts += [b"1e999999999999", b"1e-999999999999", b"0e999999999", b"1e400", b"1e-400"]
    assert check(texts) == 5


def test_the_fuzz_targets_corpus():
    texts = [path.read_bytes() for path in sorted((ROOT / "tests/fuzz/corpus/amount").iterdir())]
    assert check(texts) > 5
