"""A scheduler that archives the dead letters of other queues, beside that of the system."""

import signal
import subprocess
from contextlib import contextmanager, suppress

import requests

from system import LOOPBACK_HOST, binary, free_port
from wait import eventually


class Archiver:
    def __init__(self, system, queues, **changes):
        self.url = f"http://{LOOPBACK_HOST}:{free_port()}"
        own = {
            "ORDER_QUEUES": queues.name,
            "ADMIN_PORT": self.url.rpartition(":")[2],
            "MV_REFRESH_SCHEDULE": "@yearly",
        }
        self.environment = system.environment("scheduler-1") | own | changes
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [binary("scheduler")], env=self.environment, stderr=subprocess.DEVNULL
        )

    def stop(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        return self.process.wait(30)

    def fault(self):
        """Why letters stay in the queue; "" when they do not, None while it is not there."""
        with suppress(requests.ConnectionError, KeyError):
            for check in requests.get(self.url + "/readyz", timeout=30).json()["dependencies"]:
                if check["name"] == "dead_letter_archive":
                    return check.get("reason", "")
        return None

    def says(self, words):
        eventually(lambda: words in (self.fault() or ""), f"it says: {words}")


@contextmanager
def archiver(system, queues, **changes):
    running = Archiver(system, queues, **changes)
    try:
        eventually(lambda: running.fault() not in (None, "starting"), "the archive stands somehow")
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
