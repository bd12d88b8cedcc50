"""A WAMP v1 subscriber: the least that `demo` and `listen` need to see what a browser would see."""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import b64encode
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from yarl import URL

from ..signing import Credentials
from .failures import Failure
from .keys import SUBSCRIBER

__all__ = ["Event", "Subscriber", "subscriber"]

_PROCEDURE = "http://api.wamp.ws/procedure#"
_PATIENCE = 10.0
"""Seconds for the hub to accept the connection, and again to confirm the subscriptions."""
_HEARTBEAT = 30.0
"""Seconds between pings, which tell a quiet hub from a dead one."""
_GOODBYE = 1.0
"""Seconds for the hub to answer a close."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a hub sent to the subscribers of a topic."""

    topic: str
    payload: object


class _CallFailed(Exception):
    """What the hub answered a CALL with; the argument is the error's name."""


class Subscriber:
    """One session with a hub, over a WebSocket that is open."""

    session_id: str = ""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._events: deque[Event] = deque()
        self._calls = 0

    async def next_event(self) -> Event:
        """Return the next event of the topics subscribed to; raise Failure once the connection is lost."""
        while not self._events:
            self._keep(await self._receive())
        return self._events.popleft()

    async def greet(self, credentials: Credentials | None) -> None:
        """Take the hub's WELCOME and authenticate: as anonymous too, or else some hubs send nothing."""
        match await self._receive() if self._socket.protocol == "wamp" else None:
            case [0, str(session_id), 1, *_]:
                self.session_id = session_id
            case _:
                raise Failure("no WAMP v1 hub answers there")
        try:
            await self._authenticate(credentials)
        except _CallFailed as failure:
            if credentials is not None or str(failure) != "NoSuchRPCEndpoint":
                raise Failure(_refusal(credentials, str(failure))) from None

    async def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait until the hub has done it."""
        for topic in topics:
            await self._say([5, topic])
        # Nothing answers a SUBSCRIBE. But a hub takes messages in order, and it answers a CALL, be it with an error.
        with suppress(_CallFailed):
            await self._call("ping")

    async def _authenticate(self, credentials: Credentials | None) -> None:
        if credentials is None:
            await self._call("authreq")
            await self._call("auth", None)
        else:
            challenge = await self._call("authreq", credentials.key)
            await self._call("auth", _signature(credentials, challenge))

    async def _call(self, procedure: str, *arguments: object) -> object:
        """Return the result, or raise _CallFailed."""
        self._calls += 1
        call_id = str(self._calls)
        await self._say([2, call_id, _PROCEDURE + procedure, *arguments])
        while True:
            match message := await self._receive():
                case [3, str(answered), result, *_] if answered == call_id:
                    return result
                case [4, str(answered), str(error), *_] if answered == call_id:
                    raise _CallFailed(error.rpartition("#")[2])
                case _:
                    self._keep(message)

    def _keep(self, message: object) -> None:
        match message:
            case [8, str(topic), payload]:
                self._events.append(Event(topic, payload))

    async def _say(self, message: list[object]) -> None:
        try:
            await self._socket.send_str(json.dumps(message))
        except (aiohttp.ClientError, OSError):
            raise Failure("the connection to the hub broke") from None

    async def _receive(self) -> object:
        """Return the next message; what is not JSON is nothing that a hub sends to anybody."""
        while True:
            message = await self._socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    try:
                        return json.loads(message.data)
                    except (ValueError, RecursionError):
                        continue
                case aiohttp.WSMsgType.CLOSE:
                    reason = f" {message.extra}" if message.extra else ""
                    raise Failure(f"the hub closed the connection ({message.data}{reason})")
                case aiohttp.WSMsgType.ERROR | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                    raise Failure("the connection to the hub broke")


def _signature(credentials: Credentials, challenge: object) -> str:
    if not isinstance(challenge, str):
        raise Failure("the hub gave nothing to sign: it knows no keys")
    return b64encode(hmac.digest(credentials.secret, challenge.encode("utf-8", "surrogatepass"), "sha256")).decode()


def _refusal(credentials: Credentials | None, error: str) -> str:
    if credentials is None:
        wanted = error == "anonymous-auth-forbidden"
        return f"the hub takes no anonymous subscriber: {f'give {SUBSCRIBER.key}' if wanted else error}"
    advice = f"; check {SUBSCRIBER.key} and its secret" if error in ("no-such-authkey", "invalid-signature") else ""
    return f"the hub refuses the key {credentials.key!r}: {error}{advice}"


@asynccontextmanager
async def subscriber(url: str, *topics: str, credentials: Credentials | None = None) -> AsyncGenerator[Subscriber]:
    """Connect to the WebSocket of a hub and subscribe, without credentials as anonymous.

    Raises:
        Failure: it cannot be connected to, refuses, or is no WAMP v1 hub.
    """
    async with aiohttp.ClientSession() as http:
        socket = await _connect(http, url)
        try:
            connected = Subscriber(socket)
            try:
                async with asyncio.timeout(_PATIENCE):
                    await connected.greet(credentials)
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
                protocols=("wamp",),
                heartbeat=_HEARTBEAT,
                timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE),
            )
    except TimeoutError:
        raise Failure(f"cannot connect to {hub} within {_PATIENCE:.0f} s") from None
    except aiohttp.WSServerHandshakeError as error:
        raise Failure(f"{hub} refused the WebSocket with {error.status}; a hub takes subscribers at /ws") from None
    except aiohttp.ClientConnectorError as error:
        raise Failure(f"cannot connect to {hub}: {error.os_error}; does a hub listen there?") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Failure(f"cannot connect to {hub}: {error}") from None
