"""Which row of the outbox is pushed next, and what its outcome means. No I/O: times and random numbers are arguments.

- At most one row of a topic is in flight. The next one is pushed after the outcome of the previous one.
- A row that was accepted is deleted.
- A row that can never be accepted is parked, and its topic continues with the next row.
- A row that may be accepted later is postponed, and the later rows of its topic wait.
- A row that failed because the broker is away only waits: that does not count as an attempt.
- While the broker is away, all rows are released, and read again for a probe: one push at a time, after a delay. The
  delay doubles while the broker does not respond. If rows of two topics are postponed, and none is accepted in between,
  the cause may be the broker: it is probed, too, first with rows that have not failed yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .._core.backoff import ceiling
from ..errors import (
    AuthRejected,
    BadReply,
    ClockRejected,
    ConnectFailed,
    Overloaded,
    QueueTimeout,
    Rejected,
    TooLarge,
    Unconfirmed,
)

if TYPE_CHECKING:
    from ..errors import WebMQError
    from ._store import Failed, Row

_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0
"""Seconds until a row that was postponed is pushed again. The delay doubles with each attempt."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
"""Seconds until a broker that is away is probed. The pause doubles with each failure. The broker may ask for more."""
_MAX_LENGTH = 16 << 20
"""Characters of the events of all held rows above which no more rows are read."""
_MISCONFIGURED = (404, 405, 407)
"""Statuses that mean a wrong endpoint, or a proxy in front of it. They do not depend on the row."""
_AMBIGUOUS = (400, 410, 415, 501)
"""Statuses that mean a row that is never accepted, or a server that is not the broker.

Once a row has been accepted, the server is the broker.
"""


@dataclass(slots=True)
class Changes:
    """Outcomes that are to be written to the outbox."""

    deleted: list[Row] = field(default_factory=list)
    """Rows that were accepted."""
    failed: list[Failed] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.deleted) + len(self.failed)


class Schedule:
    """The rows that have been read from the outbox and are not written back yet.

    `concurrency` is the maximum number of rows in flight. Above `max_held` rows, no more are read. `jitter` returns a
    random number in [0, 1). `changes` may have some of an earlier run.
    """

    def __init__(self, concurrency: int, max_held: int, jitter: Callable[[], float], changes: Changes) -> None:
        self.in_flight = 0
        self.changes = changes
        self.error: WebMQError | None = None
        """The last error if the broker does not accept pushes; `None` if it does, or if that is not known."""
        self.away = False
        """Whether the broker is away, as opposed to responding with errors for which rows are postponed."""
        self._concurrency = concurrency
        self._max_held = max_held
        self._jitter = jitter
        # The rows of each topic, the one in flight first. A topic is removed when the outcomes of its rows are written.
        self._rows: dict[str, list[Row]] = {}
        self._ready: deque[str] = deque()
        self._emptied: list[str] = []
        self._failed_topic: str | None = None
        """The topic of the first failure since the last row was accepted or parked; `None` if there was none."""
        self._accepted = self._probing = False
        self._failures = 0
        self._resumes = 0.0

    @property
    def idle(self) -> bool:
        """Whether no row is held, and no outcome is to be written."""
        return not any(self._rows.values()) and not self.changes

    @property
    def topics(self) -> Collection[str]:
        """The topics whose rows must not be read now."""
        return self._rows.keys()

    def wants_rows(self, now: float) -> bool:
        """Return whether rows of further topics could be pushed soon."""
        if self._failed_topic is not None and (now < self._resumes or self._ready):
            return False
        if len(self._ready) >= 2 * self._concurrency:  # twice, because all those in flight may end during the read
            return False
        held = [len(row.event) for rows in self._rows.values() for row in rows]
        return len(held) < self._max_held and sum(held) < _MAX_LENGTH

    def add(self, rows: Iterable[Row]) -> None:
        """Hold rows that have been read, in their order. None may be of a topic in `topics`."""
        for row in rows:
            if row.topic not in self._rows:
                self._rows[row.topic] = []
                self._ready.append(row.topic)
            self._rows[row.topic].append(row)

    def next(self, now: float) -> Row | None:
        """Return a row to push now; `None` if there is none, or not yet."""
        if not self._ready or self.in_flight >= self._concurrency:
            return None
        topic = self._ready[0]
        if self._failed_topic is not None:
            if self.in_flight or now < self._resumes:
                return None
            self._probing = True
            topic = next((each for each in self._ready if not self._rows[each][0].attempts), topic)
        self._ready.remove(topic)
        self.in_flight += 1
        return self._rows[topic][0]

    def pause(self, now: float) -> float:
        """Return the seconds until `next` may return a row again; 0 unless the broker is probed."""
        return max(0.0, self._resumes - now) if self._failed_topic is not None else 0.0

    def done(self, row: Row, error: WebMQError | None, now: float, unix_time: float) -> None:
        """Record the outcome of a row that `next` has returned: accepted, or an error. `now` is monotonic."""
        self.in_flight -= 1
        rows = self._rows[row.topic]
        action = _action_for(error, self._accepted)
        if error is None:
            self._accepted = True
            self.changes.deleted.append(row)
        elif action != "wait":
            delay = self._backoff(_FIRST_DELAY, row.attempts + 1, _LONGEST_DELAY)
            due = None if action == "park" else unix_time + delay
            self.changes.failed.append((row, due, f"{type(error).__name__}: {error}"))
        if error is None or action == "park":
            self._failed_topic = self.error = None
            self._probing = self.away = False
            self._failures = 0
            rows.pop(0)
        else:
            rows.clear()
            self._record_failure(row.topic, error, now, certain=action == "wait")
        if rows:
            self._ready.append(row.topic)
        else:
            self._emptied.append(row.topic)

    def pending(self) -> tuple[Changes, list[str]]:
        """Return what is to be written now, and the topics that may be read again after that, for `written`."""
        return Changes(self.changes.deleted[:], self.changes.failed[:]), self._emptied[:]

    def written(self, changes: Changes, topics: Collection[str]) -> None:
        """Forget what `pending` has returned. After a failure do not call it: writing changes twice is harmless."""
        del self.changes.deleted[: len(changes.deleted)]
        del self.changes.failed[: len(changes.failed)]
        del self._emptied[: len(topics)]
        for topic in topics:
            del self._rows[topic]

    def _backoff(self, first: float, failures: int, longest: float) -> float:
        return ceiling(first, failures, longest) * (1 + self._jitter()) / 2

    def _record_failure(self, topic: str, error: WebMQError, now: float, *, certain: bool) -> None:
        """Record a failure that the broker may have caused. Pause if that is `certain`, or if two topics failed."""
        if self._failed_topic is not None and not self._probing:
            return  # the row was in flight when the first one failed
        self._probing = False
        self._resumes = now
        if certain or self._failed_topic not in (None, topic):
            self.error = error
            self.away = certain or not (isinstance(error, Rejected | BadReply) and error.status)
            self._failures = self._failures + 1 if self.away else 1
            pause = self._backoff(_FIRST_PAUSE, self._failures, _LONGEST_PAUSE)
            if isinstance(error, Overloaded) and error.retry_after is not None:
                pause = max(pause, min(error.retry_after, _LONGEST_DELAY))
            self._resumes += pause
            # All rows except those in flight are released, because an operator may drop them in the meantime.
            for waiting in self._ready:
                self._rows[waiting].clear()
            for rows in self._rows.values():
                del rows[1:]
            self._emptied += self._ready
            self._ready.clear()
        self._failed_topic = self._failed_topic or topic


def _action_for(error: WebMQError | None, accepted: bool) -> Literal["delete", "wait", "postpone", "park"]:
    """Return what to do with a row. `error`: why it failed. `accepted`: whether the broker has accepted another row."""
    match error:
        case None:
            return "delete"
        case ConnectFailed() | QueueTimeout() | Overloaded() | ClockRejected():
            return "wait"
        case Rejected() if error.status in _MISCONFIGURED:
            return "wait"
        case AuthRejected() | Unconfirmed():
            return "postpone"
        case Rejected() if error.status in _AMBIGUOUS and not isinstance(error, TooLarge) and not accepted:
            return "postpone"
    return "park"
