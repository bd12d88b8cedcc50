"""What is signed of a request that was sent: of every vector, of ours, and of what access logs show."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from webmqconnect_async._core.dialects import Dialect, DialectName
from webmqconnect_async._core.dialects.crossbar import Crossbar
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async._core.values import Push
from webmqconnect_async.explain._signed_request import SignedRequest, signed_request
from webmqconnect_async.signing import Credentials, sign

_VECTORS = Path(__file__).parent.parent / "vectors"
_CREDENTIALS = Credentials("app", "s3cret")
DIALECTS: list[tuple[DialectName, Dialect]] = [
    ("webmq", WebMQ(_CREDENTIALS)),
    ("crossbar", Crossbar(_CREDENTIALS, None, sequence=lambda: 7, nonce=lambda: 2**53)),
]
_QUERY = "topicuri=a%2Fb+c&appkey=app&timestamp=2026-11-24T14%3A00%3A00Z&signature=x%3D"
_READ = SignedRequest(
    {"topic": b"a/b c", "key": b"app", "timestamp": b"2026-11-24T14:00:00Z", "body": b"1"}, signature="x="
)


@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
def test_every_vector(dialect: DialectName) -> None:
    """The parts that are read sign to the signature that is read."""
    for vector in json.loads((_VECTORS / f"{dialect}.json").read_text("utf-8"))["vectors"]:
        if "query" in vector:
            signed = signed_request(dialect, vector["query"], vector["body"].encode())
            assert signed.signature == vector["signature"]
            assert sign(Credentials(vector["key"], vector["secret"]), *signed.parts.values()) == vector["signature"]


@pytest.mark.parametrize(("name", "dialect"), DIALECTS)
def test_our_own_request(name: DialectName, dialect: Dialect) -> None:
    """Whatever is in the topic and in the event, the parts are those that the dialect has signed."""
    push = Push("com.example.ż&=+?%", "a&b;c=d", eligible=[1], exclude=[2])
    request = dialect.encode(push)(1_764_000_000.25)
    signed = signed_request(name, request.query, request.body)
    assert sign(_CREDENTIALS, *signed.parts.values()) == signed.signature
    assert list(signed.parts)[-1] == "body"


@pytest.mark.parametrize(
    "text",
    [
        _QUERY,
        f"?{_QUERY}",
        f"/?{_QUERY}",
        f"/publish?{_QUERY}",
        f"http://127.0.0.1:8080/?{_QUERY}",
        f"POST /?{_QUERY} HTTP/1.1",
        f'"POST /?{_QUERY} HTTP/1.1" 401 25 "-"',
        f"https://h/a=b/?{_QUERY}",
        f'method=POST path="/?{_QUERY}" status=401',
        f" '{_QUERY}'\n",
        _QUERY.replace("+", "%20").replace("%2F", "/").replace("%3A", ":"),
        "&".join(reversed(_QUERY.split("&"))),
        f"{_QUERY}&eligible=1&other",
        f"&&{_QUERY}&",
    ],
)
def test_a_query_as_it_is_found(text: str) -> None:
    """In a request line, a target, a URL or bare; in any order and quoting."""
    read = signed_request("webmq", text, b"1")
    assert (read.parts, read.signature) == (_READ.parts, _READ.signature)


def test_a_question_mark_within_a_value_begins_no_query() -> None:
    signed = signed_request("webmq", _QUERY.replace("a%2Fb", "a?x=1"), b"1")
    assert signed.parts["topic"] == b"a?x=1 c"


@pytest.mark.parametrize("topic", ["a?x=1", "http://h/?a", "?", "a?b?c=d"])
def test_a_bare_query_may_hold_a_question_mark(topic: str) -> None:
    assert signed_request("webmq", _QUERY.replace("a%2Fb+c", topic), b"1").parts["topic"] == topic.encode()


def test_a_lone_surrogate_is_refused_and_the_query_is_in_no_error() -> None:
    """A UnicodeEncodeError would carry it whole, signature and all."""
    with pytest.raises(ValueError, match=r"^query: a lone surrogate is not UTF-8$") as caught:
        signed_request("webmq", f"{_QUERY}\ud800", b"1")
    assert type(caught.value) is ValueError
    assert caught.value.__context__ is None
    # What stands for a byte is none.
    assert signed_request("webmq", _QUERY.replace("=app", "=\udcff"), b"1").parts["key"] == b"\xff"


def test_bytes_that_are_not_utf_8_stay_what_they_are() -> None:
    signed = signed_request("webmq", _QUERY.replace("=app", "=" + quote(b"\xff\0")), b"\xfe")
    assert (signed.parts["key"], signed.parts["body"]) == (b"\xff\0", b"\xfe")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "query: it has no 'topicuri'"),
        (_QUERY.replace("appkey", "authkey"), "query: it has no 'appkey'"),
        (_QUERY.replace("&signature", "&sig"), "query: it has no 'signature'"),
        (f"{_QUERY}&appkey=other", "query: it has more than one 'appkey'"),
        (f"{_QUERY}&%73ignature=other", "query: it has more than one 'signature'"),
    ],
)
def test_what_a_query_lacks(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        signed_request("webmq", query, b"")


def test_no_repr_shows_a_signature() -> None:
    assert "x=" not in repr(_READ)
