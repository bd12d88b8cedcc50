"""The output of `explain`: sections with a heading and indented lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from rich.text import Text

from ..._core.dialects import DialectName, Request
from ..._core.endpoint import Endpoint
from ..._core.http1 import RequestHead
from ...explain import Explanation, SignedRequest
from .. import terminal
from .curl import curl_command

_CONTEXT = 24
"""Bytes that are shown on each side of a difference."""
_OTHER = "It was made with another secret, or other parts were signed"

TIMESTAMPS: dict[DialectName, tuple[re.Pattern[bytes], str]] = {
    "webmq": (re.compile(rb"\d{4}(-\d\d?){2}T\d\d?(:\d\d?){2}Z"), "2011-10-14T16:59:51Z"),
    "crossbar": (re.compile(rb"\d{4}(-\d\d?){2}T\d\d?(:\d\d?){2}\.\d{1,6}Z"), "2011-10-14T16:59:51.123Z"),
}
"""The timestamps that the brokers of each dialect accept, and an example."""

Origin: TypeAlias = tuple[Literal["sent", "expected"], str | None]
"""The request whose parts were signed, and the common mistake that was made. `None`: the signature is correct."""


def signature_origin(signature: str, requests: Mapping[Literal["sent", "expected"], Explanation]) -> Origin | None:
    """Return how a signature was made; `None` if neither a request nor a common mistake explains it."""
    for name, explanation in requests.items():
        mistake = explanation.mistake(signature)
        if mistake or explanation.is_right(signature):
            return name, mistake
    return None


class Report:
    """Standard output, divided into sections."""

    def __init__(self) -> None:
        self._output = terminal.console()
        self._first = True

    def section(self, heading: str) -> None:
        if not self._first:
            self._output.print()
        self._first = False
        self._output.print(Text(terminal.visible(heading), "bold"))

    def paragraph(self, text: str) -> None:
        self._output.print(Text(terminal.visible(text)))

    def table(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Show rows of a name, a text and its style."""
        shown = [(terminal.visible(name), terminal.visible(text), style) for name, text, style in rows]
        width = max((len(name) for name, _, _ in shown), default=0)
        for name, text, style in shown:
            self._output.print(Text.assemble("  ", (f"{name:{width}}  " if width else "", "cyan"), (text, style)))

    def signed(self, explanation: Explanation | None) -> None:
        """Show the signed parts and the signature. `None`: the push is not signed."""
        if explanation is None:
            self.section("Nothing is signed: --key and its secret are not given.")
            return
        self.section("Signed, in this order, with nothing between the parts:")
        parts = explanation.parts
        self.table(
            (name, f"{len(part):6} {'byte ' if len(part) == 1 else 'bytes'}  {_text(part)}", "")
            for name, part in parts.items()
        )
        length = sum(map(len, parts.values()))
        self.section(f"HMAC-SHA256 of these {length} bytes with the secret, as URL-safe base64:")
        self.table([("signature", explanation.signature, "")])
        self.paragraph("Anybody who sees it can send this push, for 300 seconds around its timestamp.")

    def request(self, endpoint: Endpoint, headers: Mapping[str, str], request: Request) -> None:
        self.section("The request:")
        head = RequestHead(endpoint, headers).encode(request).decode().removesuffix("\r\n")
        self.table(("", line, "") for line in (*head.split("\r\n"), _text(request.body)))
        self.section("The same with curl:")
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
        self.section("The request that was sent:")
        form, example = TIMESTAMPS[dialect]
        rows = []
        for name, part in sent.parts.items():
            if name == "body" and not body_given:
                difference: str | None = "not given with --body: assumed to be that of EVENT"
            elif name == "timestamp" and not form.fullmatch(part):
                difference = f"{_text(part)!r} does not have the form {example}"
            else:
                difference = _difference(part, expected.parts[name])
            rows.append((name, difference or "as expected", "yellow" if difference else "green"))
        self.table(rows)
        self.paragraph(_verdict(origin, body_given))


def _text(part: bytes) -> str:
    r"""Return bytes as text, with `\xff` for each byte that is not UTF-8."""
    return part.decode("utf-8", "backslashreplace")


def _difference(sent: bytes, expected: bytes) -> str | None:
    if sent == expected:
        return None
    pairs = enumerate(zip(sent, expected, strict=False))
    first = next((index for index, (one, other) in pairs if one != other), min(len(sent), len(expected)))
    return f"differs from byte {first + 1} on: sent {_excerpt(sent, first)}, expected {_excerpt(expected, first)}"


def _excerpt(part: bytes, first: int) -> str:
    if first >= len(part):
        return "nothing more"
    start, end = max(0, first - _CONTEXT), first + _CONTEXT
    return f"{'…' if start else ''}{_text(part[start:end])!r}{'…' if end < len(part) else ''}"


def _verdict(origin: Origin | None, body_given: bool) -> str:
    match origin:
        case "sent", None:
            condition = "" if body_given else ", if its body was the one above"
            return (
                f"The signature is correct for the request that was sent{condition}. If the broker refuses it, it has "
                "another secret for this key, or received other bytes."
            )
        case "sent", mistake:
            return (
                f"The signature is wrong for the request that was sent. This is caused by a common mistake: {mistake}."
            )
        case _, None:
            return "The signature is correct for the expected request: what differs was changed after it was signed."
        case _, mistake:
            return f"The signature was made for the expected request, with a common mistake: {mistake}."
    more = "" if body_given else ", such as another body: give the bytes that were sent with --body"
    return f"No common mistake produces this signature. {_OTHER}{more}."


def verdict_on_quoted(expected: Origin | None, got: Origin | None) -> str:
    """Return how the signatures were made that an error response quotes, the one expected and the one received."""
    match expected, got:
        case (_, None), (_, str(mistake)):
            return f"The broker expected the signature above, and got one with a common mistake: {mistake}."
        case (_, None), _:
            return f"The broker expected the signature above, and got another one. {_OTHER}."
        case (_, mistake), _:
            return f"The broker makes a common mistake itself in the signature that it expected: {mistake}."
        case None, (_, None):
            return (
                "The broker got the signature above and expected another one: it has another secret, or received other "
                "bytes."
            )
        case None, (_, mistake):
            return f"The broker got a signature with a common mistake: {mistake}."
    return (
        "Neither signature belongs to the push above. Give the request with --query, or its timestamp with --at. If "
        "you did, the broker and the sender have other secrets than this one."
    )
