"""Loaded by schemathesis: see schemathesis.toml."""

import re
import uuid

import schemathesis

KEY = "Idempotency-Key"
VALID = re.compile("[!-~]([ -~]{0,200}[!-~])?")


@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get(KEY)
    if isinstance(key, str) and VALID.fullmatch(key):
        case.headers[KEY] = f"{key}.{uuid.uuid4()}"
