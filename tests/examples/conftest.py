"""Each board in turn, and a hub that is not its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.examples.boards import BOARDS, Board, running
from webmqconnect_async.testing import Hub


@pytest.fixture(params=BOARDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def board(name: str) -> AsyncIterator[Board]:
    """Run a board with the hub that it brings along."""
    async with running(name) as board:
        yield board


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Run a hub in a thread. Asked from a test's loop it would block that, for what is a moment."""
    with Hub(keys={"app": "s3cret"}) as hub:
        yield hub
