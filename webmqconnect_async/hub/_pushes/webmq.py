"""One push request: accepted or refused. Pure; knows nothing of sockets, subscribers, Host or Origin.

It reads parameters in the query alone. The original hub took those it found in the body too, since the content type
says that the body is a form: an event with "&eligible=" in a text of its own went to nobody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from ...signing import Credentials, verify
from .._escape import shown
from .verdicts import MAX_SKEW, Accepted, Refused, Verdict

__all__ = ["judge", "judge_head"]

_CONTENT_TYPE = "application/x-www-form-urlencoded"
_TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"
_NAMES = frozenset({"topicuri", "appkey", "timestamp", "signature", "eligible", "exclude"})


def judge_head(content_type: str | None, length: int, max_body: int) -> Refused | None:
    """Judge what can be judged before the body is read; None where nothing speaks against reading it."""
    if content_type != _CONTENT_TYPE:
        said = "missing" if content_type is None else shown(content_type)
        return Refused(400, f"bad or missing content type ('{said}')")
    if length > max_body:
        return Refused(400, f"content length ({length}) exceeds maximum ({max_body})")
    return None


def judge(
    query: str,
    content_type: str | None,
    body: bytes,
    now: float,
    keys: Mapping[str, Credentials],
    *,
    max_body: int,
    max_topic: int,
) -> Verdict:
    """Judge a whole request, in the order and the words of the original hub.

    Args:
        query: as it stood in the request line, undecoded, without the `?`.
        content_type: the header; None where there was none.
        body: its exact bytes, or enough of them to see that they are more than `max_body`.
        now: Unix time in seconds.
        keys: credentials by application key; where there are any, only signed pushes are accepted.
        max_body: bytes.
        max_topic: characters.
    """
    if refused := judge_head(content_type, len(body), max_body):
        return refused
    parameters = _parameters(query)
    if isinstance(parameters, Refused):
        return parameters

    topic = parameters.get("topicuri")
    if topic is None:
        return Refused(400, "missing query parameter 'topicuri'")
    if len(topic) > max_topic:
        return Refused(400, f"topic length ({len(topic)}) exceeds maximum ({max_topic})")

    # Empty counts as absent.
    key, timestamp, signature = parameters.get("appkey"), parameters.get("timestamp"), parameters.get("signature")
    if key and timestamp and signature:
        if refused := _judge_signature(topic, key, timestamp, signature, body, now, keys):
            return refused
    elif key or timestamp or signature:
        return Refused(400, "either all or none of parameters 'appkey', 'signature' and 'timestamp' must be present")
    elif keys:
        return Refused(401, "not authorized (this hub takes signed pushes only)")

    event = _json_text(body)
    if event is None:
        return Refused(400, "invalid JSON in request body")
    eligible, exclude = parameters.get("eligible"), parameters.get("exclude")
    return Accepted(
        topic,
        event,
        eligible=None if eligible is None else _session_ids(eligible),
        exclude=_session_ids(exclude) if exclude else frozenset(),
        key=key or None,
    )


def _parameters(query: str) -> dict[str, str] | Refused:
    parameters: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name not in _NAMES:
            try:
                name = _decoded(name)
            except UnicodeError:
                continue
            if name not in _NAMES:
                continue
        if name in parameters:
            # Whoever signs or filters by the one and delivers by the other has been fooled.
            return Refused(400, f"query parameter '{name}' given twice")
        try:
            parameters[name] = _decoded(value)
        except UnicodeError:
            return Refused(400, f"query parameter '{name}' is not UTF-8")
    return parameters


@lru_cache(maxsize=128)  # topics, keys and timestamps come again and again
def _decoded(text: str) -> str:
    # A request line's bytes beyond ASCII come as surrogate escapes where they are not UTF-8.
    return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")).decode("utf-8")


def _judge_signature(
    topic: str,
    key: str,
    timestamp: str,
    signature: str,
    body: bytes,
    now: float,
    keys: Mapping[str, Credentials],
) -> Refused | None:
    try:
        signed_at = _unix_time(timestamp)
    except ValueError:
        # The bracket that is never closed is the original's.
        return Refused(400, f"invalid timestamp '{shown(timestamp)}' (must be i.e. '2011-10-14T16:59:51Z'")
    skew = round(abs(now - signed_at))
    if skew > MAX_SKEW:
        return Refused(400, f"timestamp expired (delta {skew} seconds)")
    credentials = keys.get(key)
    if credentials is None:
        return Refused(400, f"unknown application key '{shown(key)}'", forged=True)
    if not verify(credentials, signature, topic.encode(), key.encode(), timestamp.encode(), body):
        # The original's answer held the expected signature: whoever asked with a forged push got its valid one.
        return Refused(401, "invalid request signature", forged=True)
    return None


@lru_cache(maxsize=64)  # all pushes of a second carry the same text, and strptime takes longer than the HMAC
def _unix_time(timestamp: str) -> float:
    return datetime.strptime(timestamp, _TIMESTAMP).replace(tzinfo=UTC).timestamp()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity: Python's decoder takes them, a browser's JSON.parse throws


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def _json_text(body: bytes) -> str | None:
    """Return the body as text if it is one JSON value, without the blanks around it.

    What subscribers get is this text, not the value decoded and encoded again: numbers stay as exact as they were sent.
    """
    try:
        text = body.decode("utf-8").strip(" \t\r\n")
        _, end = _JSON.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return text if end == len(text) else None


def _session_ids(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))
