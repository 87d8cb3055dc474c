"""An HTTP server before Elasticsearch that answers some items of _bulk with 429, or the whole, and one
poisonous document with 400, as a real cluster may, and hands everything else on."""

import http.server
import json
import threading
import urllib.error
import urllib.request


class BulkFaults:
    def __init__(self, target: str, poison: str):
        self._target = target.rstrip("/")
        self._poison = poison
        self._lock = threading.Lock()
        self._done: set[str] = set()
        self.refuse_some = self.refuse_all = False
        self.refused_items = 0
        self.refused_requests = 0
        self.repeated = 0  # items that had been done before
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if "/_bulk" in self.path:
                    status, answer = outer._bulk(self.path, body)
                else:
                    status, answer = outer._forward(
                        self.command, self.path, body, self.headers.get("Content-Type")
                    )
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_HEAD = _serve

            def log_message(self, *_arguments) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "BulkFaults":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error) -> None:
        self._server.shutdown()

    def _forward(self, method: str, path: str, body: bytes, content_type: str | None) -> tuple[int, bytes]:
        request = urllib.request.Request(self._target + path, data=body or None, method=method)
        if content_type:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _bulk(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Splits the request in what is refused here and what goes on, and puts the answers together again
        in order."""
        if self.refuse_all:
            self.refused_requests += 1
            return (
                429,
                b'{"error":{"type":"circuit_breaking_exception","reason":"made by the test"},"status":429}',
            )
        lines = body.decode().splitlines()
        pairs = list(zip(lines[0::2], lines[1::2], strict=True))
        items: list[dict | None] = []
        forwarded = []
        with self._lock:
            for number, (action, document) in enumerate(pairs):
                order_id = next(iter(json.loads(action).values()))["_id"]
                if order_id in self._done:
                    self.repeated += 1
                if json.loads(document)["product_name"] == self._poison:
                    items.append(self._refusal(order_id, 400, "mapper_parsing_exception"))
                elif self.refuse_some and number % 3 == 0:
                    self.refused_items += 1
                    items.append(self._refusal(order_id, 429, "es_rejected_execution_exception"))
                else:
                    items.append(None)
                    forwarded.append((order_id, action, document))
        if forwarded:
            text = "".join(f"{action}\n{document}\n" for _, action, document in forwarded)
            status, answer = self._forward("POST", path.split("?")[0], text.encode(), "application/x-ndjson")
            if status != 200:
                return status, answer
            answers = iter(json.loads(answer)["items"])
            items = [item if item is not None else next(answers) for item in items]
            with self._lock:
                self._done |= {order_id for order_id, _, _ in forwarded}
        errors = any(next(iter(item.values())).get("error") for item in items if item)
        return 200, json.dumps({"took": 1, "errors": errors, "items": items}).encode()

    @staticmethod
    def _refusal(order_id: str, status: int, kind: str) -> dict:
        return {
            "index": {
                "_index": "orders",
                "_id": order_id,
                "status": status,
                "error": {"type": kind, "reason": "made by the test"},
            }
        }
