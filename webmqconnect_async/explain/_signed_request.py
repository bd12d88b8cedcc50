"""Parse the request that was sent: the signed parts and the signature. Pure; nothing is verified here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._core.dialects import DialectName, checked_dialect
from .._core.query import parameters

_PARAMETERS: dict[DialectName, dict[str, str]] = {
    "webmq": {"topic": "topicuri", "key": "appkey", "timestamp": "timestamp"},
    "crossbar": {"key": "key", "timestamp": "timestamp", "seq": "seq", "nonce": "nonce"},
}
"""The query parameter of each part, in the order in which a dialect signs them. Both sign the body last."""

_NOT_A_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""A surrogate that does not represent a byte (PEP 383)."""


class SignedRequest:
    """A request, parsed. The repr does not show the signature.

    Args:
        parts: the bytes of each signed part by name, in the order in which the dialect signs them.
        signature: the signature that was sent.
    """

    # Not a dataclass: error reporters show the fields of dataclasses.
    __slots__ = ("parts", "signature")

    def __init__(self, parts: Mapping[str, bytes], signature: str) -> None:
        self.parts: Mapping[str, bytes] = parts
        self.signature: str = signature

    def __repr__(self) -> str:
        return f"SignedRequest(parts={self.parts!r})"


def signed_request(dialect: DialectName, query: str, body: bytes) -> SignedRequest:
    """Return the signed parts and the signature of a request.

    Args:
        dialect: the format of the request.
        query: what follows the `?`, still percent-encoded. It may also be a URL, a request target, or a line of an
            access log that contains one.
        body: its exact bytes.

    Raises:
        ValueError: the dialect does not exist; or a parameter is missing or occurs twice; or the query is not UTF-8.
            The message names the parameter and contains no value.
    """
    names = _PARAMETERS[checked_dialect("dialect", dialect)]
    if _NOT_A_BYTE.search(query):  # encoding it would raise UnicodeEncodeError, which holds the whole query
        raise ValueError("query must be UTF-8, without lone surrogates")
    required = (*names.values(), "signature")
    # Unencoded, a value may also contain a "?". Of both readings, take the one that has more of the parameters.
    whole = query.strip()
    after_mark = whole.partition("?")[2]
    values = max(_parameters(after_mark), _parameters(whole), key=lambda found: len(found.keys() & required))
    for name in required:
        if len(values.get(name, [])) != 1:
            raise ValueError(f"query has {'more than one' if name in values else 'no'} {name!r}")
    parts = {part: values[name][0] for part, name in names.items()}
    return SignedRequest({**parts, "body": body}, values["signature"][0].decode("utf-8", "replace"))


def _parameters(query: str) -> dict[str, list[bytes]]:
    values: dict[str, list[bytes]] = {}
    # In an access log, the target is followed by a space and the version of HTTP, and is often quoted.
    for name, value in parameters(query.split(" ")[0].strip("\"'")):
        values.setdefault(name.decode("utf-8", "replace"), []).append(value or b"")
    return values
