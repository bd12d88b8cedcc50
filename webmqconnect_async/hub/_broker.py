"""The broker: the hub's sessions, their subscriptions, and the delivery of events. It does no I/O.

Delivery never waits. It puts an event into the send queue of each receiver; all receivers that speak the same protocol
share one frame. A subscriber whose queue is full is disconnected.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from . import _remedies as remedies
from ._config import HubConfig
from ._engine.engine import Engine, MemoryEngine
from ._frames import text_frame
from ._history import History, Kept, Unavailable
from ._observer import Observer, Refusal
from ._publication import Publication, PublicationIDs
from ._session import NotSubscribed, Session

_SERVICE_RESTART = 1012  # a close code of the IANA registry for WebSocket: the client may reconnect
_SESSION_ID = re.compile(r"[0-9]{16}")


@dataclass(slots=True)
class _Topic:
    """A topic that has subscribers."""

    id: int  # of the subscription
    # By protocol, because subscribers of the same protocol receive the same bytes, then by session ID.
    subscribers: dict[type[Session], dict[str, Session]] = field(default_factory=dict)


class Broker:
    """The sessions of one hub, the topics that they subscribe to, and the history of these topics."""

    def __init__(self, config: HubConfig, observers: Sequence[Observer] = ()) -> None:
        self.observers = observers
        self.ids = PublicationIDs(config.clock)
        self.config = config
        self.history = self.new_history(self.ids.newest)
        # Publication IDs of histories with different IDs cannot be compared. `None`: there is no history.
        self.history_id = secrets.token_urlsafe(9) if config.history else None
        self.engine: Engine = MemoryEngine(self)
        self._sessions: dict[str, Session] = {}
        self._topics: dict[str, _Topic] = {}
        self._subscription_ids = itertools.count(1)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def sessions(self) -> Collection[Session]:
        """All sessions, the oldest first, including those that have not joined yet."""
        return self._sessions.values()

    @property
    def topics(self) -> Mapping[str, object]:
        """The topics that have subscribers, by name, in the order of their first subscriptions."""
        return self._topics

    def subscribers(self, topic: str) -> int:
        entry = self._topics.get(topic)
        return sum(map(len, entry.subscribers.values())) if entry else 0

    def receivers(self, publication: Publication) -> int:
        """Return the number of subscribers that would receive an event."""
        topic = self._topics.get(publication.topic)
        return sum(len(_receivers(publication, each)) for each in topic.subscribers.values()) if topic else 0

    @property
    def full(self) -> bool:
        """Whether there are `max_connections` sessions."""
        return len(self._sessions) >= self.config.max_connections

    def open(self, kind: type[Session], drop: Callable[[], None], peer: str = "?") -> Session:
        """Return a new session. `drop` closes the subscriber's connection immediately; `peer` is its address."""
        session_id = _session_id()
        while session_id in self._sessions:
            session_id = _session_id()
        session = kind(session_id, self, drop, peer)
        self._sessions[session_id] = session
        return session

    def close(self, session: Session) -> None:
        """Remove a session and its subscriptions."""
        del self._sessions[session.id]
        if session.admitted:
            for observer in self.observers:
                observer.left(session)
        for topic in list(session.subscribed):
            self.unsubscribe(session, topic)

    def new_history(self, start: int) -> History:
        """Return an empty history, whose events have IDs above `start`."""
        config = self.config
        return History(config.history, config.history_seconds, config.history_bytes, start)

    def renew(self, history: History, history_id: str, newest: int) -> None:
        """Replace the history, and disconnect all subscribers, who then recover from it or find out that they cannot.

        `newest` is the ID of the newest event that is not to be delivered.
        """
        self.history, self.ids.newest = history, newest
        self.history_id = history_id if self.config.history else None
        for session in list(self._sessions.values()):
            session.leave("webmq.close.history_lost", "events may be missing")
            session.end(_SERVICE_RESTART)

    def deliver(
        self,
        publication: Publication,
        publication_id: int | None = None,
        *,
        began: float | None = None,
        forwarded: bool = False,
    ) -> int:
        """Queue an event for its receivers, and return how many there are. The ID of the event is then `ids.newest`.

        An event that already has an ID has one above all earlier ones. It is `forwarded` if another hub has accepted
        it. `began` is as for `Observer.published`.
        """
        if publication_id is None:
            publication_id = self.ids.next()
        else:
            self.ids.newest = publication_id
        delivered = 0
        if (topic := self._topics.get(publication.topic)) is not None:
            for kind, subscribers in topic.subscribers.items():
                if receivers := _receivers(publication, subscribers):
                    frame = text_frame(kind.event(publication, topic.id, publication_id))
                    for session_id in receivers:
                        subscribers[session_id].send(frame)
                    delivered += len(receivers)
        self.history.add(publication, publication_id, time.monotonic())
        for observer in self.observers:
            if forwarded:
                observer.forwarded(publication, publication_id, delivered)
            else:
                observer.published(publication, publication_id, delivered, began)
        return delivered

    def missed(self, session: Session, topic: str, floor: int, former: AbstractSet[str]) -> Sequence[Kept]:
        """Return the events above the ID `floor` that a subscriber has missed; `Unavailable` if some may be missing.

        `former` has the IDs of its sessions since then; other strings are ignored. An event that excluded one of these
        sessions is left out. The IDs are not verified, so an event that was addressed to one of them is not sent: it
        makes the history unavailable.
        """
        missed = []
        alone = {session.id: session}
        # Only session IDs: with the ID of a user, the error would reveal whether that user was a receiver.
        former = set(filter(_SESSION_ID.fullmatch, former))
        for kept in self.history.after(topic, floor, time.monotonic()):
            publication = kept.publication
            # The authid of an anonymous subscriber is its session ID.
            by_id = publication.receivers[: 2 if session.authrole == "anonymous" else 1]
            if any(each.eligible and not each.eligible.isdisjoint(former - each.exclude) for each in by_id):
                raise Unavailable("an event was for a former session")
            excluded = any(not each.exclude.isdisjoint(former) for each in by_id)
            if not excluded and _receivers(publication, alone):
                missed.append(kept)
        return missed

    def retained(self, session: Session, topic: str) -> Kept | None:
        """Return the last retained event of a topic, if there is one and the subscriber may receive it."""
        kept = self.history.retained(topic)
        return kept if kept is not None and _may_receive(kept.publication, session) else None

    def refused(self, refusal: Refusal) -> None:
        for observer in self.observers:
            observer.refused(refusal)

    def repeated(self, publication: Publication, publication_id: int) -> None:
        for observer in self.observers:
            observer.repeated(publication, publication_id)

    def failed(self, problem: str, error: BaseException | None) -> None:
        for observer in self.observers:
            observer.failed(problem, error)

    def check(self, session: Session, topic: str) -> None:
        """Raise `NotSubscribed`, and notify the observers, if a subscription would exceed a limit."""
        longest, most = self.config.max_topic, self.config.max_subscriptions
        if len(topic) > longest:
            reason = f"topic length ({len(topic)}) exceeds maximum ({longest})"
            session.refuse("subscription", reason, remedies.longer_topic(len(topic)))
            raise NotSubscribed(reason)
        if topic not in session.subscribed and (len(session.subscribed) >= most or not session.has_room(topic)):
            reason = f"number or size of its topics exceeds maximum ({most} topics, {256 * most} bytes)"
            session.refuse("subscription", reason, remedies.more_subscriptions(most))
            raise NotSubscribed(reason)

    def subscribe(self, session: Session, topic: str) -> int:
        """Return the subscription ID of a topic, the same for every session. It calls `check` first."""
        self.check(session, topic)
        if topic not in session.subscribed:
            session.reserve(topic)
            session.subscribed.add(topic)
        entry = self._topics.get(topic)
        if entry is None:
            entry = self._topics[topic] = _Topic(next(self._subscription_ids))
        entry.subscribers.setdefault(type(session), {})[session.id] = session
        return entry.id

    def unsubscribe(self, session: Session, topic: str) -> None:
        if topic in session.subscribed:
            session.subscribed.discard(topic)
            session.release(topic)
            subscribers = self._topics[topic].subscribers
            del subscribers[type(session)][session.id]
            if not subscribers[type(session)]:
                del subscribers[type(session)]
            if not subscribers:
                del self._topics[topic]


def _receivers(publication: Publication, subscribers: Mapping[str, Session]) -> AbstractSet[str]:
    """Return the session IDs of the subscribers that may receive an event."""
    receivers: AbstractSet[str] = subscribers.keys()
    if publication.eligible is not None:
        receivers = receivers & publication.eligible
    if publication.exclude:
        receivers = receivers - publication.exclude
    if publication.authid is not None or publication.authrole is not None:
        receivers = {each for each in receivers if _may_receive(publication, subscribers[each])}
    return receivers


def _may_receive(publication: Publication, session: Session) -> bool:
    return (publication.authid is None or session.authid in publication.authid) and (
        publication.authrole is None or session.authrole in publication.authrole
    )


def _session_id() -> str:
    # 16 digits, which a JavaScript number represents exactly. Unpredictable, because session IDs select receivers.
    return str(10**15 + secrets.randbelow(2**53 - 10**15 + 1))
