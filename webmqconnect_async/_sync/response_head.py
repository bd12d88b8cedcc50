"""Heads of answers as brokers nearly always send them, read at a glance. Whatever is unusual is left to http.client.

http.client reads each head through the email package, which takes a third of a push. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["PlainHead", "plain_head"]

_HEAD = re.compile(rb"HTTP/1\.1 (20[0-3]|[45][0-9]{2})(?: [ -~]*)?\r\n((?:[A-Za-z-]+:[ -~]*\r\n){1,90})")
"""Nothing folded, no byte that is not printable ASCII, no status whose body has rules of its own, few headers."""
_LENGTH = re.compile(r"[0-9]{1,5}")
_OTHER_FRAMING = frozenset({"transfer-encoding", "connection"})


class Fields:
    """The headers of a plain head."""

    def __init__(self, lines: str) -> None:
        self._values: dict[str, str] = {}
        self.repeated: set[str] = set()
        for line in lines.splitlines():
            name, _, value = line.partition(":")
            name = name.lower()
            if name in self._values:
                self.repeated.add(name)
            else:
                self._values[name] = value.strip(" ")

    def get(self, name: str) -> str | None:
        """Return the first value of a header, whatever its case; None without one."""
        return self._values.get(name.lower())

    def __contains__(self, name: str) -> bool:
        return name in self._values


class PlainHead(NamedTuple):
    """A head, and the length of the body behind it."""

    status: int
    headers: Fields
    size: int
    """Bytes of the head itself."""
    length: int


def plain_head(received: bytes) -> PlainHead | None:
    """Return the head that an answer begins with; None where it is not plain, or not all there yet."""
    head, blank, _ = received.partition(b"\r\n\r\n")
    return _parsed(head + b"\r\n") if blank else None


@lru_cache(16)  # a broker's answers differ in the second of their Date alone
def _parsed(head: bytes) -> PlainHead | None:
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    headers = Fields(match[2].decode("ascii"))
    length = headers.get("content-length") or ""
    if not _LENGTH.fullmatch(length) or "content-length" in headers.repeated:
        return None
    if any(name in headers for name in _OTHER_FRAMING):
        return None
    return PlainHead(int(match[1]), headers, len(head) + len(b"\r\n"), int(length))
