"""Servers for tests that have no event loop of their own: each runs in a loop in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def in_thread(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Enter an asynchronous context manager, made by `make`, in a loop in a thread, and leave it in the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="test-server", daemon=True)
    thread.start()

    async def enter() -> tuple[AbstractAsyncContextManager[T], T]:
        manager = make()
        return manager, await manager.__aenter__()

    async def leave(manager: AbstractAsyncContextManager[T]) -> None:
        await manager.__aexit__(None, None, None)

    try:
        manager, entered = asyncio.run_coroutine_threadsafe(enter(), loop).result(10)
        try:
            yield entered
        finally:
            asyncio.run_coroutine_threadsafe(leave(manager), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
