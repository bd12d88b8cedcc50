"""A WAMP v1 subscriber, for WebMQ hubs since 2012. It implements what a page needs to subscribe, and no more."""

from __future__ import annotations

from contextlib import suppress

from ..signing import Credentials
from .errors import KeyRefused, KeyRequired, SubscriberError
from .session import Event, Messages, Subscriber, signature

__all__ = ["Wamp1Subscriber"]

_PROCEDURE = "http://api.wamp.ws/procedure#"


class _CallError(Exception):
    """The hub answered a CALL with a CALLERROR. The argument is the fragment of the error's URI."""


class Wamp1Subscriber(Subscriber):
    """A session with a hub that chose WAMP v1."""

    def __init__(self, messages: Messages) -> None:
        super().__init__(messages)
        self._calls = 0

    async def join(self, credentials: Credentials | None, realm: str) -> None:
        """Receive WELCOME and authenticate."""
        match await self._messages.receive():
            case [0, str(session_id), 1, *_]:
                self.session_id = session_id
            case _:
                raise SubscriberError("not a WAMP broker")
        try:
            await self._authenticate(credentials)
        except _CallError as error:
            # A hub without authentication does not have the procedure.
            if credentials is not None or str(error) != "NoSuchRPCEndpoint":
                raise _refusal(credentials, str(error)) from None

    async def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait until the hub has done it."""
        for topic in topics:
            await self._messages.send(5, topic)
        # WAMP v1 has no response to SUBSCRIBE. But a hub handles messages in order, and every CALL has a response, if
        # only an error.
        with suppress(_CallError):
            await self._call("ping")

    async def _authenticate(self, credentials: Credentials | None) -> None:
        if credentials is None:
            # Some hubs send nothing to a subscriber that has not authenticated, not even as anonymous.
            await self._call("authreq")
            await self._call("auth", None)
        else:
            challenge = await self._call("authreq", credentials.key)
            await self._call("auth", signature(credentials, challenge))

    async def _call(self, procedure: str, *arguments: object) -> object:
        """Return the result of a call, or raise `_CallError`."""
        self._calls += 1
        call_id = str(self._calls)
        await self._messages.send(2, call_id, _PROCEDURE + procedure, *arguments)
        while True:
            match message := await self._messages.receive():
                case [3, str(answered), result, *_] if answered == call_id:
                    return result
                case [4, str(answered), str(error), *_] if answered == call_id:
                    raise _CallError(error.rpartition("#")[2])
                case _:
                    self._handle(message)

    def _handle(self, message: object) -> None:
        match message:
            case [8, str(topic), payload]:
                self._events.append(Event(topic, payload))


def _refusal(credentials: Credentials | None, error: str) -> SubscriberError:
    if credentials is None:
        refused = "the hub does not accept anonymous subscribers"
        return KeyRequired(refused) if error == "anonymous-auth-forbidden" else SubscriberError(f"{refused}: {error}")
    refusal = KeyRefused if error in ("no-such-authkey", "invalid-signature") else SubscriberError
    return refusal(f"the hub refuses the key {credentials.key!r}: {error}")
