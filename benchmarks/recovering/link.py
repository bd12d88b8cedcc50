"""A subscriber's connection to the proxy, the connection from there to the hub, and how they break."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

__all__ = ["Fault", "Link", "Streams"]

Streams = tuple[StreamReader, StreamWriter]

_WELCOME = re.compile(rb"\[2, ?(\d+), ?\{")
"""The first message of a hub in WAMP v2, with the session ID. Frames of servers are not masked."""


class Fault(StrEnum):
    """What breaks a connection."""

    TIME = "cut after a time"
    EVENTS = "cut after a number of bytes to the subscriber"
    REQUESTS = "cut after a number of bytes to the hub"
    STALL = "cut after stalls"
    SUBSCRIBER = "half-closed to the subscriber, then cut"
    HUB = "half-closed to the hub, then cut"
    CALL = "cut by the course"


class Link:
    """A connection to a subscriber and one to a hub, with forwarding between them.

    Args:
        subscriber: the connection of the subscriber.
        hub: the connection to the hub.
        welcomed: called with the session ID before the subscriber receives it.
    """

    def __init__(self, subscriber: Streams, hub: Streams, welcomed: Callable[[str], None]) -> None:
        self.fault: Fault | None = None
        """The fault that has broken the connection."""
        self._writers = (subscriber[1], hub[1])
        self._to_subscriber = _Way(hub[0], subscriber[1])
        self._to_hub = _Way(subscriber[0], hub[1])
        self._welcomed: Callable[[str], None] | None = welcomed
        self._beginning = b""

    async def forward(self) -> None:
        """Forward in both directions until both have ended."""
        await asyncio.gather(
            self._to_subscriber.forward(self._look_for_welcome, lambda: self._cut_by_limit(Fault.EVENTS)),
            self._to_hub.forward(lambda _data: None, lambda: self._cut_by_limit(Fault.REQUESTS)),
        )

    def limit(self, fault: Fault, size: int, *, reset: bool) -> None:
        """Cut the connection after this number of further bytes to the hub or to the subscriber."""
        way = self._to_hub if fault is Fault.REQUESTS else self._to_subscriber
        way.left, way.reset = size, reset

    def stall(self, stalled: bool) -> None:
        """Stop forwarding, or continue."""
        for way in (self._to_subscriber, self._to_hub):
            (way.flowing.clear if stalled else way.flowing.set)()

    def half_close(self, fault: Fault) -> None:
        """Close one direction only: to the hub, or to the subscriber."""
        self.fault = self.fault or fault
        (self._to_hub if fault is Fault.HUB else self._to_subscriber).end()

    def cut(self, fault: Fault, *, reset: bool) -> None:
        """End both connections, by RST or by FIN."""
        self.fault = self.fault or fault
        for writer in self._writers if reset else ():
            if not writer.is_closing():
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close both connections. The kernel sends RST if there is unread data."""
        for way in (self._to_subscriber, self._to_hub):
            way.ended = True
            way.flowing.set()
        for writer in self._writers:
            writer.transport.abort()

    def _cut_by_limit(self, fault: Fault) -> None:
        self.cut(fault, reset=self._to_hub.reset if fault is Fault.REQUESTS else self._to_subscriber.reset)

    def _look_for_welcome(self, data: bytes) -> None:
        if self._welcomed is None:
            return
        self._beginning += data
        if found := _WELCOME.search(self._beginning):
            self._welcomed(found[1].decode())
            self._welcomed = None


class _Way:
    """One direction of a link."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.left: int | None = None
        """How many more bytes it forwards; `None`: no limit."""
        self.reset = False
        self.ended = False
        self._reader = reader
        self._writer = writer

    async def forward(self, seen: Callable[[bytes], None], exhausted: Callable[[], None]) -> None:
        """Forward until the connection ends; call `seen` before data is forwarded, `exhausted` at the limit."""
        try:
            while data := await self._reader.read(1 << 16):
                await self.flowing.wait()
                seen(data)
                if self.ended:
                    continue
                if self.left is not None:
                    data, self.left = data[: self.left], self.left - len(data)
                self._writer.write(data)
                await self._writer.drain()
                if self.left is not None and self.left <= 0:
                    exhausted()
        except OSError:
            self._writer.transport.abort()
        self.end()

    def end(self) -> None:
        """Close this direction."""
        if not self.ended and not self._writer.is_closing():
            with suppress(OSError):  # the connection has been reset
                self._writer.write_eof()
        self.ended = True
