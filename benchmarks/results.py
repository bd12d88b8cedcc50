"""Samples, medians over rounds, and ratios within each round. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeAlias

from .goals import Cell, Limit, Ratio


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of a cell."""

    events: int
    seconds: float
    """Elapsed time."""
    cpu: float
    """Seconds of CPU time of the client's process."""

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


Samples: TypeAlias = Mapping[Cell, Sequence[Sample]]
"""Samples of each cell, one per round: those at the same position were taken in the same round."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell over all rounds; rates are pushes per second."""

    cell: Cell
    rate: float
    low: float
    high: float
    cpu: float
    """Microseconds of the client's CPU time per push."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the goal table, with the median, the lowest and the highest value of all rounds."""

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


@dataclass(slots=True)
class Results:
    """Everything that one run of the benchmarks has measured."""

    command: str
    machine: dict[str, str]
    rounds: int
    settled: bool = True
    """Whether the allocator of each process had settled before the measurement; see `settled.py`."""
    spinning: bool = True
    """Whether the sink polled without sleeping."""
    sink: float = 0.0
    """Requests per second that the sink handles when nothing else limits it; 0 if not measured."""
    sink_by: str = ""
    """How the sink was measured."""
    measured: list[Measured] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)
    """The memory during one `push_stream`: events so far, and MB resident."""
    growth: list[Measured] = field(default_factory=list)
    """How cost grows with concurrency, events and bodies."""
    skipped: list[str] = field(default_factory=list)
    """What could not be measured, and why."""

    @property
    def conditions(self) -> str:
        """The conditions under which the clients were measured, for tables, page and chart."""
        allocator = "whose allocator has settled" if self.settled else "just started"
        sink = "polls without sleeping" if self.spinning else "sleeps between requests"
        return f"Each client in a process of its own, {allocator}; the server {sink}."


def summed_up(cell: Cell, samples: Sequence[Sample]) -> Measured:
    """Summarize a cell over all its rounds."""
    rates = [sample.rate for sample in samples]
    cpu = median(sample.cpu / sample.events for sample in samples)
    taken = replace(cell, events=samples[0].events)
    return Measured(taken, median(rates), min(rates), max(rates), cpu * 1e6)


def compared(ratio: Ratio, samples: Samples) -> Row:
    """Return the median of the ratios of each round, so that a slow minute of the machine affects both sides."""
    rounds = zip(samples[ratio.ours], samples[ratio.peer], strict=True)
    times = 100 if ratio.unit == "%" else 1
    values = [times * ours.rate / peer.rate for ours, peer in rounds]
    return row(ratio.title, values, ratio.goal, ratio.stretch, ratio.unit)


def row(
    title: str, values: Sequence[float], goal: float | None = None, stretch: float | None = None, unit: str = ""
) -> Row:
    """Return a row in which higher values are better."""
    return Row(title, median(values), min(values), max(values), goal, stretch, unit)


def limited(title: str, values: Sequence[float], limit: Limit | None, unit: str) -> Row:
    """Return a row in which lower values are better. Its value is the last one."""
    goal, stretch = (limit.goal, limit.stretch) if limit else (None, None)
    return Row(title, values[-1], min(values), max(values), goal, stretch, unit, less_is_better=True)
