"""What is signed of a push, and the mistake behind a wrong signature."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn

from ..signing import Credentials, sign, verify
from ._mistakes import Way, mistake_behind

__all__ = ["Explanation", "explain"]


class Explanation:
    """What is signed of a push, and its signature. Neither the secret nor the signature is in the repr.

    Pickling raises TypeError.

    Args:
        credentials: what it should be signed with.
        parts: see `explain`.
    """

    # Not a dataclass: `asdict` would show the credentials.
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
        raise TypeError("an Explanation does not pickle: the pickle would hold the secret")

    @property
    def parts(self) -> Mapping[str, bytes]:
        """By name, in the order in which they are signed."""
        return MappingProxyType(self._parts)

    @property
    def signature(self) -> str:
        """The right signature. Anybody who has it can send this push until the broker considers it expired."""
        return sign(self._credentials, self.message)

    @property
    def message(self) -> bytes:
        """The input of the HMAC: the parts, joined."""
        return b"".join(self._parts.values())

    def is_right(self, signature: str) -> bool:
        """Return whether this is the signature of the parts."""
        return verify(self._credentials, signature, self.message)

    def mistake(self, signature: str) -> str | None:
        """Return which common mistake produces a signature.

        None if the signature is right, or if no common mistake produces it: it may be made with another secret. The
        text describes what was signed, or how: "the secret with a newline at its end". It never holds a secret.
        """
        return mistake_behind(signature, Way(lambda: self._credentials.secret, self._parts))


def explain(credentials: Credentials, parts: Mapping[str, bytes]) -> Explanation:
    """Return what is signed, part by part, and the signature; it can find the mistake behind another signature.

        signed = signed_request("webmq", query, body)  # what was sent
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
