import contextlib
import http.server
import importlib
import threading

import pytest
import requests

reads = importlib.import_module("measures.reads")  # the package's `reads` is the measure


class Servers:
    env = {"ADMIN_TOKEN": "token"}


class Bench:
    servers = Servers()


class Side:
    pass


@contextlib.contextmanager
def gateway(statuses):
    """Answers with one of them after the other, and then with the last for ever."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.headers["Authorization"])
            self.send_response(statuses[min(len(asked), len(statuses)) - 1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        side = Side()
        side.url = f"http://127.0.0.1:{server.server_port}"
        yield side, asked
        server.shutdown()


def test_a_refresh_waits_for_a_gateway_that_knows_of_no_scheduler_yet():
    with gateway([503, 503, 200]) as (side, asked):
        reads.refresh_view(Bench(), side)
    assert asked == ["Bearer token"] * 3


def test_a_refresh_that_is_refused_is_not_asked_for_again():
    with gateway([500, 200]) as (side, asked), pytest.raises(requests.HTTPError):
        reads.refresh_view(Bench(), side)
    assert len(asked) == 1


def test_a_gateway_that_never_knows_of_a_scheduler(monkeypatch):
    class Clock:
        now = 0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    monkeypatch.setattr(reads, "time", Clock())
    with gateway([503]) as (side, asked), pytest.raises(requests.HTTPError):
        reads.refresh_view(Bench(), side)
    assert 10 / 0.2 <= len(asked) <= 10 / 0.2 + 2
