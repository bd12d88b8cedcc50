"""A subscription: the events of its topics, in a bounded buffer between the connection and the application."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, TypeAlias

from ._errors import SubscriberError
from ._session import Event

__all__ = ["Backlog", "Inbox", "Lost", "OnLost", "Subscription"]

OnLost: TypeAlias = Callable[[str, str], object]


class Lost(NamedTuple):
    """The place between two events where others of the topic are missing."""

    topic: str
    why: str


class Backlog:
    """Whether reading from the connection has to wait for the application.

    It waits while a buffer is full, until the buffer is half empty. It does not wait while the application itself waits
    for a confirmation: that is behind the events.
    """

    def __init__(self, buffer: int) -> None:
        self.buffer = buffer
        self.full: set[Inbox] = set()
        self.waiting = 0
        self.changed = asyncio.Event()

    @property
    def blocked(self) -> bool:
        """Whether reading has to wait."""
        return bool(self.full) and not self.waiting

    async def eased(self) -> None:
        """Wait until `blocked` may have changed."""
        self.changed.clear()
        await self.changed.wait()


class Inbox:
    """The part of a subscription that the connection holds. It does not keep the subscription itself alive."""

    def __init__(self, topics: Iterable[str], backlog: Backlog) -> None:
        self.topics = frozenset(topics)
        self.unconfirmed = {*self.topics}
        self.ready = asyncio.Event()  # also set by the end
        self.error: SubscriberError | None = None
        self.closed = False
        self._items: deque[Event | Lost] = deque()
        self._filled = asyncio.Event()
        self._backlog = backlog

    def put(self, item: Event | Lost) -> None:
        """Add an item, even if the buffer is full."""
        self._items.append(item)
        self._filled.set()
        if len(self._items) >= self._backlog.buffer:
            self._backlog.full.add(self)

    async def take(self) -> Event | Lost | None:
        """Wait for the next item. Return `None` if the subscription is closed; raise the error that has ended it."""
        while not self._items:
            if self.closed:
                return None
            if self.error is not None:
                raise _copy(self.error)
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        if len(self._items) <= self._backlog.buffer // 2:
            self._make_room()
        return item

    async def until_ready(self) -> None:
        """Wait until all topics are confirmed; raise the error that has ended the subscription."""
        self._backlog.waiting += 1
        self._backlog.changed.set()
        try:
            await self.ready.wait()
        finally:
            self._backlog.waiting -= 1
        if self.unconfirmed:
            raise SubscriberError("the subscription is closed") if self.error is None else _copy(self.error)

    def confirm(self, topic: str) -> None:
        """Record that the broker has confirmed a topic."""
        self.unconfirmed.discard(topic)
        if not self.unconfirmed:
            self.ready.set()

    def end(self, error: SubscriberError | None) -> None:
        """End with an error, after the events in the buffer; without one at once."""
        if error is None:
            self.closed = True
            self._items.clear()
            self._make_room()
        self.error = self.error or error
        self._filled.set()
        self.ready.set()

    def _make_room(self) -> None:
        self._backlog.full.discard(self)
        self._backlog.changed.set()


class Subscription:
    """The events of some topics, in the order of arrival: `async for event in subscription`.

    It ends with `aclose`, with the block of an `async with`, or when nothing refers to it any longer. It is returned by
    `Subscriber.subscribe`.
    """

    def __init__(self, inbox: Inbox, release: Callable[[Inbox], None], on_lost: OnLost | None) -> None:
        self._inbox = inbox
        self._on_lost = on_lost
        loop = asyncio.get_running_loop()
        # Without this, the buffer of a subscription that a loop has left by `break` would fill up and stop all others.
        self._abandoned = weakref.finalize(self, _abandon, loop, release, inbox)
        self._abandoned.atexit = False

    async def ready(self) -> Subscription:
        """Wait until the broker has confirmed all topics for the first time. Every later event is going to arrive.

        Returns:
            The subscription.

        Raises:
            TopicRefused: the broker does not accept a topic. The message says why.
            SubscriberError: the subscription has been closed, or the connection has ended and is not restored.
        """
        await self._inbox.until_ready()
        return self

    def unsubscribe(self) -> None:
        """Unsubscribe. Iterating ends, and events in the buffer are discarded."""
        self._abandoned()

    async def aclose(self) -> None:
        """Do the same as `unsubscribe`."""
        self.unsubscribe()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            StopAsyncIteration: the subscription is closed.
            TopicRefused: the broker does not accept a topic (any more), which ends the subscription.
            SubscriberError: the connection has ended and is not restored.
        """
        while True:
            match await self._inbox.take():
                case Event() as event:
                    return event
                case Lost(topic, why):
                    if self._on_lost is not None:
                        self._on_lost(topic, why)
                case None:
                    raise StopAsyncIteration

    async def __aenter__(self) -> Subscription:
        return await self.ready()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unsubscribe()


def _abandon(loop: asyncio.AbstractEventLoop, release: Callable[[Inbox], None], inbox: Inbox) -> None:
    """Release the inbox, at once or, if a garbage collection in another thread calls this, in the loop."""
    with suppress(RuntimeError):  # there is no running loop, or it is closed
        if asyncio.get_running_loop() is loop:
            release(inbox)
            return
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(release, inbox)


def _copy(error: SubscriberError) -> SubscriberError:
    """Return an error without the frames in which it was raised."""
    return type(error)(*error.args)
