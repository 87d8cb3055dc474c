"""A gateway that answers what a test tells it to, for tests of orderctl that need no servers."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def json(self):
        return json.loads(self.body)


def problem(status, code, title="No", **more):
    return status, {"type": "about:blank", "title": title, "status": status, "code": code, **more}, {}


class StubGateway:
    """`routes`: (method, path without its query) → (status, JSON or text, headers), or a function of the
    request that returns that."""

    def __init__(self):
        self.routes = {}
        self.requests = []
        self._lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(handler):
                length = int(handler.headers.get("Content-Length", 0))
                body = handler.rfile.read(length).decode()
                request = Request(handler.command, handler.path, handler.headers, body)
                with self._lock:
                    self.requests.append(request)
                    answer = self.routes.get((handler.command, handler.path.split("?")[0]))
                    if answer is None:
                        answer = problem(404, "not_found", "There is nothing here")
                    elif callable(answer):
                        answer = answer(request)
                if answer is None:  # no answer at all
                    handler.close_connection = True
                    return
                status, content, headers = answer
                data = (content if isinstance(content, str) else json.dumps(content)).encode()
                with contextlib.suppress(ConnectionError):
                    handler.send_response(status)
                    for name, value in headers.items():
                        handler.send_header(name, value)
                    handler.send_header("Content-Length", str(len(data)))
                    handler.end_headers()
                    handler.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
