"""The connection of a subscriber: `demo` and `listen` speak what the broker chooses, WAMP v1 or v2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from .._cli.errors import Failure
from ..signing import Credentials
from .session import Event, Messages, Subscriber
from .wamp1 import Wamp1Subscriber
from .wamp2 import Wamp2Subscriber

__all__ = ["REALM", "Event", "Subscriber", "subscriber"]

REALM = "realm1"
"""What Crossbar.io's examples call their realm."""

_KINDS: dict[str, type[Subscriber]] = {"wamp": Wamp1Subscriber, "wamp.2.json": Wamp2Subscriber}
"""What the broker may choose, the first being preferred: to it, any text is a topic."""

_PATIENCE = 10.0
"""Seconds for the hub to accept the connection, and again to confirm the subscriptions."""
_HEARTBEAT = 30.0
"""Seconds between pings, which tell a quiet hub from a dead one."""
_GOODBYE = 1.0
"""Seconds for the hub to answer a close."""


@asynccontextmanager
async def subscriber(
    url: str, *topics: str, credentials: Credentials | None = None, realm: str = REALM
) -> AsyncGenerator[Subscriber]:
    """Connect to the WebSocket of a hub and subscribe, without credentials as anonymous.

    Args:
        url: where the hub takes subscribers.
        topics: all to subscribe to.
        credentials: to authenticate with; None as anonymous.
        realm: for brokers that have any, by WAMP v2.

    Raises:
        Failure: it cannot be connected to, refuses, or is no WAMP hub.
    """
    async with aiohttp.ClientSession() as http:
        socket = await _connect(http, url)
        try:
            kind = _KINDS.get(socket.protocol or "")
            if kind is None:
                raise Failure("no WAMP hub answers there")
            connected = kind(Messages(socket))
            try:
                async with asyncio.timeout(_PATIENCE):
                    await connected.join(credentials, realm)
                    await connected.subscribe(*topics)
            except TimeoutError:
                raise Failure(f"the hub did not confirm the subscription within {_PATIENCE:.0f} s") from None
            yield connected
        finally:
            await socket.close()


async def _connect(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    hub = URL(url).authority
    try:
        async with asyncio.timeout(_PATIENCE):
            return await http.ws_connect(
                url,
                protocols=tuple(_KINDS),
                heartbeat=_HEARTBEAT,
                timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE),  # pyright: ignore[reportCallIssue]
            )
    except TimeoutError:
        raise Failure(f"cannot connect to {hub} within {_PATIENCE:.0f} s") from None
    except aiohttp.WSServerHandshakeError as error:
        raise Failure(f"{hub} refused the WebSocket with {error.status}; a hub takes subscribers at /ws") from None
    except aiohttp.ClientConnectorError as error:
        raise Failure(f"cannot connect to {hub}: {error.os_error}; does a hub listen there?") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Failure(f"cannot connect to {hub}: {error}") from None
