"""Challenge and response (WAMP-CRA), the same in WAMP v1 and v2. Pure; knows no message of either."""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import UTC, datetime

from ..signing import Credentials

__all__ = ["answers", "expected_answer", "timestamp"]


def expected_answer(credentials: Credentials, challenge: str) -> str:
    """Return what answers a challenge: base64, padded, of its HMAC-SHA256."""
    return b64encode(hmac.digest(credentials.secret, challenge.encode("utf-8", "surrogatepass"), "sha256")).decode(
        "ascii"
    )


def answers(given: str, expected: str) -> bool:
    """Tell whether an answer is the expected one, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def timestamp(now: float) -> str:
    """Return a Unix time as challenges give it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
