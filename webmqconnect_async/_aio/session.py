"""What an AsyncClient adds to aiohttp: a session that takes nothing from its surroundings, and a body that tells tales.

It knows nothing of pushes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from aiohttp.tracing import Trace

from .._core.settings import Settings
from .resolver import DaemonResolver

__all__ = ["Body", "open_session"]


class Body(aiohttp.Payload):
    """A request's body, which notes when aiohttp asks for it: only once there is a connection to write it to.

    Not a BytesPayload, which warns of bodies above 1 MB.
    """

    begun = False
    _transport: asyncio.Transport | None = None

    def __init__(self, body: bytes, content_type: str) -> None:
        super().__init__(body, content_type=content_type)
        self._body = body

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text; aiohttp asks for it in logs alone."""
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the body, and note that it has begun."""
        self.begun = True
        if isinstance(writer, StreamWriter):
            self._transport = writer.transport
        await writer.write(self._body)

    def abandon(self) -> None:
        """Break the connection at once: aiohttp would go on writing the rest for as long as the broker reads it."""
        # One that is not closing has had its answer, and is another push's by now.
        if self._transport is not None and self._transport.is_closing():
            with suppress(AttributeError):  # which early releases of Python 3.11 raise over TLS that has ended
                self._transport.abort()


class _Connector(aiohttp.TCPConnector):
    """A pool that hands out no connection on which the broker has spoken unasked: that would answer the next push."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return a connection from the pool that is quiet, or a new one."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


def open_session(settings: Settings) -> aiohttp.ClientSession:
    """Make a session that takes nothing from its surroundings: no cookies, no netrc, no proxy from the environment."""
    # No limit of connections: the semaphore bounds what is in flight, and can tell a full queue from a slow connect.
    one_push_each = settings.keepalive == 0
    # A broker's name may change its address, so each connection asks anew; those that ask at once share the answer.
    connector = _Connector(
        limit=0,
        ttl_dns_cache=0,
        resolver=DaemonResolver(),
        force_close=one_push_each,
        keepalive_timeout=None if one_push_each else settings.keepalive,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=settings.headers,
        skip_auto_headers=("Accept",),  # so that `max_request_head` counts all headers
        trust_env=False,
    )
