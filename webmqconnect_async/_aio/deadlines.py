"""Many deadlines on one timer of the event loop.

A timeout of its own for every push costs 6 to 8 % of the pushes that a client can make in a second: the loop keeps a
heap of timers, most of which are cancelled. Here a deadline is an entry in a dict, and one timer stands at the
earliest.
"""

from __future__ import annotations

import asyncio
from math import inf

__all__ = ["Deadline", "Deadlines", "Interrupt"]

# Deadlines that lie closer together than this strike together, so that thousands of them do not each scan all others.
_RESOLUTION = 0.001


class Interrupt:
    """A way to cancel the running task, for a reason of ours that it can tell from others."""

    __slots__ = ("_cancelling", "_stands", "_task", "struck")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("only a task can be interrupted")
        self._task = task
        self._cancelling = task.cancelling()
        self.struck = False
        self._stands = False
        """Whether our cancellation counts: struck, and not taken back."""

    def strike(self) -> None:
        """Cancel the task."""
        if not self.struck:
            self.struck = self._stands = True
            self._task.cancel()

    def is_ours(self) -> bool:
        """Tell, having caught a CancelledError, whether `strike` alone is its reason, and take it back then.

        Where somebody else has cancelled the task as well, the error is theirs and must go on.
        """
        if self._stands:
            self._stands = False
            self._task.uncancel()
        return self.struck and not self.is_others()

    def is_others(self) -> bool:
        """Tell whether somebody else has cancelled the task."""
        return self._task.cancelling() > self._cancelling + self._stands


class Deadline(Interrupt):
    """A time at which the task that started it is cancelled, unless `stop` comes first."""

    __slots__ = ("_deadlines", "cut", "when")

    def __init__(self, deadlines: Deadlines, when: float) -> None:
        super().__init__(deadlines.loop)
        self._deadlines = deadlines
        self.when = when
        """On the loop's clock; infinite where there is no limit."""
        self.cut = False
        """Whether it is sooner than its push was given, as the client closes."""

    def strike(self) -> None:
        """Cancel the task."""
        if self.cut and not self.struck:
            self._deadlines.cut_off += 1
        super().strike()

    def stop(self) -> None:
        """Let the task go on."""
        self._deadlines.live.pop(self, None)


class Deadlines:
    """All deadlines of one client in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self.live: dict[Deadline, None] = {}
        self.cut_off = 0
        """How many have struck sooner than their pushes were given."""

    def start(self, timeout: float | None) -> Deadline:
        """Start a deadline for the running task, in so many seconds; None for one that only `limit` can bring on."""
        when = inf if timeout is None else self.loop.time() + timeout
        deadline = Deadline(self, when)
        self.live[deadline] = None
        if self._timer is None or when < self._timer.when():
            self._arm(when)
        return deadline

    def limit(self, when: float) -> None:
        """Let no deadline that is live now lie later than this time of the loop's clock."""
        for deadline in self.live:
            if when < deadline.when:
                deadline.when, deadline.cut = when, True
        if self.live and (self._timer is None or when < self._timer.when()):
            self._arm(when)

    def close(self) -> None:
        """Strike all that is live now, and stop the timer."""
        for deadline in self.live:
            deadline.cut = deadline.cut or not deadline.struck
            deadline.strike()
        self._arm(inf)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when < inf:
            self._timer = self.loop.call_at(when, self._strike)

    def _strike(self) -> None:
        self._timer = None
        due = self.loop.time() + _RESOLUTION
        earliest = inf
        for deadline in self.live:
            if deadline.struck:
                continue
            if deadline.when <= due:
                deadline.strike()
            elif deadline.when < earliest:
                earliest = deadline.when
        self._arm(earliest)
