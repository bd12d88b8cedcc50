"""Sign pushes and verify signatures, and sign the challenges of subscribers.

This module computes the HMAC. The dialects, in `_core/dialects`, decide which parts of a push are signed and in which
order.
"""

from __future__ import annotations

import hmac
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, NoReturn

__all__ = ["Credentials", "sign", "sign_challenge", "verify"]


@dataclass(frozen=True, init=False, eq=False)
class Credentials:
    """An application key and its secret. The repr does not show the secret, and pickling raises TypeError.

    Args:
        key: the name by which the broker looks up the secret; sent with each push.
        secret: shared with the broker, never sent. Text is encoded as UTF-8.

    Raises:
        TypeError, ValueError: an argument has another type, is empty, or cannot be encoded as UTF-8.
    """

    # Only the key is a field of the dataclass: `asdict` and error reporters show all fields.
    __slots__ = ("_secret", "key")

    key: str
    if TYPE_CHECKING:
        _secret: bytes

    def __init__(self, key: str, secret: str | bytes) -> None:
        if (error := _unusable("key", key, str) or _unusable("secret", secret, str | bytes)) is not None:
            del secret  # error reporters show the local variables of a traceback's frames
            raise error
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "_secret", secret.encode() if isinstance(secret, str) else secret)

    @property
    def secret(self) -> bytes:
        """The secret as bytes, as they are used to sign."""
        return self._secret

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return self.key == other.key and self.secret == other.secret

    def __hash__(self) -> int:
        return hash((self.key, self.secret))

    def __reduce__(self) -> NoReturn:
        raise TypeError("Credentials cannot be pickled: the pickle would contain the secret")


def _unusable(name: str, value: object, types: type | UnionType) -> Exception | None:
    """Return the error for an invalid key or secret, or `None`. Its message does not quote the value."""
    if not isinstance(value, types):
        expected = "a string" if types is str else "a string or bytes"
        return TypeError(f"{name} must be {expected}, not {type(value).__name__}")
    if not value:
        return ValueError(f"{name}: must not be empty; a broker treats an empty value as absent")
    # Checked here because a UnicodeEncodeError would hold the whole text.
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        return ValueError(f"{name}: a lone surrogate is not UTF-8")
    return None


def sign(credentials: Credentials, *parts: bytes) -> str:
    r"""Return the HMAC-SHA256 of the parts in URL-safe base64 (RFC 4648, section 5), with padding.

    Both brokers join the parts without a separator: "a" + "bc" has the same signature as "ab" + "c". HMAC pads a key
    with zero bytes (RFC 2104, section 2): `secret` and `secret\0` produce the same signatures.
    """
    return urlsafe_b64encode(hmac.digest(credentials.secret, b"".join(parts), "sha256")).decode("ascii")


def verify(credentials: Credentials, signature: str, *parts: bytes) -> bool:
    """Return whether a signature is that of the parts. The comparison takes constant time."""
    # As bytes: compare_digest raises TypeError for text that is not ASCII, which a hub may receive.
    return hmac.compare_digest(sign(credentials, *parts).encode(), signature.encode("utf-8", "surrogatepass"))


def sign_challenge(credentials: Credentials, challenge: str) -> str:
    """Return the signature by which a subscriber authenticates (WAMP-CRA): HMAC-SHA256 in base64, with padding.

    Use other credentials than for pushes. Otherwise, somebody who sends you the text of a push as a challenge gets a
    valid signature for that push.

    Args:
        credentials: of the subscriber; only the secret is used.
        challenge: the text that the broker sent. If it contains a lone surrogate, no broker accepts the signature.
    """
    digest = hmac.digest(credentials.secret, challenge.encode("utf-8", "surrogatepass"), "sha256")
    return b64encode(digest).decode("ascii")
