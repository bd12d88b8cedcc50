"""Read what is signed of a request, and its signature, from the query and the body that were sent.

It has no secret and verifies nothing: `explain` computes what the signature should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from .._core.dialects import DialectName

__all__ = ["SignedRequest", "signed_request"]

_PARAMETERS: dict[DialectName, dict[str, str]] = {
    "webmq": {"topic": "topicuri", "key": "appkey", "timestamp": "timestamp"},
    "crossbar": {"key": "key", "timestamp": "timestamp", "seq": "seq", "nonce": "nonce"},
}
"""The parameter of each part, in the order in which a dialect signs them. Both sign the body last."""

_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""A surrogate that does not stand for a byte (PEP 383)."""


class SignedRequest:
    """A request, parsed. Its signature is not in the repr.

    Args:
        parts: the bytes of each part that its dialect signs, by name and in that order.
        signature: as it was sent.
    """

    # Not a dataclass, as error reporters show the fields of those.
    __slots__ = ("parts", "signature")

    def __init__(self, parts: Mapping[str, bytes], signature: str) -> None:
        self.parts: Mapping[str, bytes] = parts
        self.signature: str = signature

    def __repr__(self) -> str:
        return f"SignedRequest(parts={self.parts!r})"


def signed_request(dialect: DialectName, query: str, body: bytes) -> SignedRequest:
    """Return what is signed of a request, and its signature.

    Args:
        dialect: the format of the request.
        query: what follows the `?`, undecoded; or a whole request line, target or URL, as in a log.
        body: its exact bytes.

    Raises:
        ValueError: the dialect does not exist, or the query lacks a parameter, has it twice, or is not UTF-8. The
            message names the parameter, and shows no value.
    """
    if dialect not in _PARAMETERS:
        raise ValueError(f"dialect: 'webmq' or 'crossbar' is needed, not {dialect!r}")
    if _NO_BYTE.search(query):  # a UnicodeEncodeError would hold all of it
        raise ValueError("query: a lone surrogate is not UTF-8")
    wanted = _PARAMETERS[dialect]
    needed = (*wanted.values(), "signature")
    # A value of a bare query may hold a "?", too: prefer the reading with more of the parameters.
    behind, whole = query.strip().partition("?")[2], query.strip()
    values = max(_parameters(behind), _parameters(whole), key=lambda read: len(read.keys() & needed))
    for parameter in needed:
        if len(found := values.get(parameter, [])) != 1:
            raise ValueError(f"query: it has {'no' if not found else 'more than one'} {parameter!r}")
    parts = {name: values[parameter][0] for name, parameter in wanted.items()}
    return SignedRequest({**parts, "body": body}, values["signature"][0].decode("utf-8", "replace"))


def _parameters(query: str) -> dict[str, list[bytes]]:
    values: dict[str, list[bytes]] = {}
    for pair in query.split(" ")[0].strip("\"'").split("&"):
        name, _, value = pair.partition("=")
        values.setdefault(_decoded(name).decode("utf-8", "replace"), []).append(_decoded(value))
    return values


def _decoded(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape"))
