"""Subscribe for a command, with errors that name the option to change."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .._subscriber import (
    CannotConnect,
    HandshakeRefused,
    KeyRefused,
    KeyRequired,
    NoSuchRealm,
    Subscriber,
    SubscriberError,
    subscriber,
)
from ..signing import Credentials
from .errors import Failure
from .keys import SUBSCRIBER

__all__ = ["subscribed"]


@asynccontextmanager
async def subscribed(
    url: str, *topics: str, credentials: Credentials | None = None, realm: str = "realm1"
) -> AsyncGenerator[Subscriber]:
    """Connect and subscribe like `subscriber`; errors, also those of the block, are raised as `Failure`."""
    try:
        async with subscriber(url, *topics, credentials=credentials, realm=realm) as session:
            yield session
    except SubscriberError as error:
        raise Failure(f"{error}{_advice(error)}") from None


def _advice(error: SubscriberError) -> str:
    match error:
        case CannotConnect():
            return "; does a hub listen there?"
        case HandshakeRefused():
            return "; the WebSocket of a hub is at /ws"
        case KeyRequired():
            return f": give {SUBSCRIBER.key}"
        case KeyRefused():
            return f"; check {SUBSCRIBER.key} and its secret"
        case NoSuchRealm():
            return "; check --realm"
    return ""
