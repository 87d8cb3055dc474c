"""Requests byte by byte as a hostile client sends them, and what must come back (raw_requests.json).

A case: name; send (Latin-1 characters) or send_parts ([text, times] pairs); want: the alternatives for the
status of the only answer, or the statuses in order where several requests are sent; closes: whether the
server must then have closed the connection, or must answer another request on it.
"""

import copy
import json
import random
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ORDER = b'{"product_name":"Case","amount":1}'
GOOD = b"POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(ORDER), ORDER)
PROBE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
PATIENCE_S = 20
PAUSE_S = 0.001  # between two parts: the server reads the first one alone, mostly
CLIENTS = 40


class Case:
    def __init__(self, row):
        self.name = row["name"]
        parts = row.get("send_parts", [[row.get("send"), 1]])
        self.raw = "".join(text * times for text, times in parts).encode("latin-1")
        self.closes = row.get("closes")
        pipelined = len(row["want"]) > 1 and self.raw.count(b" HTTP/1.1\r\n") > 1
        self.want = [[status] for status in row["want"]] if pipelined else [row["want"]]

    def without_orders(self):
        """The same case for a server that has no orders: what the gateway says of a body is 404 there."""
        of_bodies = {202, 415, 422} if self.closes else {202, 400, 415, 422}
        case = copy.copy(self)
        if self.raw.lstrip(b"\r\n").startswith(b"POST"):
            case.want = [[404 if status in of_bodies else status for status in want] for want in self.want]
        return case


ROWS = json.loads((Path(__file__).parent / "raw_requests.json").read_text())
CASES = [Case(row) for row in ROWS]
SHORT = [case for case in CASES if len(case.raw) < 2000]
LONG = [case for case in CASES if case not in SHORT]


class Connection:
    def __init__(self, url):
        address = urlsplit(url)
        self.sock = socket.create_connection((address.hostname, address.port), PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, *parts):
        """What the server does not read any more may fail."""
        try:
            for index, part in enumerate(parts):
                if index:
                    time.sleep(PAUSE_S)
                self.sock.sendall(part)
        except ConnectionError:
            pass

    def receive(self):
        """False at the end of the connection."""
        try:
            part = self.sock.recv(65536)
        except ConnectionError:
            part = b""
        self.unread += part
        return bool(part)

    def status(self):
        """Of the next answer, which is then read; None at the end of the connection."""
        while b"\r\n\r\n" not in self.unread:
            if not self.receive():
                assert not self.unread, self.unread
                return None
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        length = int(re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)[1])
        while len(self.unread) < length:
            assert self.receive(), head
        self.unread = self.unread[length:]
        return int(re.match(rb"HTTP/1\.1 (\d{3}) ", head)[1])


def complaint(url, case, parts, before=(), wait_before=None):
    """What is wrong with the answers to `parts`, or None. The statuses `before` come before those of the
    case. `wait_before` is sent first, and its answer waited for."""
    statuses = []
    with Connection(url) as connection:
        if wait_before is not None:
            connection.send(wait_before)
            statuses.append(connection.status())
        connection.send(*parts)
        want = [[status] for status in before] + case.want
        while len(statuses) < len(want):
            status = connection.status()
            if status is None:
                break
            statuses.append(status)
        right = len(statuses) == len(want) and all(a in b for a, b in zip(statuses, want, strict=True))
        if right and case.closes:
            statuses.append(connection.status())
            right = statuses.pop() is None
        if right and case.closes is False:
            connection.send(PROBE)
            right = connection.status() == 200
    return None if right else f"{case.name}: {statuses}, wanted {want}, closes: {case.closes}"


def check(jobs):
    """Jobs are the arguments of complaint(), done by many clients at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        complaints = [text for text in pool.map(lambda job: complaint(*job), jobs) if text]
    assert not complaints, "\n".join(complaints[:20])


def test_alone(api):
    check((api.url, case, [case.raw]) for case in CASES)


def test_second_on_its_connection(api):
    check((api.url, case, [case.raw], [202], GOOD) for case in CASES)


def test_pipelined(api):
    check((api.url, case, [GOOD + case.raw], [202]) for case in CASES)
    check((api.url, case, [GOOD * 3 + case.raw], [202] * 3) for case in CASES)
    check((api.url, case, [GOOD[:-5], GOOD[-5:] + case.raw], [202]) for case in CASES)


def test_behind_a_slow_request(restored):
    """The refresh is answered after 2 s, with all of the case there already."""
    refresh = b"POST /api/admin/refresh HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
    refresh += b"Authorization: Bearer %s\r\n\r\n" % restored.api.admin_token.encode()
    with restored.frozen("scheduler-1"):
        check((restored.api.url, case, [refresh + case.raw], [503]) for case in CASES)


def test_split_at_every_byte(api):
    check((api.url, case, [case.raw[:at], case.raw[at:]]) for case in SHORT for at in range(1, len(case.raw)))


def test_byte_by_byte(api):
    check((api.url, case, [case.raw[i : i + 1] for i in range(len(case.raw))]) for case in SHORT)


def test_long_ones_in_parts(api):
    dice = random.Random(12)
    for case in LONG:
        places = sorted(dice.sample(range(1, len(case.raw)), 100))
        check((api.url, case, [case.raw[:at], case.raw[at:]]) for at in places)
        check([(api.url, case, [case.raw[a:b] for a, b in zip([0, *places], [*places, None], strict=True)])])


@pytest.mark.parametrize("program", ["gateway-1", "bridge-1", "scheduler-1"])
def test_on_an_admin_port(system, program):
    url = system.admin_url(program)
    cases = CASES if program == "gateway-1" else [case.without_orders() for case in CASES]
    check((url, case, [case.raw]) for case in cases)
    check((url, case, [case.raw], [200], PROBE) for case in cases)
    check((url, case, [PROBE + case.raw], [200]) for case in cases)
