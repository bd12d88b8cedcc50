"""The values that go into a client and come out of it. They hold; they decide nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import WebMQError

__all__ = ["Outcome", "Payload", "Push", "Receipt", "SessionIDs", "Stats"]

SessionIDs: TypeAlias = Collection[str | int]
"""WAMP session IDs: a list, tuple or set of text or integers, never a bare string."""


@dataclass(frozen=True, slots=True)
class Push:
    """One event for one topic.

    Args:
        topic: the URI that browsers subscribe to; compared byte for byte.
        event: whatever JSON can say.
        eligible: the only sessions to get the event; None for every subscriber, an empty list for nobody.
        exclude: sessions that do not get it; None or empty for no exception.
        options: what else Crossbar.io's bridge understands: `eligible_authid`, `eligible_authrole`, `exclude_authid`,
            `exclude_authrole` (lists of text; an empty list of the eligible means nobody), `exclude_me` and `retain`
            (booleans), `forward_for` (a list of `{"session", "authid", "authrole"}`). None for none; the WebMQ
            dialect refuses any.
    """

    topic: str
    event: object
    eligible: SessionIDs | None = None
    exclude: SessionIDs | None = None
    options: Mapping[str, object] | None = None


class Payload:
    """An event of several positional and keyword arguments, which WAMP v2 knows and the WebMQ dialect refuses.

    In the Crossbar dialect any other event is the one positional argument. The keywords `options`, `topic` and `self`
    are refused there: the bridge would drop the first, and break over the others.
    """

    __slots__ = ("args", "kwargs")

    def __init__(self, /, *args: object, **kwargs: object) -> None:
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        shown = [repr(value) for value in self.args] + [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"Payload({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Payload):
            return NotImplemented
        return self.args == other.args and self.kwargs == other.kwargs

    __hash__ = None  # type: ignore[assignment]  # its arguments may be lists


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker has accepted the event. It does not say that somebody got it."""

    status: int
    """The HTTP status: 202 from a WebMQ hub, 200 from Crossbar.io."""
    id: int | None = None
    """The publication ID that Crossbar.io gives; a WebMQ hub gives none."""
    attempts: int = 1
    """Requests it took, the accepted one included."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one push of many: either a receipt or an error."""

    index: int
    """Its place in the source, from 0."""
    push: Push | None
    """What was to be pushed; None where the item was neither a `Push` nor a `(topic, event)` pair."""
    receipt: Receipt | None = None
    """What the broker answered; None where it did not accept the push."""
    error: WebMQError | None = None
    """Why it did not, or why nobody knows; its class says whether to push again. None where there is a receipt."""

    @property
    def ok(self) -> bool:
        """Whether the broker accepted it."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of what a client has done since it was made."""

    pushed: int = 0
    """Pushes the broker accepted."""
    failed: int = 0
    """Pushes that ended in an error or were cancelled, but for those refused before they were begun (InvalidPush)."""
    retried: int = 0
    """Attempts beyond a push's first."""
    in_flight: int = 0
    """Pushes that hold a slot now."""
