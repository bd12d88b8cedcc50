"""Explanations: the signed parts, and the common mistake behind a wrong signature.

The tests make each mistake by hand.
"""

from __future__ import annotations

import base64
import copy
import hmac
import inspect
import json
import pickle
import textwrap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webmqconnect_async import signing
from webmqconnect_async.explain import explain, signed_request
from webmqconnect_async.explain._signing_mistakes import COMMON_MISTAKES
from webmqconnect_async.signing import Credentials

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "webmq.json").read_text("utf-8"))["vectors"]
CREDENTIALS = Credentials("app", "s3cret")


def test_every_vector() -> None:
    for vector in VECTORS:
        parts = {name: vector[name].encode() for name in ("topic", "key", "timestamp", "body")}
        explanation = explain(Credentials(vector["key"], vector["secret"]), parts)
        assert list(explanation.parts.items()) == list(parts.items())
        assert explanation.signature == vector["signature"]
        assert explanation.is_right(vector["signature"])
        assert explanation.mistake(vector["signature"]) is None


def test_the_repr_shows_neither_secret_nor_signature() -> None:
    explanation = explain(CREDENTIALS, {"key": b"app"})
    assert repr(explanation) == str(explanation) == "Explanation(parts={'key': b'app'})"


@dataclass
class Holder:
    """An object of an application that holds an explanation, and that an error reporter serializes."""

    held: object


def test_the_secret_cannot_be_read_by_accident() -> None:
    """Dataclass functions, copies, pickles and a walk over the attributes do not reveal the secret."""
    explanation = explain(CREDENTIALS, {"key": b"app"})
    ways: tuple[Callable[..., object], ...] = (asdict, astuple, copy.copy, copy.deepcopy, pickle.dumps, vars)
    for taken_apart, whole in product(ways, (explanation, Holder(explanation))):
        with suppress(TypeError):
            assert "s3cret" not in repr(taken_apart(whole))
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            copied(explanation)
    for name in explanation.__slots__:
        assert "s3cret" not in repr(getattr(explanation, name))


def test_a_part_that_is_not_bytes() -> None:
    with pytest.raises(TypeError, match=r"^parts\['topic'\] must be bytes, not str$"):
        explain(CREDENTIALS, {"key": b"app", "topic": "t"})  # type: ignore[dict-item]  # on purpose


def test_explanations_are_compared_by_identity() -> None:
    """Explanations are compared by identity, because otherwise the secret would be compared or hashed."""
    one, other = (explain(CREDENTIALS, {"key": b"app"}) for _ in range(2))
    assert len({one, other, one}) == 2
    with pytest.raises(AttributeError):
        one.signature = "x"  # type: ignore[misc]  # the error that is tested


# Mistakes

TOPIC, KEY, TIMESTAMP = b"http://example.com/a b/~", b"app", b"2026-11-24T14:00:00Z"
EVENT = {"url": "/?a=1&b=2;c", "name": "ż", "id": 17}
BODY = r'{"url":"/?a=1\u0026b=2\u003bc","name":"ż","id":17}'.encode()
WEBMQ = {"topic": TOPIC, "key": KEY, "timestamp": TIMESTAMP, "body": BODY}
QUOTED_TOPIC = b"http%3A%2F%2Fexample.com%2Fa+b%2F~"
QUOTED_TIMESTAMP = b"2026-11-24T14%3A00%3A00Z"

MILLISECONDS, OBJECT = b"2026-11-24T14:00:00.123Z", b'{"topic":"com.example.a","args":[17]}'
CROSSBAR = {"key": KEY, "timestamp": MILLISECONDS, "seq": b"1", "nonce": b"2", "body": OBJECT}


def digest(secret: bytes, *parts: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret, b"".join(parts or WEBMQ.values()), algorithm).digest()


def signed(*parts: bytes, secret: bytes = b"s3cret", algorithm: str = "sha256") -> str:
    return base64.urlsafe_b64encode(digest(secret, *parts, algorithm=algorithm)).decode()


def with_body(body: str) -> str:
    return signed(TOPIC, KEY, TIMESTAMP, body.encode())


ENCODED_AGAIN = "an event that was encoded again: json.dumps(event"
QUERY = "parts signed as they are percent-encoded in the query: "

MISTAKES = [
    (signed(secret=b"s3cret\n"), "a newline at the end of the secret"),
    (signed(secret=b"s3cret\r\n"), "a newline at the end of the secret"),
    (signed(secret=b" s3cret"), "whitespace around the secret"),
    (signed(secret=b"s3cret\t"), "whitespace around the secret"),
    (signed(secret=b"s3cret "), "whitespace around the secret"),
    (signed(secret=b'"s3cret"'), "quotes around the secret"),
    (signed(secret=b"'s3cret'"), "quotes around the secret"),
    (signed(secret=b""), "an empty secret"),
    (signed().rstrip("="), "no padding at the end of the signature"),
    (base64.b64encode(digest(b"s3cret")).decode().rstrip("="), "no padding at the end of the signature"),
    (signed().replace("=", "%3D"), "a signature that was percent-encoded twice"),
    (signed().replace("=", "%3d"), "a signature that was percent-encoded twice"),
    (quote(base64.b64encode(digest(b"s3cret")), safe=""), "a signature that was percent-encoded twice"),
    (digest(b"s3cret").hex(), "hexadecimal instead of base64"),
    (digest(b"s3cret").hex().upper(), "hexadecimal instead of base64"),
    (signed(algorithm="sha1"), "a hash other than SHA-256: sha1"),
    (signed(algorithm="sha512"), "a hash other than SHA-256: sha512"),
    (signed(QUOTED_TOPIC, KEY, TIMESTAMP, BODY), f"{QUERY}topic"),
    (signed(QUOTED_TOPIC.replace(b"+", b"%20"), KEY, TIMESTAMP, BODY), f"{QUERY}topic"),
    (signed(b"http://example.com/a%20b/~", KEY, TIMESTAMP, BODY), f"{QUERY}topic"),
    (signed(TOPIC, KEY, QUOTED_TIMESTAMP, BODY), f"{QUERY}timestamp"),
    (signed(QUOTED_TOPIC.replace(b"+", b"%20"), KEY, QUOTED_TIMESTAMP, BODY), f"{QUERY}topic, key, timestamp"),
    (signed(TOPIC, KEY, b"2026-11-24T13:59:55Z", BODY), "a timestamp of another second: 2026-11-24T13:59:55Z"),
    (signed(TOPIC, KEY, b"2026-11-24T14:00:05Z", BODY), "a timestamp of another second: 2026-11-24T14:00:05Z"),
    (with_body(json.dumps(EVENT)), f"{ENCODED_AGAIN})"),
    (
        with_body(json.dumps(EVENT, ensure_ascii=False, sort_keys=True)),
        f"{ENCODED_AGAIN}, ensure_ascii=False, sort_keys=True)",
    ),
    (with_body(json.dumps(EVENT, separators=(",", ":"))), f"{ENCODED_AGAIN}, separators=(',', ':'))"),
    (with_body(r'{"url":"/?a=1&b=2;c","name":"ż","id":17}'), "the body before & and ; were escaped"),
    (signed(KEY, TIMESTAMP, BODY), "a missing part: topic"),
    (signed(TOPIC, TIMESTAMP, BODY), "a missing part: key"),
    (signed(TOPIC, KEY, TIMESTAMP), "a missing part: body"),
    (signed(KEY, TIMESTAMP, TOPIC, BODY), "the parts in another order: key, timestamp, topic, body"),
    (signed(b"&".join(WEBMQ.values())), "a separator between the parts: '&'"),
    (signed(b"\n".join(WEBMQ.values())), r"a separator between the parts: '\n'"),
]
"""Signatures with a mistake, and the description of the mistake."""

MISTAKES_FOR_CROSSBAR = [
    (
        signed(b"com.example.a", KEY, MILLISECONDS, OBJECT),
        "the parts that the other dialect signs: topic, key, timestamp, body",
    ),
    (signed(KEY, MILLISECONDS.replace(b":", b"%3A"), b"1", b"2", OBJECT), f"{QUERY}timestamp"),
    (signed(KEY, MILLISECONDS, b"2", b"1", OBJECT), "the parts in another order: key, timestamp, nonce, seq, body"),
    (signed(KEY, MILLISECONDS, b"2", OBJECT), "a missing part: seq"),
    (
        signed(KEY, b"2026-11-24T14:00:01.123Z", b"1", b"2", OBJECT),
        "a timestamp of another second: 2026-11-24T14:00:01.123Z",
    ),
]

MISTAKES_WITH_THE_SECRET = [
    (b" s3cret\n", "whitespace stripped from the secret"),
    (b" s3cret\t", "whitespace stripped from the secret"),
    (base64.b64encode(b"s3cret"), "the secret decoded from base64"),
    (b"s3cret".hex().encode(), "the secret decoded from hex"),
]
"""Secrets for which `s3cret` was used by mistake, and the description of the mistake."""


@pytest.mark.parametrize(("signature", "mistake"), MISTAKES)
def test_a_mistake_is_recognized(signature: str, mistake: str) -> None:
    explanation = explain(CREDENTIALS, WEBMQ)
    assert explanation.mistake(signature) == mistake
    assert not explanation.is_right(signature)


@pytest.mark.parametrize(("signature", "mistake"), MISTAKES_FOR_CROSSBAR)
def test_a_mistake_for_crossbar_is_recognized(signature: str, mistake: str) -> None:
    assert explain(CREDENTIALS, CROSSBAR).mistake(signature) == mistake


@pytest.mark.parametrize(("secret", "mistake"), MISTAKES_WITH_THE_SECRET)
def test_a_mistake_with_the_secret_is_recognized(secret: bytes, mistake: str) -> None:
    assert explain(Credentials("app", secret), WEBMQ).mistake(signed()) == mistake


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padding", [b"", b"="])
def test_a_secret_decoded_from_base64(encode: Callable[[bytes], bytes], padding: bytes) -> None:
    """A secret in either base64 alphabet, with or without padding, may have been decoded by mistake."""
    for secret in (b"1", b"22", b"333", b"\xfb\xff", b"\xfb\xff\xfe", b"\xff"):
        credentials = Credentials("app", encode(secret).rstrip(b"=" if not padding else b""))
        assert explain(credentials, WEBMQ).mistake(signed(secret=secret)) == "the secret decoded from base64"


@pytest.mark.parametrize(
    ("encoded", "mistake"),
    [
        (base64.b64encode, "the secret encoded as base64"),
        (base64.urlsafe_b64encode, "the secret encoded as base64"),
        (lambda secret: b"s%2F%20%FB", "the secret percent-encoded"),
        (lambda secret: b"s/%20%FB", "the secret percent-encoded"),
        (lambda secret: b"s%2F+%FB", "the secret percent-encoded"),
        (lambda secret: rb"b's/ \xfb'", "the secret written as Python writes bytes, b'…'"),
    ],
)
def test_a_secret_that_was_encoded(encoded: Callable[[bytes], bytes], mistake: str) -> None:
    secret = b"s/ \xfb"
    assert explain(Credentials("app", secret), WEBMQ).mistake(signed(secret=encoded(secret))) == mistake


ENCODED_SECRETS = {
    "the secret encoded as base64",
    "the secret percent-encoded",
    "the secret written as Python writes bytes, b'…'",
}
BASE64_MISTAKES = {"standard base64 instead of URL-safe base64", 'standard base64 whose "+" was decoded to a space'}


def test_the_other_alphabet_of_base64() -> None:
    """A signature in the other base64 alphabet is recognized. It differs only if it has certain characters."""
    seen = set()
    for second in range(60):
        parts = WEBMQ | {"timestamp": f"2026-11-24T14:00:{second:02}Z".encode()}
        standard = base64.b64encode(digest(b"s3cret", *parts.values())).decode()
        if set(standard) & set("+/"):
            seen.add(explain(CREDENTIALS, parts).mistake(standard))
        if "+" in standard:
            seen.add(explain(CREDENTIALS, parts).mistake(standard.replace("+", " ")))
    assert seen == BASE64_MISTAKES


def test_every_mistake_is_tested() -> None:
    tested = [mistake for _, mistake in (*MISTAKES, *MISTAKES_FOR_CROSSBAR, *MISTAKES_WITH_THE_SECRET)]
    assert {
        mistake.partition(":")[0] for mistake in tested
    } | ENCODED_SECRETS | BASE64_MISTAKES == COMMON_MISTAKES.keys()


@pytest.mark.parametrize("signature", [signed(secret=b"another"), "", "x", "ż" * 44, "\ud800"])
def test_a_signature_without_a_common_mistake(signature: str) -> None:
    assert explain(CREDENTIALS, WEBMQ).mistake(signature) is None


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b"1e999", b"9" * 5000, rb'"\ud800"', b"\xff"])
def test_a_body_that_json_cannot_decode_or_encode(body: bytes) -> None:
    assert explain(CREDENTIALS, WEBMQ | {"body": body}).mistake(signed(TOPIC, KEY, body)) == "a missing part: timestamp"


@settings(max_examples=25)
@given(
    st.dictionaries(st.sampled_from([*CROSSBAR, "topic"]), st.binary(max_size=20), min_size=1, max_size=5),
    st.binary(min_size=1, max_size=20),
    st.text(max_size=50),
)
def test_any_parts_can_be_explained(parts: dict[str, bytes], secret: bytes, signature: str) -> None:
    """No part is required, and a part can have any value."""
    explanation = explain(Credentials("app", secret), parts)
    assert explanation.mistake(explanation.signature) is None
    assert explanation.mistake(signature) is None or not explanation.is_right(signature)


def test_the_example_in_the_docstring() -> None:
    code = textwrap.dedent((inspect.getdoc(explain) or "").split("\n\n")[1])
    parameters = f"topicuri={QUOTED_TOPIC.decode()}&appkey=app&timestamp={QUOTED_TIMESTAMP.decode()}"
    printed: list[str] = []
    names = {
        "query": f"{parameters}&signature={signed(secret=b'')}",
        "body": BODY,
        "print": lambda *words: printed.extend(words),
        "explain": explain,
        "signed_request": signed_request,
    }
    exec(code, {**vars(signing), **names})  # noqa: S102  # code of this package
    assert printed == ["wrong signature:", "an empty secret"]
