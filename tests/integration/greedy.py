"""A greedy client, run as a program of its own so that it does not slow the test down:

    greedy.py pipeline HOST PORT REQUEST    50 connections with 1,500 requests each at once, again and again
    greedy.py bodies HOST PORT              300 connections, each with a body of 2 MB that never ends
    greedy.py heads HOST PORT               300 connections, each with half a head

It ends when its input does, and prints how often each status was answered."""

import collections
import json
import selectors
import socket
import sys

CONNECTIONS = {"pipeline": 50, "bodies": 300, "heads": 300}
REQUESTS = 1500
BODY = b"POST /api/bulk-orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_999_000
HALF_HEAD = b"GET /readyz HTTP/1.1\r\nHost: "


class Connection:
    def __init__(self, address, what):
        self.socket = socket.create_connection(address)
        self.socket.setblocking(False)
        self.left = memoryview(what)

    def send(self):
        """Returns whether there is more to send."""
        self.left = self.left[self.socket.send(self.left[:262144]) :]
        return len(self.left) > 0


def attack(kind, address, what):
    statuses = collections.Counter()
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)

    def connect():
        connection = Connection(address, what)
        selector.register(connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    for _ in range(CONNECTIONS[kind]):
        connect()
    print("started", flush=True)
    while True:
        for key, events in selector.select():
            if key.data is None:
                return statuses
            try:
                if events & selectors.EVENT_READ:
                    answers = key.data.socket.recv(1 << 20)
                    for part in answers.split(b"HTTP/1.1 ")[1:]:
                        statuses[part[:3].decode()] += 1
                    if not answers:
                        raise ConnectionError
                if events & selectors.EVENT_WRITE and not key.data.send():
                    if kind == "pipeline":
                        key.data.left = memoryview(what)
                    else:
                        selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
            except BlockingIOError:
                pass
            except OSError:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                if kind == "pipeline":
                    connect()


def main():
    kind, host, port, *request = sys.argv[1:]
    what = {"bodies": BODY, "heads": HALF_HEAD}.get(kind) or request[0].encode() * REQUESTS
    print(json.dumps(attack(kind, (host, int(port)), what)))


if __name__ == "__main__":
    main()
