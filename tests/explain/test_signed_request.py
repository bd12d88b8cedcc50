"""The parser of requests that were sent: test vectors, requests of this package, and lines of access logs."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from webmqconnect_async._core.dialects import Dialect, DialectName
from webmqconnect_async._core.dialects.crossbar import Crossbar
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async._core.values import Push
from webmqconnect_async.explain import SignedRequest, signed_request
from webmqconnect_async.signing import Credentials, sign

VECTORS = Path(__file__).parent.parent / "vectors"
CREDENTIALS = Credentials("app", "s3cret")
DIALECTS: list[tuple[DialectName, Dialect]] = [
    ("webmq", WebMQ(CREDENTIALS)),
    ("crossbar", Crossbar(CREDENTIALS, None, sequence=lambda: 7, nonce=lambda: 2**53)),
]
QUERY = "topicuri=a%2Fb+c&appkey=app&timestamp=2026-11-24T14%3A00%3A00Z&signature=x%3D"
PARSED = SignedRequest(
    {"topic": b"a/b c", "key": b"app", "timestamp": b"2026-11-24T14:00:00Z", "body": b"1"}, signature="x="
)


@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
def test_the_signature_of_every_vector_is_verified(dialect: DialectName) -> None:
    """The parsed parts of every vector have the signature in its query."""
    for vector in json.loads((VECTORS / f"{dialect}.json").read_text("utf-8"))["vectors"]:
        if "query" in vector:
            signed = signed_request(dialect, vector["query"], vector["body"].encode())
            assert signed.signature == vector["signature"]
            assert sign(Credentials(vector["key"], vector["secret"]), *signed.parts.values()) == vector["signature"]


@pytest.mark.parametrize(("name", "dialect"), DIALECTS)
def test_a_request_of_this_package_has_the_signed_parts(name: DialectName, dialect: Dialect) -> None:
    """The parsed parts are those that the dialect signed."""
    push = Push("com.example.ż&=+?%", "a&b;c=d", eligible=[1], exclude=[2])
    request = dialect.encode(push)(1_764_000_000.25)
    signed = signed_request(name, request.query, request.body)
    assert sign(CREDENTIALS, *signed.parts.values()) == signed.signature
    assert list(signed.parts)[-1] == "body"


@pytest.mark.parametrize(
    "text",
    [
        QUERY,
        f"?{QUERY}",
        f"/?{QUERY}",
        f"/publish?{QUERY}",
        f"http://127.0.0.1:8080/?{QUERY}",
        f"POST /?{QUERY} HTTP/1.1",
        f'"POST /?{QUERY} HTTP/1.1" 401 25 "-"',
        f"https://h/a=b/?{QUERY}",
        f'method=POST path="/?{QUERY}" status=401',
        f" '{QUERY}'\n",
        QUERY.replace("+", "%20").replace("%2F", "/").replace("%3A", ":"),
        "&".join(reversed(QUERY.split("&"))),
        f"{QUERY}&eligible=1&other",
        f"&&{QUERY}&",
    ],
)
def test_forms_of_a_query(text: str) -> None:
    """The text may be a request line, a target, a URL or a query, in any order and encoding."""
    read = signed_request("webmq", text, b"1")
    assert (read.parts, read.signature) == (PARSED.parts, PARSED.signature)


def test_a_question_mark_in_a_value_does_not_begin_the_query() -> None:
    signed = signed_request("webmq", QUERY.replace("a%2Fb", "a?x=1"), b"1")
    assert signed.parts["topic"] == b"a?x=1 c"


@pytest.mark.parametrize("topic", ["a?x=1", "http://h/?a", "?", "a?b?c=d"])
def test_a_query_alone_may_contain_a_question_mark(topic: str) -> None:
    assert signed_request("webmq", QUERY.replace("a%2Fb+c", topic), b"1").parts["topic"] == topic.encode()


def test_the_error_for_a_lone_surrogate_does_not_contain_the_query() -> None:
    """A UnicodeEncodeError would contain the whole query, including the signature, so another error is raised."""
    with pytest.raises(ValueError, match=r"^query must be UTF-8, without lone surrogates$") as caught:
        signed_request("webmq", f"{QUERY}\ud800", b"1")
    assert type(caught.value) is ValueError
    assert caught.value.__context__ is None
    # A surrogate that represents a byte is accepted.
    assert signed_request("webmq", QUERY.replace("=app", "=\udcff"), b"1").parts["key"] == b"\xff"


def test_bytes_that_are_not_utf_8_are_kept() -> None:
    signed = signed_request("webmq", QUERY.replace("=app", "=" + quote(b"\xff\0")), b"\xfe")
    assert (signed.parts["key"], signed.parts["body"]) == (b"\xff\0", b"\xfe")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "query has no 'topicuri'"),
        (QUERY.replace("appkey", "authkey"), "query has no 'appkey'"),
        (QUERY.replace("&signature", "&sig"), "query has no 'signature'"),
        (f"{QUERY}&appkey=other", "query has more than one 'appkey'"),
        (f"{QUERY}&%73ignature=other", "query has more than one 'signature'"),
    ],
)
def test_a_missing_or_repeated_parameter(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        signed_request("webmq", query, b"")


def test_the_repr_does_not_show_the_signature() -> None:
    assert "x=" not in repr(PARSED)
