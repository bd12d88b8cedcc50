"""The base class of the sessions of both versions of WAMP: JSON messages over a WebSocket."""

from __future__ import annotations

import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

import aiohttp

from ..signing import Credentials, sign_challenge
from ._errors import SubscriberError
from ._subscription import Lost
from ._topics import Topic, Topics

_SILENCE = 30.0  # seconds without any frame from the broker, after which it must respond to a ping
_PATIENCE = 10.0  # seconds for that response
_CLOSE_TIMEOUT = 0.5  # seconds to wait for the response to a close frame


class Session(ABC):
    """A session with a broker.

    It does not use aiohttp's heartbeat, which ends a connection if the application reads nothing for a while, because
    the pong stays unread.
    """

    id: str = ""
    _EVENT: ClassVar[re.Pattern[str]]
    """Matches the beginning of an event. The groups are a key of `_subscribed` as JSON, and the publication ID."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, topics: Topics) -> None:
        self._socket = socket
        self._topics = topics
        self._subscribed: dict[object, Topic] = {}
        self._pinged = False

    @abstractmethod
    async def join(self, credentials: Credentials | None, realm: str, ticket: Callable[[], str] | None) -> None:
        """Open the session, as anonymous without credentials and a ticket, and call `connected` of the topics.

        Realms and tickets are for WAMP v2 only.
        """

    @abstractmethod
    async def subscribe(self, topic: Topic) -> None:
        """Send a SUBSCRIBE for the current topic."""

    async def unsubscribe(self, topic: Topic) -> None:
        """Send an UNSUBSCRIBE if the topic is subscribed to. This does not wait for the response."""
        for key in [key for key, each in self._subscribed.items() if each is topic]:
            del self._subscribed[key]
            await self._unsubscribe(key)

    @abstractmethod
    async def _unsubscribe(self, key: object) -> None: ...

    @abstractmethod
    async def _ping(self) -> None:
        """Send a message that has a response."""

    @abstractmethod
    def _read(self, message: object) -> None:
        """Handle a JSON message."""

    async def receive(self) -> None:
        """Wait for a frame, and handle it; raise `SubscriberError` if the connection has ended."""
        self._read(await self._receive())

    async def close(self) -> None:
        """Close the connection. The wait is limited: a broker may have much to send before its close frame."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._socket.close()

    async def keep_alive(self) -> None:
        """Send a pong: while nothing is read, pings of the broker get no response, and it would end the connection."""
        # RFC 6455, section 5.5.3: an unsolicited pong is a unidirectional heartbeat.
        with suppress(aiohttp.ClientError, OSError):  # receive() will raise, after the messages that have arrived
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
        """Wait for a frame and return the value of its JSON; `None` if it is not a text frame with JSON."""
        if self._topics.current is not None and self._topics.waited >= _SILENCE + _PATIENCE:
            raise SubscriberError("the hub has stopped responding")
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            frame = await self._socket.receive(_PATIENCE if self._pinged else _SILENCE)
            self._pinged = False
            if frame.type is aiohttp.WSMsgType.PING:
                await self._socket.pong(frame.data)
        except TimeoutError:
            if self._pinged:
                raise SubscriberError("the hub has stopped responding") from None
            self._pinged = True
            await self._ping()
            return None
        except (aiohttp.ClientError, OSError):
            raise SubscriberError("the connection to the hub broke") from None
        finally:
            self._topics.waited += loop.time() - started
        match frame.type:
            case aiohttp.WSMsgType.TEXT:
                return self._decode(frame.data)
            case aiohttp.WSMsgType.CLOSE:
                reason = f" {frame.extra}" if frame.extra else ""
                raise SubscriberError(f"the hub closed the connection ({frame.data}{reason})")
            case aiohttp.WSMsgType.ERROR | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                raise SubscriberError("the connection to the hub broke")
        return None

    def _decode(self, text: str) -> object:
        try:
            message: object = json.loads(text)
            return message
        except (ValueError, RecursionError) as error:
            # For example an event that is nested too deeply for Python, or has an integer of more than 4,300 digits.
            if (event := self._EVENT.match(text)) is not None:
                with suppress(ValueError, KeyError):  # not a subscribed topic
                    topic = self._subscribed[json.loads(event[1])]
                    lost = Lost(topic.name, f"an event cannot be decoded: {error}")
                    self._topics.event(topic, lost, int(event[2]) if event[2] else None)
        return None


def signature(credentials: Credentials, challenge: object) -> str:
    """Return the response to a challenge (WAMP-CRA); raise `SubscriberError` if the challenge is not a string."""
    if not isinstance(challenge, str):
        raise SubscriberError("the hub sent no challenge: it does not authenticate subscribers")
    return sign_challenge(credentials, challenge)
