"""A WAMP subscriber, for the command line, tests and benchmarks: `async with subscriber(url, topic) as session`."""

from .connect import subscriber
from .errors import (
    CannotConnect,
    HandshakeRefused,
    KeyRefused,
    KeyRequired,
    NoSuchRealm,
    SubscriberError,
)
from .session import Event, Subscriber

__all__ = [
    "CannotConnect",
    "Event",
    "HandshakeRefused",
    "KeyRefused",
    "KeyRequired",
    "NoSuchRealm",
    "Subscriber",
    "SubscriberError",
    "subscriber",
]
