"""The format of Crossbar.io's HTTP bridge: a JSON object in the body, its signature in the query.

| response                                                           | verdict         |
|--------------------------------------------------------------------|-----------------|
| 2xx with an `id`                                                   | `Receipt`       |
| 2xx with the error `wamp.error.not_authorized`                     | `AuthRejected`  |
| 2xx with any other error                                           | `Rejected`      |
| 400 signature was invalid, denied based on IP address; 401; 403    | `AuthRejected`  |
| 400 request expired, signature was invalid (invalid timestamp      | `ClockRejected` |
| 413                                                                | `TooLarge`      |
| 429; 503 with a Retry-After of seconds or a date                   | `Overloaded`    |
| any other 4xx                                                      | `Rejected`      |
| anything else, such as 2xx with neither                            | `BadReply`      |

The bridge responds with 200 to some events that no subscriber receives, and with 500 to some invalid arguments. The
known cases are refused here, before anything is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote_plus

from ...errors import AuthRejected, ClockRejected, InvalidPush, Rejected
from ...signing import Credentials, sign
from ..checks import wrong_type
from ..idempotency import checked_key
from ..topics import is_reserved, is_uri
from ..values import Payload, Push, Receipt, SessionIDs
from . import Encoded, Request, Response, Verdict, unsigned
from .arguments import SESSION_IDS, checked_time, listed, utf8
from .events import Dumps, encode_event
from .replies import redacted, refused, repeated, text_of

_REFUSALS: dict[str, type[Rejected]] = {
    "Request expired": ClockRejected,
    "REST bridge signature was invalid (invalid timestamp": ClockRejected,
    "REST bridge signature was invalid": AuthRejected,
    "Request denied based on IP address": AuthRejected,
}
"""Errors more specific than `Rejected`, by the beginning of a 400. The first match is used."""

_RESERVED = frozenset({"options", "topic", "self"})
"""Names of the bridge's own arguments: it silently drops the first keyword, and responds with 500 to the others."""

_NO_SESSION = b"[0]"
_NO_NAME = b'["webmqconnect_async: nobody"]'
"""Sent instead of an empty list, which the router treats like no list: it would deliver to everybody."""

_DEEPEST = 128
"""Maximum nesting of lists and objects. A few hundred levels more break the connections of some subscribers."""
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_TO_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LONG_NUMBER = re.compile(rb"\d{19}")  # 2^63 has 19 digits
_BINARY = re.compile(rb'(?<!\\)"\\u0000')
"""A string that begins with NUL. The lookbehind skips an escaped quote inside a string."""


class Crossbar:
    """The dialect of Crossbar.io.

    Each signed request has the next number of `sequence`, and as its `nonce` a random number in [0, 2^53].
    """

    content_type = "application/json"

    def __init__(
        self,
        credentials: Credentials | None,
        dumps: Dumps | None,
        *,
        sequence: Callable[[], int],
        nonce: Callable[[], int],
    ) -> None:
        self._credentials = credentials
        self._dumps = dumps
        self._sequence = sequence
        self._nonce = nonce
        if credentials is not None:
            self._key = credentials.key.encode()
            self._key_query = f"key={quote_plus(credentials.key, safe='')}&timestamp="

    def encode(self, push: Push) -> Encoded:
        body = self._body(push)
        key = "" if push.idempotency_key is None else checked_key(push.idempotency_key)
        if self._credentials is None:
            return Encoded(unsigned, "", key, body)
        return Encoded(self._signed, self._credentials, key, body)

    def _body(self, push: Push) -> bytes:
        return b'{"topic":%b,%b%b}' % (_topic(push.topic), self._arguments(push.event), _options(push))

    def _arguments(self, event: object) -> bytes:
        if not isinstance(event, Payload):
            return b'"args":[%b]' % _deliverable(encode_event(event, self._dumps))
        if found := sorted(_RESERVED & event.kwargs.keys()):
            raise InvalidPush(f"event: the keyword {found[0]!r} is reserved by the bridge; use another name")
        args = _deliverable(encode_event(list(event.args), self._dumps), added=1)
        if not event.kwargs:
            return b'"args":%b' % args
        return b'"args":%b,"kwargs":%b' % (args, _deliverable(encode_event(event.kwargs, self._dumps), added=1))

    def _signed(self, credentials: Credentials, idempotency_key: str, body: bytes, now: float) -> Request:
        timestamp = _timestamp(int(checked_time(now) * 1000))
        seq, nonce = str(self._sequence()), str(self._nonce())
        signature = sign(credentials, self._key, f"{timestamp}{seq}{nonce}".encode(), body)
        # Of the timestamp, only ":" has to be percent-encoded; of the signature, only the "=" at its end.
        quoted = timestamp.replace(":", "%3A")
        query = f"{self._key_query}{quoted}&seq={seq}&nonce={nonce}&signature={signature[:-1]}%3D"
        return Request(query, body, signature, idempotency_key)

    def judge(self, request: Request, response: Response, attempts: int, now: float) -> Verdict:
        """Return what a response means, by the table above."""
        status = response.status
        error: str | None = None
        match _json(response.body):
            # The status was 202 before Crossbar.io 0.14.
            case {"id": int(publication)} if 200 <= status < 300 and not isinstance(publication, bool):
                again = bool(request.idempotency_key) and repeated(response)
                return Receipt(status, publication, attempts, again)
            case {"error": str(error), **rest}:
                args = rest.get("args")
                texts = [each for each in args if isinstance(each, str)] if isinstance(args, list) else []
                text = " ".join(": ".join([error, *texts]).split())
            case _:
                text = text_of(response.body)
        if 200 <= status < 300 and error is not None:
            reason = redacted(text, request.signature)
            refusal = AuthRejected if error == "wamp.error.not_authorized" else Rejected
            return refusal(f"the broker answered {status}: {reason}", status=status, reason=reason)
        return refused(request, response, text, _REFUSALS, self._credentials, now)


def _json(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _topic(topic: object) -> bytes:
    return _cached(topic) if isinstance(topic, str) and len(topic) <= 256 else _encoded_topic(topic)


def _encoded_topic(topic: object) -> bytes:
    text = utf8("topic", topic).decode()
    if not is_uri(text):
        raise InvalidPush(
            f"topic: {text[:80]!r} is not a valid WAMP URI: components between dots must be non-empty, without "
            "whitespace or '#'"
        )
    if is_reserved(text):
        raise InvalidPush("topic: URIs that begin with 'wamp.' are reserved by the router")
    return encode_event(text)


_cached = lru_cache(1024)(_encoded_topic)


@lru_cache(16)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _timestamp(milliseconds: int) -> str:
    """Return a Unix time in the format that the bridge requires: ISO 8601 in UTC, with milliseconds."""
    second, fraction = divmod(milliseconds, 1000)
    return f"{_second(second)}.{fraction:03}Z"


def _deliverable(encoded: bytes, added: int = 0) -> bytes:
    """Return an event's JSON unchanged; raise InvalidPush if the router could not deliver it to every subscriber.

    The bridge would respond with 200, and subscribers with some serializers would not receive the event. The event is
    nested in `added` levels of the JSON.
    """
    # Cheap checks first: few events need more.
    deepest = _DEEPEST + added
    if encoded.count(b"[") + encoded.count(b"{") > deepest and _is_deeper(encoded, deepest):
        raise InvalidPush(f"event: nested deeper than {_DEEPEST} levels, which breaks some subscribers' connections")
    if b"\\u0000" in encoded and _BINARY.search(encoded):
        # WAMP's JSON serialization represents bytes as a string of NUL and base64. Autobahn ends the connection if the
        # rest is not base64.
        raise InvalidPush("event: a string that begins with NUL means bytes to subscribers that speak JSON")
    if _LONG_NUMBER.search(encoded):
        try:
            json.loads(encoded, parse_int=_checked_integer)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise InvalidPush("event: what dumps returned is not JSON") from None
    return encoded


def _is_deeper(encoded: bytes, levels: int) -> bool:
    brackets = _STRINGS.sub(b"", encoded).translate(_TO_ONE_KIND, _NO_BRACKETS)
    for _ in range(levels):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # removes all innermost levels
    return bool(brackets)


def _checked_integer(digits: str) -> None:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise InvalidPush(f"event: the integer {digits[:24]} needs more than 64 bits, the limit of MessagePack")


def _options(push: Push) -> bytes:
    parts = []
    if push.eligible is not None:
        parts.append(b'"eligible":' + (_sessions("eligible", push.eligible) or _NO_SESSION))
    if push.exclude is not None and (excluded := _sessions("exclude", push.exclude)):
        parts.append(b'"exclude":' + excluded)
    if push.options is not None:
        parts += _further(push.options)
    return b',"options":{%b}' % b",".join(parts) if parts else b""


def _sessions(argument: str, ids: SessionIDs) -> bytes | None:
    numbers = [_session(f"{argument}[{place}]", each) for place, each in enumerate(listed(argument, ids))]
    return b"[%b]" % ",".join(numbers).encode() if numbers else None


def _session(argument: str, session_id: object) -> str:
    number = session_id
    if isinstance(number, str):
        number = int(number) if number.isascii() and number.isdecimal() and len(number) <= 16 else None
    if not isinstance(number, int) or isinstance(number, bool) or number not in SESSION_IDS:
        shown = repr(session_id)[:60] if isinstance(session_id, str) else type(session_id).__name__
        raise InvalidPush(f"{argument}: a router's session ID is an integer from 1 to 2^53, or its digits; not {shown}")
    return int.__repr__(number)


def _further(options: object) -> list[bytes]:
    # Checked because the bridge responds with 500 to a wrong type, and ignores an unknown name.
    if not isinstance(options, Mapping):
        raise InvalidPush(wrong_type("options", "a mapping", options))
    parts = []
    for name, value in options.items():
        encode = _OPTIONS.get(name) if isinstance(name, str) else None
        if encode is None:
            known = ", ".join(_OPTIONS)
            raise InvalidPush(f"options: {str(name)[:40]!r} is not one of {known}; eligible and exclude are arguments")
        if (encoded := encode(f"options[{name!r}]", value)) is not None:
            parts.append(b'"%b":%b' % (name.encode(), encoded))
    return parts


def _names(argument: str, names: object) -> bytes | None:
    listing = listed(argument, names, "names")
    checked = [utf8(f"{argument}[{place}]", each).decode() for place, each in enumerate(listing)]
    return encode_event(checked) if checked else None


def _eligible_names(argument: str, names: object) -> bytes:
    return _names(argument, names) or _NO_NAME


def _flag(argument: str, value: object) -> bytes:
    if not isinstance(value, bool):
        raise InvalidPush(wrong_type(argument, "True or False", value))
    return b"true" if value else b"false"


def _forwarders(argument: str, sessions: object) -> bytes:
    listing = listed(argument, sessions)
    for place, each in enumerate(listing):
        match each:
            case {"session": int(session), "authid": str(), "authrole": str(), **rest}:
                if not isinstance(session, bool) and not rest:
                    continue
        raise InvalidPush(f"{argument}[{place}] must be an object of session, authid and authrole")
    return encode_event(list(listing))


_OPTIONS: dict[str, Callable[[str, object], bytes | None]] = {
    "eligible_authid": _eligible_names,
    "eligible_authrole": _eligible_names,
    "exclude_authid": _names,
    "exclude_authrole": _names,
    "exclude_me": _flag,
    "retain": _flag,
    "forward_for": _forwarders,
}
"""Encoders of the bridge's options other than `eligible` and `exclude`."""
