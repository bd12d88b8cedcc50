"""The bookkeeping of `push_soon`: which events wait and how many may, which to push now, and their outcomes.

Events of one topic are pushed in order, one at a time. An event that the broker has not accepted, but may accept later,
is tried again until it is too old; any other error ends it, and the next event of its topic follows. While the broker
is away, one push at a time tries whether it is back.

A signal handler can interrupt `add` or `abandon`, and may push or raise. Each event is therefore added, and ended, in
statements without a call between them: CPython runs handlers after calls (see `_sync/slots.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from inspect import iscoroutinefunction
from math import inf

from ..errors import BadReply, ClientClosed, NotAccepted, Overloaded, QueueTimeout, Rejected, Unconfirmed, WebMQError
from .backoff import ceiling
from .bulk import without_frames
from .checks import checked_count, checked_seconds, wrong_type
from .dialects import Encoded
from .values import Failed, Push, Receipt

_FIRST_DELAY = 0.1
_MAX_DELAY = 5.0
_MAX_RETRY_AFTER = 60.0
_LOG_INTERVAL = 60.0


@dataclass(frozen=True, slots=True)
class Background:
    """How a client pushes the events of `push_soon`.

    Args:
        limit: Maximum number of events without an outcome, waiting or in flight. With more, `push_soon` returns False.
        limit_bytes: Maximum total size of these events as JSON, in bytes.
        max_age: Seconds for which an event is retried while the broker cannot be reached, or asks for a delay. `None`:
            no limit.
        concurrency: Maximum number of these events in flight, in addition to the client's own `concurrency`. A `Client`
            pushes one at a time.
        on_failure: Called with the `Failed` of each event that the broker did not accept, or may not have accepted. Its
            `index` is the number of earlier calls of `push_soon` that returned True or False. An AsyncClient calls it
            in its event loop, a Client in its background thread. During `close`, it is called in the thread that called
            `close`, and at exit in the main thread. An exception that it raises is logged. `None`: failures are logged,
            at most once a minute.

    Raises:
        TypeError, ValueError: An argument is invalid; the message names it.
    """

    limit: int = 10_000
    limit_bytes: int = 16 << 20
    max_age: float | None = 60.0
    concurrency: int = 10
    on_failure: Callable[[Failed], object] | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "limit_bytes", "concurrency"):
            checked_count(name, getattr(self, name))
        checked_seconds("max_age", self.max_age)
        if self.on_failure is not None and not callable(self.on_failure):
            raise TypeError(wrong_type("on_failure", "callable or None", self.on_failure))
        if iscoroutinefunction(self.on_failure):
            raise TypeError("on_failure must be a plain function, not a coroutine function")


@dataclass(slots=True, eq=False)
class Entry:
    """An event in the backlog."""

    push: Push
    encoded: Encoded
    due: float
    """When it is too old to be tried again, on the monotonic clock."""
    index: int = 0
    tries: int = 0
    failed: bool = False
    error: WebMQError | None = None
    """The error of the last try."""


class Backlog:
    """The events of `push_soon` that have no outcome yet. It is not thread-safe: the caller must hold a lock.

    `jitter` returns a random number in [0, 1).
    """

    def __init__(self, background: Background, jitter: Callable[[], float]) -> None:
        self._background = background
        self._jitter = jitter
        self._max_age = inf if background.max_age is None else background.max_age
        self._entries: dict[Entry, None] = {}
        """All events without an outcome, including those in flight."""
        self.ready: deque[Entry] = deque()
        """The first event of each topic, unless it is in flight or delayed."""
        self._delayed: list[tuple[float, int, Entry]] = []
        """A heap of the events that the broker asked to delay: when each is due, its index, and the event."""
        # For each topic with an event that is ready, delayed or in flight: the later events, as in `Bulk`.
        self._turns: dict[str, deque[Entry] | None] = {}
        self._in_flight: dict[Entry, None] = {}
        self._failures: dict[Entry, None] = {}
        """Events that have failed and wait for `next_failure`."""
        self._calls = self._bytes = 0
        self._tries = 0
        """Consecutive tries without a response, or with a request to delay. 0: the broker is not away."""
        self._next_try = self._next_line = -inf
        self._last_error: WebMQError | None = None
        self._away_logged = False
        self._reported = 0
        """Number of failures that were logged or passed to `on_failure`."""
        self.dropped = self.failed = 0
        self._closed = False
        self.abandoned = False

    @property
    def waiting(self) -> int:
        """Events without an outcome, including those in flight."""
        return len(self._entries)

    def add(self, push: Push, encoded: Encoded, now: float) -> bool:
        """Append an event; return False if it would exceed a limit."""
        if self._closed:
            raise ClientClosed("the client is closed")
        size = len(encoded.body)
        if len(self._entries) >= self._background.limit or self._bytes + size > self._background.limit_bytes:
            self._calls += 1
            self.dropped += 1
            return False
        entry = Entry(push, encoded, now + self._max_age)
        topic, turn = push.topic, deque((entry,))
        entry.index = self._calls
        self._calls += 1
        self._entries[entry] = None
        self._bytes += size
        if topic not in self._turns:
            self._turns[topic] = None
            self.ready += turn
        elif (later := self._turns[topic]) is not None:
            later += turn
        else:
            self._turns[topic] = turn
        return True

    def take(self, now: float) -> Entry | None:
        """Return an event to push now, which is in flight until `done`. `None`: none may be pushed yet, see `delay`."""
        if self._tries and (self._in_flight or now < self._next_try):
            return None
        while self._delayed and self._delayed[0][0] <= now:
            self.ready.append(heappop(self._delayed)[-1])
        if self._tries:
            self._fail_old(now)
        if not self.ready:
            return None
        entry = self.ready[0]
        self._in_flight[entry] = None
        del self.ready[0]
        return entry

    def delay(self, now: float) -> float | None:
        """Return the seconds until an event may be pushed. `None`: none before the next `add` or `done`."""
        if self._tries and self._in_flight:
            return None
        first = -inf if self.ready else self._delayed[0][0] if self._delayed else None
        return None if first is None else max(0.0, max(first, self._next_try) - now)

    def done(self, entry: Entry, result: Receipt | WebMQError, now: float) -> None:
        """Record the outcome of a try. Another outcome of the same try is ignored."""
        if entry not in self._in_flight:
            return
        del self._in_flight[entry]
        again = isinstance(result, NotAccepted) and result.retryable
        if isinstance(result, Receipt | Rejected | BadReply) and not again:
            self._tries, self._next_try = 0, -inf  # the broker is not away
        elif again or self._tries:
            if not self._in_flight or not self._tries:
                self._tries += 1
            self._next_try = max(self._next_try, now + self._backoff(self._tries))
        if isinstance(result, Receipt):
            self.forget(entry)
            self._follow(entry, self.ready)
            return
        self._last_error = entry.error = without_frames(result)
        if not again or self.abandoned or now >= entry.due:
            self._fail(entry, result)
            self._follow(entry, self.ready)
        elif isinstance(result, Overloaded):
            # The broker may refuse this topic only, so the other topics need not wait as long.
            entry.tries += 1
            asked = min(result.retry_after or 0.0, _MAX_RETRY_AFTER, self._max_age / 2)
            heappush(self._delayed, (now + max(asked, self._backoff(entry.tries)), entry.index, entry))
        else:
            self.ready.append(entry)

    def fail_in_flight(self, now: float) -> None:
        for entry in list(self._in_flight):
            self.done(entry, Unconfirmed("the event loop was closed during the push"), now)

    def refuse(self) -> None:
        """Accept no more events, and try the waiting ones at once: `close` waits for a limited time."""
        self._closed = True
        self._tries = min(self._tries, 1)
        self._next_try = -inf
        self.ready += [entry for *_, entry in self._delayed]
        self._delayed = []

    def abandon(self) -> None:
        """Fail all waiting events, and from now on those in flight that would need another try.

        Safe to call again. That completes an earlier call, or a report of failures, that an exception interrupted.
        """
        interrupted, self._closed, self.abandoned = self.abandoned, True, True
        self.ready.clear()
        self._delayed.clear()
        self._turns.clear()
        why = f": {self._last_error}" if self._last_error is not None else ""
        for entry in list(self._entries):
            if entry.failed and interrupted and entry not in self._failures:
                self.forget(entry)
            elif entry not in self._in_flight:
                self._fail(entry, ClientClosed(f"the client was closed before it could push the event{why}"))

    def next_failure(self) -> Entry | None:
        """Return a failed event to report, or `None`. It counts as waiting until `forget`."""
        for entry in self._failures:
            del self._failures[entry]
            return entry
        return None

    def forget(self, entry: Entry) -> None:
        """Remove an event that has ended, which makes room for another. Safe to call again."""
        size = len(entry.encoded.body)
        if entry in self._entries:
            del self._entries[entry]
            self._bytes -= size

    def log_line(self, now: float, *, ended: bool) -> tuple[bool, str] | None:
        """Return whether the next log message is a warning, and its text; `None` if there is nothing to log.

        The client has `ended` if it has been closed, or its process is about to end.
        """
        failed = self.failed - self._reported
        if not (ended or failed or self._tries or self._away_logged):
            return None
        why = f"; the last error: {type(self._last_error).__name__}: {self._last_error}" if self._last_error else ""
        waiting = f"events that wait to be pushed in the background: {self.waiting}"
        if ended:
            failed += len(self._in_flight)
            self._reported += failed
            if failed > 0:
                return True, f"events that were not pushed before the client ended: {failed}{why}"
        elif (self._tries or failed) and now >= self._next_line and not self.abandoned:
            self._reported, self._next_line, self._away_logged = self.failed, now + _LOG_INTERVAL, self._tries > 0
            return True, f"{waiting}, failed: {failed}{why}" if failed else f"{waiting}{why}"
        elif self._away_logged and not self._tries:
            self._away_logged = False
            return False, f"the broker is back; {waiting}"
        return None

    def _backoff(self, tries: int) -> float:
        return ceiling(_FIRST_DELAY, tries, _MAX_DELAY) * (1 + self._jitter()) / 2

    def _fail_old(self, now: float) -> None:
        """Fail all events that have become too old while the broker was away."""
        old, self.ready = self.ready, deque()
        while old:
            entry = old.popleft()
            if now < entry.due:
                self.ready.append(entry)
            else:
                why = f"not pushed within max_age, {self._max_age:g} seconds: {self._last_error}"
                self._fail(entry, entry.error or QueueTimeout(why))
                self._follow(entry, old)

    def _fail(self, entry: Entry, error: WebMQError) -> None:
        if not entry.failed:
            entry.error = error
            entry.failed = True
            self._failures[entry] = None
            self.failed += 1
            self._reported += self._background.on_failure is not None and not self.abandoned

    def _follow(self, entry: Entry, queue: deque[Entry]) -> None:
        topic = entry.push.topic
        if topic in self._turns:
            if turn := self._turns[topic]:
                queue.append(turn.popleft())
            else:
                del self._turns[topic]
