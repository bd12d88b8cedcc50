"""What a subscriber has seen of its topics, and what a broker that keeps a history owes it after an outage. Pure.

A hub that keeps a history gives its events ascending IDs, over all topics. The *floor* of a topic is an ID up to which
every event of the topic has been seen. The *position* is the highest ID seen on the connection, of any topic. When a
connection ends, the floor rises to the position for each topic that was *whole* on it: it was confirmed, and the events
that it had missed before have all arrived. Any other topic keeps its floor. With one floor for all topics, events would
be lost: those that are sent for one topic after an outage may be newer than those that another topic has yet to get.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Recovery"]

_MAX_FORMER = 16
"""The most session IDs that a hub accepts in `_former`."""


@dataclass(slots=True)
class _Topic:
    floor: int | None = None
    former: list[int] = field(default_factory=list)
    """The sessions since the topic was last whole. The hub does not resend events that excluded one of them."""
    known: bool = False
    """Whether a broker has ever confirmed it: only then can it miss anything."""
    confirmed: bool = False
    """Whether the broker has confirmed it on this connection."""
    lost: str | None = None
    """Why events were lost, until the topic is confirmed."""


class Recovery:
    """The floors of all topics, and the position, across connections."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self._session = 0
        self._history: str | None = None
        self._position: int | None = None  # None: the broker keeps no history, and its IDs are not compared
        self._recovering: _Topic | None = None
        self._missing = 0  # events of the topic that is recovering

    @property
    def recovering(self) -> bool:
        """Whether missed events of a topic that is confirmed have yet to arrive."""
        return self._recovering is not None

    @property
    def topics(self) -> set[str]:
        """The topics for which there was a SUBSCRIBE."""
        return {*self._topics}

    def connected(self, session: int, newest: int | None, history: str | None) -> None:
        """Begin a connection.

        Args:
            session: the session ID.
            newest: the highest ID that the hub has given. `None`: it keeps no history.
            history: the name of the history. IDs of another one cannot be compared.
        """
        before = self._position
        if newest is None or before is None or newest < before or history != self._history:
            why = "the broker keeps no history" if newest is None else "the hub has restarted"
            for topic in self._topics.values():
                topic.floor = None
                if topic.known:
                    topic.lost = topic.lost or why
        self._session, self._position, self._history = session, newest, history

    def disconnected(self) -> None:
        """End the connection."""
        for topic in self._topics.values():
            if topic.confirmed and topic is not self._recovering and self._position is not None:
                topic.floor = max(topic.floor or 0, self._position)
                topic.former = [self._session]
            elif topic.floor is not None:
                topic.former.append(self._session)
                if len(topic.former) > _MAX_FORMER:
                    topic.floor, topic.lost = None, "too many connections ended before the missed events had arrived"
            topic.confirmed = False
        self._recovering = None

    def options(self, topic: str) -> dict[str, object]:
        """Return the options of the SUBSCRIBE for a topic."""
        state = self._topics.setdefault(topic, _Topic())
        if self._position is None:
            return {}
        return {"_newest": True} if state.floor is None else {"_after": state.floor, "_former": [*state.former]}

    def unavailable(self, topic: str, why: str) -> None:
        """Record that the hub cannot send what the topic has missed: the next SUBSCRIBE is plain."""
        state = self._topics[topic]
        state.floor, state.lost = None, why

    def confirmed(self, topic: str, missed: int, newest: int | None) -> str | None:
        """Record a confirmation. Return why events of the topic were lost, or `None` if none were.

        Args:
            topic: the topic.
            missed: how many missed events follow.
            newest: the ID above which every event of the topic is going to arrive, if the hub says so.
        """
        state = self._topics[topic]
        state.known = state.confirmed = True
        if state.floor is not None and missed:
            self._recovering, self._missing = state, missed
        if newest is not None and self._position is not None:
            self._position = max(self._position, newest)
        why, state.lost = state.lost, None
        return why

    def event(self, topic: str, id_: int | None) -> bool:
        """Record an event. Return whether it is new: a hub may send one again that has arrived already."""
        state = self._topics.get(topic)
        if state is None:
            return False
        if state is self._recovering:
            self._missing -= 1
            if not self._missing:
                self._recovering = None
        if self._position is None or id_ is None:
            return True
        if state.floor is not None and id_ <= state.floor:
            return False
        state.floor, self._position = id_, max(self._position, id_)
        return True

    def forget(self, topic: str) -> None:
        """Forget a topic that is not subscribed to any more."""
        if self._topics.pop(topic, None) is self._recovering:
            self._recovering = None
