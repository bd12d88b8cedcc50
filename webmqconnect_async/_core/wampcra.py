"""What the hub needs for WAMP-CRA, by which subscribers authenticate: `signing.sign_challenge` signs."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime


def is_signature(given: str, expected: str) -> bool:
    """Return whether a signature is the expected one, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def timestamp(now: float) -> str:
    """Return a Unix time in the form that challenges have it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
