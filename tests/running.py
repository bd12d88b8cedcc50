"""Runs servers for tests that have no event loop of their own, each in a loop in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from webmqconnect_async.testing import Hub

T = TypeVar("T")


@contextmanager
def in_thread(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Enter the asynchronous context manager that `make` returns, in a loop in a thread, and leave it at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="test-server", daemon=True)
    thread.start()

    async def enter() -> tuple[AbstractAsyncContextManager[T], T]:
        manager = make()
        return manager, await manager.__aenter__()

    async def leave(manager: AbstractAsyncContextManager[T]) -> None:
        await manager.__aexit__(None, None, None)

    try:
        manager, entered = asyncio.run_coroutine_threadsafe(enter(), loop).result(60)
        try:
            yield entered
        finally:
            asyncio.run_coroutine_threadsafe(leave(manager), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@asynccontextmanager
async def stopped(hub: Hub) -> AsyncIterator[None]:
    """Stop a hub of another thread within the block, without blocking the loop."""
    down = hub.down()
    await asyncio.to_thread(down.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(down.__exit__, None, None, None)
