"""Which tests need the full run, `pytest -m full`: the one place that decides it. The others are the default run."""

from __future__ import annotations

import pytest

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
    "tests/test_soak.py": "soak",
    "tests/test_benchmarks.py": "long run",
    "tests/hub/test_fuzz.py": "fuzz",
    "tests/test_tutorial.py": "a suite of the documentation",
}
"""Reasons by the beginning of a node ID: a folder, a file, a test."""


def reason_for_full(item: pytest.Item) -> str | None:
    """Return why only the full run includes a test, or `None` where the default run does."""
    assert isinstance(item, pytest.Function)
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
