"""The recovery soak: a short run, and runs with bugs that it has to find."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from benchmarks.processes import ROOT
from benchmarks.recovering.course import Course
from benchmarks.recovery import failures, run
from webmqconnect_async.hub._history import History, Kept

pytestmark = pytest.mark.usefixtures("chromium", "node")


def test_a_short_run_breaks_no_guarantee() -> None:
    """A short run breaks no guarantee. Its seed is random and printed."""
    command = [sys.executable, "-m", "benchmarks.recovery", "--seconds", "20"]
    ended = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)  # noqa: S603  # ours
    print(ended.stdout)
    assert ended.stderr == ""
    assert ended.returncode == 0
    rows = [line.split() for line in ended.stdout.splitlines() if line[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "3", "100"]
    for row in rows:
        cuts, restarts, pushed, received, recovered, losses, *broken = (int(cell.replace(",", "")) for cell in row[1:])
        assert min(cuts, restarts, pushed, received, recovered, losses) > 0
        assert broken == [0] * 4


async def test_a_subscriber_that_is_not_notified_of_losses_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Course.report

    def deaf(self: Course, name: str, topic: str, kind: str, number: int, session: str | None) -> None:
        if kind != "lost":
            report(self, name, topic, kind, number, session)

    monkeypatch.setattr(Course, "report", deaf)
    (outcome,) = await run(2, 1, [1], ["node"])
    assert any(verdict.missing for verdict in outcome.verdicts.values())
    assert "missing without onlost" in failures(outcome)[0]


async def test_a_history_that_skips_an_event_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    after = History.after

    def skipping(self: History, topic: str, floor: int, now: float) -> Sequence[Kept]:
        return list(after(self, topic, floor, now))[1:]

    monkeypatch.setattr(History, "after", skipping)
    (outcome,) = await run(2, 1, [100], ["node"])
    assert any(verdict.missing for verdict in outcome.verdicts.values())
