"""The push format of the WebMQ hub: accept or refuse a request, without I/O.

Parameters are read from the query only. The original hub also read them from the body, because its content type is that
of a form: an event with "&eligible=" in one of its strings was delivered to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from ..._core import strict_json
from ..._core.escape import visible
from ..._core.query import parameters
from ...signing import Credentials, verify
from .. import _remedies as remedies
from .verdicts import MAX_SKEW, Accepted, Refused, Rules

CONTENT_TYPE = "application/x-www-form-urlencoded"
_TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"
_NAMES = {name.encode(): name for name in ("topicuri", "appkey", "timestamp", "signature", "eligible", "exclude")}


def judge_head(content_type: str | None, length: int, max_body: int) -> Refused | None:
    """Judge a request by its headers, before its body is read; return `None` to continue."""
    if content_type != CONTENT_TYPE:
        found = "missing" if content_type is None else visible(content_type, 100)
        return Refused(400, f"bad or missing content type ('{found}')")
    if length > max_body:
        remedy = remedies.larger_body(length, max_body)
        return Refused(400, f"content length ({length}) exceeds maximum ({max_body})", _remedy=remedy)
    return None


def judge(query: str, content_type: str | None, body: bytes, now: float, rules: Rules) -> Accepted | Refused:
    """Judge a push at a Unix time. The order of the checks and the texts are those of the original hub.

    `query` is undecoded. If the body is too long, some of it may be missing, but there is more than `max_body`.
    """
    if refused := judge_head(content_type, len(body), rules.max_body):
        return refused
    values = _parameters(query)
    if isinstance(values, Refused):
        return values

    topic = values.get("topicuri")
    if topic is None:
        return Refused(400, "missing query parameter 'topicuri'")
    if len(topic) > rules.max_topic:
        remedy = remedies.longer_topic(len(topic))
        return Refused(400, f"topic length ({len(topic)}) exceeds maximum ({rules.max_topic})", _remedy=remedy)

    # An empty value counts as missing.
    key, timestamp, signature = values.get("appkey"), values.get("timestamp"), values.get("signature")
    if key and timestamp and signature:
        if refused := _judge_signature(topic, key, timestamp, signature, body, now, rules.keys):
            return refused
    elif key or timestamp or signature:
        return Refused(400, "either all or none of parameters 'appkey', 'signature' and 'timestamp' must be present")
    elif rules.keys:
        return Refused(401, "not authorized (this hub takes signed pushes only)", _remedy=remedies.SIGN)

    event = _json_text(body)
    if event is None:
        return Refused(400, "invalid JSON in request body")
    eligible, exclude = values.get("eligible"), values.get("exclude")
    return Accepted(
        topic,
        event,
        eligible=None if eligible is None else _session_ids(eligible),
        exclude=_session_ids(exclude) if exclude else frozenset(),
        key=key or None,
    )


def _parameters(query: str) -> dict[str, str] | Refused:
    values: dict[str, str] = {}
    for encoded_name, value in parameters(query):
        name = _NAMES.get(encoded_name)
        if name is None:
            continue
        if name in values:
            # Otherwise one value could be verified, or checked by a filter in front of the hub, and the other one used.
            return Refused(400, f"query parameter '{name}' given twice")
        try:
            values[name] = (value or b"").decode()
        except UnicodeError:
            return Refused(400, f"query parameter '{name}' is not UTF-8")
    return values


def _judge_signature(
    topic: str, key: str, timestamp: str, signature: str, body: bytes, now: float, keys: Mapping[str, Credentials]
) -> Refused | None:
    try:
        signed_at = _unix_time(timestamp)
    except ValueError:
        # The original hub does not close the parenthesis either.
        return Refused(400, f"invalid timestamp '{visible(timestamp, 100)}' (must be i.e. '2011-10-14T16:59:51Z'")
    skew = round(abs(now - signed_at))
    if skew > MAX_SKEW:
        return Refused(400, f"timestamp expired (delta {skew} seconds)", _remedy=remedies.CLOCK)
    credentials = keys.get(key)
    if credentials is None:
        reason = f"unknown application key '{visible(key, 100)}'"
        return Refused(400, reason, _forged=True, _remedy=remedies.KEY if keys else remedies.NO_KEY)
    if not verify(credentials, signature, topic.encode(), key.encode(), timestamp.encode(), body):
        # The original hub added the expected signature, which gave the sender of a forged push a valid one.
        return Refused(401, "invalid request signature", _forged=True, _remedy=remedies.SIGNATURE)
    return None


@lru_cache(maxsize=64)  # all pushes of one second have the same timestamp, and strptime is slower than the HMAC
def _unix_time(timestamp: str) -> float:
    return datetime.strptime(timestamp, _TIMESTAMP).replace(tzinfo=UTC).timestamp()


def _json_text(body: bytes) -> str | None:
    """Return the body as text, without whitespace around it; `None` if it is not a JSON value.

    Subscribers receive this text, and not the decoded value encoded again, so that numbers keep their exact digits.
    """
    try:
        text = body.decode("utf-8").strip(" \t\r\n")
        strict_json.decode(text)
    except ValueError:
        return None
    return text


def _session_ids(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))
