"""The hub's heart: subscribers, their topics, and who gets an event. Knows no sockets and no message.

Delivery never waits. It puts an event into the queue of each receiver, the same object for all that speak the same, and
a queue that is full costs its subscriber the connection.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from ._config import HubConfig
from ._frames import text_frame
from ._publication import Publication
from ._session import Session
from ._wamp1.session import Wamp1Session
from ._wamp2.session import Wamp2Session, new_id

__all__ = ["SUBPROTOCOLS", "Sessions"]

_KINDS: dict[str, type[Session]] = {kind.subprotocol: kind for kind in (Wamp1Session, Wamp2Session)}

SUBPROTOCOLS = tuple(_KINDS)
"""What subscribers may speak."""

logger = logging.getLogger("webmqconnect_async.hub")


class _Topic:
    """What has subscribers."""

    __slots__ = ("id", "subscribers")

    def __init__(self, subscription: int) -> None:
        self.id = subscription
        self.subscribers: dict[type[Session], dict[str, Session]] = {}
        """By what they speak: those are sent the same bytes."""


class Sessions:
    """All subscribers of one hub."""

    def __init__(self, config: HubConfig) -> None:
        self._config = config
        self._sessions: dict[str, Session] = {}
        self._topics: dict[str, _Topic] = {}
        self._subscription_ids = itertools.count(1)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def full(self) -> bool:
        """Whether no further subscriber may come."""
        return len(self._sessions) >= self._config.max_connections

    def open(self, subprotocol: str, drop: Callable[[], None], peer: str = "?") -> Session:
        """Return a new session.

        Args:
            subprotocol: what the subscriber speaks, one of SUBPROTOCOLS.
            drop: ends its connection at once.
            peer: its address, for the log.
        """
        session_id = _session_id()
        while session_id in self._sessions:
            session_id = _session_id()
        session = _KINDS[subprotocol](session_id, self._config, self, drop, peer)
        self._sessions[session_id] = session
        return session

    def close(self, session: Session) -> None:
        """Forget a session and all it subscribed to."""
        del self._sessions[session.id]
        for topic in list(session.topics):
            self.unsubscribe(session, topic)

    def deliver(self, publication: Publication, publication_id: int | None = None) -> int:
        """Queue an event for (subscribers and eligible) without exclude; return how many they are.

        Args:
            publication: the event.
            publication_id: its name among events; None for a new one.
        """
        topic = self._topics.get(publication.topic)
        if topic is None:
            return 0
        if publication_id is None:
            publication_id = new_id()
        delivered = 0
        for kind, subscribers in topic.subscribers.items():
            receivers = _receivers(publication, subscribers)
            if receivers:
                frame = text_frame(kind.event(publication, topic.id, publication_id))
                for session_id in receivers:
                    subscribers[session_id].send(frame)
                delivered += len(receivers)
        return delivered

    def subscribe(self, session: Session, topic: str) -> int | None:
        """Return the ID of the topic's subscription, the same for everybody; None where it is one too many."""
        if len(topic) > self._config.max_topic:
            logger.debug("subscriber %s: a topic of %d characters is too long", session.id, len(topic))
            return None
        if topic not in session.topics:
            if len(session.topics) >= self._config.max_subscriptions or not session.hold(topic):
                logger.debug("subscriber %s has as many subscriptions as it may", session.id)
                return None
            session.topics.add(topic)
        subscribed = self._topics.get(topic)
        if subscribed is None:
            subscribed = self._topics[topic] = _Topic(next(self._subscription_ids))
        subscribed.subscribers.setdefault(type(session), {})[session.id] = session
        return subscribed.id

    def unsubscribe(self, session: Session, topic: str) -> None:
        """End a subscription, if there is one."""
        if topic in session.topics:
            session.topics.discard(topic)
            session.release(topic)
            subscribers = self._topics[topic].subscribers
            del subscribers[type(session)][session.id]
            if not subscribers[type(session)]:
                del subscribers[type(session)]
            if not subscribers:
                del self._topics[topic]


def _receivers(publication: Publication, subscribers: Mapping[str, Session]) -> AbstractSet[str]:
    """Return the names of those subscribers that the event is for."""
    receivers: AbstractSet[str] = subscribers.keys()
    if publication.eligible is not None:
        receivers = receivers & publication.eligible
    if publication.exclude:
        receivers = receivers - publication.exclude
    if publication.authid is not None or publication.authrole is not None:
        receivers = {each for each in receivers if _may_get(publication, subscribers[each])}
    return receivers


def _may_get(publication: Publication, session: Session) -> bool:
    return (publication.authid is None or session.authid in publication.authid) and (
        publication.authrole is None or session.authrole in publication.authrole
    )


def _session_id() -> str:
    # 16 digits, which a JavaScript number holds exactly. They name receivers, and so must not be guessed.
    return str(10**15 + secrets.randbelow(2**53 - 10**15 + 1))
