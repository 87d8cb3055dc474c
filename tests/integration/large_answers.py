"""An Elasticsearch that finds 10 MB, and clients that ask for that all at once, each in a process of its own:
they must not disturb what is measured in the test's."""

import asyncio
import contextlib
import multiprocessing

ANSWER = b'{"hits":{"hits":["' + b"x" * 10_000_000 + b'"]}}'
PROBED = b'{"indices":["orders"]}'


async def _read_head(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return lines[0], headers


async def _serve(reader, writer, chunked):
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            first, headers = await _read_head(reader)
            await reader.readexactly(int(headers.get("content-length", 0)))
            body = ANSWER if "_search" in first else PROBED
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            if chunked:
                writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body)
                writer.write(b"\r\n0\r\n\r\n")
            else:
                writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    writer.close()


async def _run_server(port, chunked):
    server = await asyncio.start_server(lambda r, w: _serve(r, w, chunked), "127.0.0.1", port)
    await server.serve_forever()


async def _ask(address, pause):
    """Status, Retry-After and length of an answer whose client reads nothing for a while."""
    reader, writer = await asyncio.open_connection(*address, limit=65536)
    writer.write(b"GET /api/search?q=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await asyncio.sleep(pause)
    first, headers = await _read_head(reader)
    length = 0
    while piece := await reader.read(65536):
        length += len(piece)
    writer.close()
    return int(first.split()[1]), headers.get("retry-after"), length


async def _ask_all(address, count, pause):
    return await asyncio.gather(*(_ask(address, pause) for _ in range(count)))


def _attack(address, count, pause, answers):
    answers.put(asyncio.run(_ask_all(address, count, pause)))


class Elasticsearch:
    def __init__(self, port, chunked):
        self.url = f"http://127.0.0.1:{port}"
        self._process = multiprocessing.Process(
            target=lambda: asyncio.run(_run_server(port, chunked)), daemon=True
        )

    def __enter__(self):
        self._process.start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()


@contextlib.contextmanager
def clients(address, count, pause):
    """While the block runs they ask; then the function that it got returns what they were answered."""
    answers = multiprocessing.Queue()
    process = multiprocessing.Process(target=_attack, args=(address, count, pause, answers), daemon=True)
    process.start()
    try:
        yield lambda: None if answers.empty() else answers.get()
    finally:
        process.kill()
        process.join()
