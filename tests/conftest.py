"""Fixtures of all tests: servers, a check for blocking calls, and the default handler of SIGINT."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from .hostile import Hostile, hostile

if TYPE_CHECKING:
    from .postgresql import Server
    from .redis_server import RedisServer

# Machines are busy, so the duration of an example means nothing. With CI=true Hypothesis uses its own profile for CI.
if os.environ.get("CI") != "true":
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


@pytest.fixture
def server() -> Iterator[Hostile]:
    """Run a server that accepts everything."""
    with hostile() as running:
        yield running


@pytest.fixture(params=["sample", "every"])
def extent(request: pytest.FixtureRequest) -> str:
    """Return how many of its cases a long test runs: a `sample`, or `every` one in the full run."""
    value: str = request.param
    return value


@pytest.fixture(autouse=True, scope="module")
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which the package blocks the event loop."""
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


@pytest.fixture(scope="session")
def postgresql_server(postgresql: None) -> Iterator[Server]:
    """Run a PostgreSQL server for all tests that need one."""
    from .postgresql import running  # the driver is not in the dependencies of the plain run

    with running() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(redis: None) -> Iterator[RedisServer]:
    """Run a Redis server for all tests that need one and do not break it. Each test has a prefix of its own."""
    from .redis_server import running  # the driver is not in the dependencies of the plain run

    with running() as server:
        yield server


@pytest.fixture
def own_redis(redis: None, tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis server for one test, which may break it. It writes every change to its file."""
    from .redis_server import RedisServer

    with RedisServer(tmp_path / "redis") as server:
        yield server
