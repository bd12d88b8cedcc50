"""Report how a run goes: a bar on a terminal, and lines for failures, notes and the summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import terminal

if TYPE_CHECKING:
    from .files import LineReader

_SHOWN = 20
"""Failures that are printed. Further ones are only counted."""


Counts: TypeAlias = Callable[[], Mapping[str, int]]
"""Returns the counts so far by name, in the order of the summary. The bar shows those of "pushed" and "failed"."""


@dataclass(slots=True)
class Tally:
    """The outcomes of the lines so far."""

    pushed: int = 0
    failed: int = 0
    skipped: int = 0
    """Lines that were skipped because an earlier run may have pushed them."""
    interrupted: int = 0
    """Lines that were abandoned because of an interrupt, before or during their push."""

    @property
    def complete(self) -> bool:
        return not (self.failed or self.skipped or self.interrupted)

    def counts(self) -> dict[str, int]:
        """Return the counts to show: all of `pushed` and `failed`, and the others if they are not 0."""
        return {name: count for name, count in asdict(self).items() if count or name in ("pushed", "failed")}


def summary(counts: Mapping[str, int], seconds: float) -> str:
    """Return the counts, the duration and the rate of the pushes as text."""
    shown = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{shown} in {seconds:,.1f} s ({_rate(counts['pushed'] / seconds if seconds else 0.0)})"


class _Bar(Progress):
    """A progress bar that reads its numbers when it is drawn: an update for each outcome would slow down the pushes."""

    def __init__(self, counts: Counts, reader: LineReader | None, console: Console) -> None:
        size = reader.size if reader else None
        shown = TextColumn("{task.fields[shown]}")
        bar = BarColumn(None, complete_style="cyan", finished_style="cyan")
        share = TextColumn("[bold]{task.percentage:3.0f}%")
        # The terminal prints ^C after the bar. The last column is room for it, so that it does not wrap.
        left = (TimeRemainingColumn(compact=True), TextColumn("[cyan]left"), "  ")
        super().__init__(
            *((shown,) if size is None else (bar, share, shown, *left)),
            console=console,
            refresh_per_second=5,
            speed_estimate_period=10.0,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            # Not is_terminal, which FORCE_COLOR sets for a file or a pipe, too.
            disable=not console.file.isatty() or console.is_dumb_terminal,
            expand=size is not None,
        )
        self._counts = counts
        self._reader = reader
        self.add_task("", total=size, shown="")
        # A task of rich has one speed, here that of reading. The second task has that of the pushes, and is not drawn.
        self.add_task("", total=None, visible=False)

    def get_renderables(self) -> Iterable[RenderableType]:
        if len(self.tasks) == 2:  # rich calls this once before there are tasks
            read, pushed = self.tasks
            counts = self._counts()
            self.update(pushed.id, completed=counts["pushed"])
            failed = f"[{'bold red' if counts['failed'] else 'dim'}]{counts['failed']:,} failed[/]"
            shown = f"[green]{counts['pushed']:,} pushed[/] {failed} {_rate(pushed.speed or 0.0)}"
            self.update(read.id, completed=self._reader.taken if self._reader else 0, shown=shown)
        return super().get_renderables()


class Report:
    """Prints to standard error how a run goes and, at its end, the summary."""

    def __init__(self, counts: Counts, reader: LineReader | None = None, failed_to: str | None = None) -> None:
        self.summary = True
        """Whether to print the summary at the end."""
        self._counts = counts
        self._failed_to = failed_to
        self._failures = 0
        self._output = terminal.console(stderr=True)
        self._bar = _Bar(counts, reader, self._output)

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar, and print the summary."""
        self._bar.stop()
        if self.summary:
            self.note(summary(self._counts(), time.monotonic() - self._started))

    def failure(self, number: int, reason: str, *, always: bool = False) -> None:
        """Print why a line failed. After the first failures, print only those with `always`."""
        self._failures += 1
        if self._failures <= _SHOWN or always:
            self.error(f"line {number}: {reason}")
        elif self._failures == _SHOWN + 1:
            where = f"; all are in {self._failed_to}" if self._failed_to else ""
            self.note(f"further failures are only counted{where}")

    def error(self, message: str) -> None:
        """Print an error that is not the failure of a line."""
        terminal.error(message, self._output)

    def note(self, message: str) -> None:
        terminal.note(message, self._output)

    def log(self, message: str, *, warning: bool) -> None:
        """Print a line of a log."""
        self._output.print(terminal.visible(message), style="yellow" if warning else "")


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"


def ranges(numbers: Iterable[int]) -> str:
    """Return sorted numbers as text, with consecutive ones as a range: 3, 5-9."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found)
