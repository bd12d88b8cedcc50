"""The judge of pushes in Crossbar.io's dialect: the bridge's table and its order, and whatever else may be sent.

`tests/crossbar` holds the same against Crossbar.io itself. What is expected here are literals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webmqconnect_async._core import strict_json
from webmqconnect_async.hub._publication import Receivers
from webmqconnect_async.hub._pushes import webmq
from webmqconnect_async.hub._pushes.crossbar import judge, judge_head
from webmqconnect_async.hub._pushes.verdicts import Accepted, Refused, Rules
from webmqconnect_async.signing import Credentials, sign

JSON = "application/json"
SIGNED_AT = 1318611591.123
FIELDS = {"key": "foobar", "timestamp": "2011-10-14T16:59:51.123Z", "seq": "1", "nonce": "1234567890"}
SIGNATURE = "5Py5FHl54Y7wB6A0cX1eIROqCNPeK9MwHEoWR9q4w6o="  # of vector crossbar-01
BODY = b'{"topic":"com.example.topic","args":["Hello, world!"]}'
PUSH = {"topic": "com.example.topic", "args": [1]}
KEYS = {"foobar": Credentials("foobar", "secret")}
NOBODY = frozenset[str]()
EMPTY: list[object] = [None, [], {}, "", 0, False]
NO_IDS: list[object] = [["1"], [1.0], [None], [True], [[1]], "1", True, {}, 1.5]
NO_NAMES: list[object] = [[1], [None], ["a", 1], 1, True, {}]
NO_FLAGS: list[object] = [1, 0, "", []]
NO_FORWARDERS: list[object] = [1, {}, [1], [{}], [{"session": True, "authid": "a", "authrole": "b"}]]

INVALID = "REST bridge signature was invalid ("
MISSING = INVALID + "missing mandatory field - "
WRONG_KEY = Refused(401, "REST bridge signature key not valid.")
WRONG_SIGNATURE = Refused(401, "REST bridge signature secret not valid.")
EXPIRED = Refused(400, "Request expired, too old timestamp.")
NOT_JSON = Refused(400, "Request body was invalid JSON.")
NOT_UTF8 = Refused(400, "Non-decodable request body, was not UTF-8.")
NO_CHARSET = Refused(400, "Non-accepted request encoding, must be UTF-8.")


class Vector(TypedDict):
    id: str
    key: str
    secret: str
    timestamp: str
    body: str
    query: str


VECTORS: list[Vector] = json.loads((Path(__file__).parent.parent / "vectors" / "crossbar.json").read_text("utf-8"))[
    "vectors"
]


def judged(
    query: str = "",
    body: bytes | object = BODY,
    *,
    content_type: str | None = JSON,
    now: float = SIGNED_AT,
    keys: Mapping[str, Credentials] | None = None,
    max_body: int = 1 << 16,
    max_topic: int = 1024,
) -> Accepted | Refused:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(query, content_type, sent, now, Rules(keys or {}, max_body, max_topic))


def accepted(body: bytes | object) -> Accepted:
    verdict = judged(body=body)
    assert isinstance(verdict, Accepted), verdict
    return verdict


def signed(signature: str | None = SIGNATURE, **changed: str | None) -> str:
    """Return the query of vector crossbar-01; None leaves a parameter out."""
    fields = {**FIELDS, "signature": signature, **changed}
    return "&".join(f"{name}={quote_plus(value)}" for name, value in fields.items() if value is not None)


def resigned(body: bytes = BODY, **changed: str) -> str:
    """Return a query whose signature is right, whatever the parameters are."""
    fields = {**FIELDS, **changed}
    parts = (fields[name].encode() for name in ("key", "timestamp", "seq", "nonce"))
    return signed(sign(KEYS["foobar"], *parts, body), **changed)


def test_an_unsigned_push_is_accepted_where_no_keys_are() -> None:
    assert judged() == Accepted("com.example.topic", '"Hello, world!"', args='["Hello, world!"]')


# Signatures


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_every_known_good_signature_is_accepted_and_what_was_changed_is_not(vector: Vector) -> None:
    keys = {vector["key"]: Credentials(vector["key"], vector["secret"])}
    now = datetime.fromisoformat(vector["timestamp"]).timestamp()
    body = vector["body"].encode()
    verdict = judged(vector["query"], body, keys=keys, now=now)
    assert isinstance(verdict, Accepted)
    assert (verdict.topic, verdict.key) == (json.loads(body)["topic"], vector["key"])
    assert judged(vector["query"], body + b" ", keys=keys, now=now) == WRONG_SIGNATURE
    assert judged(vector["query"].replace("&seq=", "&seq=0"), body, keys=keys, now=now) == WRONG_SIGNATURE
    assert judged(vector["query"].replace("&nonce=", "&nonce=-"), body, keys=keys, now=now) == WRONG_SIGNATURE
    assert judged(vector["query"].replace("&nonce=", "&nonce=1&nonce="), body, keys=keys, now=now) == WRONG_SIGNATURE
    other = {vector["key"]: Credentials(vector["key"], vector["secret"] + "x")}
    assert judged(vector["query"], body, keys=other, now=now) == WRONG_SIGNATURE


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 20


def test_a_changed_timestamp_is_another() -> None:
    assert judged(signed(timestamp="2011-10-14T16:59:51.124Z"), keys=KEYS) == WRONG_SIGNATURE


def test_the_same_credentials_sign_both_dialects() -> None:
    """A hub has one set of keys, and `key` says in both whose push it was."""
    bridged = judged(signed(), keys=KEYS)
    query = (
        "topicuri=http%3A%2F%2Fexample.com%2Fsimple&appkey=foobar&timestamp=2011-10-14T16%3A59%3A51Z"
        "&signature=Xb1_rlsdin9c1AC9mSNqXZF1ybyseyQmMAxJOFVdoB8%3D"
    )
    form = "application/x-www-form-urlencoded"
    plain = webmq.judge(query, form, b'"Hello, world!"', SIGNED_AT, Rules(KEYS, 4096, 1024))
    assert isinstance(bridged, Accepted)
    assert isinstance(plain, Accepted)
    assert (bridged.key, bridged.event) == (plain.key, plain.event) == ("foobar", '"Hello, world!"')


@pytest.mark.parametrize(
    "signature", ["", "x", SIGNATURE[:-1], SIGNATURE + "=", SIGNATURE.swapcase(), "é", "\udcff", "5" * 10_000]
)
def test_a_wrong_signature_is_compared_and_refused(signature: str) -> None:
    """Whatever its characters: a comparison in constant time takes ASCII text alone."""
    quoted = quote(signature, safe="", errors="surrogateescape")
    assert judged(f"{signed(None)}&signature={quoted}", keys=KEYS) == WRONG_SIGNATURE


def test_a_refusal_never_tells_the_right_signature() -> None:
    for query in (signed("x"), signed(), resigned(nonce="2"), signed("x", seq="y")):
        assert SIGNATURE.rstrip("=") not in repr(judged(query, BODY + b" ", keys=KEYS))


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("", Refused(400, MISSING + "'key' field missing).")),
        (signed(key=None), Refused(400, MISSING + "'key' field missing).")),
        (signed().replace("key=foobar", "key"), Refused(400, MISSING + "'key' field missing).")),
        (
            signed(timestamp=None),
            Refused(400, MISSING + "signed request required, but mandatory 'timestamp' field missing)."),
        ),
        (signed(seq=None), Refused(400, MISSING + "'seq' field missing).")),
        (signed(nonce=None), Refused(400, MISSING + "'nonce' field missing).")),
        (signed(None), Refused(400, MISSING + "'signature' field missing).")),
        (signed().upper(), Refused(400, MISSING + "'key' field missing).")),
        (signed(key="other"), WRONG_KEY),
        (signed(key=""), WRONG_KEY),
        (signed(key="é"), WRONG_KEY),
        (signed(key="foobar\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), WRONG_KEY),
        (signed("x"), WRONG_SIGNATURE),
        (signed(seq="x"), Refused(400, INVALID + "invalid sequence number 'x' (must be an integer)).")),
        (signed(nonce="1.0"), Refused(400, INVALID + "invalid nonce '1.0' (must be an integer)).")),
        (signed(nonce="9" * 4301), Refused(400, INVALID + f"invalid nonce '{'9' * 100}…' (must be an integer)).")),
    ],
)
def test_what_is_wrong_with_a_signed_push(query: str, refused: Refused) -> None:
    assert judged(query, keys=KEYS) == refused


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2011-10-14T16:59:51Z", "2011-10-14T16:59:51.Z", "2011-10-14T16:59:51.1234567Z"),
        *("2011-10-14 16:59:51.123Z", "2011-10-14T16:59:51.123", "2011-10-14T16:59:51.123+00:00", "1318611591.123"),
        *("2011-10-14T16:59:51.123Z ", "2011-02-30T16:59:51.123Z", "2011-10-14T24:00:00.0Z"),
    ],
)
def test_a_timestamp_that_is_none(text: str) -> None:
    form = "(must be UTC/ISO-8601, e.g. '2011-10-14T16:59:51.123Z')"
    said = Refused(400, f"{INVALID}invalid timestamp '{text}' {form}).")
    assert judged(resigned(timestamp=text), keys=KEYS) == said
    assert judged(f"timestamp={quote_plus(text)}") == said


@pytest.mark.parametrize("text", ["2011-10-14T16:59:51.1Z", "2011-10-14T16:59:51.123456Z", "2011-10-14T16:59:51.0Z"])
def test_a_fraction_has_one_to_six_digits(text: str) -> None:
    assert isinstance(judged(resigned(timestamp=text), keys=KEYS), Accepted)


@pytest.mark.parametrize("late", [300.5, -300.5, 1e9, -1e9])
def test_a_stale_timestamp(late: float) -> None:
    assert judged(signed(), keys=KEYS, now=SIGNED_AT + late) == EXPIRED
    assert judged(f"timestamp={quote_plus(FIELDS['timestamp'])}", now=SIGNED_AT + late) == EXPIRED


@pytest.mark.parametrize("late", [299.9, -299.9])
def test_a_timestamp_may_be_off_by_300_seconds(late: float) -> None:
    assert isinstance(judged(signed(), keys=KEYS, now=SIGNED_AT + late), Accepted)


@pytest.mark.parametrize("text", ["0", "-0", "+1", " 1 ", "1_0", "\x0b1", "9" * 4300])
def test_a_number_is_what_python_takes_for_one(text: str) -> None:
    for name in ("seq", "nonce"):
        assert isinstance(judged(resigned(BODY, **{name: text}), keys=KEYS), Accepted)


@pytest.mark.parametrize("text", ["", "x", "1.0", "1e3", "0x1", "1 0", "_1", "\x1c1"])
def test_a_number_that_is_none(text: str) -> None:
    """A blank of Unicode's alone is none: the bridge reads bytes."""
    shown = text.replace("\x1c", r"\u001c")
    assert judged(f"nonce={quote(text)}") == Refused(400, f"{INVALID}invalid nonce '{shown}' (must be an integer)).")


def test_an_unsigned_push_has_its_time_and_numbers_checked_and_nothing_else() -> None:
    assert isinstance(judged("key=x&signature=y&topicuri=z&seq&nonce&timestamp"), Accepted)
    assert isinstance(judged(signed("wrong")), Accepted)
    assert judged("seq=x") == Refused(400, INVALID + "invalid sequence number 'x' (must be an integer)).")
    verdict = judged(signed("wrong"))
    assert isinstance(verdict, Accepted)
    assert verdict.key is None


@pytest.mark.parametrize("name", ["timestamp", "seq", "nonce"])
@pytest.mark.parametrize("text", ["%C3%A9", "%FF", "%D9%A1", "%C2%A01"])
def test_what_is_not_ascii_breaks_the_bridge(name: str, text: str) -> None:
    assert judged(f"{name}={text}") == Refused(500, f"parameter '{name}' is not ASCII")


@pytest.mark.parametrize("query", ["%C3%A9=1", "%FF=1", "é=1", "\udcff=1", f"{signed()}&%C3%A9=1"])
def test_a_name_that_is_not_ascii_breaks_the_bridge(query: str) -> None:
    assert judged(query, keys=KEYS) == Refused(500, "a parameter's name is not ASCII")


def test_how_a_query_is_read() -> None:
    """A semicolon parts as well, the first of two counts, a name without a value is none, blanks may be plus signs."""
    for query in (
        signed().replace("&", ";"),
        f"{signed()}&key=x&seq=y&signature=z",
        f"key&signature&{signed()}",
        f"&&;;{signed()}&",
        signed().replace("key=", "%6b%65y="),
    ):
        assert isinstance(judged(query, keys=KEYS), Accepted), query
    assert isinstance(judged(resigned(seq=" 1").replace("%20", "+"), keys=KEYS), Accepted)
    assert judged(f"key=x&{signed()}", keys=KEYS) == WRONG_KEY


# The order of the checks: each row is wrong in what it says, and in all that the rows below it say


def test_the_order_of_the_checks() -> None:
    stale, now = "2000-01-01T00:00:00.0Z", SIGNED_AT
    rows: list[tuple[Accepted | Refused, int, str]] = [
        (judged("seq=x", b"\xff", content_type="a/b", keys=KEYS, max_body=0), 400, "Non-accepted content type."),
        (judged("", b"\xff", content_type=JSON + ";charset=x", keys=KEYS, max_body=0), 400, NO_CHARSET.reason),
        (judged("timestamp=x", b"\xff", keys=KEYS, max_body=0), 413, "Request too long."),
        (judged("timestamp=x&seq=y", b"\xff", keys=KEYS), 400, MISSING + "'key'"),
        (judged("key=x&seq=y", b"\xff", keys=KEYS), 400, MISSING + "signed request required"),
        (judged("key=x&timestamp=y&seq=z", b"\xff", keys=KEYS), 400, INVALID + "invalid timestamp"),
        (judged(f"key=x&timestamp={stale}&seq=z", b"\xff", keys=KEYS), 400, EXPIRED.reason),
        (judged("key=x&timestamp=2011-10-14T16:59:51.0Z", b"\xff", keys=KEYS), 400, MISSING + "'seq'"),
        (judged(signed("x", key="x", seq="y", nonce="z"), b"\xff", keys=KEYS), 400, INVALID + "invalid sequence"),
        (judged(signed("x", key="x", nonce=None), b"\xff", keys=KEYS), 400, MISSING + "'nonce'"),
        (judged(signed(None, key="x", nonce="z"), b"\xff", keys=KEYS), 400, INVALID + "invalid nonce"),
        (judged(signed(None, key="x"), b"\xff", keys=KEYS), 400, MISSING + "'signature'"),
        (judged(signed("x", key="x"), b"\xff", keys=KEYS), 401, WRONG_KEY.reason),
        (judged(signed("x"), b"\xff", keys=KEYS), 401, WRONG_SIGNATURE.reason),
        (judged(resigned(b'\xff{"topic":5}'), b'\xff{"topic":5}', keys=KEYS, now=now), 400, NOT_UTF8.reason),
        (judged(body=b'{"topic":'), 400, NOT_JSON.reason),
        (judged(body=[]), 400, "Request body was valid JSON, but not well formed (must be a dict)."),
        (judged(body={"args": 5}), 400, "Request body was valid JSON, but not well formed (missing key 'topic')."),
        (judged(body={"topic": "wamp.a", "args": 5}), 500, "args is not a list"),
        (judged(body={"topic": "wamp.a", "options": {"eligible": "x"}}), 500, "option 'eligible'"),
        (judged(body={"topic": "wamp.a b"}), 500, "the topic is not a URI"),
        (judged(body={"topic": "wamp.a"}), 200, "wamp.error.invalid_uri"),
    ]
    for number, (verdict, status, said) in enumerate(rows):
        assert isinstance(verdict, Refused), number
        assert (number, verdict.status) == (number, status)
        assert verdict.reason.startswith(said)


# The head


@pytest.mark.parametrize(
    "content_type",
    [
        *(None, JSON, "Application/JSON", " application/json ", "application/json;", "application/json; charset"),
        *("application/json; charset=utf-8", "application/json;CHARSET = UTF8", "application/json; a=b; charset=utf-8"),
        *("application/json;boundary=x", "application/json;="),
    ],
)
def test_a_content_type_that_will_do(content_type: str | None) -> None:
    assert judge_head(content_type, 0, 1) is None
    assert isinstance(judged(content_type=content_type), Accepted)


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        *((text, text) for text in ("", "text/plain", "application/x-www-form-urlencoded", "application/json, x")),
        ("APPLICATION/JSONP", "application/jsonp"),
        ("<\x1b>" + "x" * 200, r"<\u001b>" + "x" * 97 + "…"),
    ],
)
def test_another_content_type(content_type: str, shown: str) -> None:
    said = f"Non-accepted content type. (must be 'application/json', not '{shown}')"
    assert judge_head(content_type, 0, 1) == judged(content_type=content_type) == Refused(400, said)


@pytest.mark.parametrize(
    "parameters", ['charset="utf-8"', "charset=latin1", "charset=", "charset=utf_8", "a=b=c", "a=1;a=2", "charset=é"]
)
def test_another_charset(parameters: str) -> None:
    assert judge_head(f"{JSON};{parameters}", 0, 1) == NO_CHARSET


def test_the_limit_on_bodies() -> None:
    too_long = Refused(413, f"Request too long. ({len(BODY)} is longer than accepted {len(BODY) - 1})")
    assert judged(max_body=len(BODY) - 1) == judge_head(JSON, len(BODY), len(BODY) - 1) == too_long
    assert isinstance(judged(max_body=len(BODY)), Accepted)


# The body


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        *((text, NOT_UTF8) for text in (b"\xff", b'{"topic":"\xed\xa0\x80"}', '{"topic":"a"}'.encode("utf-16"))),
        *((text, NOT_JSON) for text in (b"", b" ", b"{", b"x", b'{"topic":"a"} x', b'\xef\xbb\xbf{"topic":"a"}')),
        (b'{"topic":"a","args":[%b]}' % (b"1" * 4301), NOT_JSON),
        (b'{"topic":"a","args":%b}' % (b"[" * 20_000 + b"]" * 20_000), NOT_JSON),
        # Crossbar.io takes these, and whoever reads JSON strictly cannot read the event.
        *((b'{"topic":"a","args":[%b]}' % text, NOT_JSON) for text in (b"NaN", b"-Infinity", b"1e400")),
        *(
            (text, Refused(400, "Request body was valid JSON, but not well formed (must be a dict)."))
            for text in (b"null", b"[]", b"5", b'"topic"', b"true")
        ),
        (b"{}", Refused(400, "Request body was valid JSON, but not well formed (missing key 'topic').")),
        (b'{"topic":"a","topic":"b c"}', Refused(500, "the topic is not a URI")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_is_none(body: bytes, refused: Refused) -> None:
    assert judged(body=body) == refused


@pytest.mark.parametrize(
    "topic",
    [
        *("", "a..b", ".a", "a.", ".", "a b", "\n", "a\n", "a#b", "#", "a\u00a0b", "a\x1c"),
        *(None, 5, True, ["a"], {}),
    ],
)
def test_what_is_no_topic(topic: object) -> None:
    assert judged(body={"topic": topic}) == Refused(500, "the topic is not a URI")


@pytest.mark.parametrize(
    "topic", ["t", "com.bücher.✓.😀", "http://example.com/a?b=c&d;e", "A/b:c", "a\x00", "wamp", "crossbar.a", "\ud800"]
)
def test_a_loose_topic_is_a_topic(topic: str) -> None:
    assert accepted({"topic": topic}).topic == topic


def test_the_limit_on_topics() -> None:
    assert isinstance(judged(body={"topic": "x" * 9}, max_topic=9), Accepted)
    assert judged(body={"topic": "x" * 10}, max_topic=9) == Refused(500, "topic length (10) exceeds maximum (9)")


@pytest.mark.parametrize("name", ["topic", "self"])
def test_a_keyword_that_breaks_the_bridge(name: str) -> None:
    said = Refused(500, f"a keyword is named '{name}'")
    assert judged(body=PUSH | {"kwargs": {name: 1}}) == said
    assert isinstance(judged(body=PUSH | {"kwargs": {name.upper(): 1}}), Accepted)


@pytest.mark.parametrize(
    ("parts", "args", "kwargs", "event"),
    [
        ({"args": [1]}, "[1]", None, "1"),
        ({"args": [{"a": [None]}]}, '[{"a":[null]}]', None, '{"a":[null]}'),
        ({"args": [1, "ü"]}, r'[1,"\u00fc"]', None, r'{"args":[1,"\u00fc"],"kwargs":{}}'),
        ({"args": [1], "kwargs": {"a": 2}}, "[1]", '{"a":2}', '{"args":[1],"kwargs":{"a":2}}'),
        ({"kwargs": {"": 2}}, "[]", '{"":2}', '{"args":[],"kwargs":{"":2}}'),
        ({"args": [1], "kwargs": {"options": 2}}, "[1]", None, "1"),
        ({"args": [1], "kwargs": {"options": 2, "a": 3}}, "[1]", '{"a":3}', '{"args":[1],"kwargs":{"a":3}}'),
        ({"args": "ab"}, '["a","b"]', None, '{"args":["a","b"],"kwargs":{}}'),
        ({"args": "a"}, '["a"]', None, '"a"'),
        ({"args": {"x": 1, "y": 2}}, '["x","y"]', None, '{"args":["x","y"],"kwargs":{}}'),
        *(({"args": none}, "[]", None, '{"args":[],"kwargs":{}}') for none in EMPTY),
        *(({"args": [1], "kwargs": none}, "[1]", None, "1") for none in EMPTY),
        *(({"args": [1], "options": none}, "[1]", None, "1") for none in EMPTY),
        ({}, "[]", None, '{"args":[],"kwargs":{}}'),
    ],
    ids=repr,
)
def test_what_subscribers_get(parts: dict[str, object], args: str, kwargs: str | None, event: str) -> None:
    """By WAMP v2 the arguments; by WAMP v1 the only one, or an object of all."""
    verdict = accepted({"topic": "a", **parts})
    assert (verdict.args, verdict.kwargs, verdict.event) == (args, kwargs, event)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        *(({"args": value}, "args is not a list") for value in (5, True, 1.5)),
        *(({"kwargs": value}, "kwargs is not an object") for value in (5, True, "x", [1])),
        *(({"options": value}, "options is not an object") for value in (5, True, "x", [1])),
    ],
    ids=repr,
)
def test_what_breaks_the_bridge(parts: dict[str, object], said: str) -> None:
    assert judged(body={"topic": "a", **parts}) == Refused(500, said)


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        *((text, text) for text in ("9007199254740993", "-9007199254740993", "9" * 1000, "0.1", "-0.0", "1.5e-07")),
        *((text, text) for text in ("true", "null", r'"\ud800"', r'"\u0000"', '"&;"')),
        *(("1.10", "1.1"), ("1e2", "100.0"), ("1E+2", "100.0"), ("-0", "0"), ("0.1000000000000000055", "0.1")),
        *(('"ü"', r'"\u00fc"'), ('{"a":1,"a":2}', '{"a":2}'), ("[ 1 , 2 ]", "[1,2]")),
    ],
)
def test_how_exactly_values_arrive(sent: str, got: str) -> None:
    """Integers of any size do, and what a double can tell; as with Crossbar.io, which reads and writes them anew."""
    assert accepted(f'{{"topic":"a","args":[{sent}]}}'.encode()).args == f"[{got}]"


# Options


@pytest.mark.parametrize(
    ("options", "eligible", "exclude"),
    [
        ({}, None, NOBODY),
        ({"eligible": None, "exclude": None}, None, NOBODY),
        ({"eligible": [7, 8]}, frozenset({"7", "8"}), NOBODY),
        ({"eligible": [0]}, frozenset({"0"}), NOBODY),
        ({"eligible": [-1, 2**64]}, frozenset({"-1", str(2**64)}), NOBODY),
        ({"eligible": 7, "exclude": 8}, frozenset({"7"}), frozenset({"8"})),
        ({"exclude": [7, 7]}, None, frozenset({"7"})),
        # To the bridge nobody in particular is everybody.
        ({"eligible": [], "exclude": []}, None, NOBODY),
        ({"eligible": [], "exclude": [7]}, None, frozenset({"7"})),
    ],
)
def test_sessions(options: dict[str, object], eligible: frozenset[str] | None, exclude: frozenset[str]) -> None:
    verdict = accepted(PUSH | {"options": options})
    assert (verdict.eligible, verdict.exclude) == (eligible, exclude)


@pytest.mark.parametrize("name", ["authid", "authrole"])
@pytest.mark.parametrize(
    ("eligible", "exclude", "receivers"),
    [
        (None, None, None),
        ([], [], None),
        (["a", "b"], None, Receivers(frozenset({"a", "b"}))),
        ("a", "", Receivers(frozenset({"a"}), frozenset({""}))),
        (None, ["a"], Receivers(None, frozenset({"a"}))),
        ([], ["a"], Receivers(None, frozenset({"a"}))),
    ],
)
def test_names_and_roles(name: str, eligible: object, exclude: object, receivers: Receivers | None) -> None:
    verdict = accepted(PUSH | {"options": {f"eligible_{name}": eligible, f"exclude_{name}": exclude}})
    got = {"authid": verdict.authid, "authrole": verdict.authrole}
    assert got.pop(name) == receivers
    assert list(got.values()) == [None]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *((name, value, "must be a list of integers") for name in ("eligible", "exclude") for value in NO_IDS),
        *(
            (name, value, "must be a list of strings")
            for name in ("eligible_authid", "exclude_authid", "eligible_authrole", "exclude_authrole")
            for value in NO_NAMES
        ),
        *((name, value, "must be true or false") for name in ("retain", "exclude_me") for value in NO_FLAGS),
        *(
            ("forward_for", value, "must be a list of objects of session, authid and authrole")
            for value in NO_FORWARDERS
        ),
    ],
)
def test_an_option_of_another_type_breaks_the_bridge(name: str, value: object, said: str) -> None:
    assert judged(body=PUSH | {"options": {name: value}}) == Refused(500, f"option '{name}' {said}")


def test_a_value_can_be_retained() -> None:
    verdict = judged(body=PUSH | {"options": {"retain": True}})
    assert isinstance(verdict, Accepted)
    assert verdict.retain


@pytest.mark.parametrize(
    "options",
    [
        {"retain": False, "exclude_me": False},
        {"forward_for": [{"session": 17, "authid": "a", "authrole": "r"}]},
        {"unknown": 1, "acknowledge": "x", "Eligible": "x"},
    ],
)
def test_other_options_change_nothing(options: dict[str, object]) -> None:
    assert judged(body=PUSH | {"options": options}) == judged(body=PUSH)


# Whatever may be sent


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["eligible", "exclude", "eligible_authid", "exclude_authrole", "retain", "forward_for", "x"])
pushes = st.fixed_dictionaries(
    {"topic": st.just("a.b") | json_values},
    optional={"args": json_values, "kwargs": json_values, "options": st.dictionaries(names, json_values) | json_values},
)
fields = st.lists(
    st.tuples(st.sampled_from([*FIELDS, "signature", "x"]), st.text(st.characters(codec="utf-8"))).map(
        lambda field: f"{field[0]}={quote_plus(field[1])}"
    )
).map("&".join)
any_text = st.text(st.characters())


@given(
    query=any_text | fields,
    content_type=st.none() | st.just(JSON) | any_text,
    body=st.binary() | json_values.map(lambda value: json.dumps(value).encode()),
)
@example(query=signed(key="\ud800".encode("utf-8", "surrogatepass").decode("latin-1")), content_type=JSON, body=b"")
@example(query="key=\ud800&signature=\udfff&seq=1&nonce=1", content_type=None, body=BODY)
@example(query="timestamp=9999-12-31T23:59:59.999999Z&timestamp=0001-01-01T00:00:00.0Z", content_type=None, body=BODY)
def test_whatever_is_sent_there_is_a_verdict(query: str, content_type: str | None, body: bytes) -> None:
    for keys in ({}, KEYS):
        verdict = judged(query, body, content_type=content_type, keys=keys)
        if isinstance(verdict, Refused):
            assert verdict.reason
            assert verdict.reason.encode()
            assert verdict.status in (200, 400, 401, 413, 500)
        else:
            assert keys == {}


@given(pushes)
def test_whatever_is_accepted_can_be_read_by_subscribers(push: dict[str, object]) -> None:
    verdict = judged(body=json.dumps(push).encode())
    if isinstance(verdict, Accepted):
        sent = push.get("args") or []
        assert isinstance(sent, list | dict | str)
        event, args = json.loads(verdict.event), json.loads(verdict.args or "")
        kwargs = json.loads(verdict.kwargs or "{}")
        assert args == list(sent)
        assert event == (args[0] if len(args) == 1 and not kwargs else {"args": args, "kwargs": kwargs})
    else:
        assert verdict.status in (200, 400, 500)


def test_what_can_be_read_and_not_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """How deep that is, each Python says anew, and whether it is the same for both."""

    def too_deep(_value: object) -> str:
        raise RecursionError

    monkeypatch.setattr(strict_json, "_encode", too_deep)
    assert judged() == NOT_JSON


def test_what_can_just_be_read_is_sent_on_or_refused() -> None:
    taken, verdicts = 0, []
    for depth in range(700, 1010):
        verdicts.append(judged(body=b'{"topic":"a","args":[%b%b]}' % (b"[" * depth, b"]" * depth)))
        taken += isinstance(verdicts[-1], Accepted)
    assert taken > 0
    assert verdicts[taken:] == [NOT_JSON] * (len(verdicts) - taken)
