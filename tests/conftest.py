"""What tests share: a watch for blocking calls, a server to push to, the rule for tests that need a system part."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from .crossbar import node as crossbar
from .hostile import Hostile, hostile

# Machines are noisy: how long an example took says nothing. With CI=true Hypothesis has a profile of its own for that.
if os.environ.get("CI") != "true":
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


@pytest.fixture
def server() -> Iterator[Hostile]:
    """Run a server that accepts everything."""
    with hostile() as running:
        yield running


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail the test that blocks the event loop from within the package."""
    with blockbuster_ctx("webmqconnect_async"):
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose system part is missing, with the reason; with CI=true that is a failure."""
    reason = None
    if item.get_closest_marker("chromium") and not shutil.which("chromium"):
        reason = "needs Chromium: apt-get install chromium"
    elif item.get_closest_marker("crossbar") and not crossbar.installed():
        reason = f"needs Crossbar.io {crossbar.VERSION}: {crossbar.COMMAND}"
    elif item.get_closest_marker("node") and not shutil.which("node"):
        reason = "needs Node.js: apt-get install nodejs"
    elif item.get_closest_marker("redis") and not shutil.which("redis-server"):
        reason = "needs redis-server: apt-get install redis-server"
    elif item.get_closest_marker("curl") and not shutil.which("curl"):
        reason = "needs curl: apt-get install curl"
    elif item.get_closest_marker("bash") and not shutil.which("bash"):
        reason = "needs bash: apt-get install bash"
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
