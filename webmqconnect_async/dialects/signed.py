"""What is signed of a request that somebody has sent, ours or a foreign one: read from its query and its body.

It holds no secret and judges nothing: `signing.explain` says what the signature should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from . import DialectName

__all__ = ["SignedRequest", "signed_request"]

_PARAMETERS: dict[DialectName, dict[str, str]] = {
    "webmq": {"topic": "topicuri", "key": "appkey", "timestamp": "timestamp"},
    "crossbar": {"key": "key", "timestamp": "timestamp", "seq": "seq", "nonce": "nonce"},
}
"""The parameter of each part, in the order in which a dialect signs them; the body comes last in both."""

_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""A surrogate that stands for no byte beyond UTF-8."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request, taken apart."""

    parts: Mapping[str, bytes]
    """The bytes of each part that its dialect signs, by name and in that order."""
    signature: str = field(repr=False)


def signed_request(dialect: DialectName, query: str, body: bytes) -> SignedRequest:
    """Return what is signed of a request, and the signature that it carries.

    Args:
        dialect: the wire that it is meant for.
        query: what follows the `?`, undecoded; or all of a request line, a target or a URL, as a log shows it.
        body: its exact bytes.

    Raises:
        ValueError: there is no such dialect, or the query lacks a parameter, or has it twice, or is not UTF-8; the
            message names the parameter and no value.
    """
    if dialect not in _PARAMETERS:
        raise ValueError(f"dialect: 'webmq' or 'crossbar' is needed, not {dialect!r}")
    if _NO_BYTE.search(query):  # a UnicodeEncodeError would carry all of it
        raise ValueError("query: a lone surrogate is not UTF-8")
    wanted = _PARAMETERS[dialect]
    needed = (*wanted.values(), "signature")
    # A "?" may stand within a value of a bare query, too: what makes more sense is meant.
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
