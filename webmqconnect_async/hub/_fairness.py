"""How subscribers share the event loop: one that floods the hub does not delay the others.

The hub measures how long it works for each subscriber. An allowance covers what ordinary ones send. A subscriber that
has used it up waits for a turn: nothing is read from its connection, and none of its messages is processed. All that
wait get one turn in each iteration of the event loop, one after the other, however many they are. Without a flood a
turn comes immediately, so a subscriber that sends much is only slowed down as far as others need the time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ._guards import StallGuard

__all__ = ["BEHIND", "FairGuard", "Turns"]

_TURN = 0.001
"""Seconds of work in a turn. A push takes about five iterations of the event loop from its request to its event."""

_ALLOWANCE = 0.001
"""Seconds of work for a subscriber before it waits for a turn: about 60 messages at once."""

_RATE = 0.001
"""Seconds of the allowance that come back per second. 200 subscribers that use all of it take a fifth of the time."""

_PER_MESSAGE = 5e-6
"""Seconds to add for a message, which aiohttp takes to hand it over."""

_READ = 1 << 11
"""Bytes read at once, up to 341 frames. aiohttp queues each as two objects, which every garbage collection visits."""

BEHIND = 5.0
"""Seconds until a subscriber that always sends more than the hub has read is dropped."""


class Turns:
    """The queue of all subscribers of a hub that wait for a turn."""

    def __init__(self) -> None:
        self._waiting: deque[FairGuard] = deque()
        self.buffer = memoryview(bytearray(_READ))

    def wait(self, guard: FairGuard) -> None:
        """Append a subscriber to the queue."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        self._waiting.append(guard)

    def _next(self) -> None:
        guard = self._waiting.popleft()
        if not guard.take_turn():
            self._waiting.append(guard)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)


class FairGuard(StallGuard):
    """The protocol of a subscriber's connection, which has it wait for its turns.

    Args:
        inner: the protocol that everything is passed to.
        timeout: the maximum seconds that writing may stay paused.
        transport: the connection.
        turns: of the hub.
        behind: called after every 5 seconds in which each read has filled the buffer. Then more was always waiting to
            be read. A subscriber that sends much at once, or as much as the hub can process, does not come to that.
    """

    def __init__(
        self,
        inner: asyncio.Protocol,
        timeout: float,
        transport: asyncio.Transport,
        turns: Turns,
        behind: Callable[[], None],
    ) -> None:
        super().__init__(inner, timeout, turns.buffer, transport)
        self._connection = transport
        self._turns = turns
        self._behind = behind
        self._behind_since: float | None = None
        self._time = asyncio.get_running_loop().time
        self._left = _ALLOWANCE
        self._charged = self._time()
        self._turn: asyncio.Future[None] | None = None  # unless it does not wait for one
        self._paused_reading = False

    def buffer_updated(self, nbytes: int) -> None:
        """Charge the subscriber for what was read. If it fills the buffer, more may wait, and that needs a turn."""
        began = self._time()
        if nbytes < _READ:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = began
        elif began - self._behind_since > BEHIND:
            self._behind_since = began
            self._behind()
        super().buffer_updated(nbytes)
        self._charge(began, _ALLOWANCE if nbytes == _READ else 0)

    async def charge(self, began: float) -> None:
        """Charge the subscriber for a message that was processed since `began`. Wait for a turn if it needs one."""
        self._charge(began, _PER_MESSAGE)
        if self._turn is not None:
            await self._turn

    def _charge(self, began: float, more: float) -> None:
        now = self._time()
        self._left = min(_ALLOWANCE, self._left + (now - self._charged) * _RATE) - (now - began) - more
        self._charged = now
        if self._left < 0 and self._turn is None:
            self._turn = asyncio.get_running_loop().create_future()
            if self._connection.is_reading():  # otherwise aiohttp has paused it and will resume it
                self._connection.pause_reading()
                self._paused_reading = True
            self._turns.wait(self)

    def take_turn(self) -> bool:
        """Add a turn to what is left. Return whether the subscriber stops waiting."""
        self._left += _TURN
        if self._left < 0 and not self._connection.is_closing():
            return False
        if self._turn is not None and not self._turn.done():  # done if the task that waited is cancelled
            self._turn.set_result(None)
        self._turn = None
        if self._paused_reading and not self._connection.is_closing():
            self._connection.resume_reading()
        self._paused_reading = False
        return True
