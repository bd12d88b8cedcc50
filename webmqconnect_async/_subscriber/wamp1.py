"""A WAMP v1 subscriber, of any hub since 2012: the least that is needed to see what a browser would see."""

from __future__ import annotations

from contextlib import suppress

from .._cli.errors import Failure
from .._cli.keys import SUBSCRIBER
from ..signing import Credentials
from .session import Event, Messages, Subscriber, signature

__all__ = ["Wamp1Subscriber"]

_PROCEDURE = "http://api.wamp.ws/procedure#"


class _CallFailed(Exception):
    """What the hub answered a CALL with; the argument is the error's name."""


class Wamp1Subscriber(Subscriber):
    """One session with a hub that chose WAMP v1."""

    def __init__(self, messages: Messages) -> None:
        super().__init__(messages)
        self._calls = 0

    async def join(self, credentials: Credentials | None, realm: str) -> None:
        """Take the hub's WELCOME and authenticate: as anonymous too, or else some hubs send nothing."""
        match await self._messages.receive():
            case [0, str(session_id), 1, *_]:
                self.session_id = session_id
            case _:
                raise Failure("no WAMP hub answers there")
        try:
            await self._authenticate(credentials)
        except _CallFailed as failure:
            if credentials is not None or str(failure) != "NoSuchRPCEndpoint":
                raise Failure(_refusal(credentials, str(failure))) from None

    async def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait until the hub has done it."""
        for topic in topics:
            await self._messages.say(5, topic)
        # Nothing answers a SUBSCRIBE. But a hub takes messages in order, and it answers a CALL, be it with an error.
        with suppress(_CallFailed):
            await self._call("ping")

    async def _authenticate(self, credentials: Credentials | None) -> None:
        if credentials is None:
            await self._call("authreq")
            await self._call("auth", None)
        else:
            challenge = await self._call("authreq", credentials.key)
            await self._call("auth", signature(credentials, challenge))

    async def _call(self, procedure: str, *arguments: object) -> object:
        """Return the result, or raise _CallFailed."""
        self._calls += 1
        call_id = str(self._calls)
        await self._messages.say(2, call_id, _PROCEDURE + procedure, *arguments)
        while True:
            match message := await self._messages.receive():
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


def _refusal(credentials: Credentials | None, error: str) -> str:
    if credentials is None:
        wanted = error == "anonymous-auth-forbidden"
        return f"the hub takes no anonymous subscriber: {f'give {SUBSCRIBER.key}' if wanted else error}"
    advice = f"; check {SUBSCRIBER.key} and its secret" if error in ("no-such-authkey", "invalid-signature") else ""
    return f"the hub refuses the key {credentials.key!r}: {error}{advice}"
