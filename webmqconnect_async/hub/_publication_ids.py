"""The IDs of publications: times, so that a subscriber can say which of them it has seen."""

from __future__ import annotations

from collections.abc import Callable


class PublicationIDs:
    """Strictly increasing IDs, even if the clock is set back: milliseconds << 11 | counter, below 2^53 until 2109.

    WAMP requires random IDs here (section 2.1.2, "global scope"). This hub deviates, so that subscribers can compare
    IDs to say what they have seen.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.newest = self._now()  # the last ID; before the first, the time of the start

    def next(self) -> int:
        self.newest = max(self._now(), self.newest + 1)
        return self.newest

    def _now(self) -> int:
        return max(0, int(self._clock() * 1000)) << 11
