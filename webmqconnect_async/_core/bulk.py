"""The bookkeeping of many pushes: each item's index, its topic's turn, its outcome. No threads, no tasks, no I/O.

A driver calls `take` for each item of the source and runs the jobs it gets; it calls `done` after each and runs the job
that this may set free. While `full` is true it must not read on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from ..errors import InvalidPush, SourceFailed, WebMQError
from .checks import checked_count
from .values import Outcome, Push, Receipt

__all__ = ["Bulk", "Item", "Job", "bulk_workers", "in_order", "outcome_of"]

Item: TypeAlias = Push | tuple[str, object] | InvalidPush
"""What a source gives. One that knows of an item that it is no push may say so: the error is that item's outcome."""


@dataclass(slots=True)
class Job:
    """One item of the source, numbered; `push` is the error where it is no push."""

    index: int
    push: Push | InvalidPush


class Bulk:
    """Which job may run now.

    Args:
        order_by_topic: pushes on one topic go one after another, in the order of the source.
        look_ahead: jobs that may wait for their topic's turn before the source must not be read further.
    """

    def __init__(self, order_by_topic: bool, look_ahead: int = 1000) -> None:
        self._order_by_topic = order_by_topic
        self._look_ahead = look_ahead
        self._taken = 0
        self._waiting = 0
        self._turns: dict[str, deque[Job]] = {}

    @property
    def full(self) -> bool:
        """Whether as many jobs wait for their turn as may."""
        return self._waiting >= self._look_ahead

    def take(self, item: object) -> Job | None:
        """Return the job of the source's next item; None where its topic is busy and `done` will return it."""
        job = Job(self._taken, _push_of(item))
        self._taken += 1
        if not self._order_by_topic or not isinstance(job.push, Push) or not isinstance(job.push.topic, str):
            return job
        turn = self._turns.get(job.push.topic)
        if turn is None:
            self._turns[job.push.topic] = deque()
            return job
        turn.append(job)
        self._waiting += 1
        return None

    def done(self, job: Job) -> Job | None:
        """End a job's turn; return the job whose turn comes then, if one waits."""
        if not self._order_by_topic or not isinstance(job.push, Push) or not isinstance(job.push.topic, str):
            return None
        turn = self._turns[job.push.topic]
        if turn:
            self._waiting -= 1
            return turn.popleft()
        del self._turns[job.push.topic]
        return None


def _push_of(item: object) -> Push | InvalidPush:
    if isinstance(item, Push | InvalidPush):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return Push(*item)
    return InvalidPush(f"a Push or a (topic, event) pair is needed, not {type(item).__name__}")


def outcome_of(job: Job, result: Receipt | WebMQError) -> Outcome:
    """Return what became of a job."""
    push = job.push if isinstance(job.push, Push) else None
    if isinstance(result, Receipt):
        return Outcome(job.index, push, result, None)
    # An outcome may be kept; a traceback, its own or its cause's, would keep every frame of the push with it.
    error: BaseException | None = result
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    return Outcome(job.index, push, None, result)


def in_order(outcomes: list[Outcome], failure: BaseException | None) -> list[Outcome]:
    """Return the outcomes in input order; raise SourceFailed with them where the source was not read to its end."""
    outcomes.sort(key=attrgetter("index"))
    if failure is not None:
        said = f"the source was not read to its end; there are {len(outcomes)} outcomes"
        raise SourceFailed(said, outcomes=outcomes) from failure
    return outcomes


def bulk_workers(pushes: object, concurrency: int | None, slots: int) -> int:
    """Return how many pushes of a bulk may be in flight.

    Args:
        pushes: the source; a short one needs no more workers than it has items.
        concurrency: what the caller asked for; None for as many as there are slots.
        slots: the client's own bound.

    Raises:
        TypeError, ValueError: concurrency is no integer of 1 or more, or pushes is text.
    """
    workers = slots if concurrency is None else min(slots, checked_count("concurrency", concurrency))
    if isinstance(pushes, str | bytes):
        raise TypeError(f"pushes: an iterable of pushes is needed, not {type(pushes).__name__}")
    # Not of anything that has a length: a database's query set would be read for it.
    return max(1, min(workers, len(pushes))) if isinstance(pushes, list | tuple) else workers
