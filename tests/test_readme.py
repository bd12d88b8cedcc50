"""The README: its Python runs, its commands are those of CI, and it stays short."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from webmqconnect_async.testing import Hub

from .snippets import ROOT, Fence, broker, fences, run, run_suite

README = (ROOT / "README.md").read_text()
FENCES = fences(ROOT / "README.md")
PYTHON = [fence for fence in FENCES if fence.language == "python"]
SUITES = [fence for fence in PYTHON if fence.is_suite]
SNIPPETS = [fence for fence in PYTHON if not fence.is_suite]

pytest_plugins = ["pytester"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with broker() as running:
        yield running


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet_runs(snippet: Fence, hub: Hub) -> None:
    """Each snippet runs unchanged, and its pushes are accepted."""
    run(snippet, hub)
    assert hub.pushes


@pytest.mark.parametrize("suite", SUITES, ids=range(len(SUITES)))
def test_suite_passes(suite: Fence, pytester: pytest.Pytester) -> None:
    """A snippet that contains tests passes as a module of its own, with warnings as errors."""
    run_suite(suite, pytester)


def test_length() -> None:
    """The README can be read in a few minutes."""
    assert len(README.split()) <= 900


def test_ci_runs_the_test_command() -> None:
    """CI takes the test command from the README, which contains exactly one."""
    assert len(re.findall(r"-m pytest$", README, re.MULTILINE)) == 1
    assert "eval \"$(grep -- '-m pytest$' README.md)\"" in (ROOT / ".ci" / "run").read_text()
