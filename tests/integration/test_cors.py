"""Scripts of other origins, through a client that asks as browsers do."""

import json

import requests

SHOP, OTHER = "https://shop.example", "https://evil.example"
ORDER = json.dumps({"product_name": "Laptop", "amount": 12.5})


def allowed(answer):
    return answer.headers.get("Access-Control-Allow-Origin")


def preflight(url, path, method, origin=SHOP):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,prefer,traceparent",
    }
    return requests.options(url + path, headers=headers, timeout=30)


def test_none_by_default(api):
    assert allowed(api.get("/livez", headers={"Origin": SHOP})) is None
    assert preflight(api.url, "/api/orders", "POST").status_code == 405


def test_a_list_of_origins(system, spawn):
    url = spawn(API_CORS_ORIGINS=f"{SHOP}, http://localhost:3000")
    asked = {"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age"}
    for path, method in (("/api/orders", "POST"), ("/api/orders/x", "GET"), ("/api/search", "GET")):
        answer = preflight(url, path, method)
        assert answer.status_code == 204
        assert allowed(answer) == SHOP
        assert answer.headers["Vary"] == "Origin"
        assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
        known = answer.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"authorization", "content-type", "idempotency-key", "prefer", "traceparent"} <= set(known)
        refused = preflight(url, path, method, OTHER)
        assert refused.status_code == 405
        assert not asked & set(refused.headers)

    for origin, expected in ((SHOP, SHOP), ("http://localhost:3000", "http://localhost:3000"), (OTHER, None)):
        headers = {"Origin": origin, "Idempotency-Key": f"cors {origin}"}
        answers = [
            requests.post(url + "/api/orders", data=ORDER, headers=headers, timeout=30),
            requests.post(url + "/api/orders", data="{", headers=headers, timeout=30),
            requests.post(url + "/api/orders", data="x" * 3_000_000, headers=headers, timeout=30),
            requests.get(url + "/nothing", headers=headers, timeout=30),
            requests.delete(url + "/api/orders", headers=headers, timeout=30),
        ]
        assert [answer.status_code for answer in answers] == [202, 400, 413, 404, 405]
        for answer in answers:
            assert allowed(answer) == expected
            assert answer.headers["Vary"] == "Origin"
        system.wait_stored(answers[0].json()["order_id"])


def test_everybody(spawn):
    url = spawn(API_CORS_ORIGINS="*")
    assert allowed(requests.get(url + "/nothing", headers={"Origin": OTHER}, timeout=30)) == "*"
    assert allowed(preflight(url, "/api/bulk-orders", "POST", OTHER)) == "*"
