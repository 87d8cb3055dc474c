"""The reader of requests' heads beside h11, an independent one. No service runs.

Where the two differ, a row of the table says why. HEADS_CORPUS names folders with more heads, such as what a
long fuzz run has found.
"""

import os
import random
import re
import subprocess
from collections import Counter
from pathlib import Path

import h11
import pytest

from system import ROOT

CORPUS = ROOT / "tests/fuzz/corpus/request_head"
END = b"\r\n\r\n"


def field(name, value):
    """Whether there is a field whose value is like that."""
    text = rb"\n" + name + rb":[ \t]*(?:" + value + rb")[ \t]*\r?\n(?![ \t])"
    pattern = re.compile(text, re.IGNORECASE | re.DOTALL)
    return lambda head: pattern.search(head)


def line(pattern):
    return lambda head: re.search(rb"\A" + pattern + rb"\r?\n", head)


def absolute(pattern):
    return lambda head: re.search(rb"\A\S+ https?://" + pattern, head, re.IGNORECASE)


def how_often(name, head):
    return len(re.findall(rb"\n" + name + rb":", head, re.IGNORECASE))


HOST = rb"(?:\[[-0-9a-z._~!$&'()*+,;=:]+\]|(?:[-0-9a-z._~!$&'()*+,;=]|%[0-9a-f]{2})*)(?::[0-9]*)?"

# Heads that h11 takes and this project refuses: the reason, and how such a head is known.
REFUSED_BY_US = {
    "a line ends with LF alone: RFC 9112, 2.2 only allows to take it": (
        lambda head: re.search(rb"(?<!\r)\n", head)
    ),
    "a folded line: RFC 9112, 5.2 lets a server refuse it": (
        lambda head: re.search(rb"\n[ \t]", head)
    ),
    "a control character: RFC 9110, 5.5 calls it dangerous": (
        lambda head: re.search(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]", head)
    ),
    "a version but 1.0 and 1.1: nothing is known of it": (
        line(rb"[^\r\n]* HTTP/(?!1\.[01])[0-9]\.[0-9]")
    ),
    "two lengths, though equal: RFC 9112, 6.3 only allows to take them": (
        lambda head: how_often(b"content-length", head) > 1
    ),
    "a list of equal lengths: the same": (
        field(b"content-length", rb"[^\n]*,[^\n]*")
    ),
    "a length of 20 digits: larger than any body": (
        field(b"content-length", rb"[1-9][0-9]{19}")
    ),
    "a length and chunks: RFC 9112, 6.1 calls it a possible attack": (
        lambda head: how_often(b"content-length", head) and how_often(b"transfer-encoding", head)
    ),
    "chunks in HTTP/1.0: RFC 9112, 6.1 calls the framing faulty": (
        lambda head: line(rb"[^\r\n]* HTTP/1\.0")(head) and how_often(b"transfer-encoding", head)
    ),
    "a Host that is none: RFC 9112, 3.2 wants 400": (
        lambda head: how_often(b"host", head) and not field(b"host", HOST)(head)
    ),
    "an absolute form without a proper host: RFC 9110, 4.2.1 and 4.2.4": (
        lambda head: absolute(rb"")(head) and not absolute(rb"(?=[^:/?# ])" + HOST + rb"[/?# ]")(head)
    ),
    "a head too large: RFC 6585, 5": (
        lambda head: len(head) > 16384 or head.count(b"\n") > 101
    ),
    "a target too long: RFC 9110, 15.5.15": (
        line(rb"\S+ \S{8193,} [^\r\n]*")
    ),
}  # fmt: skip

# Heads that h11 refuses and this project takes.
REFUSED_BY_H11 = {
    "an empty line before the request: RFC 9112, 2.2 says to skip it": lambda head: head.startswith(b"\r\n"),
    "a length with many leading zeros: RFC 9110, 8.6 has no limit": field(b"content-length", rb"0[0-9]{20,}"),
}


def ours(heads):
    """None for each that is refused, or else method, target, version and fields."""
    program = ROOT / "build/release/tests/integration/read_heads"
    lines = "".join(head.hex() + "\n" for head in heads)
    output = subprocess.run([program], input=lines, capture_output=True, text=True, check=True).stdout
    for words in (answer.split(" ") for answer in output.splitlines()):
        assert words[0] != "unfinished"
        if words[0] != "fine":
            yield None
            continue
        _, _, minor, method, target, *fields = words
        pairs = [tuple(map(bytes.fromhex, pair.split("="))) for pair in fields if pair]
        yield bytes.fromhex(method), bytes.fromhex(target), b"1.%d" % int(minor), normal(pairs)


def theirs(head):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(head)
    try:
        request = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(request, h11.Request), head
    return request.method, request.target, request.http_version, normal(request.headers)


def normal(fields):
    """Names in lower case, and the values that both have understood in one spelling."""
    spelling = {b"content-length": lambda value: b"%d" % int(value), b"transfer-encoding": bytes.lower}
    return [(name.lower(), spelling.get(name.lower(), bytes)(value)) for name, value in fields]


def compare(heads):
    """Every difference has its reason. Returns how often each was needed, and how many heads both take."""
    heads = [head + END for head in heads]
    reasons, taken = Counter(), 0
    for whole, our in zip(heads, ours(heads), strict=True):
        their = theirs(whole)
        # From here on what stands before the body is of interest.
        head = whole[: re.search(rb"\n\r?\n", whole[1:]).end() + 1] if whole else whole
        if our is not None and their is not None:
            assert our == their, head
            taken += 1
        elif our is not their:
            table = REFUSED_BY_US if our is None else REFUSED_BY_H11
            found = [reason for reason, holds in table.items() if holds(head)]
            assert found, f"{'we' if our is None else 'h11'} refused {head[:300]!r}"
            reasons.update(found)
    return reasons, taken


def test_the_fuzz_targets_corpus():
    folders = [CORPUS, *(Path(folder) for folder in os.environ.get("HEADS_CORPUS", "").split(":") if folder)]
    heads = [path.read_bytes() for folder in folders for path in sorted(folder.iterdir())]
    reasons, taken = compare(heads)
    assert taken > 5
    for reason, count in [*reasons.most_common(), ("both take it", taken)]:
        print(f"{count:6} {reason}")


def test_every_reason_is_needed():
    fields = [
        b"\nX: y", b"\r\nX: y\r\n z", b"\r\nX: \x01", b"\r\nContent-Length: 3\r\nContent-Length: 3",
        b"\r\nContent-Length: 3, 3", b"\r\nContent-Length: 10000000000000000000",
        b"\r\nContent-Length: 3\r\nTransfer-Encoding: chunked", b"\r\nContent-Length: 000000000000000000003",
        b"\r\nX: " + b"a" * 17000, b"\r\nX: a" * 101,
    ]  # fmt: skip
    heads = [b"POST / HTTP/1.1\r\nHost: a" + extra for extra in fields] + [
        b"POST / HTTP/1.9\r\nHost: a",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked",
        b"POST / HTTP/1.1\r\nHost: a b",
        b"POST http:///a HTTP/1.1\r\nHost: a",
        b"POST /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a",
        b"\r\nPOST / HTTP/1.1\r\nHost: a",
    ]
    reasons, _ = compare(heads)
    assert set(reasons) == {*REFUSED_BY_US, *REFUSED_BY_H11}


PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\x7f", b"\xff", b":", b",", b"/", b"?", b"@", b"[", b"]",
    b"0", b"1", b"34", b"99999999999999999999", b"%41", b"HTTP/1.0", b"HTTP/1.1", b"http://a", b"chunked",
    b"Host: a\r\n", b"Host: ", b"Content-Length: 3\r\n", b"Content-Length: ", b"X: y\r\n", b"\r\n z",
    b"Transfer-Encoding: chunked\r\n",
]  # fmt: skip


def changed(dice, head):
    """With some bytes cut out, put in or copied."""
    head = bytearray(head)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(head) + 1)
        to = min(len(head), at + dice.choice((0, 0, 1, 2, 10, 40)))
        head[at:to] = dice.choice((b"", dice.choice(PIECES), dice.randbytes(1), head[at:to] * 2))
    return bytes(head)


@pytest.mark.parametrize("seed", range(4))
def test_changed_heads(seed):
    dice = random.Random(seed)
    heads = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    heads = [head for head in heads if len(head) < 1000]
    _, taken = compare([changed(dice, dice.choice(heads)) for _ in range(20_000)])
    assert taken > 1000
