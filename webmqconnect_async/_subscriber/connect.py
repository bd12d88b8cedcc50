"""Connect a subscriber: the WebSocket, the version of WAMP that the broker chooses, and the timeouts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from ..signing import Credentials
from .errors import CannotConnect, HandshakeRefused, SubscriberError
from .session import Messages, Subscriber
from .wamp1 import Wamp1Subscriber
from .wamp2 import Wamp2Subscriber

__all__ = ["subscriber"]

# In order of preference. WAMP v1 is first because it accepts any text as a topic.
_SUBPROTOCOLS: dict[str, type[Subscriber]] = {"wamp": Wamp1Subscriber, "wamp.2.json": Wamp2Subscriber}

_TIMEOUT = 10.0
"""Seconds to connect, and again to join and subscribe."""
_HEARTBEAT = 30.0
"""Seconds between pings. They detect a broker that is gone without having closed the connection."""
_CLOSE_TIMEOUT = 1.0
"""Seconds to wait for the response to a close frame."""


@asynccontextmanager
async def subscriber(
    url: str, *topics: str, credentials: Credentials | None = None, realm: str = "realm1"
) -> AsyncGenerator[Subscriber]:
    """Connect to the WebSocket of a broker and subscribe.

    Args:
        url: the WebSocket URL of the broker.
        topics: the topics to subscribe to.
        credentials: to authenticate with. `None`: as anonymous.
        realm: to join by WAMP v2; v1 does not have realms. The examples of Crossbar.io call theirs `realm1`.

    Raises:
        SubscriberError: a step fails or takes too long.
    """
    async with aiohttp.ClientSession() as http:
        socket = await _connect(http, url)
        try:
            session_type = _SUBPROTOCOLS.get(socket.protocol or "")
            if session_type is None:
                raise SubscriberError("not a WAMP broker")
            session = session_type(Messages(socket))
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await session.join(credentials, realm)
                    await session.subscribe(*topics)
            except TimeoutError:
                raise SubscriberError(f"the hub did not confirm the subscription within {_TIMEOUT:.0f} s") from None
            yield session
        finally:
            await socket.close()


async def _connect(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    # Not the whole URL: its query may hold a secret.
    authority = URL(url).authority
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await http.ws_connect(
                url,
                protocols=tuple(_SUBPROTOCOLS),
                heartbeat=_HEARTBEAT,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT),  # pyright: ignore[reportCallIssue]
            )
    except TimeoutError:
        raise SubscriberError(f"cannot connect to {authority} within {_TIMEOUT:.0f} s") from None
    except aiohttp.WSServerHandshakeError as error:
        raise HandshakeRefused(f"{authority} refused the WebSocket with {error.status}") from None
    except aiohttp.ClientConnectorError as error:
        raise CannotConnect(f"cannot connect to {authority}: {error.os_error}") from None
    except (aiohttp.ClientError, OSError) as error:
        raise SubscriberError(f"cannot connect to {authority}: {error}") from None
