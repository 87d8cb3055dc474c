"""Looks at the processes from outside while a scenario runs: their largest memory, and what the bridges
say was redelivered to them."""

import contextlib
import re
import threading

import requests


class Observer:
    PERIOD_SECONDS = 0.5

    def __init__(self, services):
        self._services = services  # a System of ./dev
        self._redelivered: dict[int, int] = {}  # by process: the last value seen
        self._before = 0
        self._peak_kib: dict[str, int] = {}
        self._look()
        self._before = sum(self._redelivered.values())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> dict[str, int]:
        """Ends watching; returns the largest RSS of each service in KiB."""
        self._stop.set()
        self._thread.join()
        return self._peak_kib

    def peak_kib(self, service: str) -> int:
        """Its largest RSS until now; 0 when it was not seen."""
        return self._peak_kib.get(service, 0)

    def redelivered(self) -> int:
        """At least so many: what a bridge counted just before it was killed is not seen."""
        return sum(self._redelivered.values()) - self._before

    def _run(self) -> None:
        while not self._stop.wait(self.PERIOD_SECONDS):
            with contextlib.suppress(OSError):  # the supervisor is too busy: next time
                self._look()

    def _look(self) -> None:
        for name, program in self._services.supervisor.programs().items():
            if not program.pid:
                continue
            service = name.rpartition("-")[0]
            with contextlib.suppress(OSError, TypeError), open(f"/proc/{program.pid}/status") as status:
                kib = int(re.search(r"^VmHWM:\s+(\d+)", status.read(), re.MULTILINE)[1])
                self._peak_kib[service] = max(kib, self._peak_kib.get(service, 0))
            if service == "bridge":
                with contextlib.suppress(requests.RequestException, TypeError, KeyError, IndexError):
                    metrics = self._services.metrics(name)
                    match = re.search(r"^bridge_redelivered_total (\d+)", metrics, re.MULTILINE)
                    self._redelivered[program.pid] = int(match[1])
