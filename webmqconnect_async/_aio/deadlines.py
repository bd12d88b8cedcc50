"""The deadlines of all pushes in one event loop, on a single timer.

A timer per push would cost 6 to 8 % of the throughput: asyncio keeps timers in a heap, and nearly all of these would be
cancelled. Here, a deadline is an entry in a dict, and the timer is set for the earliest one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import TypeVar

T = TypeVar("T")

_RESOLUTION = 0.001
"""Deadlines within this many seconds expire together, so that thousands of them do not each scan all others."""
_BATCH = 500
"""Maximum number of deadlines that expire in one iteration of the loop; the others follow in the next."""


class Expired(Exception):
    """The deadline has passed."""


class Deadline:
    """The time at which a push ends, unless `stop` is called before."""

    __slots__ = ("_deadlines", "closing", "expired", "on_expiry", "when")

    def __init__(self, deadlines: Deadlines, when: float) -> None:
        self._deadlines = deadlines
        self.when = when
        """On the loop's clock; infinite if there is no limit."""
        self.expired = False
        self.closing = False
        """Whether `close` of the client has made it earlier."""
        self.on_expiry: Callable[[], object] | None = None
        """Called when it expires, to end what the push waits for."""

    async def wait(self, waiting: Coroutine[object, object, T]) -> T:
        """Wait for a coroutine until the deadline; then cancel it and raise Expired."""
        if self.expired:
            waiting.close()
            raise Expired
        timeout = asyncio.timeout(None)
        try:
            async with timeout:
                self.on_expiry = partial(timeout.reschedule, -inf)
                try:
                    return await waiting
                finally:
                    self.on_expiry = None
        except TimeoutError:
            if timeout.expired():
                raise Expired from None
            raise

    async def sleep(self, seconds: float) -> bool:
        """Sleep; return False as soon as the deadline has passed."""
        try:
            await self.wait(asyncio.sleep(seconds))
        except Expired:
            return False
        return True

    def expire(self) -> None:
        """End what the push waits for, and at once anything that it waits for later."""
        if not self.expired:
            self.expired = True
            self._deadlines.cut_off += self.closing
            if self.on_expiry is not None:
                self.on_expiry()

    def stop(self) -> None:
        """Forget the deadline: the push has ended."""
        self._deadlines.live.pop(self, None)


class Deadlines:
    """The deadlines of one client in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._time = loop.time
        self._timer: asyncio.TimerHandle | None = None
        # Not `TimerHandle.when()`: for less than half a millisecond, uvloop returns a Handle, which does not have it.
        self._next = inf
        self.live: dict[Deadline, None] = {}
        self.cut_off = 0
        """Number of deadlines that have expired because the client was closed."""

    def start(self, timeout: float | None) -> Deadline:
        """Start a deadline in `timeout` seconds. `None`: it expires only by `limit` or `close`."""
        when = inf if timeout is None else self._time() + timeout
        deadline = Deadline(self, when)
        self.live[deadline] = None
        if when < self._next:
            self._arm(when)
        return deadline

    def limit(self, when: float) -> None:
        """Make all live deadlines expire at this time of the loop's clock, unless they expire earlier."""
        for deadline in self.live:
            if when < deadline.when:
                deadline.when, deadline.closing = when, True
        if self.live and when < self._next:
            self._arm(when)

    def close(self) -> None:
        """Expire all live deadlines, and stop the timer."""
        for deadline in self.live:
            deadline.closing = deadline.closing or not deadline.expired
            deadline.expire()
        self._arm(inf)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next = when
        if when < inf:
            self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        due = self._time() + _RESOLUTION
        earliest = inf
        left = _BATCH
        for deadline in self.live:
            if deadline.expired:
                continue
            if deadline.when <= due and left:
                left -= 1
                deadline.expire()
            elif deadline.when < earliest:
                earliest = deadline.when
        self._arm(earliest)
