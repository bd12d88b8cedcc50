"""The session of an AsyncClient, and everything that the client uses of aiohttp beyond its documented API."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from .._core.endpoint import Endpoint
from .._core.settings import Settings
from .resolver import DaemonResolver

P = TypeVar("P", bound=asyncio.BaseProtocol)


UNSEEN = 0.001
"""Seconds after a response for which a connection is used without asking the kernel about its state.

A broker takes longer to close it, or to send unsolicited data. After that, a loop that was blocked may not have seen
it.
"""

_TRIES = 3
"""Maximum number of connections that are tried in a row: a broker that closes each at once must not be flooded."""


class _Connector(aiohttp.TCPConnector):
    """A connector that returns no connection that is closed, or on which the broker has sent unsolicited data."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        for _ in range(_TRIES):
            connection = await super().connect(req, traces, timeout)
            handler, transport = connection.protocol, connection.transport
            if handler is None or not (transport is None or transport.is_closing() or handler.should_close):
                return connection
            connection.close()
        raise aiohttp.ServerDisconnectedError


def open_session(settings: Settings) -> aiohttp.ClientSession:
    """Open a session that is isolated from the environment: no cookies, no netrc, no proxies."""
    # limit=0 is no limit: the client's slots limit the pushes in flight.
    one_push_each = settings.keepalive == 0  # aiohttp refuses a keepalive_timeout together with force_close
    connector = _Connector(
        limit=0,
        # No cache: the address of a broker may change. Simultaneous lookups still share their result.
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


_request: object = aiohttp.ClientSession._request
_was_intercepted = not inspect.isfunction(_request) or _request.__code__.co_filename != inspect.getfile(
    aiohttp.ClientSession
)


def is_intercepted() -> bool:
    """Return whether a test double, a recorder or a monitoring agent has replaced the method that sends requests."""
    return aiohttp.ClientSession._request is not _request or _was_intercepted


def url_of(endpoint: Endpoint, query: str = "") -> URL:
    """Return the URL of a request. yarl must not quote the query again: it is signed as it is."""
    return URL.build(
        scheme=endpoint.scheme, authority=endpoint.authority, path=endpoint.path, query_string=query, encoded=True
    )


class ConnectionOpener:
    """Opens connections with a session's connector, and takes them over from aiohttp.

    The connector resolves names, chooses addresses, does the TLS handshake and applies the session's limits. The
    constructor raises an exception of any class if this release of aiohttp lacks something that is used here.
    """

    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        # Of a request, the connector uses the destination only, so all connections can share one.
        url, ssl = url_of(settings.endpoint), settings.ssl or True
        self._request = aiohttp.ClientRequest("POST", url, loop=loop, session=session, ssl=ssl)
        if session.connector is None:
            raise aiohttp.ClientConnectionError("the session is closed")
        self._connector = session.connector
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout)
        # Fails here, and not in the middle of a push, if a name is missing.
        handler = ResponseHandler(loop)
        if handler.should_close or handler.transport is not None:
            raise TypeError("unexpected state of a new ResponseHandler")
        handler.connection_lost(None)
        _ = Connection.protocol, Connection.transport, Connection.close

    async def open(self, adopt: Callable[[asyncio.Transport], P]) -> P:
        """Open a connection, and return the new protocol that `adopt` makes for its transport."""
        connection = await self._connector.connect(self._request, [], self._timeout)
        # Nothing is awaited from here on: until the protocol is replaced, aiohttp's would receive the data.
        handler, transport = connection.protocol, connection.transport
        if handler is None or transport is None:
            connection.close()
            raise aiohttp.ServerDisconnectedError
        protocol = adopt(transport)
        transport.set_protocol(protocol)
        # Tell aiohttp that the connection has ended. Otherwise, closing the session would wait for this handler, which
        # is no longer called by its transport, and garbage collection of the Connection would cause a ResourceWarning.
        handler.connection_lost(None)
        connection.close()
        return protocol
