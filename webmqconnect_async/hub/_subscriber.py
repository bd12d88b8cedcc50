"""One subscriber's WebSocket, between aiohttp and its session. Knows nothing of what messages say."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from ._broker import Sessions
from ._connections import Watched, cut

__all__ = ["Subscriber"]

_HEARTBEAT = 30.0
"""Seconds between pings; a peer that does not answer within half of it is gone."""

_DEAF = 45.0
"""Seconds in which a peer has to read some of what waits, as long as it may take to answer a ping."""

_GRACE = 1.0
"""Seconds that a peer has to take what is left and say goodbye."""

_STRANGER = 10.0
"""Seconds to say HELLO, and to authenticate where the hub demands it: a stranger must not hold a connection."""

_TURN = 0.001
"""Seconds of a peer's messages that are taken in a row, as long as there are any; then it is everybody else's turn."""

_BATCH = 1 << 16
"""Bytes written at once: what a transport takes before it asks for patience."""


class Subscriber:
    """A connection and its session, until either side ends it.

    Args:
        transport: the connection; the session's limit ends it by `abort`.
        subprotocol: what the peer speaks.
        sessions: where the session is opened, at once; not `full`.
        peer: its address, for the log.
        max_message: bytes of a message from the peer; a longer one ends the connection (1009).
    """

    def __init__(
        self, transport: asyncio.Transport, subprotocol: str, sessions: Sessions, *, peer: str, max_message: int
    ) -> None:
        self._transport = transport
        self._sessions = sessions
        self._session = sessions.open(subprotocol, drop=partial(cut, transport), peer=peer)
        self._late: asyncio.TimerHandle | None = None  # an answer that is held back
        # Uncompressed: every event would have to be compressed once for each subscriber.
        self._socket = web.WebSocketResponse(
            protocols=(subprotocol,), heartbeat=_HEARTBEAT, compress=False, max_msg_size=max_message
        )

    async def serve(self, handshake: web.Request) -> web.WebSocketResponse:
        """Answer the handshake, then read and write until the connection has ended."""
        try:
            output = await self._socket.prepare(handshake)
            # A heartbeat that is not answered shows where a message is awaited, and not while an answer cannot go out.
            # And the limits of a connection that makes requests do not hold for one that may be silent for days.
            self._transport.set_protocol(Watched(handshake.protocol, _DEAF, self._transport))
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write(output))
                await self._read()
                writing.cancel()
        except* ConnectionError:
            pass  # a peer may go without goodbye
        finally:
            if self._late is not None:
                self._late.cancel()
            self._sessions.close(self._session)
            if self._socket.prepared:
                # Whatever ended it, a peer that does not read must not keep the connection; and should this be an
                # exception, its answer must not be written into a WebSocket.
                cut(self._transport)
        return self._socket

    async def leave(self) -> None:
        """Say goodbye, as the hub is going: send what is queued, then a close frame (1001)."""
        self._session.leave()
        await self.close(WSCloseCode.GOING_AWAY)

    async def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then a close frame; a peer that takes neither in time loses the connection."""
        try:
            async with asyncio.timeout(_GRACE):
                if self._socket.prepared and not self._transport.is_closing():
                    self._transport.set_write_buffer_limits(high=0)  # closing then waits until all of it has been sent
                    self._transport.write(self._session.take_nowait())
                    await self._socket.close(code=code, message=reason.encode())
        except TimeoutError:
            cut(self._transport)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.time() + _TURN
        try:
            async with asyncio.timeout(None if self._session.admitted else _STRANGER) as limit:
                async for message in self._socket:
                    if message.type is WSMsgType.TEXT and self._session.ending is None:
                        late = self._session.receive(message.data)
                        if late is not None:  # there is one at a time
                            self._late = loop.call_later(_penalty(), late)
                        if self._session.admitted:
                            limit.reschedule(None)
                        await self._session.calm()
                        if loop.time() > turn:
                            # Messages that have arrived are read without waiting: a peer that floods would hold the
                            # loop for as long as it does.
                            await asyncio.sleep(0)
                            turn = loop.time() + _TURN
        except TimeoutError:
            await self.close(WSCloseCode.POLICY_VIOLATION, f"no HELLO or no authentication within {_STRANGER:.0f} s")

    async def _write(self, output: AbstractStreamWriter) -> None:
        while not self._transport.is_closing():
            # Frames are joined here and not by `writelines`, which never asked for patience in Python 3.12.0 to 3.12.7.
            self._transport.write(await self._session.take(_BATCH))
            if self._session.ended:
                break
            await output.drain()
        if self._session.ending is not None:
            await self.close(*self._session.ending)
        self._session.abandon()


def _penalty() -> float:
    """Return the seconds after which a failure to authenticate is answered, 0.8 on average.

    They hide what time the comparison took, and make guessing slow. The original's were distributed exponentially, an
    eighth of them below 0.1.
    """
    return secrets.SystemRandom().uniform(0.4, 1.2)
