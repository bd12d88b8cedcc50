"""The hub's part of WAMP-CRA, by which subscribers authenticate; `signing.sign_challenge` is the subscriber's part."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime


def is_signature(given: str, expected: str) -> bool:
    """Return whether two signatures are equal, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def timestamp(now: float) -> str:
    """Return a Unix time as the `timestamp` of a challenge has it: ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
