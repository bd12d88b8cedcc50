"""How long a run of the benchmarks takes, and where its results go."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from . import processes
from .goals import Cell, Ratio, Results, Sample, Samples, compared, summed_up


class Plan:
    """How long a run takes, and where its results go.

    Args:
        results: what the sections add to.
        quick: few events, to see that everything works; the figures are worth nothing.
    """

    def __init__(self, results: Results, quick: bool) -> None:
        self.results = results
        self.quick = quick

    @property
    def seconds(self) -> float:
        """How long wrk runs at a time."""
        return 1.0 if self.quick else 3.0

    def events(self, number: int) -> int:
        """Return how many events a run makes of so many of the full run."""
        return max(20, number // 50) if self.quick else number

    def samples(self, url: str, cells: Sequence[Cell]) -> Samples:
        """Measure all cells in turn, again and again."""
        samples: dict[Cell, list[Sample]] = {cell: [] for cell in cells}
        for number in range(self.results.rounds):
            for cell in cells:
                note(f"round {number + 1} of {self.results.rounds}: {cell.client}, concurrency {cell.concurrency}")
                samples[cell].append(self.measure(url, cell))
        return samples

    def side_by_side(self, url: str, cells: Sequence[Cell]) -> Samples:
        """Measure all cells in turn, again and again, and add them to the results."""
        samples = self.samples(url, cells)
        self.results.measured += [summed_up(cell, taken) for cell, taken in samples.items()]
        return samples

    def measure(self, url: str, cell: Cell) -> Sample:
        """Measure one cell once, in a process of its own."""
        taken = replace(cell, events=self.events(cell.events))
        return Sample(**json.loads(processes.output("measure", json.dumps(asdict(taken)), url)))

    def compare(self, url: str, cells: Sequence[Cell], ratios: Sequence[Ratio]) -> None:
        """Measure cells side by side and add the ratios between them to the results."""
        samples = self.side_by_side(url, cells)
        self.results.rows += [compared(ratio, samples) for ratio in ratios]


def note(text: str) -> None:
    """Say how far the run is."""
    print(text, file=sys.stderr, flush=True)
