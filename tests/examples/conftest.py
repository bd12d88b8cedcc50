"""Fixtures for the boards: each board in turn, and a hub that is not embedded in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import pytest

from tests.examples.boards import BOARDS, TOPIC, Board, running
from tests.examples.serving import Site
from tests.listener import listener
from tests.running import in_thread
from webmqconnect_async.testing import Hub


@pytest.fixture(scope="session", params=BOARDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def _running(name: str) -> AsyncIterator[Site]:
    """Run a board, and read its log, because the board would block once the pipe is full."""
    async with running(name) as board:
        process = board.site.process
        reading = asyncio.gather(process.said("\0"), process.complained("\0"), return_exceptions=True)
        yield board.site
        reading.cancel()
        await asyncio.wait([reading])


@pytest.fixture(scope="session")
def site(name: str) -> Iterator[Site]:
    """Run a board with its embedded hub, for all tests."""
    with in_thread(partial(_running, name)) as site:
        yield site


@pytest.fixture
async def board(site: Site) -> AsyncIterator[Board]:
    """Remove all items from the board that all tests share."""
    async with aiohttp.ClientSession() as http:
        board = Board(site, http)
        items = (await board.listing())["items"]
        assert isinstance(items, dict)
        async with listener(await board.ws_url(), TOPIC) as told:
            for item in items:
                change = await board.change("DELETE", f"items/{item}")
                while await told.next() != change:  # pushed in the background, so earlier events may arrive
                    pass
        yield board


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Run a hub in a thread. Its methods block the test's event loop, but only briefly."""
    with Hub(keys={"app": "s3cret"}) as hub:
        yield hub
