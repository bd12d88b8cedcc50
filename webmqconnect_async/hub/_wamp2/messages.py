"""The messages of WAMP v2 that a broker needs: JSON arrays in text frames. Pure; knows no sessions, queues or sockets.

    from subscriber to hub                                    from hub to subscriber
    [1, realm, details]                        HELLO          [2, session, details]                        WELCOME
    [5, signature, extra]                      AUTHENTICATE   [4, method, extra]                           CHALLENGE
    [3, details, reason]                       ABORT          [3, details, reason]                         ABORT
    [6, details, reason]                       GOODBYE        [6, details, reason]                         GOODBYE
    [32, request, options, topic]              SUBSCRIBE      [33, request, subscription]                  SUBSCRIBED
    [34, request, subscription]                UNSUBSCRIBE    [35, request]                                UNSUBSCRIBED
    [16, request, options, topic, args, kwargs] PUBLISH       [17, request, publication]                   PUBLISHED
    [48, request, options, procedure, ...]     CALL           [36, subscription, publication, {}, args, kwargs] EVENT
    [64, request, options, procedure]          REGISTER       [8, type, request, {}, error, args]          ERROR
    [66, request, registration]                UNREGISTER

Arguments are only passed on: to what the hub says they come as JSON text, and are spliced in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from .._publication import arguments_of
from .._publish_options import Audience, audience_of, flag_of
from .._strict_json import encoded, json_value

__all__ = [
    "SUBPROTOCOL",
    "Abort",
    "Authenticate",
    "Goodbye",
    "Hello",
    "Message",
    "ProtocolViolation",
    "Publish",
    "Request",
    "Subscribe",
    "Type",
    "Unsubscribe",
    "abort",
    "challenge",
    "decode",
    "error",
    "event",
    "goodbye",
    "is_reserved",
    "is_uri",
    "published",
    "subscribed",
    "unsubscribed",
    "welcome",
]

SUBPROTOCOL = "wamp.2.json"

_URI = re.compile(r"[^\s.#]+(\.[^\s.#]+)*")
_IDS = range(2**53 + 1)


class Type(IntEnum):
    """The code that a message begins with."""

    HELLO = 1
    WELCOME = 2
    ABORT = 3
    CHALLENGE = 4
    AUTHENTICATE = 5
    GOODBYE = 6
    ERROR = 8
    PUBLISH = 16
    PUBLISHED = 17
    SUBSCRIBE = 32
    SUBSCRIBED = 33
    UNSUBSCRIBE = 34
    UNSUBSCRIBED = 35
    EVENT = 36
    CALL = 48
    CANCEL = 49
    REGISTER = 64
    UNREGISTER = 66
    YIELD = 70


_REQUESTS = (Type.PUBLISH, Type.SUBSCRIBE, Type.UNSUBSCRIBE, Type.CALL, Type.REGISTER, Type.UNREGISTER)


class ProtocolViolation(Exception):
    """What is no message of a WAMP v2 client; the connection is to be ended by an ABORT that says so."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Open a session."""

    realm: str
    methods: tuple[str, ...]
    """The ways in which the client can authenticate."""
    authid: str | None


@dataclass(frozen=True, slots=True)
class Authenticate:
    """The answer to a challenge."""

    signature: str


@dataclass(frozen=True, slots=True)
class Abort:
    """The client will not open a session after all."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The session is to end; answered in the same way."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Send me the events of a topic."""

    request: int
    topic: str
    match: str
    """How the topic is compared: "exact" but for what this hub has not."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Send me them no longer."""

    request: int
    subscription: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Send an event to the subscribers of a topic."""

    request: int
    topic: str
    event: str
    args: str
    kwargs: str | None
    """What it says, as a `Publication` has it."""
    acknowledge: bool
    exclude_me: bool
    audience: Audience


@dataclass(frozen=True, slots=True)
class Request:
    """What a router with callees would do."""

    type: Type
    request: int


Message: TypeAlias = Hello | Authenticate | Abort | Goodbye | Subscribe | Unsubscribe | Publish | Request


def decode(text: str) -> Message | None:
    """Return what a client says; None where it is to be ignored.

    Raises:
        ProtocolViolation: it makes no sense; the text says why.
    """
    try:
        value = json_value(text)
    except ValueError:
        raise ProtocolViolation("not JSON") from None
    match value:
        case [bool() | float(), *_]:  # or else true would be a HELLO
            pass
        case [int(kind), request, *_] if kind in _REQUESTS and not _is_id(request):
            raise ProtocolViolation("the ID of a request is an integer up to 2^53")
        case [Type.HELLO, str(realm), dict(details)]:
            methods = details.get("authmethods")
            authid = details.get("authid")
            texts = tuple(each for each in methods if isinstance(each, str)) if isinstance(methods, list) else ()
            return Hello(realm, texts, authid if isinstance(authid, str) else None)
        case [Type.AUTHENTICATE, str(signature), dict()]:
            return Authenticate(signature)
        case [Type.ABORT, dict(), str()]:
            return Abort()
        case [Type.GOODBYE, dict(), str()]:
            return Goodbye()
        case [Type.SUBSCRIBE, int(request), dict(options), str(topic)]:
            return Subscribe(request, topic, str(options.get("match", "exact")))
        case [Type.UNSUBSCRIBE, int(request), int(subscription)] if _is_id(subscription):
            return Unsubscribe(request, subscription)
        case [Type.PUBLISH, int(request), dict(options), str(topic)]:
            return _publish(request, options, topic, [], {})
        case [Type.PUBLISH, int(request), dict(options), str(topic), list(args)]:
            return _publish(request, options, topic, args, {})
        case [Type.PUBLISH, int(request), dict(options), str(topic), list(args), dict(kwargs)]:
            return _publish(request, options, topic, args, kwargs)
        case [int(kind), int(request), *_] if kind in (Type.CALL, Type.REGISTER, Type.UNREGISTER):
            return Request(Type(kind), request)
        case [Type.ERROR | Type.CANCEL | Type.YIELD, *_]:
            # About a call that is pending. None is, but one that failed may be cancelled before that is known.
            return None
    raise ProtocolViolation("no message that a client sends to a broker")


def _publish(
    request: int, options: Mapping[str, object], topic: str, args: list[object], kwargs: dict[str, object]
) -> Publish:
    try:
        return Publish(
            request,
            topic,
            *arguments_of(args, kwargs),
            acknowledge=flag_of(options, "acknowledge", default=False),
            exclude_me=flag_of(options, "exclude_me", default=True),
            audience=audience_of(options),
        )
    except ValueError as error:
        raise ProtocolViolation(str(error)) from None


def _is_id(value: object) -> bool:
    return type(value) is int and value in _IDS  # true is no 1


def is_uri(topic: str) -> bool:
    """Tell whether a router takes the text for a topic: parts between dots, none empty or with a blank or `#` in it."""
    return _URI.fullmatch(topic) is not None


def is_reserved(topic: str) -> bool:
    """Tell whether none but the router may publish to the topic."""
    return topic.startswith("wamp.")


def welcome(session: str, realm: str, authid: str, authrole: str, authmethod: str) -> str:
    """Return the answer to a HELLO that was good, in which the client learns its session ID."""
    features = {"subscriber_blackwhite_listing": True, "publisher_exclusion": True}
    details = {
        "realm": realm,
        "roles": {"broker": {"features": features}},
        "authid": authid,
        "authrole": authrole,
        "authmethod": authmethod,
    }
    return f"[{Type.WELCOME:d},{session},{encoded(details)}]"


def challenge(text: str) -> str:
    """Return the demand to sign a text by a key's secret (WAMP-CRA)."""
    return encoded([Type.CHALLENGE, "wampcra", {"challenge": text}])


def abort(reason: str, message: str) -> str:
    """Return that there is, or will be, no session."""
    return encoded([Type.ABORT, {"message": message}, reason])


def goodbye(reason: str) -> str:
    """Return that the session ends, or the answer to a client's GOODBYE."""
    return encoded([Type.GOODBYE, {}, reason])


def subscribed(request: int, subscription: int) -> str:
    """Return that a subscription stands."""
    return f"[{Type.SUBSCRIBED:d},{request},{subscription}]"


def unsubscribed(request: int) -> str:
    """Return that a subscription has ended."""
    return f"[{Type.UNSUBSCRIBED:d},{request}]"


def published(request: int, publication: int) -> str:
    """Return that an event was taken."""
    return f"[{Type.PUBLISHED:d},{request},{publication}]"


def event(subscription: int, publication: int, args: str, kwargs: str | None) -> str:
    """Return an event, its arguments being JSON text: an array, and an object or None."""
    tail = "" if kwargs is None else f",{kwargs}"
    return f"[{Type.EVENT:d},{subscription},{publication},{{}},{args}{tail}]"


def error(kind: Type, request: int, uri: str, message: str) -> str:
    """Return that a request failed, and why."""
    return encoded([Type.ERROR, kind, request, {}, uri, [message]])
