"""How a run goes, as numbers, and shown: a bar on a terminal, plain lines elsewhere. Decides nothing about pushes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from rich.console import RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .. import terminal

__all__ = ["Meter", "Progress", "Tally", "ranges"]

_SHOWN = 20
"""Failures that are shown, before they are only counted."""
_REFRESHES = 5
"""A second. By time, not by outcome: showing must not cost what pushing needs."""


class Position(Protocol):
    """How far the reading has come, in bytes."""

    taken: int
    size: int | None
    """None where only the end will tell."""


@dataclass(slots=True)
class Tally:
    """What has become of the lines so far."""

    pushed: int = 0
    failed: int = 0
    left_out: int = 0
    """Lines that may have been taken in an earlier run."""
    interrupted: int = 0
    """Lines that were given up in the middle of a push, or before."""

    @property
    def complete(self) -> bool:
        """Whether every line was pushed."""
        return not (self.failed or self.left_out or self.interrupted)

    def summary(self, seconds: float) -> str:
        """Return the line that a run ends with."""
        counts = [f"{self.pushed:,} pushed", f"{self.failed:,} failed"]
        counts += [f"{self.left_out:,} left out"] if self.left_out else []
        counts += [f"{self.interrupted:,} interrupted"] if self.interrupted else []
        return f"{', '.join(counts)} in {seconds:,.1f} s ({_rate(self.pushed / seconds if seconds else 0.0)})"


class _Sample(NamedTuple):
    at: float
    pushed: int
    taken: int


class Meter:
    """How fast it has gone lately.

    Args:
        window: seconds that are looked back.
    """

    def __init__(self, window: float = 10.0) -> None:
        self._window = window
        self._samples: deque[_Sample] = deque()

    def add(self, now: float, pushed: int, taken: int) -> None:
        """Note how many were pushed, and bytes taken, until now."""
        self._samples.append(_Sample(now, pushed, taken))
        while self._samples[0].at < now - self._window:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Pushes a second."""
        first, last = self._samples[0], self._samples[-1]
        return (last.pushed - first.pushed) / (last.at - first.at) if last.at > first.at else 0.0

    def left(self, size: int) -> float | None:
        """Return the seconds until so many bytes are taken; None where nothing tells."""
        first, last = self._samples[0], self._samples[-1]
        if last.taken <= first.taken or last.at <= first.at:
            return None
        return max(0, size - last.taken) * (last.at - first.at) / (last.taken - first.taken)


class Progress:
    """Shows on stderr how a run goes, and at its end how it went.

    Args:
        tally: is read at every refresh.
        position: likewise.
        failed_to: the file that gets every failure, for people; None for no file.
    """

    def __init__(self, tally: Tally, position: Position, failed_to: str | None = None) -> None:
        self._tally = tally
        self._position = position
        self._failed_to = failed_to
        self._shown = 0
        self._meter = Meter()
        self._output = terminal.console(stderr=True)
        self._live: Live | None = None
        # Not is_terminal, which the environment can force for the sake of colours: a file must get no bar.
        if self._output.file.isatty() and not self._output.is_dumb_terminal:
            self._live = Live(
                get_renderable=self._frame,
                console=self._output,
                refresh_per_second=_REFRESHES,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away and say how it went."""
        if self._live is not None:
            self._live.stop()
        self.note(self._tally.summary(time.monotonic() - self._started))

    def failure(self, number: int, why: str, *, always: bool = False) -> None:
        """Show why a line failed; of many, only the first unless `always`."""
        self._shown += 1
        if self._shown <= _SHOWN or always:
            self.error(f"line {number}: {why}")
        elif self._shown == _SHOWN + 1:
            where = f"; all are in {self._failed_to}" if self._failed_to else ""
            self.note(f"further failures are only counted{where}")

    def error(self, message: str) -> None:
        """Show what went wrong besides."""
        terminal.error(message, self._output)

    def note(self, message: str) -> None:
        """Show what is no failure."""
        terminal.note(message, self._output)

    def _frame(self) -> RenderableType:
        """Return the bar as it is now."""
        tally, taken, size = self._tally, self._position.taken, self._position.size
        self._meter.add(time.monotonic(), tally.pushed, taken)
        counts = Text.assemble(
            (f"{tally.pushed:,} pushed", "green"),
            "  ",
            (f"{tally.failed:,} failed", "bold red" if tally.failed else "dim"),
            f"  {_rate(self._meter.rate)}",
        )
        if size is None:
            return counts
        share = min(1.0, taken / size) if size else 1.0
        frame = Table.grid(expand=True, padding=(0, 1))
        frame.add_column(ratio=1)
        frame.add_column(no_wrap=True)
        counts.append(f"  {_duration(self._meter.left(size))} left", "cyan")
        bar = ProgressBar(1.0, share, complete_style="cyan", finished_style="cyan")
        frame.add_row(bar, Text.assemble((f"{share:4.0%}", "bold"), "  ", counts))
        # The terminal writes ^C behind the bar, and that must not begin another line.
        return Padding(frame, (0, 3, 0, 0))


def _rate(a_second: float) -> str:
    return f"{a_second:,.0f}/s" if a_second >= 10 else f"{a_second:.1f}/s"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers in order, and neighbours as one range: 3, 5-9."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found)
