"""Checks that a process has no more memory and sockets at the end of a run than in its middle. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .reports import Sample

MEMORY_ALLOWED = 2 << 20
"""Bytes between the medians of the second and the last third: 60 bytes a push, of 100,000."""

DESCRIPTORS_ALLOWED = 8


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What a process held. Thirds are of the pushes that had ended; the first holds the warm-up."""

    memory: Sequence[float]
    """Median of each third, in bytes resident."""
    descriptors: Sequence[int]
    """Files open at the most, in each third. How many are at a time depends on who waits for a hub that is away."""
    failures: Sequence[str]


def steadiness(samples: Sequence[Sample], most: int) -> Steadiness:
    """Compare the thirds of a run.

    Args:
        samples: taken all through it.
        most: files that may be open at one time: those open before, and a socket for each push in flight.
    """
    end = samples[-1].done + 1 if samples else 1
    thirds = [[sample for sample in samples if sample.done * 3 // end == third] for third in range(3)]
    if not all(thirds):
        return Steadiness((), (), ["a third of the run has no sample"])
    memory = [median(sample.memory for sample in third) for third in thirds]
    descriptors = [max(sample.descriptors for sample in third) for third in thirds]
    failures = []
    if memory[2] - memory[1] > MEMORY_ALLOWED:
        failures.append(f"memory grew from {memory[1]:,.0f} to {memory[2]:,.0f} bytes between the last two thirds")
    if descriptors[2] - descriptors[1] > DESCRIPTORS_ALLOWED:
        failures.append(f"open files grew from {descriptors[1]} to {descriptors[2]} between the last two thirds")
    if max(descriptors) > most:
        failures.append(f"{max(descriptors)} files were open, where {most} are what so many pushes may need")
    return Steadiness(memory, descriptors, failures)
