"""A WAMP v2 subscriber, for Crossbar.io and hubs. It implements what a page needs to subscribe, and no more.

[1] HELLO   [2] WELCOME   [3] ABORT   [4] CHALLENGE   [5] AUTHENTICATE   [6] GOODBYE   [8] ERROR
[32] SUBSCRIBE   [33] SUBSCRIBED   [36] EVENT
"""

from __future__ import annotations

from ..signing import Credentials
from .errors import KeyRefused, KeyRequired, NoSuchRealm, SubscriberError
from .session import Event, Messages, Subscriber, signature

__all__ = ["Wamp2Subscriber"]


class Wamp2Subscriber(Subscriber):
    """A session with a broker that chose WAMP v2."""

    def __init__(self, messages: Messages) -> None:
        super().__init__(messages)
        self._topics: dict[int, str] = {}  # by subscription ID

    async def join(self, credentials: Credentials | None, realm: str) -> None:
        """Send HELLO, respond to the challenge if there are credentials, and receive WELCOME."""
        authentication: dict[str, object] = {"authmethods": ["anonymous"]}
        if credentials is not None:
            authentication = {"authmethods": ["wampcra"], "authid": credentials.key}
        await self._messages.send(1, realm, {"roles": {"subscriber": {}}, **authentication})
        response = await self._messages.receive()
        if credentials is not None:
            response = await self._authenticate(credentials, response)
        match response:
            case [2, int(session_id), *_]:
                self.session_id = str(session_id)
            case [3, details, str(reason), *_]:
                raise _refusal(credentials, realm, reason.rpartition(".")[2], details)
            case _:
                raise SubscriberError("not a WAMP broker")

    async def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait until the broker has done it."""
        waiting = dict(enumerate(topics, 1))
        for request, topic in waiting.items():
            await self._messages.send(32, request, {}, topic)
        while waiting:
            match message := await self._messages.receive():
                case [33, int(request), int(subscription)] if request in waiting:
                    self._topics[subscription] = waiting.pop(request)
                case [8, 32, int(request), _, str(error), *_] if request in waiting:
                    reason = error.rpartition(".")[2]
                    raise SubscriberError(f"the broker refuses the topic {waiting[request]!r}: {reason}")
                case _:
                    self._handle(message)

    async def _authenticate(self, credentials: Credentials, response: object) -> object:
        """Respond to a challenge. Return the message that follows it, or the given one if it is not a challenge."""
        match response:
            case [4, "wampcra", {"challenge": challenge}]:
                await self._messages.send(5, signature(credentials, challenge), {})
                return await self._messages.receive()
            case [2, *_]:
                raise SubscriberError("the hub sent no challenge: it does not authenticate subscribers")
        return response

    def _handle(self, message: object) -> None:
        match message:
            case [36, int(subscription), _, _, *arguments] if subscription in self._topics:
                self._events.append(Event(self._topics[subscription], _payload(*arguments)))
            case [6, _, str(reason)]:
                raise SubscriberError(f"the broker ended the session ({reason.rpartition('.')[2]})")


def _payload(args: object = (), kwargs: object = None, *_: object) -> object:
    """Return the payload as a hub sends it to WAMP v1 subscribers.

    That is the only positional argument, or an object of all arguments if there are others.
    """
    match args:
        case [value] if not kwargs:
            return value
    return {"args": args, "kwargs": kwargs or {}}


def _refusal(credentials: Credentials | None, realm: str, error: str, details: object) -> SubscriberError:
    match details:
        case {"message": str(message)}:
            reason = f"{error}: {message}"
        case _:
            reason = error
    if error == "no_such_realm":
        return NoSuchRealm(f"the broker has no realm {realm!r}")
    if credentials is not None:
        # Crossbar.io aborts with not_authorized if it does not have the key.
        refusal = KeyRefused if error in ("authentication_failed", "not_authorized") else SubscriberError
        return refusal(f"the broker refuses the key {credentials.key!r}: {reason}")
    refused = "the broker does not accept anonymous subscribers"
    if error in ("no_matching_auth_method", "no_auth_method"):  # the second is Crossbar.io's
        return KeyRequired(refused)
    return SubscriberError(f"{refused}: {reason}")
