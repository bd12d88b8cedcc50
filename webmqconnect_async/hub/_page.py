"""The live page, and `webmq.js` for pages of others. Knows no events; the scripts subscribe to them."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.resources import files

from aiohttp import web
from aiohttp.typedefs import Handler

from ._config import HubConfig

__all__ = ["ASSETS", "facts", "index"]

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
_STATIC = files("webmqconnect_async.hub") / "static"


def facts(config: HubConfig) -> Handler:
    """Return what answers the page's question what this hub takes. Keys are none of its business."""
    said = {
        "signed": bool(config.credentials),
        "max_topic": config.max_topic,
        "max_subscriptions": config.max_subscriptions,
    }
    return _answer(json.dumps(said).encode(), "application/json")


def _serve(name: str, content_type: str) -> Handler:
    return _answer((_STATIC / name).read_bytes(), content_type)


def _answer(content: bytes, content_type: str) -> Handler:
    version = sha256(content).hexdigest()
    headers = {**_HEADERS, "ETag": f'"{version}"'}

    async def serve(request: web.Request) -> web.Response:
        if any(each.value in (version, "*") for each in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=content_type, charset="utf-8", headers=headers)

    return serve


index = _serve("index.html", "text/html")
"""The page. All addresses in it are relative to its own: it works below any prefix."""

_SCRIPTS = ("webmq.js", "page.js", "topics.js", "lines.js", "events.js", "texts.js", "dom.js")

ASSETS = {"/page.css": _serve("page.css", "text/css")} | {
    f"/{name}": _serve(name, "text/javascript") for name in _SCRIPTS
}
"""What pages load, by path: all but `webmq.js` is for the live page alone."""
