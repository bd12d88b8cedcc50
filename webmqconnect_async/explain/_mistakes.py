"""The usual mistakes of signing: what people do with a secret and the parts of a push, given what they should do.

Each is a function from the right `Way` to wrong ones. Pure; it is not told which dialect was meant: parts have names.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import permutations, product
from typing import NoReturn, TypeAlias
from urllib.parse import quote, quote_plus

__all__ = ["MISTAKES", "Way", "mistake_behind"]


def _urlsafe(digest: bytes) -> str:
    return urlsafe_b64encode(digest).decode()


def _standard(digest: bytes) -> str:
    return b64encode(digest).decode()


def _twice(text: str) -> str:
    """Return what is left of a text that was percent-encoded twice, when it has been decoded once."""
    return quote(text, safe="")


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to sign; the defaults are the right one."""

    secret: Callable[[], bytes]
    """Gives the secret. As a value it would be in what `asdict` makes of this."""
    parts: dict[str, bytes]
    separator: bytes = b""
    digest: str = "sha256"
    written: Callable[[bytes], str] = _urlsafe
    detail: str = ""
    """Which variant of a mistake it is, where a mistake has several."""

    def __repr__(self) -> str:
        return f"Way({', '.join(self.parts)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Way does not pickle: the secret would travel with it")

    @property
    def signature(self) -> str:
        """What comes of it."""
        return self.written(hmac.digest(self.secret(), self.separator.join(self.parts.values()), self.digest))

    def of(self, detail: str, /, **parts: bytes) -> Way:
        """Return it with these parts in place of those of the same name."""
        return replace(self, parts=self.parts | parts, detail=detail)


Mistake: TypeAlias = Callable[[Way], Iterable[Way]]


def mistake_behind(signature: str, right: Way) -> str | None:
    """Return what was done to get a signature; None where it is the right one, or no usual mistake gives it."""
    given = signature.encode("utf-8", "surrogatepass")
    if hmac.compare_digest(right.signature.encode(), given):
        return None
    for name, mistake in MISTAKES.items():
        for wrong in mistake(right):
            if hmac.compare_digest(wrong.signature.encode(), given):
                return f"{name}: {wrong.detail}" if wrong.detail else name
    return None


def _secret(*changes: Callable[[bytes], bytes]) -> Mistake:
    def wrong(way: Way) -> Iterator[Way]:
        for change in changes:
            try:
                changed = change(way.secret())
            except ValueError:  # no base64, or no hex
                continue
            yield replace(way, secret=_given(changed))

    return wrong


def _given(secret: bytes) -> Callable[[], bytes]:
    return lambda: secret


def _written(*ways: Callable[[bytes], str]) -> Mistake:
    return lambda way: (replace(way, written=written) for written in ways)


def _quoted(way: Way) -> Iterator[Way]:
    names = [name for name in way.parts if name != "body"]
    for changed, safe, quoting in product([*([name] for name in names), names], ("", "/", ":/"), (quote, quote_plus)):
        quoted = {name: quoting(way.parts[name], safe=safe).encode() for name in changed}
        yield way.of(", ".join(changed), **quoted)


def _dumped(way: Way) -> Iterator[Way]:
    for options, event in product(range(8), _json(way.parts.get("body", b""))):
        compact, unicode, ordered = options & 1, options & 2, options & 4
        text = json.dumps(
            event, separators=(",", ":") if compact else None, ensure_ascii=not unicode, sort_keys=bool(ordered)
        )
        said = "event"
        said += ", separators=(',', ':')" if compact else ""
        said += ", ensure_ascii=False" if unicode else ""
        said += ", sort_keys=True" if ordered else ""
        yield way.of(f"json.dumps({said})", body=text.encode("utf-8", "surrogatepass"))


def _json(body: bytes) -> Iterator[object]:
    """Yield what a body says; nothing where it is not JSON."""
    try:
        yield json.loads(body)
    except (ValueError, RecursionError):
        return


def _unescaped(way: Way) -> Iterator[Way]:
    yield way.of("", body=way.parts.get("body", b"").replace(b"\\u0026", b"&").replace(b"\\u003b", b";"))


def _of_the_other_dialect(way: Way) -> Iterator[Way]:
    """Yield WebMQ's parts of a request to Crossbar.io, whose body has the topic; seq and nonce no WebMQ request has."""
    rest = {name: part for name, part in way.parts.items() if name in ("key", "timestamp", "body")}
    for event in _json(way.parts.get("body", b"")):
        match event:
            case {"topic": str(topic)}:
                parts = {"topic": topic.encode("utf-8", "surrogatepass"), **rest}
                yield replace(way, parts=parts, detail=", ".join(parts))


def _reordered(way: Way) -> Iterator[Way]:
    for order in permutations(way.parts):
        yield replace(way, parts={name: way.parts[name] for name in order}, detail=", ".join(order))


def _without(way: Way) -> Iterator[Way]:
    for left_out in way.parts:
        yield replace(way, parts={name: way.parts[name] for name in way.parts if name != left_out}, detail=left_out)


def _separated(way: Way) -> Iterator[Way]:
    for separator in (b"&", b"\n", b"\r\n", b" ", b",", b";", b":", b".", b"|", b"/", b"-", b"_", b"+", b"\0"):
        yield replace(way, separator=separator, detail=repr(separator.decode()))


def _at_another_second(way: Way) -> Iterator[Way]:
    text = way.parts.get("timestamp", b"").decode("ascii", "replace")
    try:
        second = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
        for distance in sorted(range(-5, 6), key=abs):
            moved = (second + timedelta(seconds=distance)).isoformat() + text[19:]
            yield way.of(moved, timestamp=moved.encode())
    except (ValueError, OverflowError):
        return


MISTAKES: dict[str, Mistake] = {
    "the secret with a newline at its end": _secret(lambda s: s + b"\n", lambda s: s + b"\r\n"),
    "the secret with blanks around it": _secret(
        lambda s: b" " + s, lambda s: s + b" ", lambda s: b" " + s + b" ", lambda s: s + b"\t"
    ),
    "the secret without the blanks around it": _secret(bytes.strip, bytes.rstrip, bytes.lstrip),
    "the secret with quotes around it": _secret(lambda s: b'"' + s + b'"', lambda s: b"'" + s + b"'"),
    # What is padded already is none the worse for more.
    "the secret decoded from base64": _secret(lambda s: b64decode(s + b"=="), lambda s: urlsafe_b64decode(s + b"==")),
    "the secret decoded from hex": _secret(lambda s: bytes.fromhex(s.decode())),
    "an empty secret": _secret(lambda s: b""),
    "the signature's padding cut off": _written(lambda d: _urlsafe(d).rstrip("="), lambda d: _standard(d).rstrip("=")),
    "standard base64 in place of the URL-safe one": _written(_standard),
    'standard base64 whose "+" became a blank in the query': _written(lambda d: _standard(d).replace("+", " ")),
    "the signature percent-encoded twice": _written(
        lambda d: _twice(_urlsafe(d)), lambda d: _urlsafe(d).replace("=", "%3d"), lambda d: _twice(_standard(d))
    ),
    "hexadecimal in place of base64": _written(bytes.hex, lambda d: d.hex().upper()),
    "another hash than SHA-256": lambda way: (replace(way, digest=d, detail=d) for d in ("sha1", "sha512")),
    "a part as it stands in the query, and not plain": _quoted,
    "the timestamp of another second": _at_another_second,
    "the body before & and ; were escaped in it": _unescaped,
    "a body other than the one that was sent": _dumped,
    "the parts that the other dialect signs": _of_the_other_dialect,
    "a part left out": _without,
    "the parts in another order": _reordered,
    "a separator between the parts": _separated,
}
"""What was signed, or done to a signature, by what gives the ways in which that may have been."""
