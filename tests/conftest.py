"""What all tests share: the choice of the run, the programs that some need, a server, a watch for blocking calls."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from .crossbar import node as crossbar_io
from .hostile import Hostile, hostile
from .selection import reason_for_full

# Machines are noisy: how long an example took says nothing. With CI=true Hypothesis has a profile of its own for that.
if os.environ.get("CI") != "true":
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


@pytest.fixture
def server() -> Iterator[Hostile]:
    """Run a server that accepts everything."""
    with hostile() as running:
        yield running


@pytest.fixture(autouse=True, scope="module")
def no_blocking_calls() -> Iterator[None]:
    """Fail the test that blocks the event loop from within the package."""
    with blockbuster_ctx("webmqconnect_async"):
        yield


@pytest.fixture(autouse=True, scope="session")
def default_interrupt() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt in the tests and their child processes, even where it is ignored.

    A shell without job control ignores it in background commands, and child processes inherit that.
    """
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


# Programs that a test can need. A test without its program is skipped; with CI=true it fails.


def needed(program: str, there: object, command: str) -> None:
    if there:
        return
    reason = f"needs {program}: {command}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> None:
    needed("Chromium", shutil.which("chromium"), "apt-get install chromium")


@pytest.fixture(scope="session")
def crossbar() -> None:
    needed(f"Crossbar.io {crossbar_io.VERSION}", crossbar_io.installed(), crossbar_io.COMMAND)


@pytest.fixture(scope="session")
def node() -> None:
    needed("Node.js", shutil.which("node"), "apt-get install nodejs")


@pytest.fixture(scope="session")
def redis() -> None:
    needed("redis-server", shutil.which("redis-server"), "apt-get install redis-server")


@pytest.fixture(scope="session")
def curl() -> None:
    needed("curl", shutil.which("curl"), "apt-get install curl")


@pytest.fixture(scope="session")
def bash() -> None:
    needed("bash", shutil.which("bash"), "apt-get install bash")


@pytest.hookimpl(tryfirst=True)  # before pytest applies -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that only the full run includes."""
    for item in items:
        if reason_for_full(item):
            item.add_marker("full")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report how many tests the default run leaves out, and how to run them."""
    left_out = [item for item in terminalreporter.stats.get("deselected", ()) if item.get_closest_marker("full")]
    if left_out:
        tests = "1 test" if len(left_out) == 1 else f"{len(left_out)} tests"
        terminalreporter.write_line(f"{tests} of the full run left out; run them with: pytest -m full", yellow=True)
