"""The ledger: what the load client asked for and what it was told, one JSON line per event, written
before and after each request.

It lies outside the services and knows nothing of their insides. An order's product name is unique to the
run, so that a stored row or document can be traced to its request even when no answer came.
"""

import dataclasses
import json
import os
import pathlib
import time
from decimal import Decimal

NOT_SENT = "not_sent"  # the connection was refused: no gateway has seen the order


class Writer:
    """Appends events; each line is one write, so that a killed client leaves whole lines."""

    def __init__(self, path: pathlib.Path):
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def asked(self, name: str, amount: str, key: str | None) -> None:
        self._write({"event": "asked", "name": name, "amount": amount, "key": key})

    def answered(
        self, name: str, status: int | None, order_id: str | None, code: str | None, seconds: float
    ) -> None:
        """`status` None: no answer came (`code` says how the connection failed)."""
        event = {"event": "answered", "name": name, "status": status, "id": order_id, "code": code}
        self._write(event | {"seconds": round(seconds, 4)})

    def _write(self, event: dict) -> None:
        event["at"] = time.time()
        os.write(self._fd, (json.dumps(event) + "\n").encode())


@dataclasses.dataclass
class Entry:
    """One order of the ledger, all its attempts together."""

    name: str
    amount: Decimal
    key: str | None
    order_id: str | None = None
    asked_at: float = 0.0  # of the last attempt
    attempts: int = 0
    refusals: int = 0
    accepted_at: float | None = None

    @property
    def accepted(self) -> bool:
        return self.order_id is not None

    @property
    def refused(self) -> bool:
        """Every attempt was answered, and each with a definite no."""
        return not self.accepted and self.refusals == self.attempts

    @property
    def unknown(self) -> bool:
        return not self.accepted and not self.refused


def is_definite_refusal(status: int | None, code: str | None) -> bool:
    """4xx and 503 say that nothing was kept, but for the one code that says nobody knows. The page of a proxy
    that has lost the gateway has no code: nobody knows."""
    if status is None:
        return code == NOT_SENT
    return code is not None and status != 202 and status < 504 and code != "outcome_unknown"


@dataclasses.dataclass
class Answer:
    at: float
    status: int | None
    code: str | None
    seconds: float


class Ledger:
    """A ledger read back. It may still be growing: read_on() reads what has come since."""

    def __init__(self, path: pathlib.Path):
        self.entries: dict[str, Entry] = {}
        self.answers: list[Answer] = []
        self.contradictions: list[str] = []
        self._accepted: list[Entry] = []
        self._path = path
        self._offset = 0
        self.read_on()

    def read_on(self) -> None:
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._offset += len(whole) + 1
            for line in whole.split(b"\n"):
                self._apply(json.loads(line))

    def _apply(self, event: dict) -> None:
        name = event["name"]
        if event["event"] == "asked":
            entry = self.entries.setdefault(name, Entry(name, Decimal(event["amount"]), event["key"]))
            entry.attempts += 1
            entry.asked_at = event["at"]
            return
        entry = self.entries[name]
        self.answers.append(Answer(event["at"], event["status"], event["code"], event["seconds"]))
        if event["status"] == 202:
            if entry.order_id not in (None, event["id"]):
                self.contradictions.append(
                    f"{name}: key {entry.key} named {entry.order_id}, then {event['id']}"
                )
            if entry.order_id is None:
                entry.order_id, entry.accepted_at = event["id"], event["at"]
                self._accepted.append(entry)
        elif is_definite_refusal(event["status"], event["code"]):
            entry.refusals += 1

    @property
    def accepted(self) -> list[Entry]:
        """In the order in which they were."""
        return list(self._accepted)

    @property
    def accepted_count(self) -> int:
        return len(self._accepted)

    @property
    def unknown(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.unknown]

    @property
    def refused(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.refused]
