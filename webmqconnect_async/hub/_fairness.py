"""How subscribers share the event loop: one that floods the hub does not delay the others.

The hub measures how long it works for each subscriber. An allowance covers what ordinary ones send. A subscriber that
has used it up, or sends much at once, waits for a turn, and meanwhile nothing is read from its connection. All waiting
subscribers together get one turn per iteration of the event loop. Without a flood a turn comes immediately, so a
subscriber that sends much is only slowed down as far as others need the time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ._connection_limits import StallGuard

# Seconds of work in a turn. A push takes about five iterations of the event loop from its request to its event.
_TURN = 0.001

_ALLOWANCE = 0.001  # seconds of work for a subscriber before it waits for a turn: about 60 messages at once

# Seconds of the allowance that come back per second. 200 subscribers that use all of it take a fifth of the time.
_RATE = 0.001
# Seconds of the allowance below which a read waits for a turn. A new subscriber has these: enough to join.
_LEAST = _ALLOWANCE / 4

_PER_MESSAGE = 5e-6  # seconds to add for each message: the time that aiohttp takes to pass it on
_READ = 1 << 11  # bytes read at once, and per turn: up to 341 frames
_SILENCE = 1.0  # seconds without data after which a subscriber is no longer considered behind
BEHIND = 5.0  # seconds until a subscriber that always sends more than the hub has read is dropped


class Turns:
    """The queue of all subscribers of a hub that wait for a turn."""

    def __init__(self) -> None:
        self._waiting: deque[FairGuard] = deque()
        self.buffer = memoryview(bytearray(_READ))

    def wait(self, guard: FairGuard, *, first: bool) -> None:
        """Put a subscriber at the end of the queue, or with `first` at its front, to finish what was already read."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        if first:
            self._waiting.appendleft(guard)
        else:
            self._waiting.append(guard)

    def _next(self) -> None:
        guard = self._waiting.popleft()
        try:
            if not guard.take_turn():
                self._waiting.appendleft(guard)
        finally:
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next)


class FairGuard(StallGuard):
    """The protocol of a subscriber's connection, which reads when it is the subscriber's turn.

    It calls `behind` after every 5 seconds in which each read has filled the buffer: there was always more to read.
    That does not happen to a subscriber that sends much at once, or as much as the hub can process.
    """

    def __init__(
        self,
        inner: asyncio.Protocol,
        timeout: float,
        transport: asyncio.Transport,
        turns: Turns,
        behind: Callable[[], None],
    ) -> None:
        super().__init__(inner, timeout, turns.buffer)
        self._transport = transport
        self._turns = turns
        self._behind = behind
        self._behind_since: float | None = None
        self._resumed = 0.0  # when reading was last resumed
        self._time = asyncio.get_running_loop().time
        self._left = _LEAST
        self._counted = self._time()
        self._held = b""  # data that waits for a turn, not parsed: aiohttp would create two objects per frame
        self._waits = False
        self._turn: asyncio.Future[None] | None = None  # of the task that waits
        self._had_turn = False  # since the last read

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was read, or wait for a turn if it fills the buffer or exceeds the allowance."""
        now = self._time()
        if nbytes < _READ:
            self._behind_since = None
        elif self._behind_since is None or now - self._resumed > _SILENCE:
            self._behind_since = now
        elif now - self._behind_since > BEHIND:
            self._behind_since = now
            self._behind()
        if self._had_turn:
            self._had_turn = False
            self._left = min(self._left, 0.0)  # what is left of a turn is not saved
        self._left = min(_ALLOWANCE, self._left + (now - self._counted) * _RATE)
        self._counted = now
        self._held += self._buffer[:nbytes]
        if self._waits:
            self._pause_reading()  # aiohttp has resumed it
        elif nbytes == _READ or self._left < _LEAST:
            self._wait(first=False)
        else:
            self._pass_on()

    async def charge(self, began: float) -> None:
        """Charge the subscriber for a message that was processed since `began`. Wait for a turn if it needs one."""
        self._left -= self._time() - began + _PER_MESSAGE
        if self._left < 0:
            self._wait(first=True)
            self._turn = asyncio.get_running_loop().create_future()
            await self._turn

    def take_turn(self) -> bool:
        """Continue with what was read. Return whether all of it is processed, so that the turn can end."""
        self._left = min(_TURN, self._left + _TURN)
        if self._transport.is_closing():
            self._held = b""
        elif self._left < 0:
            return False
        if self._turn is not None:
            if not self._turn.done():  # done if its task is cancelled
                self._turn.set_result(None)
            self._turn = None
            return False
        if self._held:
            self._pass_on()
            return False
        self._waits, self._had_turn = False, True
        self._resume_reading()
        self._resumed = self._time()
        return True

    def _wait(self, *, first: bool) -> None:
        if not self._waits:
            self._waits = True
            self._pause_reading()
            self._turns.wait(self, first=first)

    def _pass_on(self) -> None:
        began = self._time()
        data, self._held = self._held, b""
        self.data_received(data)
        self._left -= self._time() - began
