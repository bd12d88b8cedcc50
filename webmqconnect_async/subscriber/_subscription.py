"""A subscription: the events of its topics, in a bounded buffer between the connection and the application."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from types import TracebackType
from typing import NamedTuple, TypeAlias

from ._errors import SubscriberError

OnLost: TypeAlias = Callable[[str, str], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Event:
    """An event that the broker sent."""

    topic: str
    value: object
    """What was pushed, decoded from JSON. Several arguments are `{"args": […], "kwargs": {…}}`."""
    id: int | None = None
    """The ID of the publication. `None`: the broker speaks WAMP v1, which does not have any.

    The IDs of a hub ascend until it restarts. Those of Crossbar.io are random: they can only be compared for equality.
    """


class Lost(NamedTuple):
    """The place among the events where some of a topic are missing."""

    topic: str
    why: str


@dataclass(slots=True)
class Backpressure:
    """Whether reading from the connection has to wait for the application."""

    buffer: int
    full: set[Inbox] = field(default_factory=set)
    """Inboxes that were full, until they are half empty."""
    waiting: int = 0
    """Waits for confirmations. These are behind the events, which are therefore read even beyond `buffer`."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def blocked(self) -> bool:
        """Whether reading has to wait."""
        return bool(self.full) and not self.waiting

    async def wait(self, seconds: float) -> bool:
        """Wait until `blocked` may have changed. Return `False` after so many seconds without a change."""
        self.changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.changed.wait()
        return False


@dataclass(eq=False, slots=True)
class Inbox:
    """The part of a subscription that the connection holds. It does not keep the subscription itself alive."""

    topics: tuple[str, ...]
    backpressure: Backpressure
    unconfirmed: set[str]
    """Topics that the broker has never confirmed to this inbox: it cannot have missed any of their events."""
    items: deque[Event | Lost] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    error: SubscriberError | None = None
    """What has ended it. `None`: unsubscribing."""

    def put(self, item: Event | Lost) -> None:
        """Add an item, even if the buffer is full."""
        self.items.append(item)
        self.changed.set()
        if len(self.items) >= self.backpressure.buffer:
            self.backpressure.full.add(self)

    async def take(self) -> Event | Lost:
        """Wait for the next item.

        Raises:
            StopAsyncIteration: the inbox has ended without an error.
            SubscriberError: the error that has ended it, after the items in the buffer.
        """
        while not self.items:
            if self.ended:
                raise StopAsyncIteration() if self.error is None else self.error._copy()
            self.changed.clear()
            await self.changed.wait()
        item = self.items.popleft()
        if len(self.items) <= self.backpressure.buffer // 2:
            self._make_room()
        return item

    async def ready(self) -> None:
        """Wait until all topics are confirmed; raise the error that has ended the inbox before that."""
        self.backpressure.waiting += 1
        self.backpressure.changed.set()
        try:
            while self.unconfirmed:
                if self.ended:
                    raise (self.error or SubscriberError("the subscription is closed"))._copy()
                self.changed.clear()
                await self.changed.wait()
        finally:
            self.backpressure.waiting -= 1

    def confirm(self, topic: str) -> None:
        """Record that the broker has confirmed a topic."""
        self.unconfirmed.discard(topic)
        self.changed.set()

    def end(self, error: SubscriberError | None) -> None:
        """End with an error, after the events in the buffer; without one at once."""
        if error is None:
            self.items.clear()
        self.ended, self.error = True, error
        self.changed.set()
        self._make_room()

    def _make_room(self) -> None:
        self.backpressure.full.discard(self)
        self.backpressure.changed.set()


class Subscription:
    """The events of some topics, in the order of arrival: `async for event in subscription`.

    `Subscriber.subscribe` returns it. It ends with `unsubscribe`, with the block of an `async with`, or when nothing
    refers to it any longer, such as after a `break` out of `async for event in subscriber.subscribe(topic)`.
    """

    def __init__(self, inbox: Inbox, remove: Callable[[Inbox], None], on_lost: OnLost | None) -> None:
        self._inbox = inbox
        self._on_lost = on_lost
        # The buffer of a subscription that is no longer read would fill up and block all others.
        self._end = weakref.finalize(self, _remove, asyncio.get_running_loop(), remove, inbox)
        self._end.atexit = False

    async def ready(self) -> Subscription:
        """Wait until the broker has confirmed all topics for the first time. Return the subscription.

        Every later event of the topics arrives, or `on_lost` is called. Load your state after this.

        Raises:
            TopicRefused: the broker does not accept a topic. The message says why.
            SubscriberError: the subscription is closed, or the connection has ended and is not restored.
        """
        await self._inbox.ready()
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
            TopicRefused: the broker refused a topic before it was confirmed for the first time.
            SubscriberError: the connection has ended and is not restored.
        """
        while isinstance(item := await self._inbox.take(), Lost):
            if self._on_lost is not None and isawaitable(loading := self._on_lost(*item)):
                try:
                    await loading
                except asyncio.CancelledError:  # such as by a timeout: the loss is reported again
                    self._inbox.items.appendleft(item)
                    raise
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


def _remove(loop: asyncio.AbstractEventLoop, remove: Callable[[Inbox], None], inbox: Inbox) -> None:
    """Remove an inbox: at once, or in its loop if a garbage collection in another thread calls this."""
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        remove(inbox)
    else:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(remove, inbox)
