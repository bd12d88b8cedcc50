"""Parse the query of a request target. Repeated names are kept, because brokers differ in what they mean."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote_to_bytes


def parameters(query: str) -> list[tuple[bytes, bytes | None]]:
    """Return the names and values of a query, decoded, in order. The value of a name without `=` is None.

    In the query, bytes that are not UTF-8 are surrogate escapes.
    """
    pairs = (pair.partition("=") for pair in query.split("&"))
    return [(_decoded(name), _decoded(value) if equals else None) for name, equals, value in pairs]


@lru_cache(maxsize=128)  # names, topics, keys and timestamps repeat
def _decoded(text: str) -> bytes:
    text = text.replace("+", " ")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # a surrogate that does not represent a byte (PEP 383); the result is not UTF-8 either
        return unquote_to_bytes(text.encode("utf-8", "surrogatepass"))
