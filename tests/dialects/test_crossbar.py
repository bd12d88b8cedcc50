"""The `crossbar` dialect: queries and bodies against literals, verdicts on responses, and pushes that it refuses."""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async._core.dialects import Request, Response
from webmqconnect_async._core.dialects.crossbar import Crossbar
from webmqconnect_async._core.values import Payload, Push, Receipt, SessionIDs
from webmqconnect_async.errors import AuthRejected, BadReply, ClockRejected, InvalidPush, Overloaded, Rejected, TooLarge
from webmqconnect_async.signing import Credentials, verify

_NOW = 1318611591.123
"""2011-10-14T16:59:51.123Z, the time at which the vectors were signed."""


class _Vector(TypedDict):
    id: str
    key: str
    secret: str
    timestamp: str
    seq: str
    nonce: str
    body: str
    signature: str
    query: str
    query_order: list[str]


_VECTORS: dict[str, _Vector] = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "crossbar.json").read_text("utf-8"))["vectors"]
}


def _dialect(
    credentials: Credentials | None = None, dumps: Callable[[object], str | bytes] | None = None, nonce: int = 7
) -> Crossbar:
    return Crossbar(credentials, dumps, sequence=itertools.count(1).__next__, nonce=lambda: nonce)


def _body(push: Push) -> bytes:
    return _dialect().encode(push)(_NOW).body


def _push_of(body: str) -> Push:
    """Return a push that is sent with this body."""
    fields = json.loads(body)
    event: object = Payload(*fields.get("args", []), **fields.get("kwargs", {}))
    return Push(fields["topic"], event)


@pytest.mark.parametrize("name", sorted(_VECTORS))
def test_the_signed_query_of_every_vector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dialect signs every vector's body exactly as the vector does.

    The body is set to the bytes of the vector. So is a timestamp with one digit of fraction, which the dialect never
    writes.
    """
    vector = _VECTORS[name]
    when = datetime.strptime(vector["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
    if vector["timestamp"].endswith(".1Z"):
        monkeypatch.setattr("webmqconnect_async._core.dialects.crossbar._timestamp", lambda _: vector["timestamp"])
    dialect = Crossbar(
        Credentials(vector["key"], vector["secret"]),
        None,
        sequence=lambda: int(vector["seq"]),
        nonce=lambda: int(vector["nonce"]),
    )
    monkeypatch.setattr(dialect, "_body", lambda push: vector["body"].encode())
    request = dialect.encode(Push("t", None))(when)
    assert request.query == vector["query"]
    assert request.body == vector["body"].encode()
    assert [field for field, _ in parse_qsl(request.query)] == vector["query_order"]


@pytest.mark.parametrize("name", sorted(_VECTORS))
def test_the_body_of_every_vector_is_equal_json(name: str) -> None:
    body = _VECTORS[name]["body"]
    sent = json.loads(_body(_push_of(body)))
    assert sent == {"args": []} | json.loads(body)


def test_a_plain_event_is_the_only_positional_argument() -> None:
    vector = next(vector for vector in _VECTORS.values() if vector["seq"] == "1")
    assert _body(Push("com.example.topic", "Hello, world!")) == vector["body"].encode()


def test_the_file_has_all_vectors() -> None:
    assert len(_VECTORS) == 22


def test_an_unsigned_push_has_no_query() -> None:
    """An unsigned push has no query, because even an unsigned endpoint would check timestamp, seq and nonce."""
    request = _dialect().encode(Push("com.x", 1))(_NOW)
    assert (request.query, request.body) == ("", b'{"topic":"com.x","args":[1]}')


def test_each_request_has_its_own_time_number_and_nonce() -> None:
    nonces = iter([5, 6, 7])
    dialect = Crossbar(
        Credentials("app", "s3cret"), None, sequence=itertools.count(1).__next__, nonce=lambda: next(nonces)
    )
    first, other = dialect.encode(Push("a", 1)), dialect.encode(Push("b", 2))
    queries = [dict(parse_qsl(sign(now).query)) for sign, now in ((first, _NOW), (other, _NOW), (first, _NOW + 1))]
    assert [(query["seq"], query["nonce"], query["timestamp"]) for query in queries] == [
        ("1", "5", "2011-10-14T16:59:51.123Z"),
        ("2", "6", "2011-10-14T16:59:51.123Z"),
        ("3", "7", "2011-10-14T16:59:52.123Z"),
    ]
    assert len({query["signature"] for query in queries}) == 3


@pytest.mark.parametrize(
    ("now", "timestamp"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1318611591.0, "2011-10-14T16:59:51.000Z"),
        (1318611591.9999, "2011-10-14T16:59:51.999Z"),
        (4102444800.5, "2100-01-01T00:00:00.500Z"),
    ],
)
def test_the_timestamp_always_has_a_fraction(now: float, timestamp: str) -> None:
    query = _dialect(Credentials("app", "s3cret")).encode(Push("t", 1))(now).query
    assert dict(parse_qsl(query))["timestamp"] == timestamp


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(0, 2**53), st.text(max_size=20))
def test_the_signed_parts_survive_parsing_of_the_query(key: str, nonce: int, secret: str) -> None:
    try:
        credentials = Credentials(key, "x" + secret)
    except ValueError:
        return  # a lone surrogate
    request = _dialect(credentials, nonce=nonce).encode(Push("t", ["x" + key]))(_NOW)
    assert request.query.isascii()
    fields = dict(parse_qsl(request.query, strict_parsing=True))
    parts = [fields[name].encode() for name in ("key", "timestamp", "seq", "nonce")]
    assert verify(credentials, fields["signature"], *parts, request.body)


def test_no_repr_shows_a_secret_or_a_signature() -> None:
    dialect = _dialect(Credentials("foobar", "s3cret"))
    sign = dialect.encode(Push("t", "Hello"))
    request = sign(_NOW)
    shown = f"{dialect!r} {vars(dialect)!r} {sign!r} {request!r}"
    assert "s3cret" not in shown
    assert dict(parse_qsl(request.query))["signature"][:-1] not in shown


# The body


@pytest.mark.parametrize(
    ("push", "body"),
    [
        (Push("com.x", None), '{"topic":"com.x","args":[null]}'),
        (Push("com.x", [1, 2]), '{"topic":"com.x","args":[[1,2]]}'),
        (Push("com.x", "a&b=c;d"), '{"topic":"com.x","args":["a&b=c;d"]}'),
        (Push("com.é.☃", "😀"), '{"topic":"com.é.☃","args":["😀"]}'),
        (Push('a"b\\', 1), '{"topic":"a\\"b\\\\","args":[1]}'),
        (Push("com.x", Payload()), '{"topic":"com.x","args":[]}'),
        (Push("com.x", Payload(1, "b", c=[3])), '{"topic":"com.x","args":[1,"b"],"kwargs":{"c":[3]}}'),
        (Push("com.x", Payload(**{"é": None, "": 1})), '{"topic":"com.x","args":[],"kwargs":{"é":null,"":1}}'),
        (Push("com.x", 1, eligible=["17", 18]), '{"topic":"com.x","args":[1],"options":{"eligible":[17,18]}}'),
        (Push("com.x", 1, eligible=[]), '{"topic":"com.x","args":[1],"options":{"eligible":[0]}}'),
        (Push("com.x", 1, exclude=[]), '{"topic":"com.x","args":[1]}'),
        (
            Push("com.x", 1, eligible=(2**53,), exclude={"0000000000000007"}),
            '{"topic":"com.x","args":[1],"options":{"eligible":[9007199254740992],"exclude":[7]}}',
        ),
        (Push("com.x", 1, options={}), '{"topic":"com.x","args":[1]}'),
        (
            Push("com.x", 1, exclude=[7], options={"retain": True, "exclude_authid": ["joe"], "exclude_me": False}),
            '{"topic":"com.x","args":[1],"options":{"exclude":[7],"retain":true,"exclude_authid":["joe"],"exclude_me":false}}',
        ),
        (
            Push("com.x", 1, options={"eligible_authid": ["joe", "ü"], "eligible_authrole": []}),
            '{"topic":"com.x","args":[1],"options":{"eligible_authid":["joe","ü"],'
            '"eligible_authrole":["webmqconnect_async: nobody"]}}',
        ),
        (
            Push("com.x", 1, options={"eligible_authid": (), "exclude_authrole": [], "exclude_authid": set()}),
            '{"topic":"com.x","args":[1],"options":{"eligible_authid":["webmqconnect_async: nobody"]}}',
        ),
        (
            Push("com.x", 1, options={"forward_for": [{"session": 7, "authid": "b", "authrole": "a"}]}),
            '{"topic":"com.x","args":[1],"options":{"forward_for":[{"session":7,"authid":"b","authrole":"a"}]}}',
        ),
    ],
    ids=lambda value: ascii(value)[:60] if isinstance(value, str) else "",
)
def test_the_body_of_a_push(push: Push, body: str) -> None:
    assert _body(push).decode() == body


def test_dumps_encodes_only_the_event() -> None:
    dialect = _dialect(dumps=lambda event: f"<{event}>")
    assert dialect.encode(Push("com.x", 5))(_NOW).body == b'{"topic":"com.x","args":[<5>]}'


# Topics


@pytest.mark.parametrize(
    "topic",
    ["a", "com.x", "http://example.com/orders", "com.É.☃", "A.b_1", "a/b", "a\0b", "wamp", "com.wamp.x", "x" * 999],
)
def test_loose_uris_are_accepted(topic: str) -> None:
    assert json.loads(_body(Push(topic, 1)))["topic"] == topic


@pytest.mark.parametrize(
    "topic",
    ["", ".", "a..b", ".a", "a.", "a b", " a", "a.b\n", "a\u00a0b", "a#b", "http://example.com/x#y", "wamp.x", "wamp."],
)
def test_a_topic_that_is_not_a_uri_to_a_router_is_refused(topic: str) -> None:
    with pytest.raises(InvalidPush, match=r"^topic: "):
        _body(Push(topic, 1))


@pytest.mark.parametrize("topic", [None, 5, b"com.x", ["t"]])
def test_a_topic_that_is_not_a_str_is_refused(topic: str) -> None:
    with pytest.raises(InvalidPush, match=rf"^topic must be a string, not {type(topic).__name__}"):
        _body(Push(topic, 1))


def test_a_topic_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidPush, match=r"^topic: a lone surrogate at character 4"):
        _body(Push("com.\ud800", 1))


def test_a_topic_may_be_an_instance_of_a_subclass_of_str() -> None:
    class Topics(enum.StrEnum):
        ORDERS = "com.example.orders"

    assert _body(Push(Topics.ORDERS, 1)) == b'{"topic":"com.example.orders","args":[1]}'


# Events that the bridge accepts and no subscriber gets


def _nested(levels: int) -> object:
    event: object = []
    for level in range(levels - 1):
        event = [event] if level % 2 else {"k": event}
    return event


@pytest.mark.parametrize("wrap", [lambda event: event, lambda event: Payload(event), lambda event: Payload(k=event)])
def test_nesting_is_limited(wrap: Callable[[object], object]) -> None:
    assert _body(Push("t", wrap(_nested(128))))
    with pytest.raises(InvalidPush, match=r"^event: nested deeper than 128 levels"):
        _body(Push("t", wrap(_nested(129))))


@pytest.mark.parametrize(
    "event",
    [
        # Brackets that are not nested.
        *([[]] * 5000, "[" * 5000, ['\\"[{' * 200], {"[" * 200: "]"}),
        # NUL, but not as the first character of a string.
        *("a\0", '"\0', '\\"\0', '"\\u0000', "\\u0000", {'"\0': '\\\\"\0'}),
        # Long numbers that are not integers.
        *("1" * 50, {"9" * 50: 1}, 1e300, 12345678901234567890.5, [0.1234567890123456789]),
    ],
    ids=lambda event: repr(event)[:20],
)
def test_events_that_resemble_refused_ones_are_accepted(event: object) -> None:
    assert json.loads(_body(Push("t", event)))["args"] == [event]


@pytest.mark.parametrize(
    "event", ["\0", "\0YQ==", ["a", "\0%"], {"k": {"k": "\0"}}, {"\0": 1}, ["\\", "\0"], Payload(k="\0")], ids=repr
)
def test_a_string_that_wamp_decodes_as_bytes_is_refused(event: object) -> None:
    with pytest.raises(InvalidPush, match=r"^event: a string that begins with NUL"):
        _body(Push("t", event))


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**63])
def test_integers_of_64_bits_are_accepted(number: int) -> None:
    assert json.loads(_body(Push("t", {"n": number})))["args"] == [{"n": number}]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**20, 10**4000, -(10**30)])
def test_larger_integers_are_refused(number: int) -> None:
    for event in (number, [{"n": number}], Payload(n=number), Payload(number)):
        with pytest.raises(InvalidPush, match=r"^event: the integer .* needs more than 64 bits") as caught:
            _body(Push("t", event))
        assert len(str(caught.value)) < 120


@pytest.mark.parametrize("event", [float("nan"), [float("inf")], "\ud800", {"\udfff": 1}, object()])
def test_values_without_a_json_form_are_refused(event: object) -> None:
    with pytest.raises(InvalidPush, match=r"^event"):
        _body(Push("t", event))
    with pytest.raises(InvalidPush, match=r"^event"):
        _body(Push("t", Payload(a=event)))


def test_output_of_dumps_that_is_not_json_is_refused_where_it_must_be_parsed() -> None:
    with pytest.raises(InvalidPush, match=r"^event: what dumps returned is not JSON"):
        _dialect(dumps=lambda event: "1" * 19 + "}").encode(Push("t", 1))


@pytest.mark.parametrize("keyword", ["options", "topic", "self"])
def test_keywords_that_the_bridge_drops_or_fails_on_are_refused(keyword: str) -> None:
    with pytest.raises(InvalidPush, match=f"^event: the keyword '{keyword}'"):
        _body(Push("t", Payload(1, **{keyword: 1})))


# Receivers and options


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ("17", " must be a list, tuple or set of session IDs, not str"),
        ({"17": 1}, " must be a list, tuple or set of session IDs, not dict"),
        (17, " must be a list, tuple or set of session IDs, not int"),
        ([0], r"\[0\]: a router's session ID is an integer from 1 to 2\^53, or its digits; not int"),
        (["0"], r"\[0\]: a router's session ID"),
        ([1, -1], r"\[1\]: a router's session ID"),
        ([2**53 + 1], r"\[0\]: a router's session ID"),
        (["9007199254740993"], r"\[0\]: a router's session ID"),
        (["1" * 10_000], r"\[0\]: a router's session ID"),
        (["cPfzHXkq-_8w3N5d"], r"\[0\]: .* not 'cPfzHXkq-_8w3N5d'"),
        (["\u0661\u0667"], r"\[0\]: a router's session ID"),
        ([" 17"], r"\[0\]: a router's session ID"),
        (["17,18"], r"\[0\]: a router's session ID"),
        ([1.0], r"\[0\]: a router's session ID .* not float"),
        ([True], r"\[0\]: a router's session ID .* not bool"),
        ([None], r"\[0\]: a router's session ID .* not NoneType"),
    ],
    ids=lambda value: ascii(value)[:40],
)
@pytest.mark.parametrize("argument", ["eligible", "exclude"])
def test_values_that_are_not_session_ids_are_named_in_the_error(argument: str, ids: SessionIDs, said: str) -> None:
    push = Push("t", 1, eligible=ids) if argument == "eligible" else Push("t", 1, exclude=ids)
    with pytest.raises(InvalidPush, match=f"^{argument}{said}") as caught:
        _body(push)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "options must be a mapping, not list"),
        ({"retian": True}, "options: 'retian' is not one of eligible_authid, "),
        ({"eligible": [1]}, "options: 'eligible' is not one of .*; eligible and exclude are arguments"),
        ({5: 1}, "options: '5' is not one of"),
        ({"acknowledge": True}, "options: 'acknowledge' is not one of"),
        ({"retain": 1}, r"options\['retain'\] must be True or False, not int"),
        ({"exclude_me": None}, r"options\['exclude_me'\] must be True or False, not NoneType"),
        ({"eligible_authid": "joe"}, r"options\['eligible_authid'\] must be a list, tuple or set of names, not str"),
        ({"eligible_authid": [17]}, r"options\['eligible_authid'\]\[0\] must be a string, not int"),
        ({"exclude_authrole": None}, r"options\['exclude_authrole'\] must be a list, tuple or set of names"),
        ({"exclude_authid": ["\ud800"]}, r"options\['exclude_authid'\]\[0\]: a lone surrogate"),
        ({"forward_for": {}}, r"options\['forward_for'\] must be a list, tuple or set of session IDs, not dict"),
        ({"forward_for": [1]}, r"options\['forward_for'\]\[0\] must be an object of session, authid and authrole"),
        ({"forward_for": [{"session": "1", "authid": "b", "authrole": "a"}]}, r"options\['forward_for'\]\[0\] must "),
        ({"forward_for": [{"session": True, "authid": "b", "authrole": "a"}]}, r"options\['forward_for'\]\[0\] must "),
        ({"forward_for": [{"session": 1, "authid": None, "authrole": "a"}]}, r"options\['forward_for'\]\[0\] must "),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_options_that_the_bridge_ignores_or_fails_on_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidPush, match=f"^{said}"):
        _body(Push("t", 1, options=options))


# Responses


def _judged(status: int, body: bytes | dict[str, object], **headers: str) -> Receipt | Rejected | BadReply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return _dialect().judge(Request("", b"1"), Response(status, named, content), 2, _NOW)


@pytest.mark.parametrize("status", [200, 202])
def test_a_response_with_an_id_is_a_receipt(status: int) -> None:
    assert _judged(status, {"id": 6220044819318603}) == Receipt(status, 6220044819318603, 2)


def _error_body(error: str, *args: str) -> dict[str, object]:
    return {"error": error, "args": list(args), "kwargs": {}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (
            200,
            _error_body("wamp.error.not_authorized", "session not authorized to publish to topic 'com.x'"),
            AuthRejected,
            "wamp.error.not_authorized: session not authorized to publish to topic 'com.x'",
        ),
        (
            200,
            _error_body("wamp.error.invalid_uri", "publish with …"),
            Rejected,
            "wamp.error.invalid_uri: publish with …",
        ),
        (200, {"error": "other", "args": None}, Rejected, "other"),
        (200, {"error": "a\nb", "args": [1, "c\x1b"]}, Rejected, "a b: c\\u001b"),
        (200, {}, BadReply, "{}"),
        (200, {"id": True}, BadReply, '{"id": true}'),
        (200, {"id": "5"}, BadReply, '{"id": "5"}'),
        (200, {"error": 5}, BadReply, '{"error": 5}'),
        (200, b"", BadReply, ""),
        (200, b"OK", BadReply, "OK"),
        (200, b"[" * 60000, BadReply, "[" * 200 + "…"),
        (204, b"", BadReply, ""),
        (400, _error_body("Request expired, too old timestamp."), ClockRejected, "Request expired, too old timestamp."),
        (
            400,
            _error_body("REST bridge signature was invalid (invalid timestamp 'x' (must be UTC/ISO-8601, …))."),
            ClockRejected,
            "REST bridge signature was invalid (invalid timestamp 'x' (must be UTC/ISO-8601, …)).",
        ),
        (
            400,
            _error_body("REST bridge signature was invalid (missing mandatory field - 'key' field missing)."),
            AuthRejected,
            "REST bridge signature was invalid (missing mandatory field - 'key' field missing).",
        ),
        (400, _error_body("Request denied based on IP address."), AuthRejected, "Request denied based on IP address."),
        (400, _error_body("Malformed request to the REST bridge."), Rejected, "Malformed request to the REST bridge."),
        (400, _error_body("Request body was invalid JSON."), Rejected, "Request body was invalid JSON."),
        (400, b"<html>", Rejected, "<html>"),
        (400, {"id": 5}, Rejected, '{"id": 5}'),
        (
            401,
            _error_body("REST bridge signature key not valid."),
            AuthRejected,
            "REST bridge signature key not valid.",
        ),
        (403, b"", AuthRejected, ""),
        (404, b"<html>no</html>", Rejected, "<html>no</html>"),
        (
            405,
            _error_body("Method not accepted by the REST bridge."),
            Rejected,
            "Method not accepted by the REST bridge.",
        ),
        (413, _error_body("Request too long. (229 is longer …)"), TooLarge, "Request too long. (229 is longer …)"),
        (429, _error_body("wait"), Overloaded, "wait"),
        (500, _error_body("Unhandled exception in Crossbar."), BadReply, "Unhandled exception in Crossbar."),
        (500, _error_body("wamp.error.not_authorized"), BadReply, "wamp.error.not_authorized"),
        (502, b"<html>", BadReply, "<html>"),
        (503, b"", BadReply, ""),
        (302, b"", BadReply, ""),
    ],
    ids=lambda value: ascii(value)[:30] if not isinstance(value, type) else value.__name__,
)
def test_the_error_of_each_response(
    status: int, body: bytes | dict[str, object], kind: type[Rejected | BadReply], reason: str
) -> None:
    verdict = _judged(status, body)
    assert type(verdict) is kind
    assert (verdict.status, verdict.reason) == (status, reason)
    if status != 302:
        said, _, _cause = str(verdict).partition("; ")
        assert said == f"the broker answered {status}" + (f": {reason}" if reason else "")


def test_retry_after_and_skew_are_read_from_the_headers() -> None:
    overloaded = _judged(503, b"", Retry_After="7")
    assert isinstance(overloaded, Overloaded)
    assert overloaded.retry_after == 7
    late = _judged(400, _error_body("Request expired, too old timestamp."), Date="Fri, 14 Oct 2011 16:49:51 GMT")
    assert isinstance(late, ClockRejected)
    assert late.skew == pytest.approx(600.123)


def test_a_signature_in_a_reason_is_removed() -> None:
    verdict = _judged(200, _error_body("no", "zglPEiR3zXgZDFdkYB7VZMyZd1qIS7xXaTV3xwr-PZg="))
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "no: [removed]"
