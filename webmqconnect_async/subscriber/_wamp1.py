"""A WAMP v1 session, for WebMQ hubs since 2012. It implements only what a subscriber needs."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..signing import Credentials
from ._errors import KeyRefused, KeyRequired, SubscriberError
from ._session import Session, signature
from ._subscription import Event
from ._topics import Topic

_PROCEDURE = "http://api.wamp.ws/procedure#"


class _CallError(Exception):
    """The hub responded to a CALL with a CALLERROR. The argument is the fragment of the error's URI."""


class Wamp1Session(Session):
    """A session with a hub that chose WAMP v1."""

    _EVENT = re.compile(r'\s*\[\s*8\s*,\s*("(?:[^"\\]|\\.)*")()\s*,')  # without an ID
    _calls = 0

    async def join(self, credentials: Credentials | None, realm: str, ticket: Callable[[], str] | None) -> None:
        """Receive WELCOME and authenticate."""
        match await self._reply():
            case [0, str(session_id), 1, *_]:
                self.id = session_id
            case _:
                raise SubscriberError("not a WAMP broker")
        try:
            if credentials is None:
                # Some hubs send no events before authentication, even to anonymous subscribers.
                await self._result("authreq")
                await self._result("auth", None)
            else:
                challenge = await self._result("authreq", credentials.key)
                await self._result("auth", signature(credentials, challenge))
        except _CallError as error:
            # A hub without authentication does not have the procedure.
            if credentials is not None or str(error) != "NoSuchRPCEndpoint":
                raise _refusal(credentials, str(error)) from None
        self._topics.connected(self.id)

    async def subscribe(self, topic: Topic) -> None:
        self._subscribed[topic.name] = topic
        await self._send(5, topic.name)
        # WAMP v1 has no response to SUBSCRIBE. But a hub handles messages in order and responds to every CALL, at least
        # with an error, which confirms the SUBSCRIBE.
        await self._call("ping")

    async def _unsubscribe(self, key: object) -> None:
        await self._send(6, key)

    async def _ping(self) -> None:
        await self._send(2, "alive", f"{_PROCEDURE}ping")  # the ID is not that of a CALL after a SUBSCRIBE

    def _read(self, message: object) -> None:
        match message:
            case [8, str(name), value] if (topic := self._subscribed.get(name)) is not None:
                self._topics.event(topic, Event(name, value))
            case [3 | 4, str(call_id), *_] if call_id == str(self._calls):
                self._topics.confirmed()

    async def _call(self, procedure: str, *arguments: object) -> None:
        self._calls += 1
        await self._send(2, str(self._calls), _PROCEDURE + procedure, *arguments)

    async def _result(self, procedure: str, *arguments: object) -> object:
        """Return the result of a call, or raise `_CallError`."""
        await self._call(procedure, *arguments)
        while True:
            match await self._reply():
                case [3, str(call_id), result, *_] if call_id == str(self._calls):
                    return result
                case [4, str(call_id), str(error), *_] if call_id == str(self._calls):
                    raise _CallError(error.rpartition("#")[2])


def _refusal(credentials: Credentials | None, error: str) -> SubscriberError:
    if credentials is None:
        refused = "the hub does not accept anonymous subscribers"
        return KeyRequired(refused) if error == "anonymous-auth-forbidden" else SubscriberError(f"{refused}: {error}")
    refusal = KeyRefused if error in ("no-such-authkey", "invalid-signature") else SubscriberError
    return refusal(f"the hub refuses the key {credentials.key!r}: {error}")
