"""Connect to a broker: open the WebSocket, and a session in the version of WAMP that the broker chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from ssl import SSLContext
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from .._aio.aiohttp_errors import failure_of
from .._core.checks import wrong_type
from ..signing import Credentials
from ._errors import CannotConnect, HandshakeRefused, SubscriberError
from ._session import Session
from ._topics import Topics
from ._wamp1 import Wamp1Session
from ._wamp2 import Wamp2Session

NewTicket: TypeAlias = Callable[[], str | Awaitable[str]]
"""The application's function that returns a ticket."""

# In order of preference. WAMP v1 has no history.
_SUBPROTOCOLS: dict[str, type[Session]] = {"wamp.2.json": Wamp2Session, "wamp": Wamp1Session}

_TIMEOUT = 10.0  # seconds to get a ticket, to open the WebSocket, and to open the session, each


def socket_url(url: str) -> str:
    """Return the WebSocket URL of a hub, given this URL or the one for pushes; raise `ValueError` for any other."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("it does not begin with ws://, wss://, http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("user information is not allowed; to authenticate, use the credentials of a subscriber")
    if parts.scheme in ("ws", "wss"):
        return url
    path = parts.path.rstrip("/")
    return parts._replace(
        scheme=parts.scheme.replace("http", "ws"), path=path if path.endswith("/ws") else f"{path}/ws"
    ).geturl()


async def new_ticket(ticket: NewTicket | None) -> Callable[[], str] | None:
    """Call the application's function for a ticket. Return the ticket as a function: error reporters show variables.

    Raise `SubscriberError` if the application's function takes too long or was cancelled. Its exceptions pass through.
    """
    if ticket is None:
        return None
    timeout = asyncio.timeout(_TIMEOUT)
    try:
        async with timeout:
            token = ticket()
            if isawaitable(token):
                token = await token
    except TimeoutError:
        if not timeout.expired():
            raise
        raise SubscriberError(f"the function ticket has not returned within {_TIMEOUT:.0f} s") from None
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        # Not the subscriber was cancelled, but something that the function awaits.
        raise SubscriberError("the function ticket was cancelled") from None
    if not isinstance(token, str):
        message = wrong_type("the ticket", "a string", token)
        token = ""  # error reporters show the local variables of a traceback's frames
        raise TypeError(message)
    return lambda: token


async def connect(
    http: aiohttp.ClientSession,
    url: str,
    credentials: Credentials | None,
    realm: str,
    ssl: SSLContext | None,
    topics: Topics,
    ticket: Callable[[], str] | None,
) -> Session:
    """Open the WebSocket and the session; raise `SubscriberError` if a step fails or takes too long."""
    authority = URL(url).authority  # not the whole URL: its query may contain a secret
    # WAMP v1 has no tickets.
    subprotocols = tuple(_SUBPROTOCOLS) if ticket is None else ("wamp.2.json",)
    socket = await _open(http, url, authority, ssl, subprotocols)
    session = _SUBPROTOCOLS.get(socket.protocol or "", Wamp2Session)(socket, topics)
    try:
        if socket.protocol is None:
            raise SubscriberError("not a WAMP broker")
        async with asyncio.timeout(_TIMEOUT):
            await session.join(credentials, realm, ticket)
    except BaseException as error:
        await session.close()
        if isinstance(error, TimeoutError):
            raise SubscriberError(f"{authority} sent no welcome within {_TIMEOUT:.0f} s") from None
        raise
    return session


async def _open(
    http: aiohttp.ClientSession, url: str, authority: str, ssl: SSLContext | None, subprotocols: tuple[str, ...]
) -> aiohttp.ClientWebSocketResponse:
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await http.ws_connect(
                url,
                protocols=subprotocols,
                autoping=False,
                ssl=True if ssl is None else ssl,
                # No limit: a larger event would end this connection, and again the next one that receives it.
                max_msg_size=0,
            )
    except TimeoutError:
        raise SubscriberError(f"cannot connect to {authority} within {_TIMEOUT:.0f} s") from None
    except aiohttp.WSServerHandshakeError as error:
        raise HandshakeRefused(f"{authority} refused the WebSocket with {error.status}") from None
    except (aiohttp.ClientError, OSError) as error:
        # A ClientSSLError is a ClientConnectorError, too, but the TCP connection was established.
        unreached = isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError)
        reason = failure_of(error, authority, begun=False).reason
        raise (CannotConnect if unreached else SubscriberError)(reason) from None
    except UnicodeError as error:  # the host is not a name
        raise SubscriberError(f"cannot connect to {authority}: {error}") from None
