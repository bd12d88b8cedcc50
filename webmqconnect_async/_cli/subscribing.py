"""Subscribe for a command, with errors that name the option to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..subscriber import (
    CannotConnect,
    HandshakeRefused,
    KeyRefused,
    KeyRequired,
    NoSuchRealm,
    SubscriberError,
    TicketRefused,
)
from .errors import Failure
from .keys import SUBSCRIBER


@contextmanager
def subscriber_failures() -> Iterator[None]:
    """Raise the errors of a subscriber as `Failure`."""
    try:
        yield
    except SubscriberError as error:
        raise Failure(f"{error}{_advice(error)}") from None


def _advice(error: SubscriberError) -> str:
    match error:
        case CannotConnect():
            return "; does a hub listen there?"
        case HandshakeRefused():
            return "; the WebSocket of a hub is at /ws"
        case KeyRequired():
            return f": give {SUBSCRIBER.key} or --ticket-file"
        case KeyRefused():
            return f"; check {SUBSCRIBER.key} and its secret"
        case TicketRefused():
            return "; webmqconnect explain --ticket-file shows what is in it"
        case NoSuchRealm():
            return "; check --realm"
    return ""
