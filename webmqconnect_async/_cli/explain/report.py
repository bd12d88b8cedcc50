"""What `explain` prints, section by section. It knows what is to be read first, and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from ..._core.dialects import Request
from ..._core.endpoint import Endpoint
from ...explain import Explanation
from ...explain._comparison import shown
from .. import terminal
from .curl import curl_command, request_head

__all__ = ["Report"]


class Report:
    """Standard output, in sections of a heading and indented lines."""

    def __init__(self) -> None:
        self._output = terminal.console()
        self._begun = False

    def signed(self, explanation: Explanation | None) -> None:
        """Show what is signed, part by part, and the signature; None where nothing is."""
        if explanation is None:
            self._section("Nothing is signed: --key and its secret are not given.")
            return
        self._section("Signed, in this order, with nothing between the parts:")
        widest = max(map(len, explanation.parts))
        for name, part in explanation.parts.items():
            unit = "byte " if len(part) == 1 else "bytes"
            self._line(f"{name:{widest}}", f"{len(part):6} {unit}  {shown(part)}")
        self._section(f"HMAC-SHA256 of these {len(explanation.message)} bytes with the secret, as URL-safe base64:")
        self._line("signature", explanation.signature)
        self._text("Whoever sees it can send this push, for 300 seconds around its timestamp.")

    def request(self, endpoint: Endpoint, headers: Mapping[str, str], request: Request) -> None:
        """Show a request, and the command of curl that sends it."""
        self._section("The request:")
        for line in (*request_head(endpoint, headers, request), "", shown(request.body)):
            self._line("", line)
        self._section("The same by curl:")
        self._output.print(Text(curl_command(endpoint, headers, request)))

    def compared(self, differences: Mapping[str, str], verdict: str) -> None:
        """Show how a request that was sent differs from the one above, and what its signature comes of."""
        self._section("The request that was sent:")
        for name, difference in differences.items():
            self._line(f"{name:9}", difference or "as it should be", "yellow" if difference else "green")
        self._text(verdict)

    def refusal(self, advice: str | None, on_signatures: str | None) -> None:
        """Show what a refusal means, None where that is not known, and what the signatures that it tells come of."""
        self._section("The refusal:")
        self._text(advice or "No broker that is known here says that.")
        if on_signatures:
            self._text(on_signatures)

    def _section(self, heading: str) -> None:
        if self._begun:
            self._output.print()
        self._begun = True
        self._output.print(Text(terminal.visible(heading), "bold"))

    def _text(self, text: str) -> None:
        self._output.print(Text(terminal.visible(text)))

    def _line(self, name: str, text: str, style: str = "") -> None:
        self._output.print(Text.assemble("  ", (f"{name}  " if name else "", "cyan"), (terminal.visible(text), style)))
