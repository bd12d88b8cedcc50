"""A bare protocol that signs each event. It shows the practical limit of asyncio, and is not a client.

It has no timeouts, retries or errors, and expects each response in one piece.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from binascii import b2a_base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

from .load import HEADERS, SECRET, Load, Refused, Run, signed_at

_ACCEPTED = b"HTTP/1.1 202 "
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class _Pushes:
    """State that all connections share: the event, the head of the request, and the number of pushes left."""

    def __init__(self, load: Load) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        self._request = (
            f"POST /?%b%b%%3D HTTP/1.1\r\nHost: {urlsplit(load.url).netloc}\r\n{head}Content-Length: %d\r\n\r\n%b"
        ).encode()
        self._encode = json.JSONEncoder(separators=(",", ":")).encode
        self._event = load.event
        self._secret = SECRET.encode()
        self._left = self._in_flight = 0
        self._done: asyncio.Future[None] | None = None

    async def run(self, connections: list[_Connection], events: int) -> None:
        """Push this number of events, one at a time on each connection."""
        self._left = events
        self._in_flight = 0
        self._done = asyncio.get_running_loop().create_future()
        for connection in connections[:events]:
            self._in_flight += 1
            self.push(connection)
        await self._done

    def push(self, connection: _Connection) -> None:
        """Sign the event and send it."""
        self._left -= 1
        signed, query = signed_at(int(time.time()))
        body = self._encode(self._event).encode()
        mac = b2a_base64(hmac.digest(self._secret, signed + body, "sha256"), newline=False)
        signature = mac.translate(_URL_SAFE)[:-1]
        connection.transport.write(self._request % (query.encode(), signature, len(body), body))

    def respond(self, connection: _Connection, data: bytes) -> None:
        """Push the next event on a connection that has received a response, or end."""
        if not data.startswith(_ACCEPTED):
            self.fail(Refused(data.partition(b"\r\n")[0].decode("latin-1")))
        elif self._left:
            self.push(connection)
        else:
            self._in_flight -= 1
            if not self._in_flight and self._done and not self._done.done():
                self._done.set_result(None)

    def fail(self, error: Exception) -> None:
        """End the run with an error."""
        if self._done and not self._done.done():
            self._done.set_exception(error)


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, pushes: _Pushes) -> None:
        self._pushes = pushes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._pushes.respond(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pushes.fail(exc or ConnectionResetError())


@asynccontextmanager
async def protocol_loop(load: Load) -> AsyncIterator[Run]:
    """Push over connections that send the next event as soon as they have received a response."""
    pushes = _Pushes(load)
    loop, address = asyncio.get_running_loop(), urlsplit(load.url)
    connections = [
        (await loop.create_connection(lambda: _Connection(pushes), address.hostname or "", address.port or 80))[1]
        for _ in range(load.concurrency)
    ]
    try:
        yield lambda events: pushes.run(connections, events)
    finally:
        for connection in connections:
            connection.transport.close()
