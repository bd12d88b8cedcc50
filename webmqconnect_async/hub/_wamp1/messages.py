"""The messages of WAMP v1: JSON arrays in text frames.

    from subscriber to hub                                  from hub to subscriber
    [1, prefix, uri]                          PREFIX        [0, session, 1, ident]           WELCOME
    [2, id, procedure, argument...]           CALL          [3, id, result]                  CALLRESULT
    [5, topic]                                SUBSCRIBE     [4, id, error, description]      CALLERROR
    [6, topic]                                UNSUBSCRIBE   [8, topic, event]                EVENT
    [7, topic, event]                         PUBLISH
    [7, topic, event, excludeMe]
    [7, topic, event, [exclude], [eligible]]

Values that the hub only forwards, such as events and results, are JSON texts, which are inserted unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from ..._core import strict_json

SUBPROTOCOL = "wamp"


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
    """A message for which the hub closes the connection. It ignores other invalid messages."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Define a prefix: from now on, `prefix:rest` means the URI followed by the rest."""

    prefix: str
    uri: str


@dataclass(frozen=True, slots=True)
class Call:
    """Call a procedure. The reply has the same ID."""

    id: str
    procedure: str
    arguments: tuple[str, ...] = ()  # each a JSON text


@dataclass(frozen=True, slots=True)
class Subscribe:
    topic: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    event: str  # a JSON text
    exclude: frozenset[str] | None = None
    """The sessions that do not receive it; `None` for the publisher's own."""
    eligible: frozenset[str] | None = None  # the only sessions to receive it; `None` for all


Message: TypeAlias = Prefix | Call | Subscribe | Unsubscribe | Publish


def decode(text: str) -> Message | None:
    """Decode a message; return `None` if it is invalid and to be ignored.

    Raise `ProtocolError` for a CALL whose ID is not a string, because a reply could not refer to it.
    """
    try:
        match strict_json.decode(text, finite=True):
            case [bool() | float(), *_]:  # True == 1, which would be a PREFIX
                return None
            case [_Type.PREFIX, str(prefix), str(uri), *_]:
                return Prefix(prefix, uri)
            case [_Type.CALL, str(call_id), str(procedure), *arguments]:
                return Call(call_id, procedure, tuple(map(strict_json.encode, arguments)))
            case [_Type.CALL, call_id, *_] if not isinstance(call_id, str):
                raise ProtocolError("the ID of a CALL is not text")
            case [_Type.SUBSCRIBE, str(topic), *_]:
                return Subscribe(topic)
            case [_Type.UNSUBSCRIBE, str(topic), *_]:
                return Unsubscribe(topic)
            case [_Type.PUBLISH, str(topic), payload]:
                return Publish(topic, strict_json.encode(payload))
            case [_Type.PUBLISH, str(topic), payload, exclude, *rest]:
                # The fourth element is excludeMe, or a list of sessions, which then need not include the publisher.
                excluded = frozenset[str]() if exclude is False else _session_ids(exclude)
                return Publish(topic, strict_json.encode(payload), excluded, _session_ids(rest[0]) if rest else None)
    except ValueError:  # not JSON, or nested so deeply that it cannot be encoded again
        pass
    return None


def _session_ids(value: object) -> frozenset[str] | None:
    if not isinstance(value, list):
        return None
    return frozenset(str(item) for item in value if isinstance(item, str | int))


def welcome(session_id: str, ident: str) -> str:
    """Return the hub's first message, which has the session ID."""
    return strict_json.encode([_Type.WELCOME, session_id, 1, ident])  # 1 is the version of WAMP


def call_result(call_id: str, result: str) -> str:
    """Return the reply to a CALL that succeeded. The result is a JSON text."""
    return f"[{_Type.CALLRESULT:d},{strict_json.encode(call_id)},{result}]"


def call_error(call_id: str, uri: str, description: str) -> str:
    return strict_json.encode([_Type.CALLERROR, call_id, uri, description])


def event(topic: str, payload: str) -> str:
    """Return an event of a topic, which is a URI and not a CURIE. The payload is a JSON text."""
    return f"[{_Type.EVENT:d},{strict_json.encode(topic)},{payload}]"
