"""A resolver that uses daemon threads, so that neither a deadline nor the end of the program has to wait for it.

asyncio resolves names in its default executor. `getaddrinfo` cannot be interrupted, and `asyncio.run` and the
interpreter join the threads of executors: a program would not end while a name server does not respond.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar, cast

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

T = TypeVar("T")


class DaemonResolver(ThreadedResolver):
    """aiohttp's ThreadedResolver, which resolves each name in a daemon thread of its own."""

    def __init__(self) -> None:
        super().__init__(cast("asyncio.AbstractEventLoop", _DaemonThreads()))

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not (found := await super().resolve(host, port, family)):
            # aiohttp would raise a StopIteration or an AssertionError.
            raise OSError("the name has no address")
        return found


class _DaemonThreads:
    """The running loop, except for the two methods of it that a ThreadedResolver of aiohttp 3.14 uses."""

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio.get_running_loop(), name)

    async def getaddrinfo(self, host: str, port: int, **options: int) -> Sequence[object]:
        return await _in_thread(partial(socket.getaddrinfo, host, port, **options))

    async def getnameinfo(self, address: tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        return await _in_thread(partial(socket.getnameinfo, address, flags))


async def _in_thread(call: Callable[[], T]) -> T:
    """Return what a call returns in a new daemon thread."""
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            settle = partial(returned.set_result, call())
        except Exception as error:  # noqa: BLE001  # it is raised where the result is awaited
            settle = partial(returned.set_exception, error)
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(lambda: returned.cancelled() or settle())

    try:
        threading.Thread(target=run, name="webmqconnect-resolve", daemon=True).start()
    except RuntimeError as error:  # "can't start new thread"
        raise OSError(str(error)) from None
    return await returned
