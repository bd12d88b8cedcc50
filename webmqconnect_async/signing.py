"""The signing core: bytes in, text out. It knows no wire: which parts are signed, in which order, a dialect says."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NoReturn

from .mistakes import Way, mistake_behind

__all__ = ["Credentials", "Explanation", "explain", "sign", "verify"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An application key and its secret, which no repr shows and no pickle carries.

    Args:
        key: the name under which the broker knows the secret; sent with each push.
        secret: shared with the broker, never sent. Text is taken as UTF-8.

    Raises:
        TypeError, ValueError: one of them is not text, empty, or not UTF-8.
    """

    key: str
    secret: bytes = field(repr=False)

    def __init__(self, key: str, secret: str | bytes) -> None:
        # Of the secret no error says more than its type: a UnicodeEncodeError would carry it whole.
        for name, value, types in (("key", key, str), ("secret", secret, str | bytes)):
            if not isinstance(value, types):
                raise TypeError(f"{name}: text is needed, not {type(value).__name__}")
            if not value:
                raise ValueError(f"{name}: empty, which a broker takes for absent")
            if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
                raise ValueError(f"{name}: a lone surrogate is not UTF-8")
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "secret", secret.encode() if isinstance(secret, str) else secret)

    def __reduce__(self) -> NoReturn:
        raise TypeError("Credentials do not pickle: the secret would travel with them")


def sign(credentials: Credentials, *parts: bytes) -> str:
    r"""Return the URL-safe base64 HMAC-SHA256 of the parts, padding kept.

    Both wires join the parts without a separator: "a" + "bc" signs like "ab" + "c". HMAC fills a key with zero bytes:
    `secret` and `secret\0` are one secret.
    """
    return urlsafe_b64encode(hmac.digest(credentials.secret, b"".join(parts), "sha256")).decode("ascii")


def verify(credentials: Credentials, signature: str, *parts: bytes) -> bool:
    """Tell whether the signature is the one of the parts, in a time that does not depend on where they differ."""
    # compare_digest takes text only where it is ASCII, and a hub is sent anything.
    return hmac.compare_digest(sign(credentials, *parts).encode(), signature.encode("utf-8", "surrogatepass"))


class Explanation:
    """What is signed of a push, and what comes of it. No repr shows secret or signature, and no pickle carries them.

    Args:
        credentials: what it should be signed with.
        parts: as `explain` takes them.
    """

    # No dataclass: `asdict` would show what it holds.
    __slots__ = ("_credentials", "_parts")

    def __init__(self, credentials: Credentials, parts: Mapping[str, bytes]) -> None:
        for name, part in parts.items():
            if not isinstance(part, bytes):
                raise TypeError(f"parts[{name!r}]: bytes are needed, not {type(part).__name__}")
        self._credentials = credentials
        self._parts = dict(parts)

    def __repr__(self) -> str:
        return f"Explanation(parts={self._parts!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Explanation does not pickle: the secret would travel with it")

    @property
    def parts(self) -> Mapping[str, bytes]:
        """By name, in the order in which they are signed."""
        return MappingProxyType(self._parts)

    @property
    def signature(self) -> str:
        """Whoever sees it can send this very push, for as long as the broker takes its timestamp."""
        return sign(self._credentials, self.message)

    @property
    def message(self) -> bytes:
        """What the HMAC is made of: the parts, joined."""
        return b"".join(self._parts.values())

    def is_right(self, signature: str) -> bool:
        """Tell whether this is the signature of the parts."""
        return verify(self._credentials, signature, self.message)

    def mistake(self, signature: str) -> str | None:
        """Return which usual mistake gives a signature; None where it is right, or none does: with another secret, say.

        The text names what was signed, or how: "the secret with a newline at its end". It never holds a secret.
        """
        return mistake_behind(signature, Way(lambda: self._credentials.secret, self._parts))


def explain(credentials: Credentials, parts: Mapping[str, bytes]) -> Explanation:
    """Return what is signed, part by part, and the signature; it then tells what another signature comes of.

        signed = signed_request("webmq", query, body)  # of webmqconnect_async.dialects.signed: what was sent
        explanation = explain(Credentials("app", "s3cret"), signed.parts)
        if not explanation.is_right(signed.signature):
            print("it comes of", explanation.mistake(signed.signature) or "another secret, or of something unusual")

    Args:
        credentials: what it should be signed with.
        parts: the bytes of each part by its name ("topic", "key", "timestamp", "seq", "nonce", "body"), in the order in
            which the dialect signs them.

    Raises:
        TypeError: a part is not bytes.
    """
    return Explanation(credentials, parts)
