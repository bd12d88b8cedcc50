"""What makes one signed request differ from the next of the same push: its time, sequence number and nonce. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from ._signed_request import SignedRequest

__all__ = ["Stamp", "unix_time"]


class Stamp(NamedTuple):
    """The three, each None where nothing is said of it."""

    at: float | None
    """Unix time in seconds."""
    seq: int | None
    nonce: int | None

    def or_of(self, sent: SignedRequest) -> Stamp:
        """Return it with what is not said taken from a request; what cannot be read there stays unsaid."""
        at, seq, nonce = self
        return Stamp(
            _time(sent) if at is None else at,
            _number(sent, "seq") if seq is None else seq,
            _number(sent, "nonce") if nonce is None else nonce,
        )

    def unsaid(self) -> set[str]:
        """Return the names of the parts of which nothing is said."""
        return {name for name, value in zip(("timestamp", "seq", "nonce"), self, strict=True) if value is None}


def unix_time(text: str) -> float:
    """Return the time that a text says: Unix seconds, or ISO 8601, which is UTC unless it says otherwise.

    Raises:
        ValueError: it says none, or none in the years 1 to 9999.
    """
    try:
        try:
            seconds = float(text)
        except ValueError:
            moment = datetime.fromisoformat(text)
            # Of .123 a float may be a little less, and dialects cut off what is less than they write.
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() + 1e-6
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is neither a Unix time nor one like 2011-10-14T16:59:51Z") from None
    return seconds


def _time(sent: SignedRequest) -> float | None:
    try:
        return unix_time(sent.parts["timestamp"].decode())
    except ValueError:
        return None


def _number(sent: SignedRequest, name: str) -> int | None:
    digits = sent.parts.get(name, b"")
    return int(digits) if digits.isdigit() and len(digits) < 20 else None
