"""One subscriber, whatever it speaks: its name, its topics, and what waits to be read by it. Knows no sockets."""

from __future__ import annotations

import asyncio
import logging
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol, TypeAlias

from ._config import HubConfig
from ._frames import text_frame
from ._publication import Publication

__all__ = ["Ending", "Later", "Session", "Topics"]

_SLOT = 8
"""Bytes that a queue takes for each frame it holds, beside the frame."""

_TEXT = 60
"""Bytes that a text takes beside its characters."""

_CROWDED = 1 << 16
"""Bytes in the queue of one who is to read some before it asks for more answers."""

Later: TypeAlias = Callable[[], None]
"""What is to be called after a while, so that guessing takes time."""

logger = logging.getLogger("webmqconnect_async.hub")


class Ending(NamedTuple):
    """How a connection is to be closed: a WebSocket's code and reason."""

    code: int
    reason: str = ""


class Topics(Protocol):
    """What a session does with topics; all of it is the hub's own doing, and none of it waits."""

    def subscribe(self, session: Session, topic: str) -> int | None:
        """Return the ID of the topic's subscription, the same for everybody; None where it is one too many."""
        ...

    def unsubscribe(self, session: Session, topic: str) -> None:
        """End a subscription, if there is one."""
        ...

    def deliver(self, publication: Publication, publication_id: int | None = None) -> int:
        """Queue an event for those who get it."""
        ...


class Session(ABC):
    """One subscriber.

    Args:
        session_id: its name, 16 digits.
        config: what the hub was told.
        topics: where it subscribes and publishes.
        drop: called once, when more than `max_queue` bytes wait; to end its connection without waiting for anything.
        peer: its address, for the log.
    """

    subprotocol: ClassVar[str]
    """The WebSocket's."""

    __slots__ = (
        *("_calm", "_closed", "_config", "_drop", "_filled", "_held", "_max_queue", "_names", "_queue", "_topics"),
        *("authid", "authrole", "ending", "id", "peer", "topics"),
    )

    def __init__(
        self, session_id: str, config: HubConfig, topics: Topics, drop: Callable[[], None], peer: str = "?"
    ) -> None:
        self.id = session_id
        self.peer = peer
        self.authid = session_id
        """Whom it authenticated as; an anonymous one has no other name than its own."""
        self.authrole = "anonymous"
        self.topics: set[str] = set()
        self.ending: Ending | None = None
        """How its connection is to be closed once all that waits has been sent; None while it goes on."""
        self._config = config
        self._topics = topics
        self._queue: deque[bytes] = deque()
        self._held = 0
        self._max_queue = config.max_queue
        self._filled = asyncio.Event()
        self._calm = asyncio.Event()  # the queue is not crowded
        self._calm.set()
        self._names = 0  # bytes of all topics and prefixes
        self._drop = drop
        self._closed = False  # nothing is queued any more

    @property
    @abstractmethod
    def admitted(self) -> bool:
        """Whether it may subscribe and publish: anonymous or authenticated, as the hub demands."""

    @abstractmethod
    def receive(self, text: str) -> Later | None:
        """Do what a message of the subscriber says, all at once but for what is returned."""

    @classmethod
    @abstractmethod
    def event(cls, publication: Publication, subscription: int, publication_id: int) -> str:
        """Return an event as subscribers of this kind are told it."""

    def admit(self, key: str) -> None:
        """Note whom the subscriber has proved to be."""
        self.authid, self.authrole = key, "subscriber"

    def leave(self) -> None:  # noqa: B027  # the protocol may have no word for it
        """Queue what tells the subscriber that the hub goes."""

    def say(self, message: str) -> None:
        """Queue a message of this session's own."""
        self.send(text_frame(message))

    def end(self, code: int, reason: str = "") -> None:
        """Have the connection closed after what waits; nothing comes after that."""
        self._closed = True
        self.ending = Ending(code, reason)
        self._filled.set()

    def send(self, frame: bytes) -> None:
        """Put a frame into the queue, or drop the subscriber if it is full. A single frame always fits."""
        if self._closed:
            return
        # A small frame is mostly the object that holds it: a million of them of 20 bytes are 60 MB.
        held = self._held + sys.getsizeof(frame) + _SLOT
        if self._queue and held > self._max_queue:
            waiting = self._held
            self.abandon()
            logger.warning("subscriber %s dropped: it reads too slowly, %d bytes wait", self.id, waiting)
            self._drop()
            return
        self._queue.append(frame)
        self._held = held
        self._filled.set()
        if held > _CROWDED:
            self._calm.clear()

    def abandon(self) -> None:
        """Forget what waits, and queue nothing any more: nobody will read it."""
        self._closed = True
        self._queue.clear()
        self._held = 0
        self._calm.set()

    async def calm(self) -> None:
        """Wait until little enough waits to take a further message, whose answer would have to wait, too.

        Or else whoever asks and does not read has the hub keep `max_queue` bytes for it. (Events cost less than they
        count: all queues hold the same ones.)
        """
        await self._calm.wait()

    def hold(self, *names: str) -> bool:
        """Note that the session is to keep topics or prefixes; return whether it may, for all that it keeps."""
        size = self._names + sum(map(_kept, names))
        if size > self._config.max_names:
            return False
        self._names = size
        return True

    def release(self, *names: str) -> None:
        """Note that the session keeps them no longer."""
        self._names -= sum(map(_kept, names))

    async def take(self, most: int) -> bytes:
        """Wait for frames, or the end, and return them joined, up to so many bytes or a single frame."""
        await self._filled.wait()
        return self.take_nowait(most)

    def take_nowait(self, most: int = sys.maxsize) -> bytes:
        """Return the frames that wait, joined, up to so many bytes or a single frame; nothing where none waits."""
        frames: list[bytes] = []
        while self._queue and (not frames or len(self._queue[0]) <= most):
            frame = self._queue.popleft()
            self._held -= sys.getsizeof(frame) + _SLOT
            most -= len(frame)
            frames.append(frame)
        if not self._queue and self.ending is None:
            self._filled.clear()
        if self._held <= _CROWDED:
            self._calm.set()
        return b"".join(frames)

    @property
    def ended(self) -> bool:
        """Whether all has been taken of a session that is to end."""
        return self.ending is not None and not self._queue


def _kept(name: str) -> int:
    # Not `sys.getsizeof`: of equal texts one may have been encoded, and be larger. What is held is to be released.
    return _TEXT + len(name) * (1 if name.isascii() else 4)
