"""A request as a curl command that sends the same bytes as a client of this package. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ..._core.dialects import Request
from ..._core.endpoint import Endpoint

_LONGEST_ARGUMENT = 100_000
"""Characters; Linux allows 131071 per argument."""


def curl_command(endpoint: Endpoint, headers: Mapping[str, str], request: Request) -> str:
    """Return a command line for a POSIX shell that sends the request."""
    words = ["curl", "--include", "--http1.1", "--noproxy", "*"]
    # By itself, curl expands [1-3] and {a,b} in a URL, and removes dot segments (RFC 3986, section 5.2.4).
    if set(endpoint.path) & set("[]{}"):
        words.append("--globoff")
    if "/." in endpoint.path:
        words.append("--path-as-is")
    # A header without a value is removed: curl adds Accept to every request, and Expect to long ones.
    for line in ("Accept:", "Expect:", *(f"{name}: {value}" for name, value in headers.items())):
        words += ["--header", line]
    body, producer = request.body.decode("latin-1"), ""
    # curl reads a file if the value begins with @, and a terminal or the clipboard may change unprintable characters.
    if body.startswith("@") or len(body) > _LONGEST_ARGUMENT or not (body.isascii() and body.isprintable()):
        producer, body = f"printf '{''.join(map(_octal, request.body))}' | ", "@-"
    words += ["--data-binary", body, f"{endpoint}?{request.query}"]
    return producer + shlex.join(words)


def _octal(byte: int) -> str:
    """Return a byte as it is written in a format string of printf, in single quotes."""
    char = chr(byte)
    return char if " " <= char <= "~" and char not in "%\\'" else f"\\{byte:03o}"
