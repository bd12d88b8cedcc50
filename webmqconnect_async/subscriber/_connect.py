"""Connect to a broker: its WebSocket URL, the version of WAMP that it chooses, and the session."""

from __future__ import annotations

import asyncio
from ssl import SSLContext
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from .._aio.aiohttp_errors import failure_of
from .._core.transport_failures import Cause
from ..signing import Credentials
from ._errors import CannotConnect, HandshakeRefused, SubscriberError
from ._session import Session
from ._topics import Topics
from ._wamp1 import Wamp1Session
from ._wamp2 import Wamp2Session

__all__ = ["connect", "socket_url"]

# In order of preference. WAMP v1 has no history.
_SUBPROTOCOLS: dict[str, type[Session]] = {"wamp.2.json": Wamp2Session, "wamp": Wamp1Session}

_TIMEOUT = 10.0
"""Seconds to connect, and again to join."""


def socket_url(url: str) -> str:
    """Return the WebSocket URL of a hub. The URL may also be the one for pushes.

    Raises:
        ValueError: the URL is neither.
    """
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


async def connect(
    http: aiohttp.ClientSession,
    url: str,
    credentials: Credentials | None,
    realm: str,
    ssl: SSLContext | None,
    topics: Topics,
) -> Session:
    """Connect and join.

    Raises:
        SubscriberError: a step fails or takes too long.
    """
    authority = URL(url).authority  # not the whole URL: its query may hold a secret
    socket = await _open(http, url, authority, ssl)
    session = _SUBPROTOCOLS.get(socket.protocol or "", Wamp2Session)(socket, topics)
    try:
        if socket.protocol is None:
            raise SubscriberError("not a WAMP broker")
        async with asyncio.timeout(_TIMEOUT):
            await session.join(credentials, realm)
    except BaseException as error:
        await session.close()
        if isinstance(error, TimeoutError):
            raise SubscriberError(f"{authority} sent no welcome within {_TIMEOUT:.0f} s") from None
        raise
    return session


async def _open(
    http: aiohttp.ClientSession, url: str, authority: str, ssl: SSLContext | None
) -> aiohttp.ClientWebSocketResponse:
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await http.ws_connect(
                url,
                protocols=tuple(_SUBPROTOCOLS),
                autoping=False,
                ssl=True if ssl is None else ssl,
                max_msg_size=0,  # an event above a limit would end one connection after another
            )
    except TimeoutError:
        raise SubscriberError(f"cannot connect to {authority} within {_TIMEOUT:.0f} s") from None
    except aiohttp.WSServerHandshakeError as error:
        raise HandshakeRefused(f"{authority} refused the WebSocket with {error.status}") from None
    except (aiohttp.ClientError, OSError) as error:
        failure = failure_of(error, authority, begun=False)
        unreached = isinstance(error, aiohttp.ClientConnectorError) and failure.cause is Cause.LOST
        raise (CannotConnect if unreached else SubscriberError)(failure.reason) from None
    except UnicodeError as error:  # the host is not a name
        raise SubscriberError(f"cannot connect to {authority}: {error}") from None
