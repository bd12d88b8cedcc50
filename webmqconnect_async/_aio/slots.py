"""The semaphore that limits the pushes in flight, served in order of arrival. Taking a free slot needs no coroutine."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """A semaphore of one event loop.

    Unlike an `asyncio.Semaphore`, it can be released after the loop was closed: pushes of a closed loop end when they
    are garbage-collected.
    """

    def __init__(self, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._free = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a slot if one is free. While a task waits for one, none is free."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Wait for a slot, and take it."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                # The slot was handed over in the same iteration of the loop in which the task was cancelled.
                self.release()
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def release(self) -> None:
        """Release a slot. The task that has waited longest gets it."""
        while self._waiting and not self._loop.is_closed():
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
