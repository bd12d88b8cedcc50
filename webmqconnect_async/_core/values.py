"""The values that clients accept and return."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from ..errors import WebMQError

SessionIDs: TypeAlias = Collection[str | int]
"""WAMP session IDs: a list, tuple or set of strings or integers, not a single string."""


@dataclass(frozen=True, slots=True)
class Push:
    """One event for one topic.

    Args:
        topic: The URI that browsers subscribe to; compared byte for byte.
        event: Any JSON-serializable value. It may also contain an aware `datetime`, a `date` or `time`, a `UUID`, a
            `Decimal` or an `Enum`. `to_json` encodes more types.
        eligible: The only sessions to receive it. `None`: all subscribers. Empty: none.
        exclude: Sessions that do not receive it. `None` or empty: no exceptions.
        options: Further options of Crossbar.io's HTTP bridge: `eligible_authid`, `eligible_authrole`,
            `exclude_authid`, `exclude_authrole` (lists of strings; an empty list of the eligible means nobody),
            `exclude_me` and `retain` (booleans), `forward_for` (a list of `{"session", "authid", "authrole"}`).
            `None`: none. The WebMQ dialect has no options.
        idempotency_key: Identifies the event, so that it can be pushed again safely: the hub of this package delivers
            the first push with a key, and remembers the key for 300 s. 1 to 255 visible ASCII characters other than the
            double quote and the backslash, such as a UUID. A hub of 2012 and Crossbar.io ignore it. `None`: none.
    """

    topic: str
    event: object
    eligible: SessionIDs | None = None
    exclude: SessionIDs | None = None
    options: Mapping[str, object] | None = None
    idempotency_key: str | None = None


class Payload:
    """An event of several positional and keyword arguments, for subscribers of WAMP v2. The WebMQ dialect refuses it.

    In the Crossbar dialect, any other event becomes the only positional argument. The keywords `options`, `topic` and
    `self` are refused: Crossbar.io drops the first, and responds to the others with a server error.
    """

    __slots__ = ("args", "kwargs")

    def __init__(self, /, *args: object, **kwargs: object) -> None:
        self.args: tuple[object, ...] = args
        self.kwargs: dict[str, object] = kwargs

    def __repr__(self) -> str:
        shown = [repr(value) for value in self.args] + [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"Payload({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Payload):
            return NotImplemented
        return self.args == other.args and self.kwargs == other.kwargs

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # its arguments may be lists


@dataclass(slots=True)
class JSONText:
    """An event that is already JSON. It is pushed byte for byte, so that 1.10 stays 1.10. Not public."""

    encoded: bytes
    """Strict JSON, checked by the command line."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker has accepted the event. It does not say whether anybody received it."""

    status: int
    """The HTTP status: 202 from a WebMQ hub, 200 from Crossbar.io."""
    id: int | None = None
    """The ID of the publication, which WAMP v2 subscribers receive with the event. `None` from a WebMQ hub of 2012."""
    attempts: int = 1
    """Number of requests, including the accepted one."""
    repeated: bool = False
    """The broker had accepted this push before, under the same idempotency key."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of a push that the broker accepted."""

    index: int
    """The position of its item in the source, from 0."""
    push: Push
    receipt: Receipt
    error: ClassVar[None] = None
    ok: ClassVar[Literal[True]] = True


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of a push that the broker did not accept, or may not have accepted."""

    index: int
    """The position of its item in the source, from 0. For an event of `push_soon`: the number of earlier calls."""
    push: Push | None
    """`None` if the item was neither a `Push` nor a `(topic, event)` pair."""
    error: WebMQError
    """Its class says whether pushing again can create a duplicate."""
    receipt: ClassVar[None] = None
    ok: ClassVar[Literal[False]] = False


Outcome: TypeAlias = Sent | Failed
"""The outcome of one push of many. `ok`, `error is None` and `match` tell the two classes apart."""


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of a client's counts since it was created."""

    pushed: int = 0
    """Pushes that the broker accepted."""
    failed: int = 0
    """Pushes that raised an error or were cancelled.

    Those that could not be encoded do not count: `InvalidPush`, or a `TooLarge` with a status of 0.
    """
    retried: int = 0
    """Attempts beyond the first of each push."""
    in_flight: int = 0
    """Pushes that hold a slot now, including those of `push_soon`."""
    waiting: int = 0
    """Events of `push_soon` without an outcome, including those in flight."""
    dropped: int = 0
    """Events for which `push_soon` returned False, because there was no room."""
    background_failed: int = 0
    """Events of `push_soon` that failed. They do not count in `failed`."""
