"""Which tests only the full run includes, `pytest -m full`, and the programs that some tests need."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import is_hypothesis_test

from brokers import crossbar as crossbar_io

FIXTURES = {
    "chromium": "browser",
    "crossbar": "real broker",
    "redis": "example servers",
}
"""Reasons by the fixture that a test needs."""

PARAMETERS = {
    ("broker", "real"): "real broker",
    ("points", "every"): "long run",
}
"""Reasons by a parameter of a test, as its name and value."""

PLACES = {
    "benchmarks/tests/test_soak.py": "soak",
    "benchmarks/tests/": "long run",
    "tests/hub/test_fuzz.py": "fuzz",
    "tests/test_tutorial.py": "a suite of the documentation",
}
"""Reasons by the beginning of a node ID: a folder, a file, a test."""


def reason_for_full(item: pytest.Item) -> str | None:
    """Return why only the full run includes a test, or `None` where the default run does."""
    assert isinstance(item, pytest.Function)
    if is_hypothesis_test(item.obj):
        return "fuzz"
    for fixture in item.fixturenames:
        if fixture in FIXTURES:
            return FIXTURES[fixture]
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    for (name, value), reason in PARAMETERS.items():
        if parameters.get(name) == value:
            return reason
    for place, reason in PLACES.items():
        if item.nodeid.startswith(place):
            return reason
    return None


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
