"""Receive events from a WebMQ hub or Crossbar.io.

async with Subscriber("ws://127.0.0.1:8080/ws") as subscriber:
    async for event in subscriber.subscribe("http://example.com/orders"):
        print(event.topic, event.value)
"""

from ._errors import (
    CannotConnect,
    HandshakeRefused,
    KeyRefused,
    KeyRequired,
    NoSuchRealm,
    SubscriberError,
    TicketRefused,
    TopicRefused,
)
from ._subscriber import Subscriber
from ._subscription import Event, Subscription

__all__ = [
    "CannotConnect",
    "Event",
    "HandshakeRefused",
    "KeyRefused",
    "KeyRequired",
    "NoSuchRealm",
    "Subscriber",
    "SubscriberError",
    "Subscription",
    "TicketRefused",
    "TopicRefused",
]
