"""The files of the live page, and those of the subscriber for browsers, which any page may load."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath

from aiohttp import web
from aiohttp.typedefs import Handler

from .._version import __version__
from ._browser import FILES
from ._config import HubConfig

_HEADERS = {
    # The page shows events. If one were ever interpreted as HTML, it could neither run scripts nor send requests.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_SHARED = _HEADERS | {
    # A page of another origin may check the integrity of the file, import the module, or demand isolation (COEP).
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_LASTING = _SHARED | {"Cache-Control": "public, max-age=31536000, immutable"}

# Read at import, because handlers must not block the event loop.
_STATIC = files("webmqconnect_async.hub") / "static"


def facts(config: HubConfig) -> Handler:
    """Return the handler of what the hub accepts, as JSON for the page. The response does not contain keys."""
    limits = {
        "signed": bool(config.keys),
        "console": config.console_token is not None,
        "max_body": config.max_body,
        "max_topic": config.max_topic,
        "max_subscriptions": config.max_subscriptions,
    }
    return _static(json.dumps(limits).encode(), "application/json")


def _static(content: bytes, content_type: str, headers: dict[str, str] = _HEADERS) -> Handler:
    version = sha256(content).hexdigest()
    headers = headers | {"ETag": f'"{version}"'}

    async def serve(request: web.Request) -> web.Response:
        if any(tag.value in (version, "*") for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=content_type, charset="utf-8", headers=headers)

    return serve


_TEXT = dict.fromkeys((".mts", ".cts"), "text/plain")
_TYPES = _TEXT | {".html": "text/html", ".css": "text/css", ".map": "application/json"}  # other files are scripts


def _serve(name: str, headers: dict[str, str] = _HEADERS) -> Handler:
    content = FILES[name] if name in FILES else (_STATIC / name).read_bytes()
    return _static(content, _TYPES.get(PurePath(name).suffix, "text/javascript"), headers)


index = _serve("index.html")
"""The page. Its links are relative, so that it works below any prefix."""

_PAGE = (
    *("page.css", "page.js", "topics.js", "lines.js", "events.js", "texts.js", "dom.js"),
    *("console.js", "live.js", "push.js", "keys.js"),
)

ASSETS = (
    {f"/{name}": _serve(name) for name in _PAGE}
    | {f"/{name}": _serve(name, _SHARED) for name in FILES}
    | {f"/webmq-{__version__}.min.{suffix}": _serve(f"webmq.min.{suffix}", _LASTING) for suffix in ("js", "mjs")}
)
"""Style sheet and scripts by path. Any page may load those that begin with `webmq`, only the live page the others."""
