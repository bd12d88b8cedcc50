"""A subscriber for tests that only need values: it does not reconnect, and has a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webmqconnect_async.subscriber import Subscriber, Subscription

from .processes import PATIENCE


class Listener:
    def __init__(self, subscriber: Subscriber, events: Subscription) -> None:
        assert subscriber.session_id is not None
        self.session_id = subscriber.session_id
        self._events = events

    async def next(self) -> object:
        """Return the value of the next event."""
        return (await asyncio.wait_for(anext(self._events), PATIENCE)).value


@asynccontextmanager
async def listener(url: str, *topics: str) -> AsyncIterator[Listener]:
    """Connect and subscribe."""
    async with Subscriber(url, reconnect=False) as subscriber, subscriber.subscribe(*topics) as events:
        yield Listener(subscriber, events)
