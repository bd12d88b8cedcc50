"""Compares the events that a subscriber received of a topic with those that were pushed. Pure.

The events of a topic are numbered from 0 and pushed one after the other, each once. A subscriber has to receive every
event since its confirmation once and in order, or be notified of a loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Kind", "Push", "Record", "Verdict", "judged"]


class Kind(StrEnum):
    """What a subscriber can report."""

    READY = "ready"
    EVENT = "event"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Record:
    """Something that a subscriber reports.

    Args:
        kind: what it reports.
        number: for an event, its number. For anything else, the number of the first event whose push had not begun at
            the time of the report: that event and all later ones are owed.
    """

    kind: Kind
    number: int


@dataclass(frozen=True, slots=True)
class Push:
    """An event that was pushed.

    Args:
        certain: whether the hub has to deliver it. It need not if the push failed, or if the event was addressed to a
            session that had already ended.
        only: the only subscriber that the event is addressed to. `None`: all of them.
        without: a subscriber whose session was excluded. It may get the event if that session had already ended.
    """

    certain: bool = True
    only: str | None = None
    without: str | None = None

    def owed(self, name: str) -> bool:
        """Return whether a subscriber has to receive the event, or be notified of a loss."""
        return self.certain and self.only in (None, name) and self.without != name


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers of the events that broke a guarantee for one subscriber and topic."""

    received: int = 0
    losses: int = 0
    missing: Sequence[int] = field(default=())
    """Events that were not received although no loss was reported."""
    doubled: Sequence[int] = field(default=())
    disordered: Sequence[int] = field(default=())
    """Events that were first received after a later one."""
    foreign: Sequence[int] = field(default=())
    """Events that were received although they were addressed to another subscriber."""


def judged(name: str, records: Iterable[Record], pushes: Sequence[Push]) -> Verdict:
    """Judge what one subscriber reports of one topic.

    Args:
        name: the subscriber.
        records: its reports, in order.
        pushes: all events of the topic; the index of each is its number.
    """
    spans = _spans(records)
    received = [number for span in spans for number in span.numbers]
    seen: set[int] = set()
    doubled, disordered = [], []
    highest = -1
    for number in received:
        if number in seen:
            doubled.append(number)
        elif number < highest:
            disordered.append(number)
        seen.add(number)
        highest = max(highest, number)
    owed = [number for number, push in enumerate(pushes) if push.owed(name)]
    return Verdict(
        received=len(received),
        losses=len(spans) - 1,
        missing=[
            number
            for number in owed
            if number not in seen and any(number in span.owed(len(pushes), span is spans[-1]) for span in spans)
        ],
        doubled=doubled,
        disordered=disordered,
        foreign=[number for number in received if pushes[number].only not in (None, name)],
    )


@dataclass(slots=True)
class _Span:
    """The reports between two losses, which excuse missing events before and after them."""

    confirmed: int | None = None
    """The first event that has to arrive, because the subscription was confirmed before its push."""
    numbers: list[int] = field(default_factory=list)

    def owed(self, end: int, last: bool) -> range:
        """Return the numbers of the events that are owed in this span.

        A subscription begins with its first event, or with the first one that was pushed after it was confirmed. The
        latter may be too high, because records are delayed. A subscription ends with the last event before a loss.

        Args:
            end: the number of events of the topic.
            last: whether this span is the last one.
        """
        begins = [number for number in (self.confirmed, *self.numbers[:1]) if number is not None]
        if not last:
            end = max(self.numbers, default=-1) + 1
        return range(min(begins, default=end), end)


def _spans(records: Iterable[Record]) -> list[_Span]:
    spans = [_Span()]
    for record in records:
        match record.kind:
            case Kind.READY:
                if spans[-1].confirmed is None:
                    spans[-1].confirmed = record.number
            case Kind.LOST:
                spans.append(_Span(record.number))
            case Kind.EVENT:
                spans[-1].numbers.append(record.number)
    return spans
