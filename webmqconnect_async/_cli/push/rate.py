"""Limit the rate of pushes. This module does not read a clock or sleep; times are arguments."""

from __future__ import annotations

_CATCH_UP = 0.1
"""Seconds of a stall whose turns are made up for."""
_LATENESS = 0.002
"""Seconds by which a timer may be late. Without this tolerance, each late turn would delay all later ones."""
_SHORTEST_DELAY = 0.005
"""Seconds. At thousands of turns per second, a timer for each would cost more than the pushes."""


class RateLimit:
    """A schedule of `rate` turns per second. After a stall, the turns of its last 0.1 s are made up for.

    In any t seconds there are at most rate * (t + 0.1) turns, or rate * (t + 0.002) + 1 if that is more, as it is for
    rates up to 10.
    """

    def __init__(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"rate: must be greater than 0, not {rate}")
        self._interval = 1 / rate
        self._slack = max(_CATCH_UP - self._interval, _LATENESS)
        self._shortest_delay = min(_SHORTEST_DELAY, self._slack / 2)
        self._next: float | None = None

    def delay(self, now: float) -> float:
        """Return the seconds until the next turn, 0 if it has come."""
        return 0.0 if self._next is None or self._next <= now else max(self._next - now, self._shortest_delay)

    def take(self, now: float) -> None:
        turn = now if self._next is None else max(self._next, now - self._slack)
        self._next = turn + self._interval
