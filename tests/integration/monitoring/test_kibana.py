"""The script that makes Kibana's data view, against a fake of the parts of Kibana's API that it uses
(Kibana itself is in no registry that the tests may use)."""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from system import ROOT


class FakeKibana(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.views = {}
        self.default = None
        self.starting = 0  # answers of /api/status before it is available
        self.refuses = None  # a path that is answered with 403

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        kibana = self.server
        if self.path == "/api/status" and kibana.starting:
            kibana.starting -= 1
            self.answer(503)
        elif self.path == "/api/status":
            self.answer(200)
        else:
            prefix, _, name = self.path.rpartition("/")
            assert prefix == "/api/data_views/data_view"
            self.answer(200 if name in kibana.views else 404)

    def do_POST(self):
        kibana = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["kbn-xsrf"] is None or "json" not in self.headers["Content-Type"]:
            self.answer(400)
        elif self.path == kibana.refuses:
            self.answer(403)
        elif self.path == "/api/data_views/data_view":
            view = body["data_view"]
            duplicate = view["id"] in kibana.views
            kibana.views.setdefault(view["id"], view)
            self.answer(400 if duplicate else 200)
        else:
            assert self.path == "/api/data_views/default"
            if kibana.default is None or body["force"]:
                kibana.default = body["data_view_id"]
            self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def kibana():
    with FakeKibana() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def create(url, **settings):
    environment = {"PATH": os.environ["PATH"], "KIBANA_URL": url, **settings}
    script = ROOT / "deploy/kibana/create-data-view.sh"
    return subprocess.run(["sh", script], env=environment, capture_output=True, text=True, timeout=60)


def test_makes_the_data_view_once(kibana):
    kibana.starting = 1
    for _ in range(2):
        result = create(kibana.url)
        assert result.returncode == 0, result.stderr
    assert list(kibana.views) == ["orders"]
    view = kibana.views["orders"]
    assert (view["title"], view["name"], view["timeFieldName"]) == ("orders", "Orders", "created_at")
    assert kibana.default == "orders"


def test_keeps_what_people_changed(kibana):
    mine = {"id": "orders", "name": "My orders"}
    kibana.views["orders"] = mine
    kibana.default = "another"
    assert create(kibana.url, ORDER_INDEX="other").returncode == 0
    assert kibana.views == {"orders": mine}
    assert kibana.default == "another"


def test_follows_the_name_of_the_index(kibana):
    assert create(kibana.url, ORDER_INDEX="orders-eu").returncode == 0
    assert kibana.views["orders"]["title"] == "orders-eu"


@pytest.mark.parametrize("path", ["/api/data_views/data_view", "/api/data_views/default"])
def test_says_when_it_is_refused(kibana, path):
    kibana.refuses = path
    result = create(kibana.url)
    assert result.returncode == 1
    assert "403" in result.stderr


def test_gives_up_in_time():
    result = create("http://127.0.0.1:1", KIBANA_TIMEOUT="1")
    assert result.returncode == 1
    assert "not available" in result.stderr
