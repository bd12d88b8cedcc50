"""The slots of a blocking client: how many pushes are in flight, and what has become of the others."""

from __future__ import annotations

import threading
import time

from ..errors import ClientClosed, QueueTimeout
from ..values import Stats

__all__ = ["Slots"]


class Slots:
    """A semaphore that threads wait at no longer than their deadline, and that can be closed.

    Args:
        size: how many may hold a slot at once.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._pushed = self._failed = self._retried = self._in_flight = 0
        self._cut = threading.Event()
        self.closed = False

    @property
    def stats(self) -> Stats:
        """What has been counted so far."""
        with self._changed:
            return Stats(self._pushed, self._failed, self._retried, self._in_flight)

    @property
    def is_cut(self) -> bool:
        """Whether the grace of a close is over."""
        return self._cut.is_set()

    def acquire(self, deadline: float) -> None:
        """Take a slot.

        Args:
            deadline: on the monotonic clock, infinite for none.

        Raises:
            ClientClosed: closed before, or while waiting.
            QueueTimeout: the deadline came first.
        """
        with self._changed:
            if self.closed:
                raise ClientClosed("the client is closed")
            while self._in_flight >= self._size:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._failed += 1
                    raise QueueTimeout(f"none of the {self._size} slots came free before the deadline")
                # Longer waits than TIMEOUT_MAX are an OverflowError.
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
                if self.closed:
                    self._failed += 1
                    raise ClientClosed("the client was closed while the push waited for a slot")
            self._in_flight += 1

    def release(self, pushed: bool, retried: int) -> None:
        """Give a slot back and count what came of it."""
        with self._changed:
            self._in_flight -= 1
            self._pushed += pushed
            self._failed += not pushed
            self._retried += retried
            self._changed.notify_all() if self.closed else self._changed.notify()

    def sleep(self, seconds: float) -> bool:
        """Sleep with a slot in hand; return whether the grace of a close cut it short."""
        return self._cut.wait(min(seconds, threading.TIMEOUT_MAX))

    def close(self, deadline: float) -> None:
        """Let nobody in any more, and wait until the deadline for those who are in."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            while self._in_flight and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
        self._cut.set()
