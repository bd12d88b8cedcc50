"""The judge of pushes: the rows of the original hub's table, its leniencies, and whatever else may be sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webmqconnect_async.hub._pushes.verdicts import Accepted, Refused, Rules
from webmqconnect_async.hub._pushes.webmq import judge, judge_head
from webmqconnect_async.signing import Credentials

FORM = "application/x-www-form-urlencoded"
SIGNED_AT = 1318611591.0  # 2011-10-14T16:59:51Z
TOPIC = "topicuri=http%3A%2F%2Fexample.com%2Fsimple"
SIGNATURE = "Xb1_rlsdin9c1AC9mSNqXZF1ybyseyQmMAxJOFVdoB8="  # of vector webmq-01
BODY = b'"Hello, world!"'
KEYS = {"foobar": Credentials("foobar", "secret")}
ALL_OR_NONE = "either all or none of parameters 'appkey', 'signature' and 'timestamp' must be present"


class Vector(TypedDict):
    id: str
    topic: str
    key: str
    secret: str
    timestamp: str
    body: str
    query: str
    eligible: list[str] | None
    exclude: list[str] | None


VECTORS: list[Vector] = json.loads((Path(__file__).parent.parent / "vectors" / "webmq.json").read_text("utf-8"))[
    "vectors"
]


def judged(
    query: str = TOPIC,
    body: bytes = BODY,
    *,
    content_type: str | None = FORM,
    now: float = SIGNED_AT,
    keys: dict[str, Credentials] | None = None,
    max_topic: int = 1024,
) -> Accepted | Refused:
    return judge(query, content_type, body, now, Rules(keys or {}, 4096, max_topic))


def signed(key: str = "foobar", timestamp: str = "2011-10-14T16:59:51Z", signature: str = SIGNATURE) -> str:
    return f"{TOPIC}&appkey={quote(key)}&timestamp={quote(timestamp)}&signature={quote(signature)}"


def accepted(verdict: Accepted | Refused) -> Accepted:
    assert isinstance(verdict, Accepted), verdict
    return verdict


def test_an_unsigned_push_is_accepted_where_no_keys_are() -> None:
    assert judged() == Accepted("http://example.com/simple", '"Hello, world!"', None, frozenset(), None)


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v["timestamp"] == "2011-10-14T16:59:51Z"], ids=lambda v: v["id"]
)
def test_every_known_good_signature_is_accepted(vector: Vector) -> None:
    keys = {vector["key"]: Credentials(vector["key"], vector["secret"])}
    verdict = accepted(judged(vector["query"], vector["body"].encode(), keys=keys))
    assert (verdict.topic, verdict.key) == (vector["topic"], vector["key"])
    assert verdict.event == vector["body"].strip()
    assert verdict.eligible == (None if vector["eligible"] is None else frozenset(vector["eligible"]))
    assert verdict.exclude == frozenset(vector["exclude"] or ())


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 20


@pytest.mark.parametrize(
    ("verdict", "status", "reason"),
    [
        (judged(content_type=None), 400, "bad or missing content type ('missing')"),
        (judged(content_type="text/plain"), 400, "bad or missing content type ('text/plain')"),
        (judged(content_type=FORM + "; charset=utf-8"), 400, f"bad or missing content type ('{FORM}; charset=utf-8')"),
        (judged(content_type=FORM.upper()), 400, f"bad or missing content type ('{FORM.upper()}')"),
        (judged(body=b"1" * 4097), 400, "content length (4097) exceeds maximum (4096)"),
        (judged(""), 400, "missing query parameter 'topicuri'"),
        (judged("topic=x"), 400, "missing query parameter 'topicuri'"),
        (judged("topicuri=" + "x" * 9, max_topic=8), 400, "topic length (9) exceeds maximum (8)"),
        (judged(TOPIC + "&appkey=a"), 400, ALL_OR_NONE),
        (judged(TOPIC + "&appkey=a&timestamp=b"), 400, ALL_OR_NONE),
        (judged(TOPIC + "&appkey=a&timestamp=&signature=c"), 400, ALL_OR_NONE),
        (
            judged(signed(timestamp="yesterday"), keys=KEYS),
            400,
            "invalid timestamp 'yesterday' (must be i.e. '2011-10-14T16:59:51Z'",
        ),
        (judged(signed(), now=SIGNED_AT + 302, keys=KEYS), 400, "timestamp expired (delta 302 seconds)"),
        (judged(signed(), now=SIGNED_AT - 301.6, keys=KEYS), 400, "timestamp expired (delta 302 seconds)"),
        (judged(signed(key="nobody"), keys=KEYS), 400, "unknown application key 'nobody'"),
        (judged(signed()), 400, "unknown application key 'foobar'"),
        (judged(signed(signature="x")), 400, "unknown application key 'foobar'"),
        (judged(signed(signature="wrong"), keys=KEYS), 401, "invalid request signature"),
        (judged(signed(), b'"Hello, World!"', keys=KEYS), 401, "invalid request signature"),
        (judged(keys=KEYS), 401, "not authorized (this hub takes signed pushes only)"),
        (
            judged(TOPIC + "&appkey=&timestamp=&signature=", keys=KEYS),
            401,
            "not authorized (this hub takes signed pushes only)",
        ),
        (judged(body=b""), 400, "invalid JSON in request body"),
        (judged(body=b"{"), 400, "invalid JSON in request body"),
    ],
)
def test_a_row_of_the_table(verdict: Accepted | Refused, status: int, reason: str) -> None:
    assert verdict == Refused(status, reason)


def test_the_checks_come_in_the_order_of_the_table() -> None:
    """Each request has every fault from its row on; the first is the one named."""
    long, bad_json = b"{" * 4097, b"{"
    for verdict, said in [
        (judged("", long, content_type=None, keys=KEYS), "content type"),
        (judged("", long, keys=KEYS), "content length"),
        (judged("appkey=a", bad_json, keys=KEYS), "missing query parameter"),
        (judged(TOPIC + "&appkey=a", bad_json, keys=KEYS), "all or none"),
        (judged(signed("no", "x", "no"), bad_json, keys=KEYS), "invalid timestamp"),
        (judged(signed("no", signature="no"), bad_json, now=0, keys=KEYS), "timestamp expired"),
        (judged(signed("no", signature="no"), bad_json, keys=KEYS), "unknown application key"),
        (judged(signed(signature="no"), bad_json, keys=KEYS), "invalid request signature"),
        (judged(TOPIC, bad_json, keys=KEYS), "not authorized"),
        (judged(TOPIC, bad_json), "invalid JSON"),
    ]:
        assert isinstance(verdict, Refused)
        assert said in verdict.reason


def test_the_head_is_judged_without_the_body() -> None:
    assert judge_head(FORM, 4096, 4096) is None
    assert judge_head(FORM, 10**9, 4096) == Refused(400, "content length (1000000000) exceeds maximum (4096)")


@pytest.mark.parametrize("delta", [-300.4, -300, 0, 300, 300.4])
def test_a_timestamp_may_be_300_seconds_off_after_rounding(delta: float) -> None:
    accepted(judged(signed(), now=SIGNED_AT + delta, keys=KEYS))


@pytest.mark.parametrize("timestamp", ["2011-10-14T16:59:5Z", "2011-10-14T16:5:51Z", "2011-1-4T1:1:1Z"])
def test_a_timestamp_of_single_digits_passes(timestamp: str) -> None:
    verdict = judged(signed(timestamp=timestamp), keys=KEYS)
    assert isinstance(verdict, Refused)
    assert "invalid timestamp" not in verdict.reason


@pytest.mark.parametrize(
    "timestamp",
    [
        "2011-10-14T16:59:51.123Z",
        "2011-10-14T16:59:51+00:00",
        "2011-10-14T16:59:51",
        "2011-10-14T16:59:51Z ",
        " 2011-10-14T16:59:51Z",
        "2011-10-14 16:59:51Z",
        "2011-02-30T16:59:51Z",
        "0000-10-14T16:59:51Z",
        "2012-06-30T23:59:60Z",
        "1318611591",
    ],
)
def test_a_timestamp_of_another_form_is_refused(timestamp: str) -> None:
    verdict = judged(signed(timestamp=timestamp), keys=KEYS)
    assert verdict == Refused(400, f"invalid timestamp '{timestamp}' (must be i.e. '2011-10-14T16:59:51Z'")


@pytest.mark.parametrize("signature", [SIGNATURE[:-1], SIGNATURE.lower(), SIGNATURE.replace("_", "/"), "é", "\x00"])
def test_a_signature_is_compared_whole(signature: str) -> None:
    verdict = judged(signed(signature=signature), keys=KEYS)
    assert verdict == Refused(401, "invalid request signature")


def test_a_refusal_holds_neither_signature_nor_secret() -> None:
    verdict = judged(signed(), b'"forged"', keys=KEYS)
    assert isinstance(verdict, Refused)
    assert SIGNATURE not in verdict.reason
    assert "secret" not in repr(verdict)


def test_a_key_is_echoed_short_and_printable() -> None:
    verdict = judged(signed(key="\r\n\x1b[31m<b>" + "x" * 1000), keys=KEYS)
    assert verdict == Refused(400, "unknown application key '\\u000d\\u000a\\u001b[31m<b>" + "x" * 90 + "…'")


def test_a_content_type_is_echoed_short_and_printable() -> None:
    verdict = judged(content_type="\udcff" + "x" * 200)
    assert verdict == Refused(400, "bad or missing content type ('\\udcff" + "x" * 99 + "…')")


@pytest.mark.parametrize("name", ["topicuri", "appkey", "timestamp", "signature", "eligible", "exclude"])
def test_a_parameter_given_twice_is_refused(name: str) -> None:
    assert judged(f"{TOPIC}&{name}=a&{name}=a") == Refused(400, f"query parameter '{name}' given twice")


def test_a_parameter_is_known_by_its_decoded_name() -> None:
    assert accepted(judged("%74opicuri=x")).topic == "x"
    assert judged("topicuri=x&%74opicuri=y") == Refused(400, "query parameter 'topicuri' given twice")


@pytest.mark.parametrize("name", ["topicuri", "appkey", "eligible", "exclude"])
def test_a_value_that_is_not_utf8_is_refused_by_name(name: str) -> None:
    query = f"{name}=%ff" if name == "topicuri" else f"{TOPIC}&{name}=%C3"
    assert judged(query) == Refused(400, f"query parameter '{name}' is not UTF-8")


def test_unknown_parameters_are_ignored_even_broken_ones() -> None:
    assert accepted(judged(f"&&=&x=1&x=2&y=%ff&%ff=1&{TOPIC}&topic=other")).topic == "http://example.com/simple"


@pytest.mark.parametrize(
    ("value", "topic"),
    [
        ("", ""),
        ("a+b%20c", "a b c"),
        ("%7Ea~b", "~a~b"),
        ("%C3%BC%E2%82%AC", "ü€"),
        ("a%2Bb%26c%3Dd%23e%3Bf", "a+b&c=d#e;f"),
        ("a=b;c=d#e", "a=b;c=d#e"),
        ("%0D%0A%00", "\r\n\0"),
        ("100%", "100%"),
        ("http://EXAMPLE.com/", "http://EXAMPLE.com/"),
    ],
)
def test_a_topic_is_form_decoded_and_not_touched_otherwise(value: str, topic: str) -> None:
    assert accepted(judged(f"topicuri={value}")).topic == topic


@pytest.mark.parametrize(
    ("parameters", "eligible", "exclude"),
    [
        ("", None, set()),
        ("&eligible=", set(), set()),
        ("&eligible", set(), set()),
        ("&eligible=,", set(), set()),
        ("&eligible=a", {"a"}, set()),
        ("&eligible=a%2C+b+,,c", {"a", "b", "c"}, set()),
        ("&exclude=", None, set()),
        ("&exclude=a,b&eligible=b", {"b"}, {"a", "b"}),
    ],
)
def test_eligible_and_exclude(parameters: str, eligible: set[str] | None, exclude: set[str]) -> None:
    verdict = accepted(judged(TOPIC + parameters))
    assert verdict.eligible == eligible
    assert verdict.exclude == exclude


@pytest.mark.parametrize(
    "body", [b'"&topicuri=other&eligible=&exclude=a&body=1&event=2"', b'{"a":"x;topicuri=other;eligible="}']
)
def test_what_looks_like_a_form_field_in_the_body_changes_nothing(body: bytes) -> None:
    assert accepted(judged(body=body)) == Accepted("http://example.com/simple", body.decode(), None, frozenset(), None)


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b"null", "null"),
        (b" \t\r\n[1.10, 1e400,\n12345678901234567890] \n", "[1.10, 1e400,\n12345678901234567890]"),
        (b'"\xc3\xbc \\ud800"', '"ü \\ud800"'),
        (b'{"a":1,"a":2}', '{"a":1,"a":2}'),
        (b"[" * 90 + b"]" * 90, "[" * 90 + "]" * 90),
    ],
)
def test_an_event_is_passed_on_as_its_own_text(body: bytes, event: str) -> None:
    assert accepted(judged(body=body)).event == event


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"NaN",
        b"[Infinity]",
        b'{"a":-Infinity}',
        b"\xef\xbb\xbf1",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"1 2",
        b'1],["x"',
        b"'a'",
        b'"a\nb"',
        b"01",
        b"\xc2\xa01",
        b"1\x00",
        b"\xd9\xa1",
        b"[" * 200_000 + b"]" * 200_000,
        b"9" * 4301,
    ],
)
def test_what_a_browser_would_not_parse_or_we_cannot_is_no_event(body: bytes) -> None:
    verdict = judge(TOPIC, FORM, body, SIGNED_AT, Rules({}, 1 << 20, 1024))
    assert verdict == Refused(400, "invalid JSON in request body")


def test_no_repr_shows_a_secret() -> None:
    assert "secret" not in repr(KEYS)


queries = st.one_of(
    st.text(),
    st.text(alphabet="topicuriappkeytimestampsignatureeligibleexclude=&%+;,0123456789abcdefABCDEF\udcff"),
    st.lists(
        st.tuples(
            st.sampled_from(["topicuri", "appkey", "timestamp", "signature", "eligible", "exclude", "other"]),
            st.one_of(st.text(), st.sampled_from(["2011-10-14T16:59:51Z", "foobar", SIGNATURE, "%ff", ""])),
        ),
        max_size=8,
    ).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)),
)


@given(
    query=queries,
    content_type=st.one_of(st.just(FORM), st.none(), st.text()),
    body=st.one_of(st.binary(max_size=5000), st.text().map(lambda text: json.dumps(text).encode())),
    now=st.floats(allow_nan=False, allow_infinity=False),
    keys=st.sampled_from([{}, KEYS]),
)
@example(query="topicuri=\ud800", content_type=FORM, body=b"1", now=0.0, keys={})
def test_whatever_is_sent_is_accepted_or_refused(
    query: str, content_type: str | None, body: bytes, now: float, keys: dict[str, Credentials]
) -> None:
    verdict = judge(query, content_type, body, now, Rules(keys, 4096, 1024))
    if isinstance(verdict, Refused):
        assert 400 <= verdict.status < 500
        assert verdict.reason.isprintable()
    else:
        json.loads(verdict.event)
        verdict.topic.encode()


def without_surrogates(max_size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet=st.characters(codec="utf-8"), max_size=max_size)


@given(topic=without_surrogates(1024), quoted=st.sampled_from([quote_plus, quote]))
def test_any_topic_survives_the_query(topic: str, quoted: Callable[[str], str]) -> None:
    assert accepted(judged(f"topicuri={quoted(topic)}")).topic == topic


@given(ids=st.frozensets(without_surrogates(20).map(lambda text: text.replace(",", "").strip()).filter(bool)))
def test_any_session_ids_survive_the_query(ids: frozenset[str]) -> None:
    joined = quote_plus(",".join(ids))
    verdict = accepted(judged(f"{TOPIC}&exclude={joined}&eligible={joined}"))
    assert verdict.eligible == verdict.exclude == ids
