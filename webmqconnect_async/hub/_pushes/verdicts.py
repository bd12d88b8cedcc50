"""The verdict on a push: accepted or refused. Both push formats return it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from .._publication import Publication

__all__ = ["MAX_SKEW", "Accepted", "Refused", "Verdict"]

MAX_SKEW = 300
"""Seconds that the timestamp of a signed push may differ from the hub's clock, in either direction."""


@dataclass(slots=True)
class Accepted(Publication):
    """A push to deliver."""

    key: str | None = None
    """The application key that signed it; `None` if it is unsigned."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal of a push, and the response to it."""

    status: int
    """The HTTP status."""
    reason: str
    """The text of the response."""
    retry_after: int | None = None
    """Seconds to wait before trying again, sent as `Retry-After`; `None` sends none."""
    forged: bool = field(default=False, compare=False)
    """Whether the key or the signature is wrong. Such refusals are logged with the peer's address."""


Verdict: TypeAlias = Accepted | Refused
