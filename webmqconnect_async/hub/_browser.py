"""The files of the subscriber for browsers.

The source is `webmq.js`, a classic script. The ES module and the CommonJS module are derived from it here. The minified
files are committed, because the tools that make them are npm packages: `nox -s js`.
"""

from __future__ import annotations

from importlib.resources import files

_STATIC = files("webmqconnect_async.hub") / "static"

CLASSIC = (_STATIC / "webmq.js").read_text("utf-8")
"""`webmq.js`, a classic script that defines one global, `WebMQ`."""

_BEGINNING = "globalThis.WebMQ = (() => {"
_URL = "globalThis.document?.currentScript?.src"
"""The expression for the URL of the script, which is that of the default hub.

In a module it is `import.meta.url`, unless the file has another name: a bundle does not come from a hub.
"""


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
"""All files by name. A source map refers to `webmq.js` or `webmq.mjs`, which has to be in the same folder."""
