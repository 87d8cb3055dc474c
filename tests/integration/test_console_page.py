"""What the gateway sends of the console: to whom, and that no browser can make more of it than was built."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
import requests

from system import LOOPBACK_HOST, free_port

BROWSERS = {
    "Chrome": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    "Firefox": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Safari": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Lynx": "text/html, text/plain, text/sgml, */*;q=0.01",
}
CLIENTS = {
    "curl": "*/*",
    "none": None,
    "a script": "application/json, text/plain, */*",
    "jq": "application/json",
}
HTML = BROWSERS["Firefox"]
COMPRESSED_MAX_BYTES = 80_000
POLICY = {
    "default-src": ["'none'"],
    "connect-src": ["'self'"],
    "img-src": ["data:"],
    "base-uri": ["'none'"],
    "form-action": ["'none'"],
    "frame-ancestors": ["'none'"],
    "require-trusted-types-for": ["'script'"],
    "trusted-types": ["'none'"],
}
SHOP = "https://shop.example"


def ask(url, accept=HTML, method="GET", coding="identity", **headers):
    """None leaves out a header that requests would send by itself. The body stays as it came."""
    headers = {"Accept": accept, "Accept-Encoding": coding} | headers
    answer = requests.request(method, url, headers=headers, timeout=30, stream=True)
    answer.body = answer.raw.read(decode_content=False)
    return answer


def is_page(answer):
    assert answer.status_code == 200
    assert "Accept" in answer.headers["Vary"]
    return answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.fixture
def urls(system):
    return system.api.url, system.admin_url("gateway-1")


@pytest.mark.parametrize("name", BROWSERS)
def test_a_browser_gets_the_page(urls, name):
    for url in urls:
        assert is_page(ask(url, BROWSERS[name]))


@pytest.mark.parametrize("name", CLIENTS)
def test_others_get_the_links(urls, name):
    for url in urls:
        answer = ask(url, CLIENTS[name])
        assert not is_page(answer)
        index = json.loads(answer.body)
        assert requests.get(url + index["openapi"], timeout=30).json()["openapi"].startswith("3.")
        assert index["links"]["post_order"] == {"method": "POST", "href": "/api/orders"}
        plain = [
            link["href"]
            for link in index["links"].values()
            if link["method"] == "GET" and "{" not in link["href"]
        ]
        assert {requests.get(url + path, timeout=30).status_code for path in plain} <= {200, 400, 401}


@pytest.mark.parametrize("setting", ["", "off"])
def test_the_api_port_shows_it_only_when_told_to(spawn, setting):
    admin_port = free_port()
    url = spawn(API_CONSOLE=setting, ADMIN_PORT=str(admin_port))
    assert not is_page(ask(url))
    assert is_page(ask(f"http://{LOOPBACK_HOST}:{admin_port}"))


def test_plain_and_compressed_are_the_same(urls):
    for url in urls:
        plain, compressed = ask(url), ask(url, coding="gzip, deflate, br, zstd")
        assert "Content-Encoding" not in plain.headers
        assert compressed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(compressed.body) == plain.body
        assert len(compressed.body) < COMPRESSED_MAX_BYTES
        assert plain.headers["ETag"] == compressed.headers["ETag"]
        refused = ask(url, coding="gzip;q=0")
        assert refused.body == plain.body
    assert ask(urls[0]).body == ask(urls[1]).body


def test_nothing_is_sent_again(urls):
    for url in urls:
        first = ask(url, coding="gzip")
        tag = first.headers["ETag"]
        for known in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = ask(url, coding="gzip", **{"If-None-Match": known})
            assert (again.status_code, again.body) == (304, b"")
            for name in ("ETag", "Vary", "Cache-Control"):
                assert again.headers[name] == first.headers[name]
        other = ask(url, coding="gzip", **{"If-None-Match": '"x"'})
        assert (other.status_code, other.body) == (200, first.body)


def test_head(urls):
    for url in urls:
        for accept in (HTML, "*/*"):
            get, head = ask(url, accept), ask(url, accept, "HEAD")
            assert head.body == b""
            own = {"Date", "X-Request-Id"}
            assert {k: v for k, v in head.headers.items() if k.title() not in own} == {
                k: v for k, v in get.headers.items() if k.title() not in own
            }


class Page(HTMLParser):
    """The elements, and the text of those that hold script and style."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts = [], {"script": [], "style": []}
        self._within = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._within = tag if tag in self.texts else None
        if self._within:
            self.texts[tag].append("")

    def handle_endtag(self, tag):
        self._within = None

    def handle_data(self, data):
        if self._within:
            self.texts[self._within][-1] += data


def source(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_the_policy_lets_run_what_is_in_the_page(urls):
    for url in urls:
        answer = ask(url)
        page = Page(answer.body.decode())
        directives = [directive.split() for directive in answer.headers["Content-Security-Policy"].split(";")]
        policy = {name: values for name, *values in directives}
        assert len(policy) == len(directives)
        assert policy == POLICY | {
            f"{kind}-src": [source(text) for text in texts] for kind, texts in page.texts.items()
        }
        assert [len(texts) for texts in page.texts.values()] == [1, 1]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Set-Cookie" not in answer.headers


def test_the_page_needs_nothing_else(urls):
    """No other host, no other file, no script or style in attributes."""
    html = ask(urls[0]).body.decode()
    for tag, attributes in Page(html).elements:
        assert "src" not in attributes
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "link":
            assert attributes["rel"] == "icon"
            assert attributes["href"].startswith("data:image/svg+xml,")
        elif "href" in attributes:
            assert attributes["href"].startswith("#/")
    hosts = set(re.findall(r"[a-z]+://[\w.-]*", html))
    assert hosts <= {"http://www.w3.org"}, hosts  # of a name space, which nobody fetches
    loaders = re.findall(r"url\((?!['\"]?data:)|@import", html)
    writers = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", html)
    assert not loaders + writers


def test_other_origins(spawn):
    url = spawn(API_CORS_ORIGINS=SHOP)
    for accept in (HTML, "*/*"):
        allowed, refused = ask(url, accept, Origin=SHOP), ask(url, accept, Origin="https://evil.example")
        assert allowed.headers["Access-Control-Allow-Origin"] == SHOP
        assert "Access-Control-Allow-Origin" not in refused.headers
        assert allowed.headers["Vary"] == refused.headers["Vary"] == "Accept, Accept-Encoding, Origin"
    preflight = {"Origin": SHOP, "Access-Control-Request-Method": "GET"}
    answer = requests.options(url, headers=preflight, timeout=30)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Methods"]) == (204, "GET, HEAD")
