"""The WebSocket of a subscriber: moves messages between aiohttp and the subscriber's session."""

from __future__ import annotations

import asyncio
import secrets

from aiohttp import WSCloseCode, WSMsgType, web

from .._core.transports import abort
from ._config import HubConfig
from ._connection_limits import RequestGuard, StallGuard
from ._fairness import BEHIND, FairGuard, Turns
from ._frames import pong_frame
from ._rights import ends_at
from ._session import Pending, Session
from ._wamp1.session import Wamp1Session
from ._wamp2.session import Wamp2Session

PROTOCOLS: dict[str, type[Session]] = {kind.subprotocol: kind for kind in (Wamp1Session, Wamp2Session)}
"""The session class for each WebSocket subprotocol."""

_HEARTBEAT = 30.0  # seconds between pings; aiohttp closes the connection if no pong arrives in half of that
_STALL_TIMEOUT = 45.0  # seconds for a subscriber to read some of what is queued: 1.5 times the heartbeat, as for a ping
_CLOSE_TIMEOUT = 1.0  # seconds for a subscriber to read what is queued, and to respond to a close frame
_JOIN_TIMEOUT = 10.0  # seconds to send a HELLO and to authenticate, so that strangers do not occupy connections
_CLOCK_CHECK = 5.0  # seconds between checks of a ticket: a single timer would ignore changes of the clock, and sleep
_MAX_WRITE = 1 << 16  # bytes written at once: what a transport buffers before it pauses writing


class SubscriberSocket:
    """The connection of one subscriber, from the handshake until either side closes it."""

    def __init__(self, transport: asyncio.Transport, session: Session, config: HubConfig, turns: Turns) -> None:
        self._transport = transport
        self._session = session
        self._config = config
        self._turns = turns
        self._published = 0  # number of events when the subscriber was last behind
        self._timer: asyncio.TimerHandle | None = None  # of a delayed reply, and later of the end of the ticket
        # No compression: each event would have to be compressed separately for every subscriber. No autoping: aiohttp
        # would process all pings and pongs that have arrived without returning.
        self._socket = web.WebSocketResponse(
            protocols=(session.subprotocol,),
            autoping=False,
            heartbeat=_HEARTBEAT,
            compress=False,
            max_msg_size=max_message(config),
        )

    async def serve(self, handshake: web.Request) -> web.WebSocketResponse:
        """Respond to the handshake, then read and write until the connection is closed.

        A ConnectionError means that the subscriber has disconnected during the handshake.
        """
        try:
            await self._socket.prepare(handshake)
            if isinstance(before := self._transport.get_protocol(), RequestGuard):
                before.release()
            guard = FairGuard(handshake.protocol, _STALL_TIMEOUT, self._transport, self._turns, self._behind)
            self._transport.set_protocol(guard)
            try:
                async with asyncio.TaskGroup() as tasks:
                    writing = tasks.create_task(self._write(guard))
                    await self._read(guard)
                    writing.cancel()
            except* ConnectionError:
                pass  # a subscriber may disconnect without a close frame
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._socket.prepared:
                # A subscriber that does not read must not keep the connection open. And after an exception, aiohttp
                # must not write an error response into the WebSocket.
                abort(self._transport)
        return self._socket

    async def leave(self) -> None:
        """Close the connection because the hub is shutting down: send what is queued, then a close frame (1001)."""
        self._session.leave("wamp.close.system_shutdown")
        await self.close(WSCloseCode.GOING_AWAY)

    def abort(self) -> None:
        abort(self._transport)

    async def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then a close frame. Abort the connection if that takes longer than a second."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                if self._socket.prepared and not self._transport.is_closing():
                    self._transport.set_write_buffer_limits(high=0)  # close() then waits until everything is sent
                    self._transport.write(self._session.take_nowait())
                    await self._socket.close(code=code, message=reason.encode())
        except TimeoutError:
            abort(self._transport)

    async def _read(self, guard: FairGuard) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None if self._session.admitted else _JOIN_TIMEOUT) as timeout:
                async for message in self._socket:
                    began = loop.time()
                    if message.type is WSMsgType.PING:
                        self._session.send(pong_frame(message.data))
                    elif message.type is WSMsgType.TEXT and self._session.ending is None:
                        reply = self._session.receive(message.data)
                        while isinstance(reply, Pending):
                            paused = loop.time()
                            result = await reply.result
                            began += loop.time() - paused  # the subscriber is not charged for waiting
                            if self._transport.is_closing():
                                return
                            reply = reply.then(result) if self._session.ending is None else None
                        if reply is not None:  # a session has one delayed reply at a time
                            self._timer = loop.call_later(_penalty(), reply)
                        if self._session.admitted and timeout.when() is not None:
                            timeout.reschedule(None)
                            if (ticket := self._session.ticket) is not None:
                                self._end_at(ends_at(ticket, secrets.SystemRandom().random()))
                    await guard.charge(began)
                    await self._session.drained()
        except TimeoutError:
            reason = f"no HELLO or no authentication within {_JOIN_TIMEOUT:.0f} s"
            self._session.refuse("subscriber", reason)
            await self.close(WSCloseCode.POLICY_VIOLATION, reason)

    def _end_at(self, end: float) -> None:
        """End the session at a Unix time, because its ticket expires."""
        loop, left = asyncio.get_running_loop(), end - self._config.clock()
        if left > 0:
            self._timer = loop.call_later(min(left, _CLOCK_CHECK), self._end_at, end)
        elif self._session.ending is None:
            reason = "the ticket expires"
            self._session.leave("webmq.close.ticket_expired", reason)
            self._session.end(WSCloseCode.OK, reason)
            self._timer = loop.call_later(_CLOSE_TIMEOUT, self.abort)  # if the subscriber does not read

    def _behind(self) -> None:
        """Drop the subscriber for flooding, unless it has published events since the last time."""
        if self._session.published > self._published:
            self._published = self._session.published
        else:
            self._session.drop("flood", f"it sends more than the hub can read, for {BEHIND:.0f} s")

    async def _write(self, guard: StallGuard) -> None:
        while True:
            frames = await self._session.take(_MAX_WRITE)
            if self._transport.is_closing():  # uvloop raises a RuntimeError if the transport is closed
                break
            self._transport.write(frames)  # not writelines(), which does not pause writing in Python 3.12.0 to 3.12.7
            if self._session.ended:
                break
            await guard.drain()
        if self._session.ending is not None:
            await self.close(*self._session.ending)
        self._session.abandon()


def max_message(config: HubConfig) -> int:
    """Return the maximum bytes of a subscriber's message. aiohttp refuses longer ones: code 1009 (RFC 6455, 7.4.1)."""
    # An event, its topic with every character escaped in JSON, and some session IDs. Or a ticket of 8,192 characters.
    return config.max_body + 12 * config.max_topic + 8704


def _penalty() -> float:
    """Return the delay of the reply to a failed authentication, 0.8 seconds on average.

    It slows down guessing, and hides how long the comparison took. In the original hub the delay was distributed
    exponentially: an eighth of them were below 0.1 seconds.
    """
    return secrets.SystemRandom().uniform(0.4, 1.2)
