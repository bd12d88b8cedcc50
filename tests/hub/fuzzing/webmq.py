"""Pushes in the format of the WebMQ hub: everything but the event is in the query."""

from __future__ import annotations

import time
from calendar import timegm

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from webmqconnect_async.hub._pushes import webmq
from webmqconnect_async.hub._pushes.verdicts import Refused

from .engine import Target
from .pushes import (
    FORM,
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
from .texts import encodings, json_texts, json_values, maybe

__all__ = ["WEBMQ"]

_FLAWS = (
    "",
    "",
    "",
    *[
        "drop",
        "repeat",
        "empty",
        "change",
        "swap",
        "garbage",
        "broken",
        "secret",
        "late",
        "body",
        "type",
        "event",
        "long",
    ],
)
"""What is changed in a push; often nothing."""


@st.composite
def _pushes(draw: DrawFn) -> Request:
    flaw = draw(st.sampled_from(_FLAWS))
    text = draw(json_texts if flaw == "event" else json_values)
    body = draw(encodings)(text) if flaw == "event" else text.encode("utf-8", "surrogatepass")
    topic = draw(st.one_of(st.sampled_from(["t", "http://example.com/ü?a=b&c#d", "", "\x00\u2028"]), plain_texts))
    fields = {"topicuri": topic * 40 if flaw == "long" else topic}
    if draw(st.booleans()) or flaw in ("secret", "late"):
        key = draw(st.sampled_from(list(SECRETS)))
        delta = draw(clock_errors) if flaw == "late" else draw(st.sampled_from([0, 299, -299, 300, -300]))
        timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW + delta))
        secret = b"guess" if flaw == "secret" else SECRETS[key]
        fields |= {
            "appkey": key,
            "timestamp": timestamp,
            "signature": signature_of(secret, topic, key, timestamp, body),
        }
    for name in ("eligible", "exclude"):
        ids = draw(maybe(st.sampled_from(["", "1,2", " 1 ,, x", ",", "1" * 500])))
        if ids is not None:
            fields[name] = ids
    if flaw == "body":
        body = draw(other_bodies)(body)
    content_type = draw(maybe(plain_texts)) if flaw == "type" else FORM
    return Request(
        draw(queries(fields, flaw)), content_type, body, bool(fields.keys() & {"appkey", "key"}), flaw, topic
    )


def _check(request: Request) -> None:
    for keys in (KEYS, {}):
        verdict = judged_twice(webmq.judge, request, keys)
        if isinstance(verdict, Refused):
            assert verdict.status in (400, 401), verdict
            fits(verdict)
            assert request.flaw or request.signed != bool(keys), f"a valid push is refused: {verdict}"
            continue
        given = [pair for pair in pairs_of(request.query) if pair[0] in webmq._NAMES.values()]
        named = dict(given)
        assert len(given) == len(named), "a repeated parameter is accepted"
        assert verdict.topic == named["topicuri"]
        assert len(verdict.topic) <= MAX_TOPIC
        assert len(request.body) <= MAX_BODY
        assert request.content_type == FORM
        event = parsed(request.body.decode("utf-8"))
        assert spliced(verdict) in ((event, [event], None), (TOO_DEEP, TOO_DEEP, TOO_DEEP))
        assert verdict.eligible == (None if "eligible" not in named else _ids(named["eligible"]))
        assert verdict.exclude == _ids(named.get("exclude", ""))
        assert (verdict.key is None) == (not keys), "a hub with keys accepts an unsigned push"
        if verdict.key is not None:
            assert named["appkey"] == verdict.key
            parts = (verdict.topic, verdict.key, named["timestamp"], request.body)
            assert named["signature"] == signature_of(SECRETS[verdict.key], *parts)
            assert abs(timegm(time.strptime(named["timestamp"], "%Y-%m-%dT%H:%M:%SZ")) - NOW) <= 300.5


def _ids(text: str) -> frozenset[str]:
    return frozenset(each.strip() for each in text.split(",") if each.strip())


WEBMQ = Target("judge", _pushes(), _check, share=2)
