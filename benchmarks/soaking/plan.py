"""The faults of a soak: which push meets which one, and when the hub is killed. Pure: one seed decides everything.

The fault of a push depends on its number and on how often it was sent, not on the time. So another run with the same
seed applies the same faults to the same pushes, regardless of the order in which they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from webmqconnect_async import Retry

TIMEOUT = 2.0
"""Seconds that a producer's push may take."""


class Mode(StrEnum):
    """Which guarantee the producers' clients are configured for."""

    DEFAULT = "default"
    AT_LEAST_ONCE = "at-least-once"
    ORDERED = "ordered"


class Fault(StrEnum):
    """What the proxy does to a request, or to its connection after it."""

    REFUSED = "connections refused for a while"
    REQUEST_LOST = "dropped before forwarding"
    ANSWER_LOST = "dropped after forwarding"
    CUT = "dropped in mid-answer"
    STALLED = "stalled, never forwarded"
    MUTE = "stalled after forwarding"
    LATE = "forwarded after the client's deadline"
    TRICKLED = "answered byte by byte"
    IDLE_CLOSED = "closed when idle"
    UNAVAILABLE = "503 with Retry-After"
    TOO_MANY = "429"
    BAD_GATEWAY = "502 after forwarding"


_STALLS = (Fault.STALLED, Fault.MUTE, Fault.LATE)
"""A push that meets one of these runs into its timeout, so they are rarer than the others."""

_WEIGHTS = {fault: 1 if fault in _STALLS else 4 for fault in Fault}


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    mode: Mode
    pushes: int
    seed: int
    kills: int = 5
    """How often the hub is killed."""
    rate: float = 0.05
    """The share of requests that meet a fault."""

    @property
    def retry(self) -> Retry:
        """The retry policy of the clients."""
        return Retry(at_least_once=self.mode is Mode.AT_LEAST_ONCE)

    @property
    def ordered(self) -> bool:
        """Whether bulk pushes keep the order of each topic."""
        return self.mode is Mode.ORDERED

    def dice(self, *what: object) -> Random:
        """Return the random source for one decision."""
        return Random(f"{self.seed} {what}")  # noqa: S311  # to be drawn again

    def drawn(self, number: int, time: int) -> tuple[Fault | None, Random]:
        """Return the fault of a push on its first, second, ... attempt, and a random source for its details.

        The fault is `None` where the push is forwarded normally.
        """
        dice = self.dice(number, time)
        if dice.random() >= self.rate:
            return None, dice
        return dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0], dice

    def kills_at(self) -> list[int]:
        """Return the numbers of requests after which the hub is killed: one in each part of the run."""
        part = self.pushes * 0.9 / max(self.kills, 1)
        return [int(part * (place + self.dice("kill", place).uniform(0.2, 0.8))) for place in range(self.kills)]
