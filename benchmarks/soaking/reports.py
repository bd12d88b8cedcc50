"""The outcomes that producers report, and samples of the resources that a process holds: lines in files.

They are written during the run and read after it, so that they do not add to the memory that is measured.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.processes import resident
from webmqconnect_async import NotAccepted, Receipt, Unconfirmed, WebMQError


class Kind(StrEnum):
    """What the outcome of a push says about the event."""

    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not accepted"
    UNCONFIRMED = "unconfirmed"
    WRONG = "wrong"
    """An error that no push of a soak may end in, such as InvalidPush."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a push ended for its caller."""

    number: int
    kind: Kind
    ending: str
    """The class of the error, or `Receipt`."""
    attempts: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A push that the hub accepted."""

    number: int
    topic: str


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources that the producers' process held at one moment."""

    done: int
    """Pushes that had ended."""
    memory: int
    """Bytes resident."""
    descriptors: int
    """Files open: sockets, and a few that are open all the time."""


class Reporter:
    """Writes reports from any thread, and regularly a sample of the resources that the process holds.

    Args:
        folder: the folder for the files `reports` and `samples`.
        every: the number of reports between two samples.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self._reports = (folder / "reports").open("w")
        self._samples = (folder / "samples").open("w")
        self._every = every
        self._done = 0
        self._lock = threading.Lock()

    def report(self, number: int, end: Receipt | WebMQError) -> None:
        """Write down how a push ended."""
        line = f"{number}\t{_kind(end)}\t{type(end).__name__}\t{end.attempts}\n"
        with self._lock:
            self._reports.write(line)
            self._done += 1
            if self._done % self._every == 0:
                print(self._done, resident(), descriptors(), file=self._samples)

    def close(self) -> None:
        """Close the files."""
        self._reports.close()
        self._samples.close()


def descriptors() -> int:
    """Return how many files this process has open, where the system has /proc."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # without the descriptor of the folder itself


def _kind(end: Receipt | WebMQError) -> Kind:
    match end:
        case Receipt():
            return Kind.ACCEPTED
        case NotAccepted():
            return Kind.NOT_ACCEPTED
        case Unconfirmed():
            return Kind.UNCONFIRMED
        case _:
            return Kind.WRONG


def read_reports(path: Path) -> Iterator[Report]:
    """Yield the reports of a run."""
    for line in _lines(path):
        number, kind, ending, attempts = line.split("\t")
        yield Report(int(number), Kind(kind), ending, int(attempts))


def read_journal(path: Path) -> Iterator[Entry]:
    """Yield the pushes in the hub's journal, in the order in which it accepted them."""
    for line in _lines(path):
        number, topic = line.split(" ")
        yield Entry(int(number), topic)


def read_samples(path: Path) -> Iterator[Sample]:
    """Yield the samples of a run."""
    for line in _lines(path):
        yield Sample(*map(int, line.split(" ")))


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, without a last line that is incomplete."""
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield line[:-1]
