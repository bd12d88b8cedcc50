"""The signing core: bytes in, text out. It knows no wire: which parts are signed, in which order, a dialect says."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import NoReturn

__all__ = ["Credentials", "sign", "verify"]


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
