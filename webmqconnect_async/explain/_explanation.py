"""What is signed for a push, the signature, and the mistake behind a wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn

from ..signing import Credentials, sign, verify
from ._signing_mistakes import find_mistake


class Explanation:
    """What is signed for a push, and the signature. The repr shows neither the secret nor the signature.

    Pickling raises TypeError.

    Args:
        credentials: the key and the secret to sign with.
        parts: see `explain`.
    """

    # Not a dataclass: `asdict` would show the credentials.
    __slots__ = ("_credentials", "_parts")

    def __init__(self, credentials: Credentials, parts: Mapping[str, bytes]) -> None:
        for name, part in parts.items():
            if not isinstance(part, bytes):
                raise TypeError(f"parts[{name!r}] must be bytes, not {type(part).__name__}")
        self._credentials = credentials
        self._parts = dict(parts)

    def __repr__(self) -> str:
        return f"Explanation(parts={self._parts!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Explanation cannot be pickled: the pickle would contain the secret")

    @property
    def parts(self) -> Mapping[str, bytes]:
        """The signed parts by name, in order. The HMAC is computed over all of them, without separators."""
        return MappingProxyType(self._parts)

    @property
    def signature(self) -> str:
        """The correct signature. Anybody who has it can send this push until its timestamp expires."""
        return sign(self._credentials, *self._parts.values())

    def is_right(self, signature: str) -> bool:
        """Return whether this is the correct signature."""
        return verify(self._credentials, signature, *self._parts.values())

    def mistake(self, signature: str) -> str | None:
        """Return the common mistake that produces a signature, such as "a newline at the end of the secret".

        None if the signature is correct, or if no common mistake produces it; then it was probably made with another
        secret. The text never contains a secret.
        """
        return None if self.is_right(signature) else find_mistake(signature, self._credentials, self._parts)


def explain(credentials: Credentials, parts: Mapping[str, bytes]) -> Explanation:
    """Return what is signed, part by part, and the signature. The result can also explain a wrong signature.

        signed = signed_request("webmq", query, body)  # the request that was sent
        explanation = explain(Credentials("app", "s3cret"), signed.parts)
        if not explanation.is_right(signed.signature):
            print("wrong signature:", explanation.mistake(signed.signature) or "another secret or other parts")

    Args:
        credentials: the key and the secret to sign with.
        parts: the bytes of each part by name ("topic", "key", "timestamp", "seq", "nonce", "body"), in the order in
            which the dialect signs them.

    Raises:
        TypeError: a part is not bytes.
    """
    return Explanation(credentials, parts)
