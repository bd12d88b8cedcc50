"""The bookkeeping of many pushes: the index, the order within a topic and the outcome of each. No threads, no tasks.

A driver calls `take` with each item of the source and runs the job that it returns. After each job it calls `done` and
runs the job that this returns. While `full` is true, it must not read the source.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeAlias

from ..errors import InvalidPush, SourceFailed, WebMQError
from .checks import checked_count, wrong_type
from .values import Failed, Outcome, Push, Receipt, Sent

Item: TypeAlias = Push | tuple[str, object]
"""An item of a source."""


@dataclass(slots=True)
class Job:
    """One item of the source."""

    index: int
    push: Push | InvalidPush
    """The error if the item is not a push."""
    topic: str | None = field(default=None, compare=False)
    """The topic that is busy until the job is done; `None` if it may run at any time."""


class Bulk:
    """Decides which job may run, while at most `look_ahead` others wait for their topic."""

    def __init__(self, order_by_topic: bool, look_ahead: int = 1000) -> None:
        self._order_by_topic = order_by_topic
        self._look_ahead = look_ahead
        self._taken = 0
        self._waiting = 0
        # The jobs that wait for each busy topic. Usually none do: `None` saves an empty deque, which takes 760 bytes.
        self._turns: dict[str, deque[Job] | None] = {}

    @property
    def full(self) -> bool:
        return self._waiting >= self._look_ahead

    def take(self, item: object) -> Job | None:
        """Return the job of the source's next item; `None` if its topic is busy: `done` returns it later."""
        job = Job(self._taken, _push_of(item))
        self._taken += 1
        if self._order_by_topic and isinstance(job.push, Push) and isinstance(job.push.topic, str):
            job.topic = job.push.topic
            if job.topic in self._turns:
                turn = self._turns[job.topic] or deque()
                turn.append(job)
                self._turns[job.topic] = turn
                self._waiting += 1
                return None
            self._turns[job.topic] = None
        return job

    def done(self, job: Job) -> Job | None:
        """Return the next job of the same topic, if one waits."""
        if job.topic is not None:
            if turn := self._turns[job.topic]:
                self._waiting -= 1
                return turn.popleft()
            del self._turns[job.topic]
        return None


def _push_of(item: object) -> Push | InvalidPush:
    if isinstance(item, Push):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return Push(*item)
    return InvalidPush(wrong_type("each item", "a Push or a (topic, event) pair", item))


def outcome_of(job: Job, result: Receipt | WebMQError) -> Outcome:
    push = job.push if isinstance(job.push, Push) else None
    if isinstance(result, Receipt):
        if push is None:
            raise TypeError("a receipt for an item that is not a push")
        return Sent(job.index, push, result)
    return Failed(job.index, push, without_frames(result))


def without_frames(error: WebMQError) -> WebMQError:
    """Return an error without tracebacks, also of its causes: they would keep the frames of the push alive."""
    each: BaseException | None = error
    while each is not None and each.__traceback__ is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error


def in_order(outcomes: list[Outcome], failure: BaseException | None) -> list[Outcome]:
    """Return the outcomes in input order; raise SourceFailed with them if the source was not read to its end."""
    outcomes.sort(key=attrgetter("index"))
    if failure is not None:
        message = f"the source was not read to its end; there are {len(outcomes)} outcomes"
        raise SourceFailed(message, outcomes=outcomes) from failure
    return outcomes


def worker_count(pushes: object, kinds: tuple[type, ...], concurrency: int | None, slots: int) -> int:
    """Return how many pushes of a bulk may be in flight, of a source that must be one of `kinds`, and not a string."""
    workers = slots if concurrency is None else min(slots, checked_count("concurrency", concurrency))
    if isinstance(pushes, str | bytes) or not isinstance(pushes, kinds):
        raise TypeError(wrong_type("pushes", "an iterable of pushes", pushes))
    # A short source needs fewer workers. Only of a list or tuple: `len` of a database's query set would run its query.
    return max(1, min(workers, len(pushes))) if isinstance(pushes, list | tuple) else workers
