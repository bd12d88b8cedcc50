"""A WAMP v2 subscriber, of Crossbar.io or a hub: the least that is needed to see what a browser would see.

[1] HELLO   [2] WELCOME   [3] ABORT   [4] CHALLENGE   [5] AUTHENTICATE   [6] GOODBYE   [8] ERROR
[32] SUBSCRIBE   [33] SUBSCRIBED   [36] EVENT
"""

from __future__ import annotations

from .._cli.errors import Failure
from .._cli.keys import SUBSCRIBER
from ..signing import Credentials
from .session import Event, Messages, Subscriber, signature

__all__ = ["Wamp2Subscriber"]


class Wamp2Subscriber(Subscriber):
    """One session with a broker that chose WAMP v2."""

    def __init__(self, messages: Messages) -> None:
        super().__init__(messages)
        self._topics: dict[int, str] = {}  # by the ID of the subscription

    async def join(self, credentials: Credentials | None, realm: str) -> None:
        """Say HELLO, and answer the challenge where there are credentials."""
        who: dict[str, object] = {"authmethods": ["anonymous"]}
        if credentials is not None:
            who = {"authmethods": ["wampcra"], "authid": credentials.key}
        await self._messages.say(1, realm, {"roles": {"subscriber": {}}, **who})
        answer = await self._messages.receive()
        if credentials is not None:
            answer = await self._authenticate(credentials, answer)
        match answer:
            case [2, int(session_id), *_]:
                self.session_id = str(session_id)
            case [3, details, str(reason), *_]:
                raise Failure(_refusal(credentials, realm, reason.rpartition(".")[2], details))
            case _:
                raise Failure("no WAMP hub answers there")

    async def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait until the broker has done it."""
        waiting = dict(enumerate(topics, 1))
        for request, topic in waiting.items():
            await self._messages.say(32, request, {}, topic)
        while waiting:
            match message := await self._messages.receive():
                case [33, int(request), int(subscription)] if request in waiting:
                    self._topics[subscription] = waiting.pop(request)
                case [8, 32, int(request), _, str(error), *_] if request in waiting:
                    raise Failure(f"the broker refuses the topic {waiting[request]!r}: {error.rpartition('.')[2]}")
                case _:
                    self._keep(message)

    async def _authenticate(self, credentials: Credentials, answer: object) -> object:
        """Return what the broker says to the answer to its challenge, or at once where it has none."""
        match answer:
            case [4, "wampcra", {"challenge": challenge}]:
                await self._messages.say(5, signature(credentials, challenge), {})
                return await self._messages.receive()
            case [2, *_]:
                raise Failure("the hub gave nothing to sign: it knows no keys")
        return answer

    def _keep(self, message: object) -> None:
        match message:
            case [36, int(subscription), _, _, *arguments] if subscription in self._topics:
                self._events.append(Event(self._topics[subscription], _payload(*arguments)))
            case [6, _, str(reason)]:
                raise Failure(f"the broker ended the session ({reason.rpartition('.')[2]})")


def _payload(args: object = (), kwargs: object = None, *_: object) -> object:
    """Return the single positional argument, or else an object of all: what WAMP v1 subscribers of a hub are told."""
    match args:
        case [value] if not kwargs:
            return value
    return {"args": args, "kwargs": kwargs or {}}


def _refusal(credentials: Credentials | None, realm: str, error: str, details: object) -> str:
    match details:
        case {"message": str(message)}:
            said = f"{error}: {message}"
        case _:
            said = error
    if error == "no_such_realm":
        return f"the broker has no realm {realm!r}; check --realm"
    if credentials is not None:
        wrong = error in ("authentication_failed", "not_authorized")  # the latter is Crossbar.io's for a key it has not
        advice = f"; check {SUBSCRIBER.key} and its secret" if wrong else ""
        return f"the broker refuses the key {credentials.key!r}: {said}{advice}"
    if error in ("no_matching_auth_method", "no_auth_method"):  # the latter is Crossbar.io's
        return f"the broker takes no anonymous subscriber: give {SUBSCRIBER.key}"
    return f"the broker takes no anonymous subscriber: {said}"
