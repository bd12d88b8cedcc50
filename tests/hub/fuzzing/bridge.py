"""Pushes in the format of Crossbar.io's bridge: everything but the signature is in the body."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from webmqconnect_async.hub._pushes import crossbar
from webmqconnect_async.hub._pushes.verdicts import Refused

from .engine import Target
from .pushes import (
    KEYS,
    MAX_BODY,
    MAX_TOPIC,
    NOW,
    SECRETS,
    Request,
    clock_errors,
    fits,
    judged_twice,
    other_bodies,
    pairs_of,
    plain_texts,
    queries,
    signature_of,
)
from .splices import TOO_DEEP, parsed, spliced
from .texts import broken, encodings, json_texts, json_values, maybe, object_of

__all__ = ["BRIDGE"]

_numbers = st.sampled_from(["1", "9007199254740992", " 7 ", "-1", "1_0", "٣", "1.5", "", "0x1", "\xa01"])
_FLAWS = (
    "",
    "",
    "",
    *[
        "drop",
        "empty",
        "change",
        "swap",
        "garbage",
        "broken",
        "secret",
        "late",
        "body",
        "type",
        "number",
        "topic",
        "fields",
        "text",
    ],
)
"""What is changed in a push; often nothing."""
_TYPES = ("application/json", None, "Application/JSON; charset=UTF-8", "application/json;charset=utf8")
_WRONG_TYPES = (
    "text/plain",
    "",
    ";",
    "application/json; charset=latin-1",
    'application/json; charset="utf-8"',
    "application/json; a=b=c",
    "\udcff",
)
_session_ids = st.one_of(
    st.integers(0, 2**53).map(str), st.just("[]"), st.lists(st.integers(0, 9), max_size=3).map(json.dumps)
)
_names = st.one_of(st.just('["a", "b"]'), st.just('"a"'), st.just("[]"))
_sane_options = st.fixed_dictionaries(
    {},
    optional={
        "eligible": _session_ids,
        "exclude": _session_ids,
        "eligible_authid": _names,
        "exclude_authid": _names,
        "eligible_authrole": _names,
        "exclude_authrole": _names,
        "exclude_me": st.sampled_from(["true", "false", "null"]),
        "retain": st.just("false"),
        "forward_for": st.sampled_from(["null", "[]", '[{"session": 1, "authid": "a", "authrole": "x"}]']),
        "unheard_of": json_values,
    },
)
_ODD_LISTS = (
    *("[true]", "[1.0]", "{}", "0", "[{}]", '[{"session": true, "authid": null, "authrole": "x"}]'),
    *('[{"session": 1, "authid": null, "authrole": "x"}]', '[{"session": 1, "authid": "a", "authrole": "x"}, 1]'),
)
_wrong_options = st.sampled_from(_ODD_LISTS).map(lambda text: object_of(("forward_for", text)))
_odd_options = st.dictionaries(
    st.sampled_from(["eligible", "exclude_authid", "eligible_authrole", "exclude_me", "retain", "forward_for"]),
    st.one_of(json_values, st.sampled_from(_ODD_LISTS)),
    min_size=1,
)
_keywords = st.dictionaries(st.sampled_from(["a", "b", "options", "\ud800", "args"]), json_values, max_size=3)
_topics = st.one_of(st.sampled_from(["t", "com.example.topic", "http://example/ü", "a" * MAX_TOPIC]))
_wrong_topics = st.sampled_from(["wamp.x", "a" * (MAX_TOPIC + 1), "a..b", "", "a b", "#", "a.", "\ud800", "a\x85b"])
_odd_topics = st.one_of(_wrong_topics, _wrong_topics, st.text(max_size=8))


_args = st.lists(json_values, max_size=3).map(lambda texts: f"[{','.join(texts)}]")
_odd_args = st.one_of(
    json_texts,
    st.sampled_from(["5", "true", "null", '"ab\\u00e9"', '{"a": 1}']),
    st.just("a").map(lambda a: json.dumps(a * 17_000)),
)
_odd_keywords = st.one_of(json_texts, st.sampled_from(['{"topic": 1}', '{"self": 1}', "[1]", "0", '""', "5"]))


def _object(members: dict[str, str]) -> str:
    return object_of(*members.items())


@st.composite
def _body(draw: DrawFn, topic: str, flaw: str) -> str:
    right = {"args": _args, "kwargs": _keywords.map(_object), "options": _sane_options.map(_object)}
    odd = {
        "args": _odd_args,
        "kwargs": _odd_keywords,
        "options": st.one_of(_odd_options.map(_object), _wrong_options, json_values),
    }
    fields = {"topic": json.dumps(topic)}
    fields |= {name: draw(texts) for name, texts in right.items() if draw(st.booleans())}
    if flaw == "fields":
        name = draw(st.sampled_from([*odd, "topic"]))
        if name == "topic":
            del fields[name]
        else:
            fields[name] = draw(odd[name])
    return object_of(*draw(st.permutations(list(fields.items()))))


@st.composite
def _pushes(draw: DrawFn) -> Request:
    flaw = draw(st.sampled_from(_FLAWS))
    topic = draw(_odd_topics if flaw == "topic" else _topics)
    if flaw == "text":
        body = draw(encodings)(draw(st.one_of(json_texts, broken(_body(topic, "")))))
    else:
        body = draw(_body(topic, flaw)).encode("utf-8", "surrogatepass")
    fields: dict[str, str] = {}
    if draw(st.booleans()) or flaw in ("secret", "late", "number"):
        key = draw(st.sampled_from(list(SECRETS)))
        delta = draw(clock_errors) if flaw == "late" else draw(st.sampled_from([0, 299, -299]))
        timestamp = datetime.fromtimestamp(NOW + delta, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        seq, nonce = (draw(_numbers) if flaw == "number" else str(draw(st.integers(0, 2**53))) for _ in range(2))
        secret = b"guess" if flaw == "secret" else SECRETS[key]
        signature = signature_of(secret, key, timestamp, seq, nonce, body)
        fields = {"key": key, "timestamp": timestamp, "seq": seq, "nonce": nonce, "signature": signature}
    if flaw == "body":
        body = draw(other_bodies)(body)
    content_type = draw(
        st.one_of(st.sampled_from(_WRONG_TYPES), maybe(plain_texts)) if flaw == "type" else st.sampled_from(_TYPES)
    )
    return Request(
        draw(queries(fields, flaw)), content_type, body, bool(fields.keys() & {"appkey", "key"}), flaw, topic
    )


_BROKEN = re.compile(
    r"a parameter's name is not ASCII|parameter '\w+' is not ASCII|the topic is not a URI"
    r"|topic length \(\d+\) exceeds maximum \(\d+\)|args is not a list|a keyword is named '(topic|self)'"
    r"|(options|kwargs) is not an object|option '\w+' must be .*"
)
"""Reasons of a 500 where the bridge fails and the hub says why. Any other 500 would be a bug of the hub."""


def _check(request: Request) -> None:
    for keys in (KEYS, {}):
        verdict = judged_twice(crossbar.judge, request, keys)
        if isinstance(verdict, Refused):
            assert verdict.status in (200, 400, 401, 413, 500), verdict
            assert verdict.status != 500 or _BROKEN.fullmatch(verdict.reason), verdict
            assert verdict.status != 200 or verdict.reason == "wamp.error.invalid_uri", verdict
            fits(verdict)
            assert request.flaw or (keys and not request.signed), f"a valid push is refused: {verdict}"
            continue
        said = parsed(request.body.decode("utf-8"))
        if said is not TOO_DEEP:
            assert isinstance(said, dict)
            assert verdict.topic == said["topic"]
            event, args, kwargs = spliced(verdict)
            expected = list(said.get("args") or [])
            keywords = {name: value for name, value in (said.get("kwargs") or {}).items() if name != "options"}
            lone = len(expected) == 1 and not keywords
            if event is not TOO_DEEP:
                assert args == expected
                assert kwargs == (keywords or None)
                assert event == (expected[0] if lone else {"args": expected, "kwargs": keywords})
        assert len(verdict.topic) <= MAX_TOPIC
        assert len(request.body) <= MAX_BODY
        assert (verdict.key is None) == (not keys), "a hub with keys accepts an unsigned push"
        if verdict.key is not None:
            named: dict[str, str] = {}
            fields = [field for field in request.query.replace(";", "&").split("&") if "=" in field]
            for name, value in pairs_of("&".join(fields)):
                named.setdefault(name, value)
            assert named["key"] == verdict.key
            parts = [named[name] for name in ("key", "timestamp", "seq", "nonce")]
            assert named["signature"] == signature_of(SECRETS[verdict.key], *parts, request.body)
            signed_at = datetime.strptime(named["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
            assert abs(signed_at.timestamp() - NOW) <= 300


BRIDGE = Target("bridge", _pushes(), _check, share=2)
