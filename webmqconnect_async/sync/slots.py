"""The slots of a blocking client: how many pushes are in flight, and what has become of the others."""

from __future__ import annotations

import threading
import time
from collections import deque

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
        self._queue: deque[threading.Event] = deque()
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
            if self._in_flight < self._size:
                self._in_flight += 1
                return
            turn = threading.Event()
            self._queue.append(turn)
        try:
            # Longer waits than TIMEOUT_MAX are an OverflowError.
            turn.wait(min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX))
        except BaseException:
            if not self._leave(turn):
                self.release(pushed=False, retried=0)
            raise
        if self._leave(turn):
            if self.closed:
                raise ClientClosed("the client was closed while the push waited for a slot")
            raise QueueTimeout(f"none of the {self._size} slots came free before the deadline")

    def release(self, pushed: bool, retried: int) -> None:
        """Give a slot back and count what came of it."""
        with self._changed:
            self._pushed += pushed
            self._failed += not pushed
            self._retried += retried
            if self._queue and not self.closed:
                # The slot goes to whoever has waited longest: left free, it would go to whoever runs just now, which is
                # the thread that gives it back, and that may push again at once, for ever.
                self._queue.popleft().set()
                return
            self._in_flight -= 1
            self._changed.notify_all()

    def sleep(self, seconds: float) -> bool:
        """Sleep with a slot in hand; return whether the grace of a close cut it short."""
        return self._cut.wait(seconds)

    def close(self, deadline: float) -> int:
        """Let nobody in any more, wait until the deadline for those who are in, and return how many it cuts off."""
        with self._changed:
            self.closed = True
            for turn in self._queue:
                turn.set()
            while self._in_flight and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            cut_off = 0 if self._cut.is_set() else self._in_flight
            self._cut.set()
        return cut_off

    def _leave(self, turn: threading.Event) -> bool:
        """Leave the queue; False where a slot has come meanwhile."""
        with self._changed:
            if turn not in self._queue:
                return False
            self._queue.remove(turn)
            self._failed += 1
            return True
