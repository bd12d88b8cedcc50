"""Which row of the outbox is pushed next, and what becomes of it then. No I/O: times and random numbers are arguments.

- At most one row of a topic is in flight. The next one follows after the outcome of the one before.
- A row that was accepted is deleted.
- A row that never can be accepted is parked, and its topic goes on.
- A row that may be accepted later is postponed, and its topic waits for it.
- A row that failed because the broker is away only waits. One push at a time probes whether the broker is back, after a
  pause that doubles. If the rows of two topics are postponed in a row, the broker counts as away, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..errors import AuthRejected, ClockRejected, ConnectFailed, Overloaded, QueueTimeout, Rejected, Unconfirmed

if TYPE_CHECKING:
    from ..errors import WebMQError
    from ._store import Row

__all__ = ["Changes", "Schedule"]

_FIRST_DELAY = 1.0
"""Seconds until a row that was postponed is pushed again. It doubles."""
_LONGEST_DELAY = 60.0
"""Seconds until a row that was postponed is tried again, at most."""
_FIRST_PAUSE = 0.25
"""Seconds until a broker that is away is probed. It doubles."""
_LONGEST_PAUSE = 5.0
"""Seconds between two probes, at most, unless the broker asks for more."""
_LONGEST_HELD = 16 << 20
"""Read no more rows while the events of those held have as many characters."""
_MISCONFIGURED = (404, 405, 407)
"""Statuses that say that the endpoint is wrong, or the proxy in front of it, and nothing about the row."""

_Fate: TypeAlias = Literal["delete", "wait", "postpone", "park"]


@dataclass(slots=True)
class Changes:
    """What is to be written to the outbox."""

    deleted: list[int] = field(default_factory=list)
    """IDs of rows that were accepted."""
    postponed: list[tuple[Row, float, str]] = field(default_factory=list)
    """Rows, the Unix time before which they are not pushed again, and the error."""
    parked: list[tuple[Row, str]] = field(default_factory=list)
    """Rows that cannot be accepted, and the error."""

    def __len__(self) -> int:
        return len(self.deleted) + len(self.postponed) + len(self.parked)


class Schedule:
    """The rows that have been read from the outbox and are not written back yet.

    Args:
        concurrency: Maximum number of rows in flight.
        most: Read no more rows while as many are held.
        jitter: Returns a random number in [0, 1).
    """

    def __init__(self, concurrency: int, most: int, jitter: Callable[[], float]) -> None:
        self.in_flight = 0
        self.changes = Changes()
        self.error: WebMQError | None = None
        """The error of the last probe while the broker is away; `None` if it is not."""
        self._concurrency = concurrency
        self._most = most
        self._jitter = jitter
        # Each topic has its rows here, the one in flight first, until all that was done to them has been written.
        self._rows: dict[str, deque[Row]] = {}
        self._ready: deque[str] = deque()
        self._emptied: list[str] = []
        self._held = 0
        self._length = 0
        self._suspect: str | None = None
        """The topic of the first failure since the last response to a push; `None` if there was none."""
        self._probe: Row | None = None
        self._failures = 0
        self._resumes = 0.0

    @property
    def idle(self) -> bool:
        """Whether no row is held, and nothing is to be written."""
        return not self._held and not self.changes

    @property
    def topics(self) -> Collection[str]:
        """The topics of which no more rows must be read now."""
        return self._rows.keys()

    def wants_rows(self, now: float) -> bool:
        """Return whether rows of further topics could be pushed soon."""
        if self._suspect is not None and (now < self._resumes or self._ready):
            return False
        # Reading takes a while, in which as many rows as are in flight may be done.
        return len(self._ready) < 2 * self._concurrency and self._held < self._most and self._length < _LONGEST_HELD

    def add(self, rows: Iterable[Row]) -> None:
        """Hold rows that have been read, in their order, of other topics than those of `topics`."""
        for row in rows:
            if row.topic not in self._rows:
                self._rows[row.topic] = deque()
                self._ready.append(row.topic)
            self._rows[row.topic].append(row)
            self._held += 1
            self._length += len(row.event)

    def next(self, now: float) -> Row | None:
        """Return a row to push now; `None` if there is none, or not yet."""
        if not self._ready or self.in_flight >= self._concurrency:
            return None
        row = self._rows[self._ready[0]][0]
        if self._suspect is not None:
            if self.in_flight or now < self._resumes:
                return None
            self._probe = row
        self._ready.popleft()
        self.in_flight += 1
        return row

    def pause(self, now: float) -> float | None:
        """Return the seconds until `next` may have a row again, while the broker is away; `None` if it is not."""
        return max(0.0, self._resumes - now) if self._suspect is not None and self._ready else None

    def done(self, row: Row, error: WebMQError | None, now: float, unix_time: float) -> None:
        """Record the outcome of a row.

        Args:
            row: A row that `next` has returned.
            error: Why it was not accepted; `None` if it was.
            now: The monotonic time, as for `next`.
            unix_time: The time of the outbox.
        """
        self.in_flight -= 1
        rows, ready = self._rows[row.topic], self._ready.append
        fate = "delete" if error is None else _fate_of(error)
        if error is None or fate == "park":  # the broker responds
            self._suspect = self._probe = self.error = None
            self._failures = 0
            rows.popleft()
            self._release((row,))
            if error is None:
                self.changes.deleted.append(row.id)
            else:
                self.changes.parked.append((row, _text_of(error)))
        elif fate == "postpone":
            self._doubt(row, error, now, certain=False)
            delay = self._backoff(_FIRST_DELAY, row.attempts, _LONGEST_DELAY)
            self.changes.postponed.append((row, unix_time + delay, _text_of(error)))
            self._release(rows)
            rows.clear()
        else:
            self._doubt(row, error, now, certain=True)
            ready = self._ready.appendleft  # it is the next probe
        if rows:
            ready(row.topic)
        else:
            self._emptied.append(row.topic)

    def take_changes(self) -> tuple[Changes, Collection[str]]:
        """Return what is to be written now, and the topics to give to `written` after that."""
        taken = self.changes, self._emptied
        self.changes, self._emptied = Changes(), []
        return taken

    def written(self, topics: Iterable[str]) -> None:
        """Let rows of these topics be read again."""
        for topic in topics:
            del self._rows[topic]

    def _backoff(self, first: float, failures: int, longest: float) -> float:
        return min(longest, first * 2.0 ** min(failures, 10)) * (0.5 + self._jitter() / 2)

    def _release(self, rows: Collection[Row]) -> None:
        self._held -= len(rows)
        self._length -= sum(len(row.event) for row in rows)

    def _doubt(self, row: Row, error: WebMQError, now: float, *, certain: bool) -> None:
        """Record a failure that may be the broker's."""
        if self._suspect is not None and row is not self._probe:
            return  # it was in flight when the first one failed
        if certain or self._suspect not in (None, row.topic):
            self._failures += 1
            pause = self._backoff(_FIRST_PAUSE, self._failures - 1, _LONGEST_PAUSE)
            if isinstance(error, Overloaded) and error.retry_after is not None:
                pause = max(pause, min(error.retry_after, _LONGEST_DELAY))
            self._resumes = now + pause
            self.error = error
        else:
            self._resumes = now
        self._suspect = self._suspect or row.topic
        self._probe = None


def _fate_of(error: WebMQError) -> _Fate:
    match error:
        case ConnectFailed() | QueueTimeout() | Overloaded() | ClockRejected():
            return "wait"
        case Rejected() if error.status in _MISCONFIGURED:
            return "wait"
        case AuthRejected() | Unconfirmed():
            return "postpone"
    return "park"


def _text_of(error: WebMQError) -> str:
    return f"{type(error).__name__}: {error}"
