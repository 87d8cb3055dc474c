"""The HTTP API as its clients see it."""

import json
import re
import socket
from urllib.parse import urlsplit

import requests

from wait import eventually


class Api:
    def __init__(self, url, admin_token):
        self.url = url
        self.admin_token = admin_token
        self.session = requests.Session()

    def request(self, method, path, **options):
        options.setdefault("timeout", 30)
        return self.session.request(method, self.url + path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post_order(self, product_name="Laptop", amount=1299.99, key=None):
        return self.post_raw(json.dumps({"product_name": product_name, "amount": amount}), key)

    def post_raw(self, body, key=None, path="/api/orders", **headers):
        """A body exactly as given: str or bytes."""
        if isinstance(body, str):
            body = body.encode()
        headers.setdefault("Content-Type", "application/json")
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.request("POST", path, data=body, headers=headers)

    def accept(self, product_name="Laptop", amount=1299.99, key=None):
        """Posts an order that must be accepted; returns its id."""
        response = self.post_order(product_name, amount, key)
        assert response.status_code == 202, response.text
        return response.json()["order_id"]

    def order(self, order_id):
        return self.get(f"/api/orders/{order_id}")

    def look_up(self, order_id):
        """The answer once it is not 503, as it is while the store does not have the order and the cache
        cannot be asked; 50 ms without an answer are enough for that."""
        answers = []

        def told():
            answers.append(self.order(order_id))
            return answers[-1].status_code != 503

        eventually(told, f"it is known whether there is an order {order_id}")
        return answers[-1]

    def read(self, order_id):
        """The answer to an order that was accepted."""
        answer = self.look_up(order_id)
        assert answer.status_code == 200, answer.text
        return answer

    def read_from_cache(self, order_id):
        """The answer once it comes from the cache, which every answer from the store fills."""

        def hit():
            answer = self.read(order_id)
            return answer if answer.headers["X-Cache"] == "HIT" else None

        return eventually(hit, f"order {order_id} is in the cache")

    def search(self, q, **parameters):
        return self.get("/api/search", params={"q": q} | parameters)

    def sales(self, live=False):
        """Date (YYYY-MM-DD) → revenue, with amounts as the text that was sent."""
        response = self.get("/api/dashboard/sales" + "?live=true" * live)
        assert response.status_code == 200, response.text
        days = json.loads(response.text, parse_float=str, parse_int=str)
        return {day["date"][:10]: day["total_revenue"] for day in days}

    def refresh(self, authorization=None, **options):
        if authorization is None:
            authorization = f"Bearer {self.admin_token}"
        headers = {"Authorization": authorization} if authorization else {}
        return self.request("POST", "/api/admin/refresh", headers=headers, **options)

    def refresh_now(self):
        """Until it is done: a scheduler that stands still for 2 s is answered for with 503."""

        def done():
            answer = self.refresh()
            assert answer.status_code in (200, 503), answer.text
            return answer if answer.status_code == 200 else None

        return eventually(done, "the view is refreshed")

    def bulk(self, body, key=None):
        return self.post_raw(json.dumps(body), key, path="/api/bulk-orders")

    def exchange(self, request_bytes, timeout=30):
        """Sends bytes as they are; returns all that comes until the server closes or is silent."""
        address = urlsplit(self.url)
        with socket.create_connection((address.hostname, address.port), timeout) as connection:
            connection.sendall(request_bytes)
            answer = b""
            try:
                while part := connection.recv(65536):
                    answer += part
            except TimeoutError:
                pass
            return answer


def assert_problem(response, status, allowed=()):
    """An RFC 9457 problem with a stable code and nothing internal in it."""
    assert response.status_code in (status, *allowed), f"{response.status_code}: {response.text}"
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["code"]
    assert problem["title"]
    assert re.fullmatch("[0-9a-f]{32}", problem["trace_id"])
    for word in ("psql", "libpq", "hiredis", "amqp://", "postgresql://", "SELECT", "127.0.0.1"):
        assert word not in response.text
    return problem
