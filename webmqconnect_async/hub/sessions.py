"""The hub's heart: subscribers, their topics, who gets an event, and what waits to be read. Knows no sockets.

Delivery never waits. It puts an event into the queue of each receiver, all of them the same object, and a queue that
is full costs its subscriber the connection.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import partial

from webmqconnect_async._version import __version__

from . import wamp1
from .config import HubConfig
from .frames import text_frame
from .procedures import CallFailed, Procedures

__all__ = ["Session", "Sessions"]

_IDENT = f"webmqconnect_async/{__version__}"
_SLOT = 8
"""Bytes that a queue takes for each frame it holds, beside the frame."""

logger = logging.getLogger("webmqconnect_async.hub")


class Session:
    """One subscriber.

    Args:
        session_id: its name, 16 digits.
        config: what the hub was told.
        drop: called once, when more than `max_queue` bytes wait; to end its connection without waiting for anything.
    """

    __slots__ = (
        "_drop",
        "_dropped",
        "_filled",
        "_held",
        "_max_queue",
        "_procedures",
        "_queue",
        "id",
        "prefixes",
        "topics",
    )

    def __init__(self, session_id: str, config: HubConfig, drop: Callable[[], None]) -> None:
        self.id = session_id
        self.topics: set[str] = set()
        self.prefixes: dict[str, str] = {}
        self._procedures = Procedures(
            session_id,
            keys=config.subscriber_credentials,
            may_publish=config.allow_publish,
            nonce=secrets.token_urlsafe,
            clock=config.clock,
        )
        self._queue: deque[bytes] = deque()
        self._held = 0
        self._max_queue = config.max_queue
        self._filled = asyncio.Event()
        self._drop = drop
        self._dropped = False

    @property
    def admitted(self) -> bool:
        """Whether it may subscribe and publish: anonymous or authenticated, as the hub demands."""
        return self._procedures.admitted

    def call(self, call: wamp1.Call) -> Callable[[], None] | None:
        """Answer a CALL, or return what will: for the caller to call after a while."""
        try:
            result = self._procedures.call(self.resolve(call.procedure), call.arguments)
        except CallFailed as failure:
            answer = text_frame(wamp1.call_error(call.id, failure.uri, failure.description))
            if failure.late:
                logger.info("subscriber %s failed to authenticate: %s", self.id, failure.description)
                return partial(self._tell_failure, answer)
        else:
            answer = text_frame(wamp1.call_result(call.id, result))
        self.send(answer)
        return None

    def _tell_failure(self, answer: bytes) -> None:
        self.send(answer)
        self._procedures.failure_told()

    def send(self, frame: bytes) -> None:
        """Put a frame into the queue, or drop the subscriber if it is full. A single frame always fits."""
        if self._dropped:
            return
        # A small frame is mostly the object that holds it: a million of them of 20 bytes are 60 MB.
        held = self._held + sys.getsizeof(frame) + _SLOT
        if self._queue and held > self._max_queue:
            self._dropped = True
            logger.warning("subscriber %s dropped: it reads too slowly, %d bytes wait", self.id, self._held)
            self._queue.clear()
            self._drop()
            return
        self._queue.append(frame)
        self._held = held
        self._filled.set()

    async def take(self, most: int) -> bytes:
        """Wait for frames and return them joined, up to so many bytes or a single frame."""
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
        if not self._queue:
            self._filled.clear()
        return b"".join(frames)

    def resolve(self, uri: str) -> str:
        """Return the whole URI of a CURIE; what begins with no prefix this session has named stays as it is."""
        prefix, colon, rest = uri.partition(":")
        if colon and prefix in self.prefixes:
            return self.prefixes[prefix] + rest
        return uri


class Sessions:
    """All subscribers of one hub."""

    def __init__(self, config: HubConfig) -> None:
        self._config = config
        self._sessions: dict[str, Session] = {}
        self._topics: dict[str, dict[str, Session]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def full(self) -> bool:
        """Whether no further subscriber may come."""
        return len(self._sessions) >= self._config.max_connections

    def open(self, drop: Callable[[], None]) -> Session:
        """Return a new session with its WELCOME in the queue; `drop` is to end its connection at once."""
        session_id = _session_id()
        while session_id in self._sessions:
            session_id = _session_id()
        session = Session(session_id, self._config, drop)
        session.send(text_frame(wamp1.welcome(session_id, _IDENT)))
        self._sessions[session_id] = session
        return session

    def close(self, session: Session) -> None:
        """Forget a session and all it subscribed to."""
        del self._sessions[session.id]
        for topic in list(session.topics):
            self._unsubscribe(session, topic)

    def deliver(
        self,
        topic: str,
        event: str,
        eligible: AbstractSet[str] | None = None,
        exclude: AbstractSet[str] = frozenset(),
    ) -> int:
        """Queue an event, JSON text, for (subscribers and eligible) without exclude; return how many they are.

        `eligible=None` is everybody, an empty set nobody.
        """
        subscribers = self._topics.get(topic)
        if subscribers is None:
            return 0
        receivers: AbstractSet[str] = subscribers.keys()
        if eligible is not None:
            receivers = receivers & eligible
        if exclude:
            receivers = receivers - exclude
        if receivers:
            frame = text_frame(wamp1.event(topic, event))
            for session_id in receivers:
                subscribers[session_id].send(frame)
        return len(receivers)

    def receive(self, session: Session, text: str) -> Callable[[], None] | None:
        """Do what a subscriber's message says; what it may not do, or makes no sense, is ignored.

        Returns:
            What is to be done after a while, that guessing may take time; None, as a rule, where all is done.

        Raises:
            wamp1.ProtocolError: its connection is to be closed.
        """
        config = self._config
        match wamp1.decode(text):
            case wamp1.Prefix(prefix, uri):
                known = prefix in session.prefixes or len(session.prefixes) < config.max_subscriptions
                if prefix and known and len(prefix) + len(uri) <= config.max_topic:
                    session.prefixes[prefix] = uri
            case wamp1.Call() as call:
                return session.call(call)
            case _ if not session.admitted:
                pass  # nothing answers the other messages, so nothing tells that they are not obeyed either
            case wamp1.Subscribe(topic):
                self._subscribe(session, session.resolve(topic))
            case wamp1.Unsubscribe(topic):
                self._unsubscribe(session, session.resolve(topic))
            case wamp1.Publish(topic, event, exclude, eligible) if config.allow_publish:
                excluded = frozenset({session.id}) if exclude is None else exclude
                self.deliver(session.resolve(topic), event, eligible, excluded)
        return None

    def _subscribe(self, session: Session, topic: str) -> None:
        if len(topic) > self._config.max_topic:
            logger.debug("subscriber %s: a topic of %d characters is too long", session.id, len(topic))
        elif topic not in session.topics and len(session.topics) >= self._config.max_subscriptions:
            logger.debug("subscriber %s has as many subscriptions as it may", session.id)
        else:
            session.topics.add(topic)
            self._topics.setdefault(topic, {})[session.id] = session

    def _unsubscribe(self, session: Session, topic: str) -> None:
        if topic in session.topics:
            session.topics.discard(topic)
            subscribers = self._topics[topic]
            del subscribers[session.id]
            if not subscribers:
                del self._topics[topic]


def _session_id() -> str:
    # 16 digits, which a JavaScript number holds exactly. They name receivers, and so must not be guessed.
    return str(10**15 + secrets.randbelow(2**53 - 10**15 + 1))
