"""What the subscribers of both versions of WAMP have in common: JSON messages and a queue of events."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

import aiohttp

from .._core.wampcra import sign_challenge
from ..signing import Credentials
from .errors import SubscriberError

__all__ = ["Event", "Messages", "Subscriber", "signature"]


@dataclass(frozen=True, slots=True)
class Event:
    """An event that the broker sent."""

    topic: str
    payload: object


class Messages:
    """JSON messages over an open WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, *fields: object) -> None:
        """Send a message; raise `SubscriberError` if the connection is lost."""
        try:
            await self._socket.send_str(json.dumps(fields))
        except (aiohttp.ClientError, OSError):
            raise SubscriberError("the connection to the hub broke") from None

    async def receive(self) -> object:
        """Return the next message. Skip frames that are not JSON text, which WAMP does not have.

        Raises:
            SubscriberError: the connection is closed or lost.
        """
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
                    raise SubscriberError(f"the hub closed the connection ({message.data}{reason})")
                case aiohttp.WSMsgType.ERROR | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                    raise SubscriberError("the connection to the hub broke")


class Subscriber(ABC):
    """A session with a broker."""

    session_id: str = ""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._events: deque[Event] = deque()

    async def next_event(self) -> Event:
        """Return the next event of the topics subscribed to; raise `SubscriberError` once the session has ended."""
        while not self._events:
            self._handle(await self._messages.receive())
        return self._events.popleft()

    @abstractmethod
    async def join(self, credentials: Credentials | None, realm: str) -> None:
        """Open the session, anonymously without credentials, and set `session_id`."""

    @abstractmethod
    async def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait until the broker has done it."""

    @abstractmethod
    def _handle(self, message: object) -> None:
        """Queue the event of a message that arrives at any time. Ignore messages of other types."""


def signature(credentials: Credentials, challenge: object) -> str:
    """Return the response to a challenge (WAMP-CRA); raise `SubscriberError` if it is not a text."""
    if not isinstance(challenge, str):
        raise SubscriberError("the hub sent no challenge: it does not authenticate subscribers")
    return sign_challenge(credentials, challenge)
