"""The output of `explain`: sections with a heading and indented lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from rich.text import Text

from ..._core.dialects import DialectName, Request
from ..._core.endpoint import Endpoint
from ...explain import Explanation, SignedRequest
from .. import terminal
from .curl import curl_command, request_head

_CONTEXT = 24
"""Bytes that are shown on each side of a difference."""
_OTHER = "It was made with another secret, or other parts were signed"

_TIMESTAMPS: dict[DialectName, re.Pattern[bytes]] = {
    "webmq": re.compile(rb"\d{4}(-\d\d?){2}T\d\d?(:\d\d?){2}Z"),
    "crossbar": re.compile(rb"\d{4}(-\d\d?){2}T\d\d?(:\d\d?){2}\.\d{1,6}Z"),
}
"""The timestamps that the brokers of each dialect accept."""

_TIMESTAMP_EXAMPLES: dict[DialectName, str] = {
    "webmq": "2011-10-14T16:59:51Z",
    "crossbar": "2011-10-14T16:59:51.123Z",
}


def is_timestamp(dialect: DialectName, part: bytes) -> bool:
    return bool(_TIMESTAMPS[dialect].fullmatch(part))


class Origin(NamedTuple):
    """How a signature was made."""

    request: Literal["sent", "expected"]
    """The request whose parts were signed."""
    mistake: str | None = None
    """The common mistake that was made; `None` if the signature is correct."""


def signature_origin(signature: str, requests: Mapping[Literal["sent", "expected"], Explanation]) -> Origin | None:
    """Return how a signature was made; `None` if neither a request nor a common mistake explains it."""
    for name, explanation in requests.items():
        if explanation.is_right(signature):
            return Origin(name)
        if mistake := explanation.mistake(signature):
            return Origin(name, mistake)
    return None


class Report:
    """Standard output, divided into sections."""

    def __init__(self) -> None:
        self._output = terminal.console()
        self._first = True

    def signed(self, explanation: Explanation | None) -> None:
        """Show the signed parts and the signature. `None`: the push is not signed."""
        if explanation is None:
            self._section("Nothing is signed: --key and its secret are not given.")
            return
        self._section("Signed, in this order, with nothing between the parts:")
        width = max(map(len, explanation.parts))
        for name, part in explanation.parts.items():
            unit = "byte " if len(part) == 1 else "bytes"
            self._line(f"{name:{width}}", f"{len(part):6} {unit}  {_text(part)}")
        length = sum(map(len, explanation.parts.values()))
        self._section(f"HMAC-SHA256 of these {length} bytes with the secret, as URL-safe base64:")
        self._line("signature", explanation.signature)
        self._paragraph("Anybody who sees it can send this push, for 300 seconds around its timestamp.")

    def request(self, endpoint: Endpoint, headers: Mapping[str, str], request: Request) -> None:
        self._section("The request:")
        for line in (*request_head(endpoint, headers, request), "", _text(request.body)):
            self._line("", line)
        self._section("The same with curl:")
        self._output.print(Text(curl_command(endpoint, headers, request)))

    def comparison(
        self,
        dialect: DialectName,
        sent: SignedRequest,
        expected: Explanation,
        origin: Origin | None,
        *,
        body_given: bool,
    ) -> None:
        """Show how the request that was sent differs from the expected one, and how its signature was made.

        Without `body_given`, the body of `sent` is only assumed.
        """
        self._section("The request that was sent:")
        for name, part in sent.parts.items():
            if name == "body" and not body_given:
                difference: str | None = "not given with --body: assumed to be that of EVENT"
            elif name == "timestamp" and not is_timestamp(dialect, part):
                difference = f"{_text(part)!r} does not have the form {_TIMESTAMP_EXAMPLES[dialect]}"
            else:
                difference = _difference(part, expected.parts[name])
            self._line(f"{name:9}", difference or "as expected", "yellow" if difference else "green")
        self._paragraph(_verdict(origin, body_given))

    def error_response(self, advice: str | None) -> None:
        """Show what an error response means. `None`: it is unknown."""
        self._section("The error response:")
        self._paragraph(advice or "No known broker sends this response.")

    def quoted_signatures(self, expected: Origin | None, got: Origin | None) -> None:
        """Show how the signatures were made that an error response quotes, the one expected and the one received."""
        self._paragraph(_verdict_on_quoted(expected, got))

    def _section(self, heading: str) -> None:
        if not self._first:
            self._output.print()
        self._first = False
        self._output.print(Text(terminal.visible(heading), "bold"))

    def _paragraph(self, text: str) -> None:
        self._output.print(Text(terminal.visible(text)))

    def _line(self, name: str, text: str, style: str = "") -> None:
        self._output.print(Text.assemble("  ", (f"{name}  " if name else "", "cyan"), (terminal.visible(text), style)))


def _text(part: bytes) -> str:
    r"""Return bytes as text, with `\xff` for each byte that is not UTF-8."""
    return part.decode("utf-8", "backslashreplace")


def _difference(sent: bytes, expected: bytes) -> str | None:
    if sent == expected:
        return None
    shorter = min(len(sent), len(expected))
    first = next((index for index in range(shorter) if sent[index] != expected[index]), shorter)
    return f"differs from byte {first + 1} on: sent {_excerpt(sent, first)}, expected {_excerpt(expected, first)}"


def _excerpt(part: bytes, first: int) -> str:
    if first >= len(part):
        return "nothing more"
    start, end = max(0, first - _CONTEXT), first + _CONTEXT
    return f"{'…' if start else ''}{_text(part[start:end])!r}{'…' if end < len(part) else ''}"


def _verdict(origin: Origin | None, body_given: bool) -> str:
    match origin:
        case Origin("sent", None):
            condition = "" if body_given else ", if its body was the one above"
            return (
                f"The signature is correct for the request that was sent{condition}. If the broker refuses it, it has "
                "another secret for this key, or received other bytes."
            )
        case Origin("sent", mistake):
            return (
                f"The signature is wrong for the request that was sent. This is caused by a common mistake: {mistake}."
            )
        case Origin("expected", None):
            return "The signature is correct for the expected request: what differs was changed after it was signed."
        case Origin("expected", mistake):
            return f"The signature was made for the expected request, with a common mistake: {mistake}."
    more = "" if body_given else ", such as another body: give the bytes that were sent with --body"
    return f"No common mistake produces this signature. {_OTHER}{more}."


def _verdict_on_quoted(expected: Origin | None, got: Origin | None) -> str:
    match expected, got:
        case Origin(mistake=None), Origin(mistake=str(mistake)):
            return f"The broker expected the signature above, and got one with a common mistake: {mistake}."
        case Origin(mistake=None), _:
            return f"The broker expected the signature above, and got another one. {_OTHER}."
        case Origin(mistake=mistake), _:
            return f"The broker makes a common mistake itself in the signature that it expected: {mistake}."
        case None, Origin(mistake=None):
            return (
                "The broker got the signature above and expected another one: it has another secret, or received other "
                "bytes."
            )
        case None, Origin(mistake=mistake):
            return f"The broker got a signature with a common mistake: {mistake}."
    return (
        "Neither signature belongs to the push above. Give the request with --query, or its timestamp with --at. If "
        "you did, the broker and the sender have other secrets than this one."
    )
