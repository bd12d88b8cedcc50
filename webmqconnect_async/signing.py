"""Sign pushes and verify signatures, and sign the challenges of subscribers.

The parts of a push that are signed are bytes. Which parts a broker signs, and in which order, is up to its dialect.
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
    """An application key and its secret. The secret is in no repr, and pickling raises TypeError.

    Args:
        key: the name under which the broker has the secret; sent with each push.
        secret: shared with the broker, never sent. Text is encoded as UTF-8.

    Raises:
        TypeError, ValueError: one of them is not text, empty, or not UTF-8.
    """

    # Only the key is a field of the dataclass: `asdict`, and error reporters, show the fields of a dataclass.
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
        """The secret, as it is used to sign."""
        return self._secret

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return self.key == other.key and self.secret == other.secret

    def __hash__(self) -> int:
        return hash((self.key, self.secret))

    def __reduce__(self) -> NoReturn:
        raise TypeError("Credentials do not pickle: the pickle would hold the secret")


def _unusable(name: str, value: object, types: type | UnionType) -> Exception | None:
    """Return the error for a key or a secret that cannot be used. It shows nothing of the value."""
    if not isinstance(value, types):
        expected = "a string" if types is str else "a string or bytes"
        return TypeError(f"{name} must be {expected}, not {type(value).__name__}")
    if not value:
        return ValueError(f"{name}: empty, which a broker treats as absent")
    # Looked for here, because a UnicodeEncodeError would hold all of the text.
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        return ValueError(f"{name}: a lone surrogate is not UTF-8")
    return None


def sign(credentials: Credentials, *parts: bytes) -> str:
    r"""Return the HMAC-SHA256 of the parts in URL-safe base64, with padding.

    Both brokers join the parts without a separator: "a" + "bc" has the same signature as "ab" + "c". HMAC pads a key
    with zero bytes: `secret` and `secret\0` are the same secret.
    """
    return urlsafe_b64encode(hmac.digest(credentials.secret, b"".join(parts), "sha256")).decode("ascii")


def verify(credentials: Credentials, signature: str, *parts: bytes) -> bool:
    """Return whether this is the signature of the parts, in constant time."""
    # compare_digest raises TypeError for text that is not ASCII, and a hub receives such text.
    return hmac.compare_digest(sign(credentials, *parts).encode(), signature.encode("utf-8", "surrogatepass"))


def sign_challenge(credentials: Credentials, challenge: str) -> str:
    """Return the signature by which a subscriber authenticates (WAMP-CRA): HMAC-SHA256 in base64, with padding.

    Use credentials for subscribers alone. A broker that accepts pushes signed with the same secret would also accept a
    push that somebody had you sign as a challenge.

    Args:
        credentials: of the subscriber; only the secret is used.
        challenge: what the broker has sent. A lone surrogate in it makes a signature, but no broker accepts that.
    """
    digest = hmac.digest(credentials.secret, challenge.encode("utf-8", "surrogatepass"), "sha256")
    return b64encode(digest).decode("ascii")
