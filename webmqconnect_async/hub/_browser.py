"""The subscriber for browsers in each of its forms.

The source is `webmq.js`, a classic script. The forms for modules and for `require` are derived from it here. Those that
are minified are files, because only npm has a tool that makes them: `nox -s js`.
"""

from __future__ import annotations

from importlib.resources import files

_STATIC = files("webmqconnect_async.hub") / "static"

CLASSIC = (_STATIC / "webmq.js").read_text("utf-8")
"""`webmq.js`, a classic script that defines one global, `WebMQ`."""

_BEGINNING = "globalThis.WebMQ = (() => {"
_URL = "globalThis.document?.currentScript?.src"
"""The URL of a classic script. A module asks in another way. A bundle has another name, and comes from no hub."""


def _derived(url: str, end: str) -> bytes:
    body = CLASSIC.replace(_BEGINNING, "const WebMQ = (() => {", 1).replace(_URL, url, 1)
    return f"{body}\n{end}\n".encode()


_TYPES = (_STATIC / "webmq.d.mts").read_bytes()
_MINIFIED = ("webmq.min.js", "webmq.min.js.map", "webmq.min.mjs", "webmq.min.mjs.map")

FILES = {
    "webmq.js": CLASSIC.encode(),
    "webmq.mjs": _derived("/.*webmq\\W/.exec(import.meta.url)?.input", "export { WebMQ };"),
    "webmq.cjs": _derived("undefined", "module.exports = { WebMQ };"),
    "webmq.d.mts": _TYPES,
    "webmq.d.cts": _TYPES,
} | {name: (_STATIC / name).read_bytes() for name in _MINIFIED}
"""All files by name. A map refers to its source, which has to be in the same folder."""
