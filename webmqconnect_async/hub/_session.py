"""The session of one subscriber, independent of the WAMP version: its subscriptions and its send queue. No sockets."""

from __future__ import annotations

import asyncio
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias, cast

from .._core.escape import visible
from . import _remedies as remedies
from ._application import Application
from ._engine.engine import Published
from ._frames import text_frame
from ._observer import Drop, Refusal, RefusedPart
from ._publication import Publication
from ._rights import Identity, Refused

if TYPE_CHECKING:
    from .._core.tickets import Ticket
    from ._broker import Broker

_PER_FRAME = 8  # bytes of the queue per frame, in addition to the frame
_PER_STRING = 60  # bytes of a string in addition to its characters
_HIGH_WATER = 1 << 16  # bytes in the send queue above which the subscriber's further messages are not processed

# Sends a reply. The caller waits before it calls this, to slow down guessing.
DelayedReply: TypeAlias = Callable[[], None]


class Pending(NamedTuple):
    """A message whose processing waits for the application or the engine. Further messages wait for it.

    Call `then` with the result, unless the session has ended. If it returns a `Pending`, processing waits again.
    """

    result: Awaitable[object]
    then: Callable[[object], Pending | None]


class NotSubscribed(Exception):
    """A subscription is refused, or exceeds a limit of the hub. The message says why."""


class Session(ABC):
    """One subscriber. Its ID has 16 digits.

    `drop` closes its connection immediately. It is called once, when the subscriber exceeds `max_queue` or floods the
    hub. `peer` is the subscriber's address, for the log.
    """

    subprotocol: ClassVar[str]  # the name of the WebSocket subprotocol

    def __init__(self, session_id: str, broker: Broker, drop: Callable[[], None], peer: str = "?") -> None:
        self.id = session_id
        self.peer = peer
        self.opened = time.monotonic()
        self.admitted = False  # whether it has joined, anonymously or authenticated, as the hub requires
        self.authid = session_id  # once it has authenticated: its key, or the subject of its ticket
        self.authrole = "anonymous"
        self.ticket: Ticket | None = None
        self.subscribed: set[str] = set()  # topics; `Broker` updates it
        self.published = 0  # the number of events that it has published
        self.ending: tuple[int, str] | None = None  # code and reason of the close frame that follows the queue
        self.queued = 0  # the size of the send queue in bytes
        self._config = config = broker.config
        self._broker = broker
        self._queue: deque[bytes] = deque()
        self._max_queue = config.max_queue
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()  # set unless the queue is above the high-water mark
        self._drained.set()
        self._reserved = 0  # bytes of all topics and prefixes
        hook = config.may_subscribe
        self._application = None if hook is None else Application(hook, broker.failed)
        self._drop = drop
        self._closed = False  # whether frames are no longer queued

    @abstractmethod
    def receive(self, text: str) -> DelayedReply | Pending | None:
        """Process a message from the subscriber. Return what is left to do, or `None` if it is processed."""

    @classmethod
    @abstractmethod
    def event(cls, publication: Publication, subscription: int, publication_id: int) -> str:
        """Return the message that delivers an event in this protocol."""

    def admit(self, authid: str | None = None, ticket: Ticket | None = None) -> None:
        """Admit the subscriber, and notify the observers. Without an `authid`, it is anonymous."""
        self.admitted = True
        if authid is not None:
            self.authid, self.authrole, self.ticket = authid, "subscriber", ticket
        for observer in self._broker.observers:
            observer.joined(self)

    def when_readable(self, topic: str, then: Callable[[str], None]) -> Pending | None:
        """Call `then` with the reason why the subscriber may not read a topic; empty if it may.

        It is called before this returns, or after the application has decided. The observers are notified of a refusal.
        """
        config, rights, application = self._config, self._config._rights, self._application

        def by_rules() -> Refused | None:
            return rights.reading(topic, self.authrole, self.ticket, config.clock)

        def settle(allowed: object) -> None:
            refused = by_rules()  # again: the ticket may have expired while the application decided
            if refused is None and not allowed:
                refused = Refused("the application refuses it")
            then("" if refused is None else self._refuse_topic("subscription", topic, refused))

        if application is None or rights.is_public(topic) or by_rules() is not None:
            settle(True)
            return None
        try:
            self._broker.check(self, topic)
        except NotSubscribed as reason:
            then(str(reason))
            return None
        claims = None if self.ticket is None else self.ticket.claims
        allowed = application.ask(Identity(self.authid, self.authrole, self.id, self.peer, claims), topic)
        if isinstance(allowed, bool):
            settle(allowed)
            return None
        return Pending(allowed, settle)

    def why_not_publish(self, topic: str) -> str:
        """Return why the subscriber may not publish to a topic, and notify the observers; empty if it may."""
        config = self._config
        if not config.allow_publish:
            reason = "subscribers of this hub may not publish"
            self.refuse("publication", reason, remedies.ALLOW_PUBLISH)
            return reason
        refused = config._rights.publishing(topic, self.authrole, self.ticket, config.clock)
        return "" if refused is None else self._refuse_topic("publication", topic, refused)

    def _refuse_topic(self, what: RefusedPart, topic: str, refused: Refused) -> str:
        self.refuse(what, f"topic '{visible(topic, 100)}': {refused.reason}", refused.remedy)
        return refused.reason

    def refuse(self, what: RefusedPart, reason: str, remedy: str = "", *, forged: bool = False) -> None:
        """Notify the observers that something is refused. `Refusal` explains the arguments."""
        self._broker.refused(Refusal(what, reason, remedy, self.peer, None, forged, self.id))

    def leave(self, reason: str, message: str = "") -> None:  # noqa: B027  # WAMP v1 has no such message
        """Queue the message by which the hub ends the session, if the protocol has one. The reason is a URI."""

    def send_text(self, message: str) -> None:
        self.send(text_frame(message))

    def end(self, code: int, reason: str = "") -> None:
        """Close the connection after the frames in the queue have been sent. Nothing is queued after them."""
        self._closed = True
        self.ending = code, reason
        self._filled.set()

    def send(self, frame: bytes) -> None:
        """Queue a frame, or drop the subscriber if its queue is full. A single frame always fits."""
        if self._closed:
            return
        # The size of the object, because small frames take more memory: a million frames of 20 bytes take 60 MB.
        queued = self.queued + sys.getsizeof(frame) + _PER_FRAME
        if self._queue and queued > self._max_queue:
            self.drop("slow", f"it reads too slowly, {self.queued} bytes are queued")
            return
        self._queue.append(frame)
        self.queued = queued
        self._filled.set()
        if queued > _HIGH_WATER:
            self._drained.clear()

    def fitting(self, frames: Iterable[bytes]) -> list[bytes] | None:
        """Return the frames if the send queue has room for all of them; otherwise `None`, without making the rest."""
        room = self._max_queue - self.queued
        fitting = []
        for frame in frames:
            room -= sys.getsizeof(frame) + _PER_FRAME
            if room < 0:
                return None
            fitting.append(frame)
        return fitting

    def drop(self, why: Drop, details: str) -> None:
        """Close the connection immediately, and notify the observers."""
        self.abandon()
        for observer in self._broker.observers:
            observer.dropped(self, why, details)
        self._drop()

    def publish(self, publication: Publication, then: Callable[[Published], None]) -> Pending | None:
        """Publish an event of the subscriber. `then` is called with the outcome."""
        self.published += 1
        published = self._broker.engine.publish(publication)
        if not isinstance(published, asyncio.Future):
            then(published)
            return None
        return Pending(published, lambda result: then(cast(Published, result)))

    def abandon(self) -> None:
        """Discard the queue, and queue nothing further, because the connection is lost."""
        self._closed = True
        self._queue.clear()
        self.queued = 0
        self._drained.set()

    async def drained(self) -> None:
        """Wait until the send queue has drained enough to process another message (backpressure).

        A subscriber that sends requests without reading the replies would otherwise fill its queue up to `max_queue`.
        (Events cost less memory than their size, because all queues share their frames.)
        """
        await self._drained.wait()

    def has_room(self, *names: str) -> bool:
        """Return whether the subscriber may reserve memory for more topics or prefixes."""
        config = self._config
        # With room for one topic of the maximum length, so that a first one is never refused.
        most = 256 * config.max_subscriptions + 4 * config.max_topic
        return self._reserved + sum(map(_size, names)) <= most

    def reserve(self, *names: str) -> None:
        self._reserved += sum(map(_size, names))

    def release(self, *names: str) -> None:
        self._reserved -= sum(map(_size, names))

    async def take(self, most: int) -> bytes:
        """Wait for a frame or for the end of the session. Return what `take_nowait` returns."""
        await self._filled.wait()
        return self.take_nowait(most)

    def take_nowait(self, most: int = sys.maxsize) -> bytes:
        """Remove frames from the queue and return them joined: at most `most` bytes, but at least one frame if any."""
        frames: list[bytes] = []
        while self._queue and (not frames or len(self._queue[0]) <= most):
            frame = self._queue.popleft()
            self.queued -= sys.getsizeof(frame) + _PER_FRAME
            most -= len(frame)
            frames.append(frame)
        if not self._queue and self.ending is None:
            self._filled.clear()
        if self.queued <= _HIGH_WATER:
            self._drained.set()
        return b"".join(frames)

    @property
    def ended(self) -> bool:
        """Whether the session is ending and its queue is empty."""
        return self.ending is not None and not self._queue


def _size(name: str) -> int:
    # Not sys.getsizeof: a string grows when it is encoded, and the same size must be released as was reserved.
    return _PER_STRING + len(name) * (1 if name.isascii() else 4)
