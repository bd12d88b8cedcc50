"""A request as HTTP and as a command of curl, the same byte for byte. Pure; it sends nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ..._core.dialects import Request
from ..._core.endpoint import Endpoint

__all__ = ["curl_command", "request_head"]

_LONGEST = 100_000
"""Characters of an argument; Linux takes 131071."""


def request_head(endpoint: Endpoint, headers: Mapping[str, str], request: Request) -> list[str]:
    """Return the request line and the headers, as a client sends them."""
    every = {"Host": endpoint.authority, **headers, "Content-Length": str(len(request.body))}
    lines = [f"{name}: {value}" for name, value in every.items()]
    return [f"POST {_target(endpoint.path, request)} HTTP/1.1", *lines]


def curl_command(endpoint: Endpoint, headers: Mapping[str, str], request: Request) -> str:
    """Return a line for a POSIX shell that sends the request."""
    words = ["curl", "--include", "--http1.1", "--noproxy", "*"]
    if set(endpoint.path) & set("[]{}"):
        words.append("--globoff")
    if "/." in endpoint.path:
        words.append("--path-as-is")
    # Without a value: neither what curl would add to every request, nor what it adds to long ones.
    for line in ("Accept:", "Expect:", *(f"{name}: {value}" for name, value in headers.items())):
        words += ["--header", line]
    body, feed = request.body.decode("latin-1"), ""
    # What curl takes for a file's name goes by a pipe. So does what a terminal or a clipboard may change on its way.
    if body.startswith("@") or len(body) > _LONGEST or not (body.isascii() and body.isprintable()):
        feed, body = f"printf '{''.join(map(_octal, request.body))}' | ", "@-"
    words += ["--data-binary", body, _target(str(endpoint), request)]
    return feed + shlex.join(words)


def _target(path: str, request: Request) -> str:
    return f"{path}?{request.query}" if request.query else path


def _octal(byte: int) -> str:
    """Return a byte as the format of printf in single quotes has it."""
    char = chr(byte)
    return char if " " <= char <= "~" and char not in "%\\'" else f"\\{byte:03o}"
