"""A subscription: the events of its topics, in a bounded buffer between the connection and the application."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import NamedTuple, TypeAlias

from ._errors import SubscriberError

OnLost: TypeAlias = Callable[[str, str], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Event:
    """An event that the broker sent."""

    topic: str
    value: object
    """The pushed value, decoded from JSON. A `Payload` of several arguments is `{"args": […], "kwargs": {…}}`."""
    id: int | None = None
    """The ID of the publication. `None` with WAMP v1, which has no IDs.

    The IDs of a hub ascend until it restarts. Those of Crossbar.io are random and can only be compared for equality.
    """


class Lost(NamedTuple):
    """Marks where events of a topic are missing, in the sequence of events."""

    topic: str
    why: str


@dataclass(slots=True)
class Backpressure:
    """Whether reading from the connection has to wait for the application."""

    buffer: int
    full: set[Inbox] = field(default_factory=set)
    """Inboxes that were full and are not half empty yet."""
    waiting: int = 0
    """Number of calls that wait for confirmations. Events that arrive before these are read even beyond `buffer`."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def blocked(self) -> bool:
        """Whether reading has to wait."""
        return bool(self.full) and not self.waiting

    async def wait(self, seconds: float) -> bool:
        """Wait until `blocked` may have changed; return `False` if it has not within `seconds`."""
        self.changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.changed.wait()
        return False


@dataclass(eq=False, slots=True)
class Inbox:
    """The part of a subscription that the connection refers to, so that it does not keep the subscription alive."""

    topics: tuple[str, ...]
    backpressure: Backpressure
    unconfirmed: set[str]
    """Topics that the broker has not confirmed since this inbox exists, so that it has missed none of their events."""
    items: deque[Event | Lost] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    error: SubscriberError | None = None
    """The error that has ended it. `None`: it was unsubscribed."""

    def put(self, item: Event | Lost) -> None:
        """Add an item, even if the buffer is full."""
        self.items.append(item)
        self.changed.set()
        if len(self.items) >= self.backpressure.buffer:
            self.backpressure.full.add(self)

    async def take(self) -> Event | Lost:
        """Wait for the next item. After the last one of an ended inbox, raise its error or `StopAsyncIteration`."""
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
        """Wait until all topics are confirmed; raise `SubscriberError` if the inbox ends before that."""
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
        """End with an error, after the events in the buffer. `None`: discard these, and end without an error."""
        if error is None:
            self.items.clear()
        self.ended, self.error = True, error
        self.changed.set()
        self._make_room()

    def _make_room(self) -> None:
        self.backpressure.full.discard(self)
        self.backpressure.changed.set()


class Subscription:
    """The events of some topics, in order of arrival: `async for event in subscription`.

    `Subscriber.subscribe` returns it. It ends with `unsubscribe`, at the end of an `async with` block, or when nothing
    refers to it any more, for example after a `break` in `async for event in subscriber.subscribe(topic)`.
    """

    def __init__(self, inbox: Inbox, remove: Callable[[Inbox], None], on_lost: OnLost | None) -> None:
        self._inbox = inbox
        self._on_lost = on_lost
        # Otherwise the buffer of a subscription that nobody reads would fill up and block all others.
        self._end = weakref.finalize(self, _remove, asyncio.get_running_loop(), remove, inbox)
        self._end.atexit = False

    async def ready(self) -> Subscription:
        """Wait until the broker has confirmed all topics for the first time. Return the subscription.

        After this, every event of the topics arrives, or `on_lost` is called. So load your application's state now.

        Raises:
            TopicRefused: the broker does not accept a topic; the message says why.
            SubscriberError: the subscription is closed, or the connection has ended and the subscriber does not
                reconnect.
        """
        await self._inbox.ready()
        return self

    def unsubscribe(self) -> None:
        """Unsubscribe. Iterations end, and events in the buffer are discarded."""
        self._end()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            StopAsyncIteration: the subscription is closed.
            TopicRefused: the broker refused a topic before it was confirmed for the first time.
            SubscriberError: the connection has ended, and the subscriber does not reconnect.
        """
        while isinstance(item := await self._inbox.take(), Lost):
            if self._on_lost is not None and isawaitable(loading := self._on_lost(*item)):
                try:
                    await loading
                except asyncio.CancelledError:  # for example by a timeout: report the loss again later
                    self._inbox.items.appendleft(item)
                    raise
        return item

    async def __aenter__(self) -> Subscription:
        try:
            return await self.ready()
        except BaseException:
            self._end()
            raise

    async def __aexit__(self, *_exc: object) -> None:
        self._end()


def _remove(loop: asyncio.AbstractEventLoop, remove: Callable[[Inbox], None], inbox: Inbox) -> None:
    """Remove an inbox: at once, or by its loop if garbage collection in another thread has called this."""
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        remove(inbox)
    else:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(remove, inbox)
