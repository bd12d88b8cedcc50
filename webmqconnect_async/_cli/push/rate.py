"""At most so many pushes a second. Reads no clock and sleeps not: times are arguments."""

from __future__ import annotations

__all__ = ["Pace"]

_CATCH_UP = 0.1
_LATENESS = 0.002
"""Seconds by which a timer wakes up late. Without them each late turn would delay all that follow."""

_NAP = 0.005
"""Seconds that are worth a timer."""


class Pace:
    """A schedule of turns from the first one on; after a stall, what came in its last 0.1 s is made up for.

    There are never more than rate * (t + 0.1) turns in t seconds, or rate * (t + 0.002) and one if that is more, as it
    is up to 10 a second.

    Args:
        rate: turns a second, more than 0.
    """

    def __init__(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"rate: more than 0 is needed, not {rate}")
        self._interval = 1 / rate
        self._slack = max(_CATCH_UP - self._interval, _LATENESS)
        # A timer for each of thousands of turns a second costs more than the pushes: a few may come together.
        self._nap = min(_NAP, self._slack / 2)
        self._next: float | None = None

    def delay(self, now: float) -> float:
        """Return the seconds to wait for the next turn, 0 where it has come."""
        return 0.0 if self._next is None or self._next <= now else max(self._next - now, self._nap)

    def take(self, now: float) -> None:
        """Take the turn that has come."""
        turn = now if self._next is None else max(self._next, now - self._slack)
        self._next = turn + self._interval
