"""What is measured, and what it should come to. Pure: runs nothing, prints nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeAlias

from .load import EVENT_BYTES


@dataclass(frozen=True, slots=True)
class Cell:
    """One client under one load."""

    client: str
    concurrency: int = 1
    events: int = 6000
    loop: str = "asyncio"
    topics: int = 1
    body: int = EVENT_BYTES
    delay: float = 0.0
    """Seconds that the broker takes to answer."""
    seasoned: bool = False
    """Whether the process frees a large block of memory before it is measured."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of a cell."""

    events: int
    seconds: float
    """By the clock on the wall."""
    cpu: float
    """Seconds of CPU time of the client's process."""

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


Samples: TypeAlias = Mapping[Cell, Sequence[Sample]]
"""Samples of each cell, one a round: those of one place were taken in the same round."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell over all rounds; rates are pushes a second."""

    cell: Cell
    rate: float
    low: float
    high: float
    cpu: float
    """Microseconds of CPU time that the client spends a push."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table of goals: the median over the rounds, and between what it lay."""

    title: str
    value: float
    low: float
    high: float
    goal: float | None = None
    stretch: float | None = None
    unit: str = ""
    less_is_better: bool = False

    @property
    def verdict(self) -> str:
        """`stretch`, `met` or `missed`; `measured` without a goal."""
        if self.goal is None:
            return "measured"
        if self.stretch is not None and self._reaches(self.stretch):
            return "stretch"
        return "met" if self._reaches(self.goal) else "missed"

    def _reaches(self, mark: float) -> bool:
        return self.value <= mark if self.less_is_better else self.value >= mark


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast one cell should be as another."""

    title: str
    ours: Cell
    peer: Cell
    goal: float
    stretch: float | None = None


@dataclass(slots=True)
class Results:
    """Everything that one run of the benchmarks has found."""

    command: str
    machine: dict[str, str]
    rounds: int
    sink: float = 0.0
    """Requests a second that the sink takes by itself; 0 where that was not measured."""
    sink_by: str = ""
    """How that was found."""
    measured: list[Measured] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)
    """Of one `push_stream`: events so far, and MB resident then."""
    growth: list[Measured] = field(default_factory=list)
    """How cost grows with concurrency, events and bodies."""
    skipped: list[str] = field(default_factory=list)
    """What could not be measured here, and why."""


def summed_up(cell: Cell, samples: Sequence[Sample]) -> Measured:
    """Return a cell over all its rounds."""
    rates = [sample.rate for sample in samples]
    cpu = median(sample.cpu / sample.events for sample in samples)
    taken = replace(cell, events=samples[0].events)
    return Measured(taken, median(rates), min(rates), max(rates), cpu * 1e6)


def compared(ratio: Ratio, samples: Samples) -> Row:
    """Return the median of the ratios of each round, so that a slow minute of the machine slows both sides."""
    rounds = zip(samples[ratio.ours], samples[ratio.peer], strict=True)
    return row(ratio.title, [ours.rate / peer.rate for ours, peer in rounds], ratio.goal, ratio.stretch, "x")


def row(
    title: str, values: Sequence[float], goal: float | None = None, stretch: float | None = None, unit: str = ""
) -> Row:
    """Return a row of which more is better."""
    return Row(title, median(values), min(values), max(values), goal, stretch, unit)
