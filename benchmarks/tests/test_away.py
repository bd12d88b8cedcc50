"""`python -m benchmarks.away` prints figures for each way to push while the broker is away."""

from __future__ import annotations

import pytest

from benchmarks import away


def test_each_way_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["away", "--timeout", "0.05", "--count", "3"])
    away.main()
    _, *lines = capsys.readouterr().out.splitlines()
    measured = {(name.strip(), broker): float(median) for name, broker, median in map(columns, lines)}
    assert measured.keys() == {(name, broker) for name in away.WAYS for broker in ("refuses", "hangs")}
    assert min(measured.values()) > 0


def columns(line: str) -> tuple[str, str, str]:
    *name, broker, median, _slowest = line.split()
    return " ".join(name), broker, median
