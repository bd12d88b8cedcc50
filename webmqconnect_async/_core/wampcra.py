"""WAMP-CRA, the challenge and response by which a subscriber authenticates, in WAMP v1 and v2."""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import UTC, datetime

from ..signing import Credentials

__all__ = ["is_signature", "sign_challenge", "timestamp"]


def sign_challenge(credentials: Credentials, challenge: str) -> str:
    """Return the signature of a challenge: its HMAC-SHA256 in padded base64."""
    digest = hmac.digest(credentials.secret, challenge.encode("utf-8", "surrogatepass"), "sha256")
    return b64encode(digest).decode("ascii")


def is_signature(given: str, expected: str) -> bool:
    """Return whether a signature is the expected one, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def timestamp(now: float) -> str:
    """Return a Unix time in the form that challenges have it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
