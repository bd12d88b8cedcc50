"""The pytest fixtures. Only pytest imports this module, because `pytest_plugins` of the package names it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..hub import HubOptions
from ._threaded import Hub


@pytest.fixture
def webmq_hub_options() -> HubOptions:
    """Return the options of `webmq_hub`: none, unless this fixture is overridden."""
    return {}


@pytest.fixture
def webmq_hub(webmq_hub_options: HubOptions) -> Iterator[Hub]:
    """Run a hub for one test; see its `pushes`."""
    with Hub(**webmq_hub_options) as hub:
        yield hub
