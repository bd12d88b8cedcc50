"""Common mistakes in computing a signature. Pure, and independent of the dialect: parts are looked up by name."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import hexlify
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import permutations, product
from typing import TypeAlias
from urllib.parse import quote, quote_plus

from ..signing import Credentials

_Parts: TypeAlias = Mapping[str, bytes]

_SEPARATORS = ("&", "\n", "\r\n", *" ,;:.|/-_+\0")


def find_mistake(signature: str, credentials: Credentials, parts: _Parts) -> str | None:
    """Return the first common mistake that produces this signature, with the variant if the mistake has several."""
    given = signature.encode("utf-8", "surrogatepass")
    for mistake, variants in COMMON_MISTAKES.items():
        for variant in variants(parts):
            with suppress(ValueError):  # the secret is not base64 or hex
                # In constant time: some variants are the correct signature in another encoding.
                if hmac.compare_digest(variant.signature(credentials), given):
                    return f"{mistake}: {variant.detail}" if variant.detail else mistake
    return None


@dataclass(frozen=True, slots=True)
class _Variant:
    """A way to compute a signature. The defaults are the correct way."""

    parts: _Parts
    detail: str = ""
    """Distinguishes the variants of a mistake."""
    secret: Callable[[bytes], bytes] = bytes
    """What is done to the secret before it is used."""
    separator: bytes = b""
    algorithm: str = "sha256"
    encode: Callable[[bytes], bytes] = urlsafe_b64encode

    def signature(self, credentials: Credentials) -> bytes:
        """Return the signature; raise ValueError if `secret` cannot be applied to this secret."""
        message = self.separator.join(self.parts.values())
        return self.encode(hmac.digest(self.secret(credentials.secret), message, self.algorithm))


_Mistake: TypeAlias = Callable[[_Parts], Iterable[_Variant]]
"""Returns the variants of a mistake, given the parts that should be signed."""


def _secret(*changes: Callable[[bytes], bytes]) -> _Mistake:
    return lambda parts: (_Variant(parts, secret=change) for change in changes)


def _encoded(*encodings: Callable[[bytes], bytes]) -> _Mistake:
    return lambda parts: (_Variant(parts, encode=encode) for encode in encodings)


def _percent_encoded(text: bytes) -> bytes:
    return quote(text, safe="").encode()


def _parts_percent_encoded(parts: _Parts) -> Iterator[_Variant]:
    names = [name for name in parts if name != "body"]
    for changed, safe, encode in product([*([name] for name in names), names], ("", "/", ":/"), (quote, quote_plus)):
        encoded = {name: encode(parts[name], safe=safe).encode() for name in changed}
        yield _Variant({**parts, **encoded}, ", ".join(changed))


def _other_second(parts: _Parts) -> Iterator[_Variant]:
    text = parts.get("timestamp", b"").decode("ascii", "replace")
    with suppress(ValueError, OverflowError):  # not a timestamp, or at the end of the calendar
        second = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
        for distance in sorted(range(-5, 6), key=abs):
            other = (second + timedelta(seconds=distance)).isoformat() + text[19:]
            yield _Variant({**parts, "timestamp": other.encode()}, other)


def _body_encoded_again(parts: _Parts) -> Iterator[_Variant]:
    for event, compact, unicode, ordered in product(_json(parts), (False, True), (False, True), (False, True)):
        text = json.dumps(
            event, separators=(",", ":") if compact else None, ensure_ascii=not unicode, sort_keys=ordered
        )
        options = ", separators=(',', ':')" * compact + ", ensure_ascii=False" * unicode + ", sort_keys=True" * ordered
        body = text.encode("utf-8", "surrogatepass")
        yield _Variant({**parts, "body": body}, f"json.dumps(event{options})")


def _json(parts: _Parts) -> Iterator[object]:
    """Yield the value of the body if it is JSON."""
    with suppress(ValueError, RecursionError):
        yield json.loads(parts.get("body", b""))


def _parts_of_webmq(parts: _Parts) -> Iterator[_Variant]:
    """Sign a request to Crossbar.io like a WebMQ request: with the topic, which its body contains, first."""
    for event in _json(parts):
        match event:
            case {"topic": str(topic)}:
                rest = {name: part for name, part in parts.items() if name in ("key", "timestamp", "body")}
                signed = {"topic": topic.encode("utf-8", "surrogatepass"), **rest}
                yield _Variant(signed, ", ".join(signed))


COMMON_MISTAKES: dict[str, _Mistake] = {
    "a newline at the end of the secret": _secret(lambda s: s + b"\n", lambda s: s + b"\r\n"),
    "whitespace around the secret": _secret(
        lambda s: b" " + s, lambda s: s + b" ", lambda s: b" " + s + b" ", lambda s: s + b"\t"
    ),
    "whitespace stripped from the secret": _secret(bytes.strip, bytes.rstrip, bytes.lstrip),
    "quotes around the secret": _secret(lambda s: b'"' + s + b'"', lambda s: b"'" + s + b"'"),
    "the secret written as Python writes bytes, b'…'": _secret(lambda s: repr(s).encode()),
    "the secret encoded as base64": _secret(b64encode, urlsafe_b64encode),
    "the secret percent-encoded": _secret(
        _percent_encoded, lambda s: quote(s).encode(), lambda s: quote_plus(s).encode()
    ),
    # The decoders ignore excess padding.
    "the secret decoded from base64": _secret(lambda s: b64decode(s + b"=="), lambda s: urlsafe_b64decode(s + b"==")),
    "the secret decoded from hex": _secret(lambda s: bytes.fromhex(s.decode())),
    "an empty secret": _secret(lambda s: b""),
    "no padding at the end of the signature": _encoded(
        lambda d: urlsafe_b64encode(d).rstrip(b"="), lambda d: b64encode(d).rstrip(b"=")
    ),
    "standard base64 instead of URL-safe base64": _encoded(b64encode),
    'standard base64 whose "+" was decoded to a space': _encoded(lambda d: b64encode(d).replace(b"+", b" ")),
    "a signature that was percent-encoded twice": _encoded(
        lambda d: _percent_encoded(urlsafe_b64encode(d)),
        lambda d: urlsafe_b64encode(d).replace(b"=", b"%3d"),
        lambda d: _percent_encoded(b64encode(d)),
    ),
    "hexadecimal instead of base64": _encoded(hexlify, lambda d: hexlify(d).upper()),
    "a hash other than SHA-256": lambda parts: (
        _Variant(parts, algorithm, algorithm=algorithm) for algorithm in ("sha1", "sha512")
    ),
    "parts signed as they are percent-encoded in the query": _parts_percent_encoded,
    "a timestamp of another second": _other_second,
    "the body before & and ; were escaped": lambda parts: [
        _Variant({**parts, "body": parts.get("body", b"").replace(rb"\u0026", b"&").replace(rb"\u003b", b";")})
    ],
    "an event that was encoded again": _body_encoded_again,
    "the parts that the other dialect signs": _parts_of_webmq,
    "a missing part": lambda parts: (
        _Variant({name: part for name, part in parts.items() if name != missing}, missing) for missing in parts
    ),
    "the parts in another order": lambda parts: (
        _Variant({name: parts[name] for name in order}, ", ".join(order)) for order in permutations(parts)
    ),
    "a separator between the parts": lambda parts: (
        _Variant(parts, repr(separator), separator=separator.encode()) for separator in _SEPARATORS
    ),
}
"""Mistakes by their description. The first that matches is reported."""
