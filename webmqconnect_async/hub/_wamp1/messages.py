"""The messages of WAMP v1: JSON arrays in text frames. Pure; knows nothing of sessions, queues or sockets.

    from subscriber to hub                                  from hub to subscriber
    [1, prefix, uri]                          PREFIX        [0, session, 1, ident]           WELCOME
    [2, id, procedure, argument...]           CALL          [3, id, result]                  CALLRESULT
    [5, topic]                                SUBSCRIBE     [4, id, error, description]      CALLERROR
    [6, topic]                                UNSUBSCRIBE   [8, topic, event]                EVENT
    [7, topic, event]                         PUBLISH
    [7, topic, event, excludeMe]
    [7, topic, event, [exclude], [eligible]]

What the hub only passes on, such as an event or a result, is JSON text from end to end: it is spliced in as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from .._strict_json import encoded, json_value

__all__ = [
    "SUBPROTOCOL",
    "Call",
    "Message",
    "Prefix",
    "ProtocolError",
    "Publish",
    "Subscribe",
    "Unsubscribe",
    "call_error",
    "call_result",
    "decode",
    "event",
    "welcome",
]

SUBPROTOCOL = "wamp"

_VERSION = 1


class _Type(IntEnum):
    WELCOME = 0
    PREFIX = 1
    CALL = 2
    CALLRESULT = 3
    CALLERROR = 4
    SUBSCRIBE = 5
    UNSUBSCRIBE = 6
    PUBLISH = 7
    EVENT = 8


class ProtocolError(Exception):
    """A message after which the connection is closed, where others are ignored."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """From now on `prefix:rest` means the URI followed by the rest."""

    prefix: str
    uri: str


@dataclass(frozen=True, slots=True)
class Call:
    """Call a procedure; the answer carries the ID."""

    id: str
    procedure: str
    arguments: tuple[str, ...] = ()
    """Each as JSON text."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Send me the events of a topic."""

    topic: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Send me them no longer."""

    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Send an event to the subscribers of a topic."""

    topic: str
    event: str
    """JSON text."""
    exclude: frozenset[str] | None = None
    """Sessions that do not get it; None for the publisher's own."""
    eligible: frozenset[str] | None = None
    """The only sessions to get it; None for all."""


Message: TypeAlias = Prefix | Call | Subscribe | Unsubscribe | Publish


def decode(text: str) -> Message | None:
    """Return what a subscriber says; None where the message is to be ignored.

    Raises:
        ProtocolError: a CALL whose ID is not text: no answer could name it.
    """
    try:
        return _message(json_value(text))
    except ValueError:
        return None


def _message(value: object) -> Message | None:
    match value:
        case [bool() | float(), *_]:  # or else true would be a PREFIX
            return None
        case [_Type.PREFIX, str(prefix), str(uri), *_]:
            return Prefix(prefix, uri)
        case [_Type.CALL, str(call_id), str(procedure), *arguments]:
            return Call(call_id, procedure, tuple(encoded(argument) for argument in arguments))
        case [_Type.CALL, call_id, *_] if not isinstance(call_id, str):
            raise ProtocolError("the ID of a CALL is not text")
        case [_Type.SUBSCRIBE, str(topic), *_]:
            return Subscribe(topic)
        case [_Type.UNSUBSCRIBE, str(topic), *_]:
            return Unsubscribe(topic)
        case [_Type.PUBLISH, str(topic), payload]:
            return Publish(topic, encoded(payload))
        case [_Type.PUBLISH, str(topic), payload, exclude, *rest]:
            # The fourth field is excludeMe or a list; a list replaces the exclusion of the publisher.
            excluded = frozenset[str]() if exclude is False else _session_ids(exclude)
            return Publish(topic, encoded(payload), excluded, _session_ids(rest[0]) if rest else None)
    return None


def _session_ids(value: object) -> frozenset[str] | None:
    if not isinstance(value, list):
        return None
    return frozenset(str(item) for item in value if isinstance(item, str | int))


def welcome(session_id: str, ident: str) -> str:
    """Return the hub's first message, in which the subscriber learns its session ID."""
    return encoded([_Type.WELCOME, session_id, _VERSION, ident])


def call_result(call_id: str, result: str) -> str:
    """Return the answer to a CALL that succeeded, its result being JSON text."""
    return f"[{_Type.CALLRESULT:d},{encoded(call_id)},{result}]"


def call_error(call_id: str, uri: str, description: str) -> str:
    """Return the answer to a CALL that failed."""
    return encoded([_Type.CALLERROR, call_id, uri, description])


def event(topic: str, payload: str) -> str:
    """Return an event of a topic, always its whole URI, the payload being JSON text."""
    return f"[{_Type.EVENT:d},{encoded(topic)},{payload}]"
