"""Signatures: literals of the vectors, constant-time comparison, and a secret that shows nowhere."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import inspect
import json
import pickle
import textwrap
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import FrozenInstanceError, asdict, astuple, dataclass
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async import signing
from webmqconnect_async.explain import Explanation, explain
from webmqconnect_async.explain._mistakes import MISTAKES, Way
from webmqconnect_async.explain._signed_request import signed_request
from webmqconnect_async.signing import Credentials, sign, verify

_VECTORS = json.loads((Path(__file__).parent / "vectors" / "webmq.json").read_text("utf-8"))["vectors"]


def _parts(vector: dict[str, str]) -> tuple[bytes, bytes, bytes, bytes]:
    return (
        vector["topic"].encode(),
        vector["key"].encode(),
        vector["timestamp"].encode(),
        vector["body"].encode(),
    )


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["id"])
def test_the_signature_of_every_vector(vector: dict[str, str]) -> None:
    """All of them, those whose timestamp no clock can produce included: the parts are plain bytes here."""
    assert hashlib.sha256(vector["body"].encode()).hexdigest() == vector["body_sha256"]
    credentials = Credentials(vector["key"], vector["secret"])
    assert sign(credentials, *_parts(vector)) == vector["signature"]
    assert verify(credentials, vector["signature"], *_parts(vector))


def test_there_are_vectors() -> None:
    assert len(_VECTORS) == 28


def test_parts_are_joined_without_a_separator() -> None:
    """A property of the wire, not a wish: what is signed does not say where one part ends."""
    credentials = Credentials("app", "secret")
    assert sign(credentials, b"a", b"bc") == sign(credentials, b"ab", b"c") == sign(credentials, b"abc")


def test_a_secret_is_text_as_utf_8_or_bytes() -> None:
    assert Credentials("k", "geheimnis-ß") == Credentials("k", "geheimnis-ß".encode())
    assert Credentials("k", b"\xff\xfe").secret == b"\xff\xfe"
    # NFC and NFD are two secrets: nothing is normalised.
    assert Credentials("k", "\u00e9") != Credentials("k", "e\u0301")


@pytest.mark.parametrize(
    "signature",
    ["", "x", "ß" * 44, "\ud800", "\0" * 44, "Xb1_rlsdin9c1AC9mSNqXZF1ybyseyQmMAxJOFVdoB8", "=" * 44],
    ids=["empty", "short", "non-ASCII", "surrogate", "NUL", "no padding", "padding"],
)
def test_anything_may_be_verified_and_is_wrong(signature: str) -> None:
    """`compare_digest` refuses text beyond ASCII with a TypeError; a broker is sent such text."""
    assert not verify(Credentials("foobar", "secret"), signature, b"a", b"b")


@pytest.mark.parametrize("place", range(44))
def test_one_wrong_character_anywhere_is_wrong(place: int) -> None:
    credentials = Credentials("foobar", "secret")
    right = sign(credentials, b"message")
    wrong = right[:place] + ("A" if right[place] != "A" else "B") + right[place + 1 :]
    assert verify(credentials, right, b"message")
    assert not verify(credentials, wrong, b"message")


def test_comparison_is_left_to_compare_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides go to it as bytes of their whole length, whatever is asked; nothing is compared before."""
    seen: list[tuple[bytes, bytes]] = []

    def spy(left: bytes, right: bytes) -> bool:
        seen.append((left, right))
        return compare(left, right)

    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", spy)
    credentials = Credentials("foobar", "secret")
    asked = ["", "ß", "A" * 44, sign(credentials, b"m")]
    for signature in asked:
        verify(credentials, signature, b"m")
    assert [right for _, right in seen] == [text.encode() for text in asked]
    assert {left for left, _ in seen} == {sign(credentials, b"m").encode()}


@given(st.lists(st.binary(max_size=40), max_size=6), st.binary(min_size=1, max_size=80))
def test_what_is_signed_verifies(parts: list[bytes], secret: bytes) -> None:
    credentials = Credentials("app", secret)
    signature = sign(credentials, *parts)
    assert len(signature) == 44
    assert signature.endswith("=")
    assert set(signature[:-1]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert verify(credentials, signature, *parts)
    assert not verify(credentials, signature, *parts, b"x")


_UNUSABLE: list[tuple[object, object, type[Exception], str]] = [
    ("", "s3cret", ValueError, "key: empty"),
    ("app", "", ValueError, "secret: empty"),
    ("app", b"", ValueError, "secret: empty"),
    (b"app", "s3cret", TypeError, "key: text is needed, not bytes"),
    (None, "s3cret", TypeError, "key: text is needed, not NoneType"),
    ("app", None, TypeError, "secret: text is needed, not NoneType"),
    ("app", 5, TypeError, "secret: text is needed, not int"),
    ("app", ["s3cret"], TypeError, "secret: text is needed, not list"),
    ("\ud800", "s3cret", ValueError, "key: a lone surrogate"),
    ("app", "s3cret\udfff", ValueError, "secret: a lone surrogate"),
]


@pytest.mark.parametrize(("key", "secret", "kind", "said"), _UNUSABLE)
def test_unusable_credentials_are_refused_by_name(key: str, secret: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        Credentials(key, secret)
    # Not in the frames that a traceback prints, and in no error behind the error either.
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_the_secret_is_in_no_repr_and_no_pickle() -> None:
    credentials = Credentials("app", "s3cret")
    assert repr(credentials) == str(credentials) == "Credentials(key='app')"
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="do not pickle"):
            copied(credentials)


def test_credentials_are_frozen() -> None:
    credentials = Credentials("app", "s3cret")
    with pytest.raises(FrozenInstanceError):
        credentials.key = "other"  # type: ignore[misc]  # what is tested
    assert not hasattr(credentials, "__dict__")


# Explanations


def test_explanation_of_every_vector() -> None:
    """The parts in order, what the HMAC is made of, and the signature."""
    for vector in _VECTORS:
        names = ("topic", "key", "timestamp", "body")
        explanation = explain(
            Credentials(vector["key"], vector["secret"]), dict(zip(names, _parts(vector), strict=True))
        )
        assert tuple(explanation.parts) == names
        assert explanation.message == b"".join(_parts(vector))
        assert explanation.signature == vector["signature"]
        assert explanation.is_right(vector["signature"])
        assert explanation.mistake(vector["signature"]) is None


def test_an_explanation_shows_neither_secret_nor_signature_unasked() -> None:
    explanation = explain(Credentials("app", "s3cret"), {"key": b"app"})
    assert repr(explanation) == str(explanation) == "Explanation(parts={'key': b'app'})"


@dataclass
class _Holder:
    """What an application keeps an explanation in, and what it hands to a log."""

    held: object


@pytest.mark.parametrize(
    "held",
    [explain(Credentials("app", "s3cret"), {"key": b"app"}), Way(lambda: b"s3cret", {"key": b"app"})],
    ids=["Explanation", "Way"],
)
def test_what_holds_a_secret_gives_it_to_nobody_who_takes_it_apart(held: Explanation | Way) -> None:
    """Neither a dataclass's own ways, nor a copy, a pickle or a walk over its attributes."""
    ways: tuple[Callable[..., object], ...] = (asdict, astuple, copy.copy, copy.deepcopy, pickle.dumps, vars)
    for taken_apart, whole in product(ways, (held, _Holder(held))):
        with suppress(TypeError):
            assert "s3cret" not in repr(taken_apart(whole))
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not pickle"):
            copied(held)
    for name in getattr(held, "__slots__", ()):
        assert "s3cret" not in repr(getattr(held, name))


def test_a_part_that_is_no_bytes_is_named() -> None:
    with pytest.raises(TypeError, match=r"^parts\['topic'\]: bytes are needed, not str$"):
        explain(Credentials("app", "s3cret"), {"key": b"app", "topic": "t"})  # type: ignore[dict-item]  # on purpose


def test_an_explanation_is_itself_alone() -> None:
    """To compare or to hash it would be to compare or to hash the secret."""
    one, other = (explain(Credentials("app", "s3cret"), {"key": b"app"}) for _ in range(2))
    assert len({one, other, one}) == 2
    with pytest.raises(AttributeError):
        one.signature = "x"  # type: ignore[misc]  # what is tested


_TOPIC, _KEY, _TIMESTAMP = b"http://example.com/a b/~", b"app", b"2026-11-24T14:00:00Z"
_EVENT = {"url": "/?a=1&b=2;c", "name": "ż", "id": 17}
_BODY = r'{"url":"/?a=1\u0026b=2\u003bc","name":"ż","id":17}'.encode()
_WEBMQ = {"topic": _TOPIC, "key": _KEY, "timestamp": _TIMESTAMP, "body": _BODY}
_LATER, _EVENT_2 = b"2026-11-24T14:00:00.123Z", b'{"topic":"com.example.a","args":[17]}'
_CROSSBAR = {"key": _KEY, "timestamp": _LATER, "seq": b"1", "nonce": b"2", "body": _EVENT_2}

_QUOTED = b"http%3A%2F%2Fexample.com%2Fa+b%2F~"
_QUOTED_TIME = b"2026-11-24T14%3A00%3A00Z"


def _digest(secret: bytes, *parts: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret, b"".join(parts or _WEBMQ.values()), algorithm).digest()


def _signed(*parts: bytes, secret: bytes = b"s3cret", algorithm: str = "sha256") -> str:
    return base64.urlsafe_b64encode(_digest(secret, *parts, algorithm=algorithm)).decode()


def _with_body(body: str) -> str:
    return _signed(_TOPIC, _KEY, _TIMESTAMP, body.encode())


_PLAIN = r"a body other than the one that was sent: json.dumps(event"
_QUERY = "a part as it stands in the query, and not plain: "
_OTHER = "the parts that the other dialect signs: "

_MISTAKES = [
    (_signed(secret=b"s3cret\n"), "the secret with a newline at its end"),
    (_signed(secret=b"s3cret\r\n"), "the secret with a newline at its end"),
    (_signed(secret=b" s3cret"), "the secret with blanks around it"),
    (_signed(secret=b"s3cret\t"), "the secret with blanks around it"),
    (_signed(secret=b"s3cret "), "the secret with blanks around it"),
    (_signed(secret=b'"s3cret"'), "the secret with quotes around it"),
    (_signed(secret=b"'s3cret'"), "the secret with quotes around it"),
    (_signed(secret=b""), "an empty secret"),
    (_signed().rstrip("="), "the signature's padding cut off"),
    (base64.b64encode(_digest(b"s3cret")).decode().rstrip("="), "the signature's padding cut off"),
    (_signed().replace("=", "%3D"), "the signature percent-encoded twice"),
    (_signed().replace("=", "%3d"), "the signature percent-encoded twice"),
    (quote(base64.b64encode(_digest(b"s3cret")), safe=""), "the signature percent-encoded twice"),
    (_digest(b"s3cret").hex(), "hexadecimal in place of base64"),
    (_digest(b"s3cret").hex().upper(), "hexadecimal in place of base64"),
    (_signed(algorithm="sha1"), "another hash than SHA-256: sha1"),
    (_signed(algorithm="sha512"), "another hash than SHA-256: sha512"),
    (_signed(_QUOTED, _KEY, _TIMESTAMP, _BODY), f"{_QUERY}topic"),
    (_signed(_QUOTED.replace(b"+", b"%20"), _KEY, _TIMESTAMP, _BODY), f"{_QUERY}topic"),
    (_signed(b"http://example.com/a%20b/~", _KEY, _TIMESTAMP, _BODY), f"{_QUERY}topic"),
    (_signed(_TOPIC, _KEY, _QUOTED_TIME, _BODY), f"{_QUERY}timestamp"),
    (_signed(_QUOTED.replace(b"+", b"%20"), _KEY, _QUOTED_TIME, _BODY), f"{_QUERY}topic, key, timestamp"),
    (_signed(_TOPIC, _KEY, b"2026-11-24T13:59:55Z", _BODY), "the timestamp of another second: 2026-11-24T13:59:55Z"),
    (_signed(_TOPIC, _KEY, b"2026-11-24T14:00:05Z", _BODY), "the timestamp of another second: 2026-11-24T14:00:05Z"),
    (_with_body(json.dumps(_EVENT)), f"{_PLAIN})"),
    (
        _with_body(json.dumps(_EVENT, ensure_ascii=False, sort_keys=True)),
        f"{_PLAIN}, ensure_ascii=False, sort_keys=True)",
    ),
    (_with_body(json.dumps(_EVENT, separators=(",", ":"))), f"{_PLAIN}, separators=(',', ':'))"),
    (_with_body(r'{"url":"/?a=1&b=2;c","name":"ż","id":17}'), "the body before & and ; were escaped in it"),
    (_signed(_KEY, _TIMESTAMP, _BODY), "a part left out: topic"),
    (_signed(_TOPIC, _TIMESTAMP, _BODY), "a part left out: key"),
    (_signed(_TOPIC, _KEY, _TIMESTAMP), "a part left out: body"),
    (_signed(_KEY, _TIMESTAMP, _TOPIC, _BODY), "the parts in another order: key, timestamp, topic, body"),
    (_signed(b"&".join(_WEBMQ.values())), "a separator between the parts: '&'"),
    (_signed(b"\n".join(_WEBMQ.values())), r"a separator between the parts: '\n'"),
]
"""Each made here by hand, and what is said of it."""

_MISTAKES_OF_CROSSBAR = [
    (_signed(b"com.example.a", _KEY, _LATER, _EVENT_2), f"{_OTHER}topic, key, timestamp, body"),
    (_signed(_KEY, _LATER.replace(b":", b"%3A"), b"1", b"2", _EVENT_2), f"{_QUERY}timestamp"),
    (_signed(_KEY, _LATER, b"2", b"1", _EVENT_2), "the parts in another order: key, timestamp, nonce, seq, body"),
    (_signed(_KEY, _LATER, b"2", _EVENT_2), "a part left out: seq"),
    (
        _signed(_KEY, b"2026-11-24T14:00:01.123Z", b"1", b"2", _EVENT_2),
        "the timestamp of another second: 2026-11-24T14:00:01.123Z",
    ),
]

_MISTAKES_WITH_THE_SECRET = [
    (b" s3cret\n", "the secret without the blanks around it"),
    (base64.b64encode(b"s3cret"), "the secret decoded from base64"),
    (b" s3cret\t", "the secret without the blanks around it"),
    (b"s3cret".hex().encode(), "the secret decoded from hex"),
]


@pytest.mark.parametrize(("signature", "mistake"), _MISTAKES)
def test_the_mistake_behind_a_signature(signature: str, mistake: str) -> None:
    explanation = explain(Credentials("app", "s3cret"), _WEBMQ)
    assert explanation.mistake(signature) == mistake
    assert not explanation.is_right(signature)


@pytest.mark.parametrize(("signature", "mistake"), _MISTAKES_OF_CROSSBAR)
def test_the_mistake_behind_a_signature_for_crossbar(signature: str, mistake: str) -> None:
    assert explain(Credentials("app", "s3cret"), _CROSSBAR).mistake(signature) == mistake


@pytest.mark.parametrize(("secret", "mistake"), _MISTAKES_WITH_THE_SECRET)
def test_what_was_done_to_the_secret(secret: bytes, mistake: str) -> None:
    assert explain(Credentials("app", secret), _WEBMQ).mistake(_signed()) == mistake


@pytest.mark.parametrize("secret", [b"1", b"22", b"333", b"\xfb\xff", b"\xfb\xff\xfe", b"\xff"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padding", [b"", b"="])
def test_a_secret_decoded_from_base64(encode: Callable[[bytes], bytes], secret: bytes, padding: bytes) -> None:
    """In either alphabet, with its padding or without."""
    credentials = Credentials("app", encode(secret).rstrip(b"=" if not padding else b""))
    assert explain(credentials, _WEBMQ).mistake(_signed(secret=secret)) == "the secret decoded from base64"


def test_the_other_alphabet_of_base64() -> None:
    """Where the two differ; in a query that was not encoded, a "+" arrives as a blank."""
    credentials, seen = Credentials("app", "s3cret"), set()
    for second in range(60):
        parts = _WEBMQ | {"timestamp": f"2026-11-24T14:00:{second:02}Z".encode()}
        standard = base64.b64encode(_digest(b"s3cret", *parts.values())).decode()
        if set(standard) & set("+/"):
            seen.add(explain(credentials, parts).mistake(standard))
        if "+" in standard:
            seen.add(explain(credentials, parts).mistake(standard.replace("+", " ")))
    assert seen == _BASE64


_BASE64 = {
    "standard base64 in place of the URL-safe one",
    'standard base64 whose "+" became a blank in the query',
}


def test_every_mistake_has_been_made() -> None:
    made = [mistake for _, mistake in (*_MISTAKES, *_MISTAKES_OF_CROSSBAR, *_MISTAKES_WITH_THE_SECRET)]
    assert {mistake.partition(":")[0] for mistake in made} | _BASE64 == MISTAKES.keys()


@pytest.mark.parametrize("signature", [_signed(secret=b"another"), "", "x", "ż" * 44, "\ud800"])
def test_no_usual_mistake(signature: str) -> None:
    assert explain(Credentials("app", "s3cret"), _WEBMQ).mistake(signature) is None


@given(
    st.dictionaries(st.sampled_from([*_WEBMQ, "seq", "nonce"]), st.binary(max_size=20), min_size=1),
    st.binary(min_size=1, max_size=20),
    st.text(max_size=50),
)
def test_anything_may_be_explained(parts: dict[str, bytes], secret: bytes, signature: str) -> None:
    """No part is needed, and none need be what it is called."""
    explanation = explain(Credentials("app", secret), parts)
    assert explanation.mistake(explanation.signature) is None
    assert explanation.mistake(signature) is None or explanation.is_right(signature) is False


def test_the_snippet_of_the_docstring() -> None:
    """It does what it says: a foreign request, its mistake."""
    code = textwrap.dedent((inspect.getdoc(explain) or "").split("\n\n")[1])
    query = f"topicuri={_QUOTED.decode()}&appkey=app&timestamp={_QUOTED_TIME.decode()}&signature={_signed(secret=b'')}"
    said: list[str] = []
    given_to_it = {"query": query, "body": _BODY, "print": lambda *words: said.extend(words)}
    exec(code, {**vars(signing), "explain": explain, "signed_request": signed_request, **given_to_it})  # noqa: S102  # the package's own
    assert said == ["it comes of", "an empty secret"]
