"""A subscription: the events of its topics, in a bounded buffer between the connection and the application."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, TypeAlias

from ._errors import SubscriberError
from ._session import Event

__all__ = ["Backlog", "Inbox", "Lost", "OnLost", "Subscription"]

OnLost: TypeAlias = Callable[[str, str], object]


class Lost(NamedTuple):
    """The place among the events where some of a topic are missing."""

    topic: str
    why: str


@dataclass(slots=True)
class Backlog:
    """Whether reading from the connection has to wait for the application."""

    buffer: int
    full: set[Inbox] = field(default_factory=set)
    """Buffers that were full, until they are half empty."""
    waiting: int = 0
    """Waits for confirmations. These are behind the events, which are therefore read even beyond `buffer`."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def blocked(self) -> bool:
        """Whether reading has to wait."""
        return bool(self.full) and not self.waiting

    async def eased(self) -> None:
        """Wait until `blocked` may have changed."""
        self.changed.clear()
        await self.changed.wait()

    def discard(self, inbox: Inbox) -> None:
        """Record that a buffer has room."""
        self.full.discard(inbox)
        self.changed.set()


@dataclass(eq=False, slots=True)
class Inbox:
    """The part of a subscription that the connection holds. It does not keep the subscription itself alive."""

    topics: frozenset[str]
    backlog: Backlog
    unconfirmed: set[str]
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether all topics are confirmed, or the subscription has ended."""
    error: SubscriberError | None = None
    closed: bool = False
    items: deque[Event | Lost] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, item: Event | Lost) -> None:
        """Add an item, even if the buffer is full."""
        self.items.append(item)
        self.filled.set()
        if len(self.items) >= self.backlog.buffer:
            self.backlog.full.add(self)

    async def take(self) -> Event | Lost | None:
        """Wait for the next item. Return `None` if the subscription is closed; raise the error that has ended it."""
        while not self.items:
            if self.closed:
                return None
            if self.error is not None:
                raise self.error._copy()
            self.filled.clear()
            await self.filled.wait()
        item = self.items.popleft()
        if len(self.items) <= self.backlog.buffer // 2:
            self.backlog.discard(self)
        return item

    async def until_ready(self) -> None:
        """Wait until all topics are confirmed; raise the error that has ended the subscription."""
        self.backlog.waiting += 1
        self.backlog.changed.set()
        try:
            await self.ready.wait()
        finally:
            self.backlog.waiting -= 1
        if self.unconfirmed:
            raise (self.error or SubscriberError("the subscription is closed"))._copy()

    def confirm(self, topic: str) -> None:
        """Record that the broker has confirmed a topic."""
        self.unconfirmed.discard(topic)
        if not self.unconfirmed:
            self.ready.set()

    def end(self, error: SubscriberError | None) -> None:
        """End with an error, after the events in the buffer; without one at once."""
        if error is None:
            self.closed = True
            self.items.clear()
        self.backlog.discard(self)
        self.error = self.error or error
        self.filled.set()
        self.ready.set()


class Subscription:
    """The events of some topics, in the order of arrival: `async for event in subscription`.

    `Subscriber.subscribe` returns it. It ends with `unsubscribe`, with the block of an `async with`, or when nothing
    refers to it any longer, such as after a `break` out of `async for event in subscriber.subscribe(topic)`.
    """

    def __init__(self, inbox: Inbox, release: Callable[[Inbox], None], on_lost: OnLost | None) -> None:
        self._inbox = inbox
        self._on_lost = on_lost
        # The buffer of a subscription that nobody reads any more would fill up and block all others.
        self._end = weakref.finalize(self, _release, asyncio.get_running_loop(), release, inbox)
        self._end.atexit = False

    async def ready(self) -> Subscription:
        """Wait until the broker has confirmed all topics for the first time. Return the subscription.

        Raises:
            TopicRefused: the broker does not accept a topic. The message says why.
            SubscriberError: the subscription is closed, or the connection has ended and is not restored.
        """
        await self._inbox.until_ready()
        return self

    def unsubscribe(self) -> None:
        """Unsubscribe. Iterating ends, and events in the buffer are discarded."""
        self._end()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            StopAsyncIteration: the subscription is closed.
            TopicRefused: the broker does not accept a topic (any more), which ends the subscription.
            SubscriberError: the connection has ended and is not restored.
        """
        while isinstance(item := await self._inbox.take(), Lost):
            if self._on_lost is not None:
                self._on_lost(*item)
        if item is None:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Subscription:
        try:
            return await self.ready()
        except BaseException:
            self._end()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()


def _release(loop: asyncio.AbstractEventLoop, release: Callable[[Inbox], None], inbox: Inbox) -> None:
    """Release an inbox: at once, or in its loop if a garbage collection in another thread calls this."""
    with suppress(RuntimeError):  # there is no running loop, or it is closed
        if asyncio.get_running_loop() is loop:
            return release(inbox)
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(release, inbox)
    return None
