"""The bookkeeping of `push_soon`: what waits, what may be pushed now, and what becomes of an event that failed.

Events of one topic are pushed in order, one at a time. An event that the broker has not accepted, but may accept later,
is tried again until it is too old; any other error ends it, and its topic goes on. While the broker is away, a single
push at a time tries whether it is back.

A signal handler may raise, or push, while the caller's thread is in `add`. Changes that belong together are therefore
made without a call between them, as in `_sync.slots`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from math import inf

from ..errors import BadReply, ClientClosed, NotAccepted, Overloaded, QueueTimeout, Rejected, Unconfirmed, WebMQError
from .bulk import without_frames
from .checks import checked_count, checked_seconds, wrong_type
from .dialects import Encoded
from .values import Failed, Push, Receipt

__all__ = ["Background", "Backlog", "Entry"]

_FIRST_DELAY = 0.1
_MAX_DELAY = 5.0
_MAX_RETRY_AFTER = 60.0
_LOG_INTERVAL = 60.0


@dataclass(frozen=True, slots=True)
class Background:
    """How a client pushes the events of `push_soon`.

    Args:
        limit: Maximum number of events without an outcome, waiting or in flight. With more, `push_soon` returns False.
        limit_bytes: Maximum size of these events, encoded, in bytes.
        max_age: Seconds for which an event is tried again while the broker cannot be reached, or asks for a delay.
            `None`: no limit.
        concurrency: Maximum number of them in flight, beside the client's own `concurrency`. A `Client` pushes one at a
            time.
        on_failure: Called with the `Failed` of each event that the broker did not accept, or may not have accepted. Its
            `index` is the number of calls of `push_soon` before. It is called in the event loop of an AsyncClient, in
            the thread of a Client, or by `close`. If it raises an exception, that is logged. `None`: failures are
            logged, at most once a minute.

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


class Entry:
    """An event in the backlog."""

    __slots__ = ("due", "encoded", "error", "following", "index", "push")

    def __init__(self, push: Push, encoded: Encoded, due: float) -> None:
        self.push = push
        self.encoded = encoded
        self.due = due
        """When it is too old."""
        self.index = 0
        self.following: Entry | None = None
        """The next event of the same topic."""
        self.error: WebMQError | None = None
        """The error of its last try."""


class Backlog:
    """The events of `push_soon` that have no outcome yet. Its user has the lock.

    Args:
        background: The client's options.
        jitter: Returns a random number in [0, 1).
    """

    def __init__(self, background: Background, jitter: Callable[[], float]) -> None:
        self._background = background
        self._jitter = jitter
        self._max_age = inf if background.max_age is None else background.max_age
        self._ready: deque[Entry] = deque()
        """The first event of each topic that has none in flight."""
        self._newest: dict[str, Entry] = {}
        """The newest event of each topic, while it has any."""
        self._in_flight: dict[Entry, None] = {}
        self._failures: deque[Entry] = deque()
        """Events that have failed and wait for `next_failure`."""
        self._calls = self._bytes = 0
        self._tries = 0
        """Tries in a row that have not reached the broker. 0: it is not away."""
        self._next_try = self._next_line = -inf
        self._unlogged: WebMQError | None = None
        """The last error that the log has not shown."""
        self._unlogged_failures = 0
        self._said_away = False
        self._last_error: WebMQError | None = None
        self.waiting = 0
        """Events without an outcome, including those in flight."""
        self.dropped = self.failed = 0
        self.left = 0
        """Events that have failed because the client was closed."""
        self.closed = False
        """Whether `add` raises ClientClosed."""
        self._abandoned = False

    @property
    def is_away(self) -> bool:
        """Whether the broker is away. A new event then does not change when the next try follows."""
        return self._tries > 0

    def add(self, push: Push, encoded: Encoded, now: float) -> bool:
        """Append an event; return False if there is no room."""
        if self.closed:
            raise ClientClosed("the client is closed")
        size = encoded.size
        if self.waiting >= self._background.limit or self._bytes + size > self._background.limit_bytes:
            self._calls += 1
            self.dropped += 1
            return False
        entry = Entry(push, encoded, now + self._max_age)
        topic = push.topic
        entry.index = self._calls
        self._calls += 1
        self.waiting += 1
        self._bytes += size
        if topic in self._newest:
            self._newest[topic].following = entry
            self._newest[topic] = entry
        else:
            self._newest[topic] = entry
            self._ready.append(entry)
        return True

    def take(self, now: float) -> Entry | None:
        """Return an event to push now, which is in flight until `done`. `None`: see `delay`."""
        if self._tries:
            if self._in_flight or now < self._next_try:
                return None
            self._fail_old(now)
        while self._ready:
            entry = self._ready[0]
            if now < entry.due:
                self._in_flight[entry] = None
                del self._ready[0]
                return entry
            del self._ready[0]
            self._fail_too_old(entry)
            self._go_on(entry)
        return None

    def delay(self, now: float) -> float | None:
        """Return the seconds until an event may be pushed. `None`: that depends on `add` or `done`."""
        if not self._ready or (self._tries and self._in_flight):
            return None
        return max(0.0, self._next_try - now) if self._tries else 0.0

    def done(self, entry: Entry, result: Receipt | WebMQError, now: float) -> None:
        """Record the outcome of a try. Another outcome of the same try is ignored."""
        if entry not in self._in_flight:
            return
        del self._in_flight[entry]
        again = isinstance(result, NotAccepted) and result.retryable
        if isinstance(result, Receipt | Rejected | BadReply) and not again:
            self._tries, self._next_try = 0, -inf  # it has responded
            if not self._unlogged_failures:
                self._unlogged = None
        elif again or self._tries:
            if not self._in_flight or not self._tries:
                self._tries += 1
            self._next_try = max(self._next_try, now + self._backoff(result))
        if isinstance(result, Receipt):
            self.forget(entry)
            self._go_on(entry)
            return
        self._last_error = entry.error = without_frames(result)
        if again and not self._abandoned and now < entry.due:
            self._unlogged = result
            # Behind the other topics: this one alone may be the reason.
            self._ready.append(entry)
        else:
            self._fail(entry, result)
            self._go_on(entry)

    def lose(self, now: float) -> None:
        """Let the events in flight fail, because their event loop was closed."""
        for entry in list(self._in_flight):
            self.done(entry, Unconfirmed("the event loop was closed during the push"), now)

    def refuse(self) -> None:
        """Accept no more events. Time is short: those that wait are tried at once, and then after short delays."""
        self.closed = True
        self._tries = min(self._tries, 1)
        self._next_try = -inf

    def abandon(self) -> None:
        """Let all events fail that wait, and those in flight that would need another try."""
        self.closed = self._abandoned = True
        firsts = [*self._ready, *(entry.following for entry in self._in_flight)]
        for entry in self._in_flight:
            entry.following = None
        self._ready.clear()
        self._newest.clear()
        why = f": {self._last_error}" if self._last_error is not None else ""
        for waiting in firsts:
            while waiting is not None:
                self._fail(waiting, ClientClosed(f"the client was closed before it could push the event{why}"))
                waiting = waiting.following

    def next_failure(self) -> Entry | None:
        """Return an event that has failed, for `on_failure`. It counts as waiting until `forget`."""
        return self._failures.popleft() if self._failures else None

    def forget(self, entry: Entry) -> None:
        """Give back the room of an event that has ended."""
        self.waiting -= 1
        self._bytes -= entry.encoded.size

    def news(self, now: float) -> str | None:
        """Return what to log now, if anything."""
        news = None
        if self._unlogged is not None and now >= self._next_line:
            failed = f", failed: {self._unlogged_failures}" if self._unlogged_failures else ""
            news = f"events that wait to be pushed in the background: {self.waiting}{failed}{_because(self._unlogged)}"
            self._said_away = self.is_away
            self._unlogged, self._unlogged_failures, self._next_line = None, 0, now + _LOG_INTERVAL
        elif self._said_away and not self._tries:
            self._said_away = False
            news = f"the broker is back; events that wait to be pushed in the background: {self.waiting}"
        return news

    def left_behind(self) -> str | None:
        """Return, once, what to log about events that were left as the client ended."""
        left, self.left = self.left + len(self._in_flight), 0
        return (
            f"events that were not pushed before the client ended: {left}{_because(self._last_error)}" if left else None
        )

    def _backoff(self, result: Receipt | WebMQError) -> float:
        """Return the seconds until the next try. They are shared by all events."""
        ceiling = min(_MAX_DELAY, _FIRST_DELAY * 2.0 ** min(self._tries - 1, 10))
        delay = ceiling * (1 + self._jitter()) / 2
        if isinstance(result, Overloaded) and result.retry_after is not None:
            return max(delay, min(result.retry_after, _MAX_RETRY_AFTER))
        return delay

    def _fail_old(self, now: float) -> None:
        """Let all events fail that have become too old while the broker was away."""
        for _ in range(len(self._ready)):
            entry: Entry | None = self._ready.popleft()
            while entry is not None and entry.due <= now:
                self._fail_too_old(entry)
                if entry.following is None:
                    del self._newest[entry.push.topic]
                entry = entry.following
            if entry is not None:
                self._ready.append(entry)

    def _fail_too_old(self, entry: Entry) -> None:
        why = f": {self._last_error}" if self._tries else ""
        self._fail(entry, entry.error or QueueTimeout(f"not pushed within max_age, {self._max_age:g} seconds{why}"))

    def _fail(self, entry: Entry, error: WebMQError) -> None:
        entry.error = error
        self.failed += 1
        self.left += self._abandoned
        if self._background.on_failure is not None:
            self._failures.append(entry)
            return
        self.forget(entry)
        if not self._abandoned:
            self._unlogged = error
            self._unlogged_failures += 1

    def _go_on(self, entry: Entry) -> None:
        """Let the next event of the same topic follow."""
        if entry.following is not None:
            self._ready.append(entry.following)
        else:
            self._newest.pop(entry.push.topic, None)


def _because(error: WebMQError | None) -> str:
    return f"; the last error: {type(error).__name__}: {error}" if error is not None else ""
