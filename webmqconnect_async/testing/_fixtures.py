"""The pytest fixtures, and nothing else. Only pytest imports this, as a plugin that the package around it names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..hub import HubOptions
from ._threaded import Hub

__all__ = ["webmq_hub", "webmq_hub_options"]


@pytest.fixture
def webmq_hub_options() -> HubOptions:
    """Return the options of `webmq_hub`: none, unless a conftest.py, a module or a class overrides this."""
    return {}


@pytest.fixture
def webmq_hub(webmq_hub_options: HubOptions) -> Iterator[Hub]:
    """Run a hub for one test; `pushes` tells what it was pushed."""
    with Hub(**webmq_hub_options) as hub:
        yield hub
