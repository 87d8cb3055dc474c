"""What the gateway answers, and what orderctl ends with."""

import os
import uuid

TOKEN = "token-of-the-test"
NOW = "2026-11-29T22:55:39Z"
ORDER_ID = str(uuid.UUID(int=7))

GOOD, WRONG, USAGE, NO_INPUT, UNAVAILABLE, NO_OUTPUT = 0, 1, 64, 66, 69, 73
TOO_LATE, NOT_UNDERSTOOD, NOT_ALLOWED, SETTING, INTERRUPTED = 75, 76, 77, 78, 130


def letter(number=12, **changes):
    return {
        "id": number,
        "state": "dead",
        "queue": "order_queue",
        "reason": "malformed",
        "detail": "the name has 0 characters",
        "stage": "persist",
        "attempts": 1,
        "order_id": ORDER_ID,
        "body_bytes": 20,
        "copies": 0,
        "died_at": NOW,
        "archived_at": NOW,
        "trace_id": "ab" * 16,
        "replay_of": None,
        "ended_at": None,
        "ended_by": None,
        "ended_reason": None,
        "replayed_as": None,
        "job": None,
    } | changes


def job(number=7, **changes):
    return {
        "id": number,
        "kind": "replay",
        "state": "running",
        "parameters": {"filter": {"reason": "malformed"}, "per_second": 50},
        "requested_at": NOW,
        "requested_by": "ann",
        "automatic": False,
        "started_at": NOW,
        "finished_at": None,
        "done": 3,
        "total": 10,
        "result": None,
        "error": None,
        "cancel_requested": False,
    } | changes


DONE = {"state": "done", "finished_at": NOW, "done": 10}


def status(**changes):
    return {
        "at": NOW,
        "well": True,
        "summary": "All is well.",
        "services": [
            {
                "name": "persister",
                "url": "http://127.0.0.1:9102",
                "replica": "127.0.0.1:9102",
                "status": "ready",
                "since": NOW,
                "reasons": [],
                "rates": {"stored_per_second": 12.5},
            }
        ],
        "queue": {"name": "order_queue", "messages": 3, "consumers": 1, "dead_messages": 0},
        "in_flight": 17,
        "rates": {"accepted_per_second": 1.5, "stored_per_second": 1, "searchable_per_second": 1},
        "rows_estimated": 1234,
        "documents": 1230,
        "dead_letters": {"dead": 0, "oldest_died_at": None, "by_reason": {}},
        "archive": {"state": "on", "fault": None},
        "outbox": {"orders": 0, "oldest_seconds": None},
        "index": {
            "missing": None,
            "fault": None,
            "documents": 1230,
            "verified_at": NOW,
            "verified_full_at": None,
            "missing_documents": 0,
            "extra_documents": 0,
            "different_documents": 0,
        },
        "last_refresh_at": NOW,
        "jobs": [],
    } | changes


def environment(gateway, **changes):
    own = {"ORDER_API_URL": gateway.url, "ADMIN_TOKEN": TOKEN, "http_proxy": "http://127.0.0.1:1"}
    own |= {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm"}
    return {name: value for name, value in (own | changes).items() if value is not None}
