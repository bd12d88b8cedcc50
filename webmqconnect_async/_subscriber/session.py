"""What the WAMP subscribers of `listen` and `demo` have in common. Knows no message of either version."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

import aiohttp

from .._cli.errors import Failure
from .._core.wampcra import sign_challenge
from ..signing import Credentials

__all__ = ["Event", "Messages", "Subscriber", "signature"]


@dataclass(frozen=True, slots=True)
class Event:
    """What a hub sent to the subscribers of a topic."""

    topic: str
    payload: object


class Messages:
    """JSON messages over a WebSocket that is open."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def say(self, *fields: object) -> None:
        """Send a message; raise Failure once the connection is lost."""
        try:
            await self._socket.send_str(json.dumps(fields))
        except (aiohttp.ClientError, OSError):
            raise Failure("the connection to the hub broke") from None

    async def receive(self) -> object:
        """Return the next message; what is not JSON is nothing that a hub sends to anybody.

        Raises:
            Failure: the connection is lost.
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
                    raise Failure(f"the hub closed the connection ({message.data}{reason})")
                case aiohttp.WSMsgType.ERROR | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                    raise Failure("the connection to the hub broke")


class Subscriber(ABC):
    """One session with a hub."""

    session_id: str = ""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._events: deque[Event] = deque()

    async def next_event(self) -> Event:
        """Return the next event of the topics subscribed to; raise Failure once the session is over."""
        while not self._events:
            self._keep(await self._messages.receive())
        return self._events.popleft()

    @abstractmethod
    async def join(self, credentials: Credentials | None, realm: str) -> None:
        """Open the session: as anonymous without credentials. The realm is for who has any."""

    @abstractmethod
    async def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait until the hub has done it."""

    @abstractmethod
    def _keep(self, message: object) -> None:
        """Put a message into `_events` if it is one."""


def signature(credentials: Credentials, challenge: object) -> str:
    """Return what answers a challenge (WAMP-CRA); raise Failure where there is none."""
    if not isinstance(challenge, str):
        raise Failure("the hub gave nothing to sign: it knows no keys")
    return sign_challenge(credentials, challenge)
