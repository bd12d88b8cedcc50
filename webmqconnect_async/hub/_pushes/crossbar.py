"""The push format of Crossbar.io's HTTP bridge: accept or refuse a request, without I/O.

Statuses and texts are those of the bridge as far as clients depend on them. Requests that make the bridge fail with an
unexplained 500 get a 500 here, too, with an explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from ..._core import strict_json
from ..._core.escape import visible
from ..._core.query import parameters
from ..._core.topics import is_reserved, is_uri
from ...signing import Credentials, verify
from .. import _remedies as remedies
from .._publication import arguments_of
from .._publish_options import Audience, audience_of, flag_of
from .verdicts import MAX_SKEW, Accepted, Refused, Rules

_CONTENT_TYPE = "application/json"
_RESERVED = {"topic", "self"}
"""Names of keyword arguments that make the bridge fail. It ignores a third one, `options`."""


class _Broken(Exception):
    """The request makes the bridge fail with 500. The arguments are the reason and, optionally, the remedy."""


def judge_head(content_type: str | None, length: int, max_body: int) -> Refused | None:
    """Judge a request by its headers, before its body is read; return `None` to continue."""
    kind, *parameters = map(str.strip, (_CONTENT_TYPE if content_type is None else content_type).lower().split(";"))
    if kind != _CONTENT_TYPE:
        return Refused(400, f"Non-accepted content type. (must be '{_CONTENT_TYPE}', not '{visible(kind, 100)}')")
    pairs = [parameter.split("=") for parameter in parameters if "=" in parameter]
    named = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
    if len(named) != len(pairs) or named.get("charset", "utf-8") not in ("utf-8", "utf8"):
        return Refused(400, "Non-accepted request encoding, must be UTF-8.")
    if length > max_body:
        reason = f"Request too long. ({length} is longer than accepted {max_body})"
        return Refused(413, reason, _remedy=remedies.larger_body(length, max_body))
    return None


def judge(query: str, content_type: str | None, body: bytes, now: float, rules: Rules) -> Accepted | Refused:
    """Judge a push, whose arguments are those of `webmq.judge`. The order of the checks is the bridge's.

    Without a content type, it is `application/json`.
    """
    if refused := judge_head(content_type, len(body), rules.max_body):
        return refused
    try:
        fields = _fields(query)
        if refused := _judge_signature(fields, body, now, rules.keys):
            return refused
        return _publication(body, fields.get("key") if rules.keys else None, rules.max_topic)
    except _Broken as broken:
        reason, *remedy = broken.args
        return Refused(500, reason, _remedy="".join(remedy))


def _fields(query: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in parameters(query.replace(";", "&")):  # Twisted splits a query at both
        if value is not None:
            if not name.isascii():
                raise _Broken("a parameter's name is not ASCII")
            # The bridge reads the first of repeated parameters.
            fields.setdefault(name.decode(), value.decode("utf-8", "surrogateescape"))
    return fields


def _judge_signature(
    fields: Mapping[str, str], body: bytes, now: float, keys: Mapping[str, Credentials]
) -> Refused | None:
    """Judge the signature. Like the bridge, check timestamp and numbers even if a signature is not required."""
    for name in ("key", "timestamp", "seq", "nonce", "signature"):
        value = fields.get(name)
        if value is None:
            if keys:
                before = "signed request required, but mandatory " if name == "timestamp" else ""
                return _invalid(f"missing mandatory field - {before}'{name}' field missing", remedies.SIGN)
        elif name in ("timestamp", "seq", "nonce") and (refused := _judge_field(name, value, now)):
            return refused
    if not keys:
        return None
    credentials = keys.get(fields["key"])
    if credentials is None:
        return Refused(401, "REST bridge signature key not valid.", _forged=True, _remedy=remedies.KEY)
    parts = [fields[name].encode() for name in ("key", "timestamp", "seq", "nonce")]
    if not verify(credentials, fields["signature"], *parts, body):
        return Refused(401, "REST bridge signature secret not valid.", _forged=True, _remedy=remedies.SIGNATURE)
    return None


def _judge_field(name: str, value: str, now: float) -> Refused | None:
    if not value.isascii():
        raise _Broken(f"parameter '{name}' is not ASCII")
    if name == "timestamp":
        try:
            signed_at = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            form = "must be UTC/ISO-8601, e.g. '2011-10-14T16:59:51.123Z'"
            return _invalid(f"invalid timestamp '{visible(value, 100)}' ({form})")
        if abs(now - signed_at) > MAX_SKEW:
            return Refused(400, "Request expired, too old timestamp.", _remedy=remedies.CLOCK)
        return None
    try:
        int(value.encode())  # int() strips more kinds of whitespace from text than from bytes
    except ValueError:
        kind = "sequence number" if name == "seq" else name
        return _invalid(f"invalid {kind} '{visible(value, 100)}' (must be an integer)")
    return None


def _invalid(problem: str, remedy: str = "") -> Refused:
    return Refused(400, f"REST bridge signature was invalid ({problem}).", _remedy=remedy)


def _publication(body: bytes, key: str | None, max_topic: int) -> Accepted | Refused:
    try:
        push = strict_json.decode(body.decode("utf-8"), finite=True)
    except UnicodeError:
        return Refused(400, "Non-decodable request body, was not UTF-8.")
    except ValueError:
        return Refused(400, "Request body was invalid JSON.")
    if not isinstance(push, dict):
        return Refused(400, "Request body was valid JSON, but not well formed (must be a dict).")
    if "topic" not in push:
        return Refused(400, "Request body was valid JSON, but not well formed (missing key 'topic').")
    positional = push.get("args") or []
    if not isinstance(positional, Iterable):
        raise _Broken("args is not a list")
    keywords = {name: value for name, value in _object(push, "kwargs").items() if name != "options"}
    if found := _RESERVED & keywords.keys():
        raise _Broken(f"a keyword is named '{min(found)}'")
    try:
        # As in the bridge, a string or an object counts as `list` of it.
        event, args, kwargs = arguments_of(list(positional), keywords)
    except ValueError:  # nested so deeply that it can be decoded but not encoded
        return Refused(400, "Request body was invalid JSON.")
    options = _object(push, "options")
    audience = _audience(options)
    topic = push["topic"]
    if not isinstance(topic, str) or not is_uri(topic):
        raise _Broken("the topic is not a URI")
    if len(topic) > max_topic:
        remedy = remedies.longer_topic(len(topic))
        raise _Broken(f"topic length ({len(topic)}) exceeds maximum ({max_topic})", remedy)
    if is_reserved(topic):
        return Refused(200, "wamp.error.invalid_uri")
    retain = options.get("retain") is True and audience.may_be_retained
    eligible, exclude, authid, authrole = audience
    return Accepted(topic, event, eligible, exclude, args, kwargs, authid, authrole, retain, key)


def _object(push: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return an object. If the member is missing, or empty or false of any type, the object is empty."""
    value = push.get(name) or {}
    if not isinstance(value, dict):
        raise _Broken(f"{name} is not an object")
    return value


def _audience(options: Mapping[str, object]) -> Audience:
    """Check the options that the bridge reads, and return the receivers. Unknown options are ignored."""
    try:
        for flag in ("retain", "exclude_me"):
            flag_of(options, flag, default=False)
        audience = audience_of(options)
    except ValueError as error:
        raise _Broken(str(error)) from None
    forwarders = options.get("forward_for")
    if forwarders is not None and not (isinstance(forwarders, list) and all(map(_is_forwarder, forwarders))):
        raise _Broken("option 'forward_for' must be a list of objects of session, authid and authrole")
    return audience


def _is_forwarder(value: object) -> bool:
    match value:
        case {"session": int(session), "authid": str(), "authrole": str()}:
            return not isinstance(session, bool)
    return False
