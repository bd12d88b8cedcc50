"""The plain run and the full run: together they are all tests, and no test is in both."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from conftest import PLACES

from .scripts import ROOT


def collected(*arguments: str) -> str:
    """Return the output of a run that only collects tests."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--collect-only", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603  # ours


def selected(output: str) -> set[str]:
    """Return the IDs of the selected tests."""
    return {line for line in output.splitlines() if "::" in line}


@pytest.mark.timeout(600)
def test_every_place_has_tests_of_the_full_run() -> None:
    output = collected("-m", "full")
    full = selected(output)
    [default] = map(int, re.findall(r"\((\d+) deselected\)", output))
    assert default > 1000
    assert len(full) > 100
    for reason, places in PLACES.items():
        for place in places:
            assert any(test.startswith(place) for test in full), f"{reason}: {place} is not a test"


def test_both_runs_together_are_all_tests() -> None:
    """One file is enough to show it, because the marker selects in the same way in all files."""
    runs = [collected("tests/hub/test_history.py", *marked) for marked in ((), ("-m", "full"), ("-m", ""))]
    default, full, everything = map(selected, runs)
    assert len(default) > len(full) > 1
    assert not default & full
    assert default | full == everything
    said = f"{len(full)} tests of the full run left out; run them with: pytest -m full\n"
    assert [said in run for run in runs] == [True, False, False]


def test_the_plain_run_says_how_many_tests_it_leaves_out() -> None:
    assert "1 test of the full run left out" in collected("tests/test_gevent.py::test_bulks[https]")
