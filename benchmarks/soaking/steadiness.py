"""Checks that a process does not hold more memory and sockets at the end of a run than in its middle. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .reports import Sample

MEMORY_ALLOWED = 2 << 20
"""Bytes by which the median may grow from the second to the last third: 60 bytes per push, of 100,000."""

DESCRIPTORS_ALLOWED = 8


@dataclass(frozen=True, slots=True)
class Steadiness:
    """The resources of a process in each third of the pushes; the first third includes the warm-up."""

    memory: Sequence[float]
    """The median of the resident bytes in each third."""
    descriptors: Sequence[int]
    """The maximum number of open files in each third. It depends on how many pushes wait while the hub is down."""
    failures: Sequence[str]


def steadiness(samples: Sequence[Sample], most: int) -> Steadiness:
    """Compare the thirds of a run.

    Args:
        samples: taken during the whole run.
        most: the maximum number of open files: those open before, and a socket for each push in flight.
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
