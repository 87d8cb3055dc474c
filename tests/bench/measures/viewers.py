"""People who look at the console."""

import http.client
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from processes import cpu_seconds
from samples import Sample

VIEWERS = 20


def viewers(bench) -> Iterator[Sample]:
    """CPU of the gateway while nobody looks at the console, in turn with 20 who each ask once a second."""
    seconds = bench.size(20, quick=5)
    side = bench.ours
    side.start()
    look(bench, VIEWERS, 2)  # caches and connections are as later
    for _ in bench.rounds():
        before = gateway_percent(bench, 0, seconds)
        yield Sample("gateway of viewers", "none looks", before, "% of a core")
        percent = gateway_percent(bench, VIEWERS, seconds)
        note = f"{VIEWERS} look: {percent - before:+.2f} % of a core"
        yield Sample("gateway of viewers", side.name, percent, "% of a core", note=note)
    side.stop()


def gateway_percent(bench, count: int, seconds: float) -> float:
    gateway = bench.ours.pids()["gateway"]
    used, started = cpu_seconds(gateway), time.monotonic()
    look(bench, count, seconds)
    bench.ours.check()
    return (cpu_seconds(gateway) - used) / (time.monotonic() - started) * 100


def look(bench, count: int, seconds: float) -> None:
    """So many viewers for so long, as the page does: a connection each, which is kept; one after the other
    in each second."""
    address = urlsplit(bench.ours.url)
    headers = {
        "Authorization": f"Bearer {bench.servers.env['ADMIN_READ_TOKEN']}",
        "Accept": "application/json",
    }
    connections = [
        http.client.HTTPConnection(address.hostname, address.port, timeout=10) for _ in range(count)
    ]
    started = time.monotonic()
    for turn in range(round(seconds * count)):
        time.sleep(max(0, started + turn / count - time.monotonic()))
        connection = connections[turn % count]
        connection.request("GET", "/api/admin/status", headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"answered {answer.status}: {text[:200]!r}")
    time.sleep(max(0, started + seconds - time.monotonic()))
    for connection in connections:
        connection.close()
