"""The escapes in which a broker, a proxy or a framework may quote a text, for tests that search for signatures."""

from __future__ import annotations

import html
import json
import quopri
import re
import textwrap
from collections.abc import Callable
from urllib.parse import quote

Escape = Callable[[str], str]


def each(pattern: str) -> Escape:
    """Return an escape that replaces every character by its code."""
    return lambda text: "".join(pattern.format(ord(char)) if ord(char) < 256 else char for char in text)


def _quoted_printable(text: str) -> str:
    return quopri.encodestring(text.encode(), quotetabs=True).decode()


def _soft_breaks(text: str) -> str:
    """Encode as quoted-printable in short lines, whose line breaks are inside other escapes."""
    characters = ["=3D" if char == "=" else char for char in text]
    return "=\r\n".join("".join(characters[start : start + 7]) for start in range(0, len(text), 7))


ESCAPES: dict[str, Escape] = {
    "plain": lambda text: text,
    "percent": lambda text: quote(text, safe=""),
    "percent, lower": lambda text: re.sub("%..", lambda match: match[0].lower(), quote(text, safe="")),
    "percent, all": each("%{:02X}"),
    "percent, of JavaScript": each("%u{:04x}"),
    "html": lambda text: html.escape(text).replace("=", "&#61;").replace("-", "&#45;").replace("_", "&lowbar;"),
    "html, decimal": each("&#{};"),
    "html, hexadecimal": each("&#x{:x};"),
    "html, zeros": each("&#X{:08X};"),
    "html, no semicolon": lambda text: re.sub("-(?![0-9])", "&#45", re.sub("_(?![0-9a-fA-F])", "&#x5f", text)),
    "html, breaks": lambda text: "<wbr>".join(textwrap.wrap(text, 5)),
    "html, spans": lambda text: "".join(f'<span class="x">{char}</span>' for char in text),
    "json": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, all": each("\\u{:04x}"),
    "json, upper": each("\\u{:04X}"),
    "python": lambda text: repr(text.encode())[2:-1],
    "python, all": each("\\x{:02x}"),
    "python, long": each("\\U{:08x}"),
    "javascript": each("\\u{{{:x}}}"),
    "c": each("\\{:03o}"),
    "regular expression": re.escape,
    "quoted-printable": _quoted_printable,
    "quoted-printable, all": each("={:02X}"),
    "quoted-printable, short lines": _soft_breaks,
    "wrapped": lambda text: "\r\n\t".join(textwrap.wrap(text, 7)),
    "wrapped, in json": lambda text: json.dumps("\n".join(textwrap.wrap(text, 7))),
    "wrapped, in json twice": lambda text: json.dumps(json.dumps("\r\n\t".join(textwrap.wrap(text, 7)))),
    "spaced": " ".join,
    "null bytes": "\0".join,
    "zero width": "\u200b".join,
    "standard base64": lambda text: text.replace("-", "+").replace("_", "/"),
    "upper case": str.upper,
    "lower case": str.lower,
}
"""Escapes by name."""


def nested(text: str, *names: str) -> str:
    """Return a text that is escaped by each of these escapes in turn."""
    for name in names:
        text = ESCAPES[name](text)
    return text


def runs(signature: str, length: int = 8) -> list[str]:
    """Return each substring of this length of a signature."""
    return [signature[start : start + length] for start in range(len(signature) - length + 1)]


def shown(texts: list[str], *signatures: str) -> list[str]:
    """Return which parts of the signatures the texts show: substrings of eight characters."""
    together = "\n".join(dict.fromkeys(texts))
    return [run for signature in signatures for run in runs(signature) if run in together]
