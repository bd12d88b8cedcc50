"""The live page: what `GET` of the hub's own address answers. Knows no events; the page's script subscribes to them."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web
from aiohttp.typedefs import Handler

__all__ = ["ASSETS", "index"]

_HEADERS = {
    # The page shows whatever was pushed: should text ever become markup there, it could neither run nor call home.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

# Read at import: a handler must not block the loop on a disk.
_STATIC = files(__package__) / "static"


def _serve(name: str, content_type: str) -> Handler:
    content = (_STATIC / name).read_bytes()

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=content_type, charset="utf-8", headers=_HEADERS)

    return serve


index = _serve("index.html", "text/html")
"""The page. All addresses in it are relative to its own: it works below any prefix."""

ASSETS = {"/page.js": _serve("page.js", "text/javascript"), "/page.css": _serve("page.css", "text/css")}
"""What the page loads, by path."""
