"""A request as HTTP and as a curl command. Both are the same request, byte for byte. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ..._core.dialects import Request
from ..._core.endpoint import Endpoint

_LONGEST_ARGUMENT = 100_000
"""Characters; Linux allows 131071 per argument."""


def request_head(endpoint: Endpoint, headers: Mapping[str, str], request: Request) -> list[str]:
    """Return the request line and the headers as a client sends them."""
    every = {"Host": endpoint.authority, **headers, "Content-Length": str(len(request.body))}
    lines = [f"{name}: {value}" for name, value in every.items()]
    return [f"POST {_with_query(endpoint.path, request)} HTTP/1.1", *lines]


def curl_command(endpoint: Endpoint, headers: Mapping[str, str], request: Request) -> str:
    """Return a command line for a POSIX shell that sends the request."""
    words = ["curl", "--include", "--http1.1", "--noproxy", "*"]
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
    words += ["--data-binary", body, _with_query(str(endpoint), request)]
    return producer + shlex.join(words)


def _with_query(url: str, request: Request) -> str:
    return f"{url}?{request.query}" if request.query else url


def _octal(byte: int) -> str:
    """Return a byte as it is written in a format string of printf, in single quotes."""
    char = chr(byte)
    return char if " " <= char <= "~" and char not in "%\\'" else f"\\{byte:03o}"
