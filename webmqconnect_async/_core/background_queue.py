"""What both clients add to the `backlog` of `push_soon`: a lock, log messages, and calls of `on_failure`.

Each client has a subclass, which takes events from it and pushes them.
"""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod

from ..errors import Unconfirmed, WebMQError
from . import log
from .backlog import Background, Backlog, Entry
from .clock import monotonic
from .dialects import Encoded
from .values import Failed, Push, Receipt


class BackgroundQueue(ABC):
    """The events of `push_soon` of one client. Threads can share it. The log names the broker by its host and port."""

    def __init__(self, background: Background, broker: str) -> None:
        self._background = background
        self._broker = broker
        # Reentrant, so that a signal handler may push while its thread holds the lock. RLock is implemented in C: an
        # exception that a handler raises cannot leave it locked.
        self._lock = threading.RLock()
        self._backlog = Backlog(background, random.random)
        self._idle = True
        """Whether `add` has to call `_wake`, because nothing is going to take the next event otherwise."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """The last three fields of `Stats`."""
        return self._backlog.waiting, self._backlog.dropped, self._backlog.failed

    def add(self, push: Push, encoded: Encoded) -> bool:
        """Append an event; return False if it would exceed a limit. Raise ClientClosed if the client is closed."""
        with self._lock:
            added = self._backlog.add(push, encoded, monotonic())
            if added and self._idle:
                self._wake()
                self._idle = False
        return added

    @abstractmethod
    def _wake(self) -> None:
        """Make the driver call `_take`. The lock is held."""

    @abstractmethod
    def _wake_flushes(self) -> None:
        """Wake the callers of `flush`. The lock is held."""

    def _delay(self) -> float | None:
        """Return the seconds until an event may be pushed. `None`: none before the next `_wake`."""
        with self._lock:
            # Without a ready event, a new one may be due first. `_idle` is set before the delay is computed, because a
            # signal handler may push in between.
            self._idle = not self._backlog.ready
            return self._backlog.delay(monotonic())

    def _take(self) -> Entry | None:
        with self._lock:
            entry = self._backlog.take(monotonic())
        self.report()
        return entry

    def _done(self, entry: Entry, result: Receipt | WebMQError) -> None:
        with self._lock:
            self._backlog.done(entry, result, monotonic())
        self.report()

    def refuse(self) -> None:
        """Accept no more events, and try the waiting ones at once."""
        with self._lock:
            self._backlog.refuse()
            self._wake()
        if self._backlog.abandoned:
            self.abandon()  # an exception may have interrupted it, and `flush` would wait for the rest

    def abandon(self) -> None:
        """Fail all events that are not in flight."""
        with self._lock:
            self._backlog.abandon()
            self._wake()
        self.report()

    def report(self, *, ended: bool = False) -> None:
        """Call `on_failure` for each event that has failed, and log what has changed. `ended`: as for `log_line`."""
        while True:
            with self._lock:
                entry = self._backlog.next_failure()
            if entry is None or entry.error is None:
                break
            try:
                if self._background.on_failure is not None:
                    self._background.on_failure(Failed(entry.index, entry.push, entry.error))
            except Exception:  # noqa: BLE001  # the application's function may raise anything
                log.on_failure_raised(self._broker)
            finally:
                with self._lock:
                    self._backlog.forget(entry)
        with self._lock:
            line = self._backlog.log_line(monotonic(), ended=ended)
            if not self._backlog.waiting:
                self._wake_flushes()
        if line is not None:
            log.background(self._broker, *line)


def webmq_error(error: Exception) -> WebMQError:
    """Return a WebMQError unchanged, and an Unconfirmed for any other error, whose text may hold a signed URL."""
    return error if isinstance(error, WebMQError) else Unconfirmed(f"unexpected {type(error).__name__}")
