"""The `webmq` dialect: the query and the body against literals, and pushes that it refuses."""

from __future__ import annotations

import enum
import json
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from webmqconnect_async._core.dialects import Request, webmq
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async._core.values import Payload, Push, SessionIDs
from webmqconnect_async.errors import InvalidPush
from webmqconnect_async.signing import Credentials, verify

_NOW = 1318611591.0
"""2011-10-14T16:59:51Z, the time at which the vectors were signed."""


class _Vector(TypedDict):
    id: str
    topic: str
    key: str
    secret: str
    timestamp: str
    body: str
    signature: str
    eligible: list[str] | None
    exclude: list[str] | None
    query: str
    query_order: list[str]


_VECTORS: dict[str, _Vector] = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "webmq.json").read_text("utf-8"))["vectors"]
}
_NO_CLOCK_SAYS = {"webmq-05": "", "webmq-53": "2012-06-30T23:59:60Z"}
"""An empty timestamp and a leap second, which no Unix time produces."""
_ESCAPED = {"webmq-45"}
"""A body with a bare `&`, which the client never sends."""


def _encoded(vector: _Vector, now: float) -> Request:
    dialect = WebMQ(Credentials(vector["key"], vector["secret"]), dumps=lambda event: vector["body"])
    return dialect.encode(Push(vector["topic"], None, vector["eligible"], vector["exclude"]))(now)


def _unix_time(timestamp: str) -> float:
    return datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("name", sorted(_VECTORS.keys() - _NO_CLOCK_SAYS.keys() - _ESCAPED))
def test_the_query_and_the_body_of_every_vector(name: str) -> None:
    vector = _VECTORS[name]
    request = _encoded(vector, _unix_time(vector["timestamp"]))
    assert request.query == vector["query"]
    assert request.body == vector["body"].encode()
    assert [name for name, _ in parse_qsl(request.query, keep_blank_values=True)] == vector["query_order"]


@pytest.mark.parametrize("name", sorted(_NO_CLOCK_SAYS))
def test_the_query_of_the_vectors_that_no_clock_can_produce(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `_timestamp` replaced, the dialect also produces the queries of timestamps that no clock has."""
    vector = _VECTORS[name]
    timestamp = _NO_CLOCK_SAYS[name]
    assert vector["timestamp"] == timestamp
    monkeypatch.setattr(webmq, "_timestamp", lambda second: (timestamp.encode(), timestamp.replace(":", "%3A")))
    assert _encoded(vector, _NOW).query == vector["query"]


@pytest.mark.parametrize("name", sorted(_ESCAPED))
def test_the_query_of_the_vectors_that_the_client_would_escape(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its escaping, the client sends the query and the body of these vectors."""
    vector = _VECTORS[name]
    monkeypatch.setattr(webmq, "_escape_separators", lambda body: body)
    request = _encoded(vector, _unix_time(vector["timestamp"]))
    assert (request.query, request.body) == (vector["query"], vector["body"].encode())


def test_the_escaped_bytes_are_signed() -> None:
    """The escaped body is signed. The expected signature is from `openssl dgst -sha256 -hmac`."""
    request = WebMQ(Credentials("foobar", "secret")).encode(
        Push("http://example.com/simple", "x&eligible=mallory&z=", eligible=["abc"])
    )(_NOW)
    assert request.body == b'"x\\u0026eligible=mallory\\u0026z="'
    assert request.query == (
        "topicuri=http%3A%2F%2Fexample.com%2Fsimple&appkey=foobar&timestamp=2011-10-14T16%3A59%3A51Z"
        "&signature=zglPEiR3zXgZDFdkYB7VZMyZd1qIS7xXaTV3xwr-PZg%3D&eligible=abc"
    )


def test_the_file_has_all_vectors() -> None:
    assert len(_VECTORS) == 28
    assert _NO_CLOCK_SAYS.keys() | _ESCAPED < _VECTORS.keys()


def test_an_unsigned_push_has_no_key_no_time_and_no_signature() -> None:
    sign = WebMQ().encode(Push("http://example.com/a b", {"id": 17}, exclude=["x"]))
    request = sign(_NOW)
    assert (request.query, request.body) == ("topicuri=http%3A%2F%2Fexample.com%2Fa+b&exclude=x", b'{"id":17}')
    assert sign(_NOW + 60).query == request.query


def test_each_attempt_is_signed_for_its_own_second() -> None:
    """Each attempt is signed for its own second. The body is the same object, because it is encoded once per push."""
    calls: list[object] = []

    def dumps(event: object) -> str:
        calls.append(event)
        return json.dumps(event)

    sign = WebMQ(Credentials("foobar", "secret"), dumps).encode(Push("t", "Hello"))
    early, same_second, late = sign(_NOW), sign(_NOW + 0.999), sign(_NOW + 1)
    assert (early.query, early.body) == (same_second.query, same_second.body)
    assert "timestamp=2011-10-14T16%3A59%3A51Z" in early.query
    assert "timestamp=2011-10-14T16%3A59%3A52Z" in late.query
    assert dict(parse_qsl(early.query))["signature"] != dict(parse_qsl(late.query))["signature"]
    assert late.body is early.body
    assert calls == ["Hello"]


def test_changes_after_encoding_are_not_sent() -> None:
    event, eligible = {"id": 1}, ["a"]
    sign = WebMQ(Credentials("foobar", "secret")).encode(Push("t", event, eligible=eligible))
    event["id"] = 2
    eligible.append("b")
    request = sign(_NOW)
    assert request.body == b'{"id":1}'
    assert request.query.endswith("&eligible=a")


def test_the_content_type_is_exactly_that_of_the_hub() -> None:
    assert WebMQ().content_type == "application/x-www-form-urlencoded"


def test_no_repr_shows_a_secret_or_a_signature() -> None:
    credentials = Credentials("foobar", "s3cret")
    dialect = WebMQ(credentials)
    sign = dialect.encode(Push("t", "Hello"))
    request = sign(_NOW)
    signature = dict(parse_qsl(request.query))["signature"]
    shown = f"{dialect!r} {vars(dialect)!r} {sign!r} {request!r} {request}"
    assert "s3cret" not in shown
    assert signature[:-1] not in shown


# Topics

_TOPICS = [
    "",
    " ",
    "#",
    "+",
    "&",
    "%",
    "%2F",
    "~",
    ";",
    "=",
    "?",
    "/",
    "//",
    "..",
    "a b",
    "a+b",
    "\r",
    "\n",
    "\r\n\r\nGET / HTTP/1.1",
    "\0",
    "\x7f",
    "\ufeff",
    "\u202e",
    "http://example.com/ünï/☃/😀",
    unicodedata.normalize("NFC", "café"),
    unicodedata.normalize("NFD", "café"),
    "http://example.com/a?x=1&topicuri=http%3A%2F%2Fevil#frag",
    "HTTP://EXAMPLE.com:80/%7e/../x",
    "x" * 100_000,
    "☃" * 100_000,
]


def _topics_on_the_wire(topic: str) -> Iterator[str]:
    """Yield the topic as decoded in several ways, from the query as it is and as yarl sends it."""
    for credentials in (None, Credentials("foobar", "secret")):
        query = WebMQ(credentials).encode(Push(topic, "Hello"))(_NOW).query
        url = URL.build(scheme="http", host="example.com", port=8080, path="/push", query_string=query, encoded=True)
        assert url.raw_query_string == query
        assert query.isascii()
        assert not set(query) & set(" #;\r\n\0+") - {"+"}
        for text in (query, url.raw_query_string, str(url).partition("?")[2]):
            fields = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
            assert [name for name, _ in fields].count("topicuri") == 1
            yield dict(fields)["topicuri"]


@pytest.mark.parametrize("topic", _TOPICS, ids=lambda topic: ascii(topic[:40]))
def test_a_topic_arrives_byte_for_byte(topic: str) -> None:
    read = list(_topics_on_the_wire(topic))
    assert [each.encode() for each in read] == [topic.encode()] * 6


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_topic_arrives_byte_for_byte(topic: str) -> None:
    assert {each.encode() for each in _topics_on_the_wire(topic)} == {topic.encode()}


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_the_decoded_topic_is_the_signed_one(topic: str, key: str) -> None:
    """The topic that the hub decodes is the one that was signed."""
    credentials = Credentials(key, "secret")
    request = WebMQ(credentials).encode(Push(topic, [topic]))(_NOW)
    fields = dict(parse_qsl(request.query, keep_blank_values=True))
    parts = [fields[name].encode() for name in ("topicuri", "appkey", "timestamp")]
    assert verify(credentials, fields["signature"], *parts, request.body)


def test_nfc_and_nfd_are_different_topics() -> None:
    nfc, nfd = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert WebMQ().encode(Push(nfc, 1))(_NOW).query == "topicuri=caf%C3%A9"
    assert WebMQ().encode(Push(nfd, 1))(_NOW).query == "topicuri=cafe%CC%81"


@pytest.mark.parametrize("topic", ["\ud800", "http://example.com/\udfff", "x" * 300 + "\udc80"], ids=ascii)
def test_a_topic_that_is_not_utf_8_is_refused(topic: str) -> None:
    place = next(i for i, char in enumerate(topic) if char >= "\ud800")
    with pytest.raises(InvalidPush, match=f"^topic: a lone surrogate at character {place}"):
        WebMQ().encode(Push(topic, 1))


@pytest.mark.parametrize("topic", [None, 5, b"http://example.com/", ["t"], ("t",)])
def test_a_topic_that_is_not_a_str_is_refused(topic: str) -> None:
    with pytest.raises(InvalidPush, match=f"^topic must be a string, not {type(topic).__name__}"):
        WebMQ().encode(Push(topic, 1))


def test_a_topic_may_be_an_instance_of_a_subclass_of_str() -> None:
    class Topics(enum.StrEnum):
        ORDERS = "http://example.com/orders"

    assert WebMQ().encode(Push(Topics.ORDERS, 1))(_NOW).query == "topicuri=http%3A%2F%2Fexample.com%2Forders"


# Receivers


class _Level(int, enum.Enum):
    ONE = 1


_TAKEN: list[tuple[SessionIDs | None, str | None]] = [
    (None, None),
    ([], ""),
    ((), ""),
    (set(), ""),
    (frozenset(), ""),
    (["cPfzHXkq-_8w3N5d"], "cPfzHXkq-_8w3N5d"),
    (["a", "b"], "a,b"),
    (("-a", "b-"), "-a,b-"),
    ([1234567890123456], "1234567890123456"),
    ([0, -1, 2**53], "0,-1,9007199254740992"),
    (["1", 2], "1,2"),
    ({"only"}, "only"),
    (frozenset({7}), "7"),
    (range(3), "0,1,2"),
    ({"a": 1, "b": 2}.keys(), "a,b"),
    (["a b"], "a b"),
    (["a&eligible=b", "#;%+"], "a&eligible=b,#;%+"),
    (["ü☃"], "ü☃"),
    (["a\nb"], "a\nb"),
    ([_Level.ONE], "1"),
    (["x" * 10_000], "x" * 10_000),
]


@pytest.mark.parametrize(("ids", "value"), _TAKEN, ids=lambda value: ascii(value)[:40])
@pytest.mark.parametrize("argument", ["eligible", "exclude"])
def test_session_ids_are_joined(argument: str, ids: SessionIDs | None, value: str | None) -> None:
    """Session IDs are joined. An empty `eligible` is sent, meaning nobody; an empty `exclude` is left out."""
    push = Push("t", 1, eligible=ids) if argument == "eligible" else Push("t", 1, exclude=ids)
    fields = dict(parse_qsl(WebMQ().encode(push)(_NOW).query, keep_blank_values=True))
    if argument == "exclude" and value == "":
        value = None
    assert fields == {"topicuri": "t"} | ({} if value is None else {argument: value})


def test_eligible_comes_before_exclude() -> None:
    query = WebMQ().encode(Push("t", 1, eligible=[], exclude=["a", "b"]))(_NOW).query
    assert query == "topicuri=t&eligible=&exclude=a%2Cb"


def _generator() -> Iterator[str]:
    yield "a"


_REFUSED: list[tuple[object, str]] = [
    ("cPfzHXkq-_8w3N5d", " must be a list, tuple or set of session IDs, not str"),
    ("", " must be a list, tuple or set of session IDs, not str"),
    (b"abc", " must be a list, tuple or set of session IDs, not bytes"),
    (bytearray(b"abc"), " must be a list, tuple or set of session IDs, not bytearray"),
    (memoryview(b"abc"), " must be a list, tuple or set of session IDs, not memoryview"),
    ({"a": 1}, " must be a list, tuple or set of session IDs, not dict"),
    (MappingProxyType({"a": 1}), " must be a list, tuple or set of session IDs, not mappingproxy"),
    (_generator(), " must be a list, tuple or set of session IDs, not generator"),
    (iter(["a"]), " must be a list, tuple or set of session IDs, not list_iterator"),
    (5, " must be a list, tuple or set of session IDs, not int"),
    (True, " must be a list, tuple or set of session IDs, not bool"),
    (False, " must be a list, tuple or set of session IDs, not bool"),
    ([True], r"\[0\] must be a string or an integer, not bool"),
    (["a", None], r"\[1\] must be a string or an integer, not NoneType"),
    ([1.0], r"\[0\] must be a string or an integer, not float"),
    ([b"a"], r"\[0\] must be a string or an integer, not bytes"),
    ([["a"]], r"\[0\] must be a string or an integer, not list"),
    (["a", "b,c"], r"\[1\]: 'b,c' is not a session ID"),
    ([","], r"\[0\]: ',' is not a session ID"),
    ([""], r"\[0\]: '' is not a session ID"),
    ([" "], r"\[0\]: ' ' is not a session ID"),
    ([" a"], r"\[0\]: ' a' is not a session ID"),
    (["a\n"], r"\[0\]: 'a\\n' is not a session ID"),
    (["a\u00a0"], r"\[0\]: 'a\\xa0' is not a session ID"),
    (["\ud800"], r"\[0\]: a lone surrogate"),
]


@pytest.mark.parametrize(("ids", "said"), _REFUSED, ids=lambda value: ascii(value)[:40])
@pytest.mark.parametrize("argument", ["eligible", "exclude"])
def test_values_that_are_not_session_ids_are_named_in_the_error(argument: str, ids: SessionIDs, said: str) -> None:
    push = Push("t", 1, eligible=ids) if argument == "eligible" else Push("t", 1, exclude=ids)
    with pytest.raises(InvalidPush, match=f"^{argument}{said}") as caught:
        WebMQ().encode(push)
    assert caught.value.attempts == 0


def test_an_integer_of_too_many_digits_is_not_a_session_id() -> None:
    with pytest.raises(InvalidPush, match=r"^exclude\[1\]: an integer of too many digits"):
        WebMQ().encode(Push("t", 1, exclude=["a", 10**5000]))


def test_a_long_wrong_id_is_shortened_in_the_message() -> None:
    for ids in (["," * 100_000], "x" * 100_000):
        with pytest.raises(InvalidPush) as caught:
            WebMQ().encode(Push("t", 1, eligible=ids))
        assert len(str(caught.value)) < 250


# What only the other dialect supports


def test_options_are_refused() -> None:
    """`options` are refused. The error says why, and how to address a user instead."""
    for options in ({}, {"exclude_me": False}, {"eligible_authid": ["17"]}):
        with pytest.raises(InvalidPush, match=r"^options: .* send a user's event to everybody; .* a topic per user"):
            WebMQ().encode(Push("t", 1, options=options))


def test_a_payload_of_arguments_is_refused() -> None:
    with pytest.raises(InvalidPush, match=r"^event: "):
        WebMQ().encode(Push("t", Payload(1, a=2)))
