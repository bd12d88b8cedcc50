"""A WAMP v2 session, for Crossbar.io and hubs. It implements what a page needs to subscribe, and no more.

[1] HELLO   [2] WELCOME   [3] ABORT   [4] CHALLENGE   [5] AUTHENTICATE   [6] GOODBYE   [8] ERROR
[32] SUBSCRIBE   [33] SUBSCRIBED   [34] UNSUBSCRIBE   [36] EVENT

Names of options and details that begin with an underscore are a hub's own: they are for subscribers that missed events.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from ..signing import Credentials
from ._errors import KeyRefused, KeyRequired, NoSuchRealm, SubscriberError
from ._session import Confirmed, Event, Message, Refused, Session, signature

__all__ = ["Wamp2Session"]


class Wamp2Session(Session):
    """A session with a broker that chose WAMP v2."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__(socket)
        self._requests = 0
        self._topics: dict[int, str] = {}  # by subscription ID

    async def join(self, credentials: Credentials | None, realm: str) -> None:
        """Send HELLO, respond to the challenge if there are credentials, and receive WELCOME."""
        authentication: dict[str, object] = {"authmethods": ["anonymous"]}
        if credentials is not None:
            authentication = {"authmethods": ["wampcra"], "authid": credentials.key}
        await self._send(1, realm, {"roles": {"subscriber": {}}, **authentication})
        response = await self._reply()
        if credentials is not None:
            response = await self._authenticate(credentials, response)
        match response:
            case [2, int(session_id), details, *_]:
                self._welcome(session_id, details if isinstance(details, dict) else {})
            case [3, details, str(reason), *_]:
                raise _refusal(credentials, realm, reason.rpartition(".")[2], details)
            case _:
                raise SubscriberError("not a WAMP broker")

    async def subscribe(self, topic: str, options: Mapping[str, object]) -> None:
        """Send a SUBSCRIBE."""
        self.pending = topic
        self._requests += 1
        await self._send(32, self._requests, options, topic)

    async def unsubscribe(self, topic: str) -> None:
        """Send an UNSUBSCRIBE. Nobody waits for its response."""
        self.subscribed.discard(topic)
        subscription = next(id_ for id_, each in self._topics.items() if each == topic)
        del self._topics[subscription]
        self._requests += 1
        await self._send(34, self._requests, subscription)

    async def _authenticate(self, credentials: Credentials, response: object) -> object:
        """Respond to a challenge. Return the message that follows it, or the given one if it is not a challenge."""
        match response:
            case [4, "wampcra", {"challenge": challenge}]:
                await self._send(5, signature(credentials, challenge), {})
                return await self._reply()
            case [2, *_]:
                raise SubscriberError("the hub sent no challenge: it does not authenticate subscribers")
        return response

    def _welcome(self, session_id: int, details: Mapping[str, object]) -> None:
        self.id = str(session_id)
        self.newest = _id(details.get("_newest"))
        history = details.get("_history")
        self.history = history if isinstance(history, str) else None
        self.any_topic = details.get("_any_topic") is True

    def _read(self, message: object) -> Message | None:
        match message:
            case [36, int(subscription), id_, _, *arguments] if subscription in self._topics:
                return Event(self._topics[subscription], _value(*arguments), _id(id_))
            case [33, self._requests, int(subscription), *more] if self.pending is not None:
                topic, self.pending = self.pending, None
                self.subscribed.add(topic)
                self._topics[subscription] = topic
                details = more[0] if more and isinstance(more[0], dict) else {}
                return Confirmed(topic, _id(details.get("_missed")) or 0, _id(details.get("_newest")))
            case [8, 32, self._requests, _, str(error), *more] if self.pending is not None:
                topic, self.pending = self.pending, None
                return Refused(topic, error, _reason(error, *more))
            case [3 | 6, _, str(reason), *_]:
                raise SubscriberError(f"the broker ended the session ({reason.rpartition('.')[2]})")
        return None


def _id(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _value(args: object = (), kwargs: object = None, *_: object) -> object:
    """Return the value as a hub sends it to WAMP v1 subscribers.

    That is the only positional argument, or an object of all arguments if there are others.
    """
    match args:
        case [value] if not kwargs:
            return value
    return {"args": args, "kwargs": kwargs or {}}


def _reason(error: str, args: object = (), *_: object) -> str:
    short = error.rpartition(".")[2]
    match args:
        case [str(text), *_]:
            return f"{short}: {text}"
    return short


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
