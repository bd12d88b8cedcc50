"""The connections of an AsyncClient, which it takes over from aiohttp's connector, and the requests over them.

A request takes a third of the CPU time that `posting` needs.
"""

from __future__ import annotations

import asyncio

import aiohttp

from .._core import transport_failures as failures
from .._core.dialects import Request, Response
from .._core.settings import Settings
from .._core.transport_failures import TransportFailure
from .aiohttp_errors import failure_of
from .connection import Connection
from .deadlines import Deadline, Expired
from .session import UNSEEN, ConnectionOpener

_TURNS = 10
"""Iterations of the event loop within which an aborted connection ends; with TLS it takes three."""


class ConnectionPool:
    """The connections of one client in one event loop.

    The most recently used one is used first, so that after a burst the others exceed `keepalive` and are closed.
    """

    def __init__(self, opener: ConnectionOpener, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._opener = opener
        self._broker = settings.endpoint.authority
        self._head = settings.request_head
        self._keepalive = float("inf") if settings.keepalive is None else settings.keepalive
        self._buffer = memoryview(bytearray(65536))
        self._open: set[Connection] = set()
        # A dict is ordered, and removes any item in constant time.
        self._idle: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(self, request: Request, deadline: Deadline) -> Response | TransportFailure:
        connection = self._take()
        if connection is None:
            try:
                connection = await deadline.wait(self._opener.open(self._adopt))
            except Expired:
                return failures.expired(False, deadline.closing)
            except (aiohttp.ClientError, OSError) as error:
                return failure_of(error, self._broker, begun=False)
        if deadline.expired:
            self._keep(connection)
            return failures.expired(False, deadline.closing)
        try:
            waiting = connection.send(self._loop, self._head.encode(request), request.body)
            deadline.on_expiry = connection.expire
            result = await waiting
        except BaseException:
            connection.abort()
            raise
        finally:
            deadline.on_expiry = None
        if connection.usable:
            self._keep(connection)
        return failures.expired(True, deadline.closing) if result is None else result

    def close(self) -> None:
        """Close the idle connections at once, and the others after their requests. Safe to call again."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.popitem()[0].abort()

    async def wait_closed(self) -> None:
        """Wait until all connections are closed. There must be no request in flight."""
        for _ in range(_TURNS):
            if self._open:
                await asyncio.sleep(0)

    def _take(self) -> Connection | None:
        """Return an idle connection that the broker has neither closed nor sent data on; `None` if there is none."""
        while self._idle:
            connection, _ = self._idle.popitem()
            idle = self._time() - connection.idle_since
            if connection.is_open() and idle < self._keepalive and (idle < UNSEEN or connection.is_quiet()):
                return connection
            connection.abort()
        return None

    def _adopt(self, transport: asyncio.Transport) -> Connection:
        connection = Connection(transport, self._broker, self._buffer, self._forget)
        self._open.add(connection)
        return connection

    def _keep(self, connection: Connection) -> None:
        if self._closed or not self._keepalive:
            connection.abort()
            return
        connection.idle_since = self._time()
        self._idle[connection] = None
        if self._timer is None and self._keepalive < float("inf"):
            self._timer = self._loop.call_later(self._keepalive, self._close_aged)

    def _close_aged(self) -> None:
        self._timer = None
        now = self._time()
        for connection in list(self._idle):
            left = connection.idle_since + self._keepalive - now
            if left > 0:
                # The others have been idle for less time.
                self._timer = self._loop.call_later(left, self._close_aged)
                return
            del self._idle[connection]
            connection.abort()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)
