"""The default run and the full run: together they are all tests, and no test is in both."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from conftest import PLACES

from .scripts import ROOT


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603  # ours


def collected(process: subprocess.Popen[str]) -> list[str]:
    """Return the node IDs that a run has selected."""
    output, _ = process.communicate()
    assert process.returncode == 0, output
    # Some have the address of an object in them.
    return [re.sub("0x[0-9a-f]+", "", line) for line in output.splitlines() if "::" in line]


@pytest.mark.timeout(600)
def test_both_runs_are_everything() -> None:
    command = ("--collect-only", "-q")
    runs = [started(*command), started(*command, "-m", "full"), started(*command, "-m", "")]
    default, full, everything = map(collected, runs)
    assert len(default) > 1000
    assert len(full) > 100
    assert sorted(default + full) == sorted(everything)
    for reason, places in PLACES.items():
        for place in places:
            assert any(test.startswith(place) for test in full), f"{reason}: {place} is not a test"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tests/test_gevent.py",), "8 tests of the full run left out; run them with: pytest -m full\n"),
        (("tests/test_gevent.py::test_bulks[https]",), "1 test of the full run left out"),
        (("tests/test_gevent.py", "-m", "full"), None),
    ],
)
def test_what_is_left_out_is_said(arguments: tuple[str, ...], said: str | None) -> None:
    output, _ = started("-q", "--collect-only", *arguments).communicate()
    assert "left out" not in output if said is None else said in output
