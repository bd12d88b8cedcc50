"""The newest events of each topic, for subscribers that were away. Pure: times are arguments.

It has three limits: events per topic, age, and the bytes of all topics together. For each topic it remembers up to
which ID events may be gone, so that it never returns an incomplete list of missed events.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from ._publication import Publication

_PER_EVENT = 500  # bytes that an event takes in addition to its texts
_PER_TOPIC = 1100  # bytes that a topic takes in addition to its events


class Unavailable(Exception):
    """Events that a subscriber has missed may not be in the history. The message says why."""


class Kept:
    """An event in the history."""

    __slots__ = ("frame", "id", "publication", "since", "size")

    def __init__(self, publication: Publication, publication_id: int, since: float) -> None:
        self.publication = publication
        self.id = publication_id
        self.since = since
        texts = (publication.event, publication.args, publication.kwargs)
        # Twice, because `frame` also has them, once a subscriber has missed the event.
        self.size = _PER_EVENT + sys.getsizeof(publication.topic) + 2 * sum(map(sys.getsizeof, filter(None, texts)))
        sets = (ids for each in publication.receivers for ids in (each.eligible, each.exclude) if ids)
        self.size += sum(sys.getsizeof(ids) + sum(map(sys.getsizeof, ids)) for ids in sets)
        # The ID of the topic's subscription, and the frame that delivers the event to it.
        self.frame: tuple[int, bytes] | None = None


@dataclass(slots=True)
class _Log:
    """The events of one topic."""

    gone: int  # events of the topic up to this ID may be missing
    events: deque[Kept] = field(default_factory=deque)


class History:
    """The newest events of a hub, and the last retained event of each topic.

    It keeps `most` events per topic for `seconds`, in `most_bytes` for all topics together. Events up to the ID `start`
    are not known. Retained events do not expire, are kept even if `most` is 0, and use at most a quarter of the bytes.
    """

    def __init__(self, most: int, seconds: float, most_bytes: int, start: int) -> None:
        self._most = most
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._start = self._newest = start
        self._gone = start  # for topics without a log
        self._logs: dict[str, _Log] = {}
        self._events: OrderedDict[int, Kept] = OrderedDict()  # of all topics, the oldest first
        self._retained: OrderedDict[str, Kept] = OrderedDict()  # by topic, the oldest first
        self._retained_bytes = 0
        self.bytes = 0  # of all events, including retained ones; a conservative estimate

    def __len__(self) -> int:
        return len(self._events)

    def add(self, publication: Publication, publication_id: int, now: float) -> None:
        """Keep an event, whose ID is above all earlier ones, and drop the events that exceed the limits.

        `now` is a monotonic time in seconds.
        """
        self._newest = publication_id
        kept = Kept(publication, publication_id, now)
        if publication.retain:
            self._retain(kept)
        if self._most:
            log = self._logs.get(publication.topic)
            if log is None:
                log = self._logs[publication.topic] = _Log(self._gone)
                self.bytes += _PER_TOPIC
            log.events.append(kept)
            self._events[publication_id] = kept
            self.bytes += kept.size
            if len(log.events) > self._most:
                self._forget(log.events[0])
        self._trim(now)

    def after(self, topic: str, floor: int, now: float) -> Sequence[Kept]:
        """Return the events of a topic above the ID `floor`, the oldest first; `Unavailable` if some may be missing."""
        self._trim(now)
        if not self._most:
            raise Unavailable("the hub keeps no history")
        if floor > self._newest:
            raise Unavailable("the hub has not reached this position")
        if floor < self._start:
            raise Unavailable("the hub has restarted")
        log = self._logs.get(topic)
        if floor < (self._gone if log is None else log.gone):
            raise Unavailable("events are no longer in the history")
        newest_first = takewhile(lambda kept: kept.id > floor, reversed(log.events if log is not None else ()))
        return list(newest_first)[::-1]

    def retained(self, topic: str) -> Kept | None:
        return self._retained.get(topic)

    def _retain(self, kept: Kept) -> None:
        before, topic = self._retained_bytes, kept.publication.topic
        if (former := self._retained.pop(topic, None)) is not None:
            self._retained_bytes -= former.size
        self._retained[topic] = kept
        self._retained_bytes += kept.size
        while self._retained_bytes > self._most_bytes // 4:
            self._retained_bytes -= self._retained.popitem(last=False)[1].size
        self.bytes += self._retained_bytes - before

    def _trim(self, now: float) -> None:
        oldest_allowed = now - self._seconds
        while self._events:
            oldest = next(iter(self._events.values()))
            if self.bytes <= self._most_bytes and oldest.since > oldest_allowed:
                return
            self._forget(oldest)

    def _forget(self, kept: Kept) -> None:
        """Drop an event, the oldest of its topic."""
        topic = kept.publication.topic
        log = self._logs[topic]
        log.events.popleft()
        log.gone = kept.id
        del self._events[kept.id]
        self.bytes -= kept.size
        if not log.events:  # a topic that is no longer used must not keep its memory
            del self._logs[topic]
            self.bytes -= _PER_TOPIC
            self._gone = max(self._gone, log.gone)
