"""The topics of a subscriber: their state on the connection, and which events of a hub's history are missing. Pure.

A hub that keeps a history gives its events ascending IDs, across all topics. The *floor* of a topic is an ID up to
which all events of the topic have been received. The *position* is the highest ID that was received on the connection,
of any topic. A topic is *open* once the broker has confirmed it and all events that it had missed have arrived. When a
connection ends, the floor of each open topic rises to the position; any other topic keeps its floor. One floor for all
topics would lose events, because the missed events of one topic may be newer than those that another one still waits
for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from .._core.escape import shortened
from ._errors import SubscriberError, TopicRefused
from ._subscription import Event, Inbox, Lost

_MAX_FORMER = 16  # maximum number of session IDs that a hub accepts in `_former`


@dataclass(eq=False, slots=True)
class Topic:
    """A topic with at least one subscription, across connections."""

    name: str
    inboxes: list[Inbox] = field(default_factory=list)
    state: Literal["pending", "open", "refused"] = "pending"
    """On the current connection. A topic is pending until the missed events have arrived."""
    floor: int | None = None
    """All events up to this ID of the history have been received; `None` if that is not known."""
    former: list[str] = field(default_factory=list)
    """IDs of the sessions since the topic was last open. The hub does not resend events that excluded one of them."""
    lost: str | None = None
    """Why events were lost, to be reported once the topic is open; `None` if none were.

    The floor stays: a hub that is behind may send known events again.
    """

    def put(self, item: Event | Lost) -> None:
        """Add an item to each inbox for which the topic has been confirmed."""
        for inbox in self.inboxes:
            if self.name not in inbox.unconfirmed:
                inbox.put(item)


class Topics:
    """All topics, and how much of a hub's history has been received, across connections.

    Topics are subscribed to one after another: the next one once the one before is open or refused. `changed` is called
    when there may be a topic to subscribe to or to unsubscribe from.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.current: Topic | None = None
        """The topic that is being subscribed to, or whose missed events are arriving."""
        self.waited = 0.0
        """Seconds that the subscriber has waited for the response to SUBSCRIBE, or for the next missed event."""
        self.ended: list[Topic] = []  # topics to unsubscribe from
        self._changed = changed
        self._topics: dict[str, Topic] = {}
        self._missing = 0  # number of missed events of the current topic that have not arrived yet
        self._early: list[Event | Lost] = []
        """Events of the current topic that arrived before its confirmation (WAMP v1)."""
        self._session = ""
        self._history: str | None = None
        self._position: int | None = None  # None: the broker keeps no history, and its IDs are not compared

    def add(self, inbox: Inbox) -> None:
        """Subscribe an inbox to its topics. It receives the events of each topic after its confirmation."""
        for name in inbox.topics:
            topic = self._topics.setdefault(name, Topic(name))
            topic.inboxes.append(inbox)
            if topic.state == "open":
                inbox.confirm(name)
            elif topic.state == "refused":
                topic.state = "pending"
        self._changed()

    def remove(self, inbox: Inbox, error: SubscriberError | None = None) -> None:
        """End an inbox, and remove the topics that have no other. `error`: as for `Inbox.end`."""
        inbox.end(error)
        for name in inbox.topics:
            if (topic := self._topics.get(name)) is not None and inbox in topic.inboxes:
                topic.inboxes.remove(inbox)
                if not topic.inboxes:
                    del self._topics[name]
                    self.ended.append(topic)
                    if topic is self.current and self._missing:
                        self.current = None
        self._changed()

    def close(self, error: SubscriberError | None) -> None:
        """End all inboxes."""
        for inbox in {inbox for topic in self._topics.values() for inbox in topic.inboxes}:
            self.remove(inbox, error)

    def next(self) -> Topic | None:
        """Return the next topic to subscribe to, which becomes the current one; `None` if there is none yet."""
        if self.current is not None:
            return None
        self.current = next((topic for topic in self._topics.values() if topic.state == "pending"), None)
        self.waited, self._missing, self._early = 0.0, 0, []
        return self.current

    def connected(self, session: str, newest: int | None = None, history: str | None = None) -> None:
        """Begin a connection. `newest` is the highest ID that the hub has assigned. `None`: it keeps no history.

        IDs of events of different histories cannot be compared.
        """
        if newest is None or self._position is None or history != self._history:
            for topic in self._topics.values():
                topic.lost = "the broker keeps no history" if newest is None else "the hub has restarted"
                topic.floor = None
        self._session, self._position, self._history = session, newest, history
        self.ended.clear()

    def disconnected(self) -> None:
        """End the connection."""
        for topic in self._topics.values():
            if topic.state == "open" and self._position is not None:
                topic.floor, topic.former = max(self._position, topic.floor or 0), [self._session]
            elif topic.floor is not None and topic.lost is None:
                topic.former.append(self._session)
                if len(topic.former) > _MAX_FORMER:
                    topic.lost = "too many connections ended before the missed events had arrived"
            topic.state = "pending"
        self.current = None

    def options(self, topic: Topic) -> dict[str, object]:
        """Return the options of the SUBSCRIBE for a topic."""
        if self._position is None:
            return {}
        if topic.floor is None or topic.lost is not None:
            return {"_newest": True}
        return {"_after": topic.floor, "_former": [int(session) for session in topic.former]}

    def seen(self, newest: int) -> None:
        """Raise the position: all events up to this ID have arrived, or are not for this subscriber."""
        if self._position is not None:
            self._position = max(self._position, newest)

    def confirmed(self, missed: int = 0, newest: int | None = None) -> None:
        """Record that the broker has subscribed to the current topic. A number of missed events follow.

        `newest` is the ID above which every event of the topic will arrive. `None`: the hub does not say.
        """
        if (topic := self.current) is None:
            return
        if newest is not None:
            self.seen(newest)
        if not topic.inboxes:  # all have ended since the SUBSCRIBE
            self.current = None
            self.ended.append(topic)
            self._changed()
        elif topic.floor is not None and missed:
            self.waited, self._missing = 0.0, missed
        else:
            self._open(topic)

    def refused(self, reason: str, *, history_unavailable: bool = False) -> None:
        """Record that the broker has refused the current topic.

        If only the history is unavailable, the topic is subscribed to again, without the missed events.
        """
        if (topic := self.current) is None:
            return
        self.current = None
        if history_unavailable and topic.floor is not None and topic.lost is None:
            topic.lost = reason
        else:
            topic.state = "refused"
            refusal = TopicRefused(f"the broker refuses the topic {shortened(topic.name, 200)!r}: {reason}")
            for inbox in [each for each in topic.inboxes if topic.name in each.unconfirmed]:
                self.remove(inbox, refusal)
            topic.put(Lost(topic.name, f"the broker refuses the topic: {reason}"))
        self._changed()

    def event(self, topic: Topic, item: Event | Lost, id_: int | None = None) -> None:
        """Record an event, or that one cannot be decoded. An event that a hub sends again is ignored."""
        if topic is self.current and not self._missing:
            self._early.append(item)
            return
        if self._position is None or id_ is None:
            topic.put(item)
        elif topic.floor is None or id_ > topic.floor:
            topic.floor = id_
            self.seen(id_)
            topic.put(item)
        if topic is self.current:
            self.waited = 0.0
            self._missing -= 1
            if not self._missing:
                self._open(topic)

    def _open(self, topic: Topic) -> None:
        topic.state, self.current = "open", None
        if topic.lost is not None:
            topic.put(Lost(topic.name, topic.lost))
            topic.lost = None
        for inbox in topic.inboxes:
            inbox.confirm(topic.name)
        for item in self._early:
            topic.put(item)
        self._changed()
