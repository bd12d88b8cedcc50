"""What the sessions of both versions of WAMP have in common, and what they read: JSON messages over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import aiohttp

from ..signing import Credentials, sign_challenge
from ._errors import SubscriberError

__all__ = ["Confirmed", "Event", "Message", "Refused", "Session", "close", "signature"]

_PATIENCE = 10.0
"""Seconds without any frame from the broker after which it is considered dead, if it owes a response."""
_SILENCES = 3
"""As many times this long without any frame, the broker is pinged."""
_CLOSE_TIMEOUT = 0.5
"""Seconds to wait for the response to a close frame."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event that the broker sent."""

    topic: str
    value: object
    """What was pushed, decoded from JSON. Several arguments are `{"args": […], "kwargs": {…}}`."""
    id: int | None = None
    """The ID of the publication. `None`: the broker speaks WAMP v1, which does not have any."""


class Confirmed(NamedTuple):
    """The broker has subscribed to a topic."""

    topic: str
    missed: int = 0
    """The number of missed events that follow."""
    newest: int | None = None
    """Every later event of the topic has a higher ID. `None`: unknown."""


class Refused(NamedTuple):
    """The broker has not subscribed to a topic."""

    topic: str
    error: str
    """The URI of the error."""
    reason: str
    """For people."""


Message: TypeAlias = Event | Confirmed | Refused


class Session(ABC):
    """A session with a broker.

    aiohttp's own heartbeat is not used: it ends a connection that is not read from for a while, because nobody sees the
    pong.
    """

    id: str = ""
    newest: int | None = None
    history: str | None = None
    any_topic = True
    """Whether a topic may be any text. Otherwise it must be a WAMP URI."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._silences = 0
        self._owed = False  # whether the broker has owed a response since the last timeout
        self.pending: str | None = None
        """The topic of a SUBSCRIBE that has no response yet."""
        self.subscribed: set[str] = set()

    @abstractmethod
    async def join(self, credentials: Credentials | None, realm: str) -> None:
        """Open the session, anonymously without credentials, and set the attributes above."""

    @abstractmethod
    async def subscribe(self, topic: str, options: Mapping[str, object]) -> None:
        """Send a SUBSCRIBE. There may be one at a time."""

    @abstractmethod
    async def unsubscribe(self, topic: str) -> None:
        """Send an UNSUBSCRIBE."""

    @abstractmethod
    def _read(self, message: object) -> Message | None:
        """Return what a JSON message says, or `None` for one of another type."""

    async def receive(self) -> Message | None:
        """Wait for a frame. Return the message in it, or `None` for another one.

        Raises:
            SubscriberError: the connection has ended, or the broker has stopped answering.
        """
        return self._read(await self._receive())

    async def close(self) -> None:
        """Close the connection."""
        await close(self._socket)

    async def keep_alive(self) -> None:
        """Send something, for a broker that would end the connection because its pings are not answered."""
        # RFC 6455, section 5.5.3: an unsolicited pong is a heartbeat in one direction.
        with suppress(aiohttp.ClientError, OSError):  # receive() is going to raise, after what has arrived before
            await self._socket.pong()

    async def _send(self, *fields: object) -> None:
        try:
            await self._socket.send_str(json.dumps(fields))
        except (aiohttp.ClientError, OSError):
            raise SubscriberError("the connection to the hub broke") from None

    async def _reply(self) -> object:
        """Wait for the next JSON message."""
        while (message := await self._receive()) is None:
            pass
        return message

    async def _receive(self) -> object:
        """Wait for a frame and return its JSON, or `None` if it is not JSON text, which WAMP does not have."""
        try:
            try:
                frame = await self._socket.receive(_PATIENCE)
            except TimeoutError:
                if self._owed:
                    raise SubscriberError("the hub has stopped answering") from None
                self._silences += 1
                self._owed = self.pending is not None or self._silences == _SILENCES
                if self._silences == _SILENCES:
                    await self._socket.ping()
                return None
            self._silences, self._owed = 0, False
            if frame.type is aiohttp.WSMsgType.PING:
                await self._socket.pong(frame.data)
        except (aiohttp.ClientError, OSError):
            raise SubscriberError("the connection to the hub broke") from None
        match frame.type:
            case aiohttp.WSMsgType.TEXT:
                with suppress(ValueError, RecursionError):
                    message: object = json.loads(frame.data)
                    return message
            case aiohttp.WSMsgType.CLOSE:
                reason = f" {frame.extra}" if frame.extra else ""
                raise SubscriberError(f"the hub closed the connection ({frame.data}{reason})")
            case aiohttp.WSMsgType.ERROR | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                raise SubscriberError("the connection to the hub broke")
        return None


async def close(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Close a WebSocket. The broker may have much to send before it responds to the close frame."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await socket.close()


def signature(credentials: Credentials, challenge: object) -> str:
    """Return the response to a challenge (WAMP-CRA); raise `SubscriberError` if it is not a text."""
    if not isinstance(challenge, str):
        raise SubscriberError("the hub sent no challenge: it does not authenticate subscribers")
    return sign_challenge(credentials, challenge)
