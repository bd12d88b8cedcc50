"""The messages of WAMP v2 that a broker needs: JSON arrays in text frames.

    from subscriber to hub                                    from hub to subscriber
    [1, realm, details]                        HELLO          [2, session, details]                        WELCOME
    [5, signature, extra]                      AUTHENTICATE   [4, method, extra]                           CHALLENGE
    [3, details, reason]                       ABORT          [3, details, reason]                         ABORT
    [6, details, reason]                       GOODBYE        [6, details, reason]                         GOODBYE
    [32, request, options, topic]              SUBSCRIBE      [33, request, subscription, extra]           SUBSCRIBED
    [34, request, subscription]                UNSUBSCRIBE    [35, request]                                UNSUBSCRIBED
    [16, request, options, topic, args, kwargs] PUBLISH       [17, request, publication]                   PUBLISHED
    [48, request, options, procedure, ...]     CALL           [36, subscription, publication, {}, args, kwargs] EVENT
    [64, request, options, procedure]          REGISTER       [8, type, request, {}, error, args]          ERROR
    [66, request, registration]                UNREGISTER

The hub only forwards arguments, so they are JSON texts, which are inserted unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from ..._core import strict_json
from .._publication import Publication, arguments_of
from .._publish_options import audience_of, flag_of

SUBPROTOCOL = "wamp.2.json"

_IDS = range(2**53 + 1)


class Type(IntEnum):
    """The first element of a message."""

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
    """A message that a WAMP v2 client must not send. The hub replies with ABORT and closes the connection."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Open a session."""

    realm: str
    methods: tuple[str, ...]  # the authentication methods that the client supports
    authid: str | None


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Respond to a challenge."""

    signature: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Give up opening a session."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """End the session. The reply is a GOODBYE, too."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to a topic."""

    request: int
    topic: str
    match: str = "exact"
    """How topics are matched: "exact", or a policy that the hub does not support."""
    after: int | None = None
    """Send the events above this ID that the subscriber has missed; `None`: none."""
    former: frozenset[str] = frozenset()  # the IDs of the subscriber's sessions since then
    newest: bool = False  # whether to return the ID of the newest event
    get_retained: bool = False  # whether to send the last retained event


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    request: int
    subscription: int


@dataclass(frozen=True, slots=True)
class Publish:
    request: int
    publication: Publication
    acknowledge: bool
    exclude_me: bool
    """Whether the publisher does not receive it. The publication does not exclude it yet."""


@dataclass(frozen=True, slots=True)
class RPCRequest:
    """A CALL, REGISTER or UNREGISTER, which the hub does not support."""

    type: Type
    request: int


Message: TypeAlias = Hello | Authenticate | Abort | Goodbye | Subscribe | Unsubscribe | Publish | RPCRequest


def decode(text: str) -> Message | None:
    """Decode a message; return `None` if it is to be ignored. Raise `ProtocolViolation` if no client may send it."""
    try:
        value = strict_json.decode(text, finite=True)
    except ValueError:
        raise ProtocolViolation("not JSON") from None
    match value:
        case [bool() | float(), *_]:  # True == 1, which would be a HELLO
            pass
        case [int(kind), request, *_] if kind in _REQUESTS and not _is_id(request):
            raise ProtocolViolation("the ID of a request must be an integer from 0 to 2^53")
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
            return _subscribe(request, options, topic)
        case [Type.UNSUBSCRIBE, int(request), int(subscription)] if _is_id(subscription):
            return Unsubscribe(request, subscription)
        case [Type.PUBLISH, int(request), dict(options), str(topic)]:
            return _publish(request, options, topic, [], {})
        case [Type.PUBLISH, int(request), dict(options), str(topic), list(args)]:
            return _publish(request, options, topic, args, {})
        case [Type.PUBLISH, int(request), dict(options), str(topic), list(args), dict(kwargs)]:
            return _publish(request, options, topic, args, kwargs)
        case [int(kind), int(request), *_] if kind in (Type.CALL, Type.REGISTER, Type.UNREGISTER):
            return RPCRequest(Type(kind), request)
        case [Type.ERROR | Type.CANCEL | Type.YIELD, *_]:
            # About a pending call. There is none, but a client may cancel a call before it receives the ERROR.
            return None
    raise ProtocolViolation("not a message that a client sends to a broker")


def _subscribe(request: int, options: Mapping[str, object], topic: str) -> Subscribe:
    after, former = options.get("_after"), options.get("_former", [])
    if after is not None and not _is_id(after):
        raise ProtocolViolation("option '_after' is not an ID")
    former = former if isinstance(former, list) else [former]
    if not all(isinstance(each, int | str) for each in former):
        raise ProtocolViolation("option '_former' must be a list of session IDs")
    try:
        return Subscribe(
            request,
            topic,
            str(options.get("match", "exact")),
            after=after if isinstance(after, int) else None,
            former=frozenset(map(str, former)),
            newest=flag_of(options, "_newest", default=False),
            get_retained=flag_of(options, "get_retained", default=False),
        )
    except ValueError as error:
        raise ProtocolViolation(str(error)) from None


def _publish(
    request: int, options: Mapping[str, object], topic: str, args: list[object], kwargs: dict[str, object]
) -> Publish:
    try:
        event, positional, keywords = arguments_of(args, kwargs)
        acknowledge = flag_of(options, "acknowledge", default=False)
        exclude_me = flag_of(options, "exclude_me", default=True)
        audience = audience_of(options)
        retain = flag_of(options, "retain", default=False) and audience.may_be_retained
    except ValueError as error:
        raise ProtocolViolation(str(error)) from None
    eligible, exclude, authid, authrole = audience
    publication = Publication(topic, event, eligible, exclude, positional, keywords, authid, authrole, retain)
    return Publish(request, publication, acknowledge, exclude_me)


def _is_id(value: object) -> bool:
    return type(value) is int and value in _IDS  # True is an instance of int


def event(subscription: int, publication: int, args: str, kwargs: str | None, details: str = "{}") -> str:
    """Return an event. `args`, `kwargs` and `details` are JSON texts: an array, an object or `None`, and an object."""
    tail = "" if kwargs is None else f",{kwargs}"
    return f"[{Type.EVENT:d},{subscription},{publication},{details},{args}{tail}]"
