"""Find a request's signature in the text of its response, so that no error shows a part of it.

A broker, or a proxy in front of it, may quote the request that it refuses. aiohttp's 400 for too long a request line
quotes its first 100 bytes as a Python literal; other servers escape the URL for HTML or JSON. Anybody who reads the
whole signature can send the push again for 300 seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html.entities import html5
from string import ascii_lowercase, ascii_uppercase, punctuation

_RUN = 8
"""Number of consecutive characters of a signature that must not be shown."""

_MOST_READINGS = 100
"""Maximum number of ways to decode a text that are tried. Few responses have more than ten."""


def quotes(text: str, signature: str) -> bool:
    """Return whether a text quotes a signature: eight consecutive characters of it, ignoring case, possibly escaped.

    Between them may be characters outside the base64 alphabet, such as line breaks. Escapes may be nested in any order.
    The result is also True for a text that can be decoded in more than 100 ways, because not all of them are tried.
    The signature of an unsigned request is empty.
    """
    signature = signature.translate(_FOLDED)
    runs = [signature[start : start + _RUN] for start in range(len(signature) - _RUN + 1)]
    if not runs:
        return False
    text = _OTHERS.sub(" ", text)
    readings, seen = [text], {text}
    while readings:
        reading = readings.pop()
        padded = reading.translate(_FOLDED)
        bare = padded.replace("=", "")
        if any(run in padded or run in bare for run in runs):
            return True
        # Each decoder alone, and one level at a time: text may look like an escape, such as "=2D" in "signature=2D…".
        for escape, decoded in _DECODERS:
            if (further := escape.sub(decoded, reading)) not in seen:
                seen.add(further)
                readings.append(further)
        if len(seen) > _MOST_READINGS:
            return True
    return False


_OTHERS = re.compile(r"[^!-~]+")
"""Anything that is not printable ASCII."""

_FOLDED = str.maketrans(
    ascii_uppercase + "+/",  # standard base64
    ascii_lowercase + "-_",  # URL-safe base64
    " " + "".join(set(punctuation) - set("+/-_=")),
)


def _character(code: int) -> str:
    return chr(code) if 32 < code < 127 else " "


def _hexadecimal(escape: re.Match[str]) -> str:
    return _character(int(escape[escape.lastindex or 0], 16))


def _entity(escape: re.Match[str]) -> str:
    hexadecimal, decimal, name = escape.groups()
    if name is not None:
        return html5.get(f"{name};") or html5.get(f"{name.lower()};", escape[0])
    return _character(int(hexadecimal, 16) if decimal is None else int(decimal))


def _backslashed(escape: re.Match[str]) -> str:
    octal, character = escape[4], escape[5]
    if character is not None:
        return " " if character.lower() in "abfnrtv0" else character
    return _hexadecimal(escape) if octal is None else _character(int(octal, 8))


_DECODERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str] | str], ...] = tuple(
    (re.compile(escape, re.IGNORECASE), decoded)
    for escape, decoded in (
        # Percent-encoding, and that of JavaScript's escape().
        (r"%(?:u([0-9a-f]{4})|([0-9a-f]{2}))", _hexadecimal),
        # HTML: &#45; &#x2d; &lowbar;
        (r"&(?:#x0*([0-9a-f]{1,6})|#0*([0-9]{1,7})|([a-z][a-z0-9]{1,31}));?", _entity),
        # JSON, Python, JavaScript and C: \u002d \x2d \u{2d} \055 \/ \n
        (r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|[ux]\{([0-9a-f]{1,6})\}|([0-7]{3})|(.))", _backslashed),
        # Python: \U0000002d
        (r"\\u([0-9a-f]{8})", _hexadecimal),
        # Quoted-printable, and its soft line breaks, which may be inside of another escape.
        (r"=([0-9a-f]{2})", _hexadecimal),
        (r"= +", ""),
        # Other line breaks, and HTML tags.
        (r" +", ""),
        (r"<[^<>]*>", ""),
    )
)
