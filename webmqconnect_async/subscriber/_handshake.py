"""Connect to a broker: its WebSocket URL, the version of WAMP that it chooses, and the session."""

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

_TIMEOUT = 10.0
"""Seconds to get a ticket, again to connect, and again to join."""


def socket_url(url: str) -> str:
    """Return the WebSocket URL of a hub, given that or the URL for pushes; raise `ValueError` for any other."""
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
    """Ask the application for a ticket. It is returned in a function, as error reporters show variables.

    Raises:
        TypeError: it is not a string.
        SubscriberError: it takes too long. Anything that the application raises passes.
    """
    if ticket is None:
        return None
    patience = asyncio.timeout(_TIMEOUT)
    try:
        async with patience:
            token = ticket()
            if isawaitable(token):
                token = await token
    except TimeoutError:
        if not patience.expired():
            raise
        raise SubscriberError(f"the function ticket has not returned within {_TIMEOUT:.0f} s") from None
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        # What the function waits for was cancelled, and not the subscriber.
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
    """Connect and join; raise `SubscriberError` if a step fails or takes too long."""
    authority = URL(url).authority  # not the whole URL: its query may hold a secret
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
                max_msg_size=0,  # an event above a limit would end one connection after another
            )
    except TimeoutError:
        raise SubscriberError(f"cannot connect to {authority} within {_TIMEOUT:.0f} s") from None
    except aiohttp.WSServerHandshakeError as error:
        raise HandshakeRefused(f"{authority} refused the WebSocket with {error.status}") from None
    except (aiohttp.ClientError, OSError) as error:
        # A TLS handshake that fails is a ClientConnectorError, too, but something listens there.
        unreached = isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError)
        reason = failure_of(error, authority, begun=False).reason
        raise (CannotConnect if unreached else SubscriberError)(reason) from None
    except UnicodeError as error:  # the host is not a name
        raise SubscriberError(f"cannot connect to {authority}: {error}") from None
