"""Signatures: those of the test vectors, comparison in constant time, and credentials that hide their secret."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import pickle
import traceback
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webmqconnect_async.signing import Credentials, sign, sign_challenge, verify

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
    """The parts are bytes here, because some vectors have timestamps that no clock produces."""
    assert hashlib.sha256(vector["body"].encode()).hexdigest() == vector["body_sha256"]
    credentials = Credentials(vector["key"], vector["secret"])
    assert sign(credentials, *_parts(vector)) == vector["signature"]
    assert verify(credentials, vector["signature"], *_parts(vector))


def test_the_file_has_all_vectors() -> None:
    assert len(_VECTORS) == 28


def test_parts_are_joined_without_a_separator() -> None:
    """The signed bytes do not show where a part ends, which is a weakness of the wire format."""
    credentials = Credentials("app", "secret")
    assert sign(credentials, b"a", b"bc") == sign(credentials, b"ab", b"c") == sign(credentials, b"abc")


def test_a_secret_is_text_as_utf_8_or_bytes() -> None:
    assert Credentials("k", "geheimnis-ß") == Credentials("k", "geheimnis-ß".encode())
    assert Credentials("k", b"\xff\xfe").secret == b"\xff\xfe"
    # Unicode is not normalized: NFC and NFD are different secrets.
    assert Credentials("k", "\u00e9") != Credentials("k", "e\u0301")


@pytest.mark.parametrize(
    "signature",
    ["", "x", "ß" * 44, "\ud800", "\0" * 44, "Xb1_rlsdin9c1AC9mSNqXZF1ybyseyQmMAxJOFVdoB8", "=" * 44],
    ids=["empty", "short", "non-ASCII", "surrogate", "NUL", "no padding", "padding"],
)
def test_any_text_can_be_verified_and_is_wrong(signature: str) -> None:
    """`compare_digest` raises TypeError for text that is not ASCII, which a hub may receive."""
    assert not verify(Credentials("foobar", "secret"), signature, b"a", b"b")


def test_one_wrong_character_anywhere_is_wrong() -> None:
    credentials = Credentials("foobar", "secret")
    right = sign(credentials, b"message")
    assert verify(credentials, right, b"message")
    for place, char in enumerate(right):
        wrong = right[:place] + ("A" if char != "A" else "B") + right[place + 1 :]
        assert not verify(credentials, wrong, b"message")


def test_signatures_are_compared_by_compare_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """`compare_digest` gets both complete signatures as bytes; nothing is compared before."""
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


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=40), max_size=6), st.binary(min_size=1, max_size=80))
def test_a_signature_can_be_verified(parts: list[bytes], secret: bytes) -> None:
    credentials = Credentials("app", secret)
    signature = sign(credentials, *parts)
    assert len(signature) == 44
    assert signature.endswith("=")
    assert set(signature[:-1]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert verify(credentials, signature, *parts)
    assert not verify(credentials, signature, *parts, b"x")


@pytest.mark.parametrize(
    ("challenge", "signature"),
    [
        ("a challenge", "0ahn/nCqlVnP5BPkpoPPYxbj4L4LUT08qQR0hyW4GO4="),
        ("ein Rätsel", "Z3jA6h5sa863A9fnvQ0WlO78kkMnLffmC7za/e6w60E="),
        ("", "kd+scMU0iwThuruLQhrJLOwItWW0nKFhMNzLclA2R7c="),
    ],
)
def test_a_challenge_is_signed_in_standard_base64(challenge: str, signature: str) -> None:
    """The expected signatures are from `openssl dgst -sha256 -hmac s3cret -binary | base64`."""
    assert sign_challenge(Credentials("page", "s3cret"), challenge) == signature


def test_any_challenge_can_be_signed() -> None:
    """A challenge comes from outside, and may contain a lone surrogate."""
    assert len(sign_challenge(Credentials("page", "s3cret"), "\ud800")) == 44


_UNUSABLE: list[tuple[object, object, type[Exception], str]] = [
    ("", "s3cret", ValueError, "key: must not be empty"),
    ("app", "", ValueError, "secret: must not be empty"),
    ("app", b"", ValueError, "secret: must not be empty"),
    (b"app", "s3cret", TypeError, "key must be a string, not bytes"),
    (None, "s3cret", TypeError, "key must be a string, not NoneType"),
    ("app", None, TypeError, "secret must be a string or bytes, not NoneType"),
    ("app", 5, TypeError, "secret must be a string or bytes, not int"),
    ("app", ["s3cret"], TypeError, "secret must be a string or bytes, not list"),
    ("\ud800", "s3cret", ValueError, "key: a lone surrogate"),
    ("app", "s3cret\udfff", ValueError, "secret: a lone surrogate"),
]


@pytest.mark.parametrize(("key", "secret", "kind", "said"), _UNUSABLE)
def test_the_error_of_invalid_credentials_names_the_argument(
    key: str, secret: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        Credentials(key, secret)
    # The secret is neither in the traceback nor in a chained exception.
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_the_secret_is_in_no_repr_and_no_pickle() -> None:
    credentials = Credentials("app", "s3cret")
    assert repr(credentials) == str(credentials) == "Credentials(key='app')"
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            copied(credentials)


def test_credentials_are_frozen() -> None:
    credentials = Credentials("app", "s3cret")
    with pytest.raises(FrozenInstanceError):
        credentials.key = "other"  # type: ignore[misc]  # the error that is tested
    assert not hasattr(credentials, "__dict__")
