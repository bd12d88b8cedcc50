"""A WAMP v2 session, for Crossbar.io and hubs. It implements only what a subscriber needs.

[1] HELLO   [2] WELCOME   [3] ABORT   [4] CHALLENGE   [5] AUTHENTICATE   [6] GOODBYE   [8] ERROR
[32] SUBSCRIBE   [33] SUBSCRIBED   [34] UNSUBSCRIBE   [36] EVENT

Options and details whose names begin with an underscore are extensions of the hub, for subscribers that missed events.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .._core.topics import is_uri
from ..signing import Credentials
from ._errors import KeyRefused, KeyRequired, NoSuchRealm, SubscriberError, TicketRefused
from ._session import Session, signature
from ._subscription import Event
from ._topics import Topic

_NO_SUBSCRIPTION = 2**53  # the highest valid ID of WAMP v2, which no subscription has


class Wamp2Session(Session):
    """A session with a broker that chose WAMP v2."""

    # An ID of WAMP v2 is at most 2^53, which has 16 digits.
    _EVENT = re.compile(r"\s*\[\s*36\s*,\s*([0-9]{1,16})\s*,\s*([0-9]{1,16})\s*,")
    _requests = 0
    _asked = 0  # the request ID of the last SUBSCRIBE

    async def join(self, credentials: Credentials | None, realm: str, ticket: Callable[[], str] | None) -> None:
        """Send HELLO, respond to the challenge unless anonymous, and receive WELCOME."""
        authentication: dict[str, object] = {"authmethods": ["anonymous" if ticket is None else "ticket"]}
        if credentials is not None:
            authentication = {"authmethods": ["wampcra"], "authid": credentials.key}
        await self._send(1, realm, {"roles": {"subscriber": {}}, **authentication})
        response = await self._reply()
        match response:
            case [4, "wampcra", {"challenge": challenge}] if credentials is not None:
                await self._send(5, signature(credentials, challenge), {})
                response = await self._reply()
            case [4, "ticket", *_] if ticket is not None:
                await self._send(5, ticket(), {})
                response = await self._reply()
            case [2, *_] if credentials is not None or ticket is not None:
                raise SubscriberError("the hub sent no challenge: it does not authenticate subscribers")
        match response:
            case [2, int(session_id), details, *_]:
                self.id = str(session_id)
                self._any_topic = _detail(details, "_any_topic") is True
                history = _detail(details, "_history")
                self._topics.connected(self.id, _id(details, "_newest"), history if isinstance(history, str) else None)
            case [3, details, str(reason), *_]:
                raise _refusal(credentials, realm, ticket, reason.rpartition(".")[2], details)
            case _:
                raise SubscriberError("not a WAMP broker")

    async def subscribe(self, topic: Topic) -> None:
        # Crossbar.io ends the session of a client that sends anything else, and with it all its subscriptions.
        if not self._any_topic and (not is_uri(topic.name) or topic.name.startswith("\0")):
            self._topics.refused("not a WAMP URI: it has whitespace, a # or an empty part")
        else:
            self._asked = self._requests + 1
            await self._request(32, self._topics.options(topic), topic.name)

    async def _unsubscribe(self, key: object) -> None:
        await self._request(34, key)

    async def _ping(self) -> None:
        # WAMP v2 has no ping. The response to this is an ERROR, in which a hub sends its newest ID.
        await self._request(34, _NO_SUBSCRIPTION)

    async def _request(self, kind: int, *fields: object) -> None:
        self._requests += 1
        await self._send(kind, self._requests, *fields)

    def _read(self, message: object) -> None:
        match message:
            case [36, int(subscription), int(id_), _, *arguments] if subscription in self._subscribed:
                topic = self._subscribed[subscription]
                self._topics.event(topic, Event(topic.name, _value(*arguments), id_), id_)
            case [33, self._asked, int(subscription), *more] if (asked := self._topics.current) is not None:
                details = more[0] if more else None
                self._subscribed[subscription] = asked
                self._topics.confirmed(_id(details, "_missed") or 0, _id(details, "_newest"))
            case [8, 32, self._asked, _, str(error), *more]:
                unavailable = error == "webmq.error.history_unavailable"
                self._topics.refused(_reason(error, *more), history_unavailable=unavailable)
            case [8, 34, _, {"_newest": int(newest)}, *_]:
                self._topics.seen(newest)
            case [3 | 6, _, str(reason), *_]:
                raise SubscriberError(f"the broker ended the session ({reason.rpartition('.')[2]})")


def _detail(details: object, name: str) -> object:
    return details.get(name) if isinstance(details, dict) else None


def _id(details: object, name: str) -> int | None:
    value = _detail(details, name)
    return value if isinstance(value, int) else None


def _value(args: object = (), kwargs: object = None, *_: object) -> object:
    """Return the value of an event, as a hub sends it to WAMP v1 subscribers.

    It is the positional argument if there are no others, and otherwise an object of all arguments.
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


def _refusal(
    credentials: Credentials | None, realm: str, ticket: object, error: str, details: object
) -> SubscriberError:
    match details:
        case {"message": str(message)}:
            reason = f"{error}: {message}"
        case _:
            reason = error
    if error == "no_such_realm":
        return NoSuchRealm(f"the broker has no realm {realm!r}")
    if ticket is not None:
        invalid = error in ("authentication_failed", "not_authorized", "ticket_expired")  # the last is a hub's
        return (TicketRefused if invalid else SubscriberError)(f"the broker refuses the ticket: {reason}")
    if credentials is not None:
        # Crossbar.io aborts with not_authorized if it does not have the key.
        refusal = KeyRefused if error in ("authentication_failed", "not_authorized") else SubscriberError
        return refusal(f"the broker refuses the key {credentials.key!r}: {reason}")
    refused = "the broker does not accept anonymous subscribers"
    if error in ("no_matching_auth_method", "no_auth_method"):  # the second is Crossbar.io's
        return KeyRequired(refused)
    return SubscriberError(f"{refused}: {reason}")
