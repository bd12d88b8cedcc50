"""A request that was sent beside the one that should have been: what differs, and what its signature comes of. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .._core.dialects import DialectName
from ..signing import Credentials
from ._explanation import Explanation, explain
from ._signed_request import SignedRequest

__all__ = ["differences", "on_expected", "shown", "verdict"]

_AROUND = 24
"""Bytes that are shown of each side of a difference."""

_TIMESTAMPS = {
    "webmq": (re.compile(rb"\d{4}(-\d\d?){2}T\d\d?(:\d\d?){2}Z"), "2011-10-14T16:59:51Z"),
    "crossbar": (re.compile(rb"\d{4}(-\d\d?){2}T\d\d?(:\d\d?){2}\.\d{1,6}Z"), "2011-10-14T16:59:51.123Z"),
}
"""What a dialect's brokers read as a timestamp, and an example of it."""


def shown(part: bytes) -> str:
    r"""Return bytes as text, and as `\xff` what is not UTF-8."""
    return part.decode("utf-8", "backslashreplace")


def differences(
    dialect: DialectName, sent: Mapping[str, bytes], expected: Mapping[str, bytes]
) -> Iterator[tuple[str, str]]:
    """Yield the name of each part, and in one line how what was sent differs; "" where it does not."""
    form, example = _TIMESTAMPS[dialect]
    for name, part in sent.items():
        if name == "timestamp" and not form.fullmatch(part):
            yield name, f"{shown(part)!r} is not of the form {example}"
        else:
            yield name, _difference(part, expected[name])


def _difference(sent: bytes, expected: bytes) -> str:
    if sent == expected:
        return ""
    shorter = min(len(sent), len(expected))
    first = next((place for place in range(shorter) if sent[place] != expected[place]), shorter)
    return f"differs from byte {first + 1} on: sent {_excerpt(sent, first)}, expected {_excerpt(expected, first)}"


def _excerpt(part: bytes, first: int) -> str:
    if first >= len(part):
        return "nothing more"
    begin, end = max(0, first - _AROUND), first + _AROUND
    return f"{'…' if begin else ''}{shown(part[begin:end])!r}{'…' if end < len(part) else ''}"


def verdict(credentials: Credentials, sent: SignedRequest, expected: Explanation, body_is_known: bool) -> str:
    """Return what the signature of a request comes of, in a sentence or two.

    Args:
        credentials: what it should be signed with.
        sent: the request.
        expected: what should have been signed.
        body_is_known: whether its body is the one that was sent, and not only the one that should have been.
    """
    as_sent, signature = explain(credentials, sent.parts), sent.signature
    if as_sent.is_right(signature):
        condition = "" if body_is_known else ", if its body was the one shown here"
        return (
            f"The signature is right for the request as it was sent{condition}. A broker that refuses it has another "
            "secret for this key, or was reached by other bytes."
        )
    if mistake := as_sent.mistake(signature):
        return f"The signature is wrong for the request as it was sent. It comes of a usual mistake: {mistake}."
    if expected.is_right(signature):
        return "The signature is that of the push as it should be: what differs was changed after it had been signed."
    if mistake := expected.mistake(signature):
        return f"The signature comes of the push as it should be, and of a usual mistake: {mistake}."
    more = "" if body_is_known else ", such as another body: give the bytes that were sent with --body"
    return (
        "No usual mistake gives this signature. It was made with another secret, or of something else that was "
        f"signed{more}."
    )


def on_expected(explanation: Explanation, expected: str, got: str) -> str:
    """Return what the two signatures come of that a hub of old tells."""
    if explanation.is_right(expected):
        mistake = explanation.mistake(got)
        comes_of = f"a usual mistake: {mistake}" if mistake else "another secret, or of something else that was signed"
        return f"The broker expected the signature shown here. What it got comes of {comes_of}."
    if mistake := explanation.mistake(expected):
        return f"What the broker expected comes of a usual mistake, on its side: {mistake}."
    if explanation.is_right(got):
        return (
            "The broker got the signature shown here and expected another: it has another secret, or got other bytes."
        )
    if mistake := explanation.mistake(got):
        return f"What the broker got comes of a usual mistake: {mistake}."
    return (
        "Neither signature comes of what is shown here. Give the request's --query, or its timestamp with --at; where "
        "that is given, the secrets differ."
    )
