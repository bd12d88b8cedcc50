"""What both push formats have in common: the rules, and the verdict on a push, `Accepted` or `Refused`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...signing import Credentials
from .._publication import Publication

MAX_SKEW = 300
"""Seconds that the timestamp of a signed push may differ from the hub's clock, in either direction."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that a hub checks pushes against."""

    keys: Mapping[str, Credentials]
    """Credentials by application key. If there are any, only signed pushes are accepted."""
    max_body: int  # bytes
    max_topic: int  # characters


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
    """Seconds to wait before trying again, sent as `Retry-After`; `None`: the header is not sent."""
    _forged: bool = field(default=False, repr=False, compare=False)
    """Whether the key or the signature is wrong. Such refusals are logged with the peer's address."""
    _remedy: str = field(default="", repr=False, compare=False)
    """An option or advice that would allow the push, for the log; empty if there is none."""
