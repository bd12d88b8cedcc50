"""The connections of a hub's port: how many there may be, and how long a peer may keep one waiting. Knows no request.

aiohttp asks for no haste: for the head of a first request it waits as long as for a next one, and for a peer that does
not read its answers for ever, taking up to 32 further requests meanwhile, each with as large a head as there may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from aiohttp import web

__all__ = ["Watched", "cut", "limited"]

_PATIENCE = 10.0
"""Seconds in which a first request's head has to come, and in which answers that are not read have to go out."""

_END_OF_HEAD = b"\r\n\r\n"


def limited(
    runner: web.AppRunner, protocol: Callable[[web.Server], asyncio.Protocol], most: int
) -> Callable[[], asyncio.Protocol]:
    """Return a factory of protocols for `create_server`. It turns away connections beyond a number.

    Args:
        runner: set up.
        protocol: makes the protocol of one connection.
        most: connections at a time.
    """
    server = runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")
    return lambda: _Connection(protocol(server)) if len(server.connections) < most else _TurnedAway()


def cut(transport: asyncio.Transport) -> None:
    """End a connection at once; one that has ended already is left alone."""
    with suppress(AttributeError):  # which early releases of Python 3.11 raise over a TLS connection that has ended
        transport.abort()


class _TurnedAway(asyncio.Protocol):
    """A connection more than there may be."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _stream(transport).abort()


class Watched(asyncio.Protocol):
    """A connection whose peer has to read; it passes on everything.

    A transport takes 64 KiB and then asks for patience, until all but 16 KiB of it has gone.

    Args:
        within: what everything is passed on to.
        patience: seconds that this may take, or else the connection is cut.
        transport: the connection, where it is made already.
    """

    def __init__(self, within: asyncio.Protocol, patience: float, transport: asyncio.Transport | None = None) -> None:
        self._within = within
        self._patience = patience
        self._transport = transport
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass it on."""
        self._transport = _stream(transport)
        self._within.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._within.data_received(data)

    def pause_writing(self) -> None:
        """Pass it on, and wait no longer than that."""
        self._expect()
        self._within.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._relax()
        self._within.resume_writing()

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._within.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._relax()
        self._within.connection_lost(exc)

    def _expect(self) -> None:
        """Give the peer so long to go on."""
        self._relax()
        if self._transport is not None:
            self._limit = asyncio.get_running_loop().call_later(self._patience, cut, self._transport)

    def _relax(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


class _Connection(Watched):
    """A connection that makes requests: the first of them soon, and further ones as it reads the answers."""

    def __init__(self, within: asyncio.Protocol) -> None:
        super().__init__(within, _PATIENCE)
        self._last = b""  # what may be the beginning of the head's end
        self._begun = False  # a whole head has come
        self._held_back = False  # nothing is read, as answers are not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            received = self._last + data
            if _END_OF_HEAD in received:
                self._begun = True
                self._relax()
            else:
                self._last = received[1 - len(_END_OF_HEAD) :]
        super().data_received(data)

    def pause_writing(self) -> None:
        transport = self._transport
        if transport is not None and transport.is_reading():  # else aiohttp has paused it, and will resume it
            transport.pause_reading()
            self._held_back = True
        super().pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._held_back and self._transport is not None:
            self._held_back = False
            self._transport.resume_reading()


def _stream(transport: asyncio.BaseTransport) -> asyncio.Transport:
    return cast(asyncio.Transport, transport)  # uvloop's has all of its methods, and does not inherit from it
