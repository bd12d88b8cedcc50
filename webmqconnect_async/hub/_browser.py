"""The subscriber for browsers in each of its forms.

The source is `webmq.mjs`, an ES module. The forms for code without modules are derived from it here. Those that are
minified are files, because only npm has a tool that makes them: `nox -s js`.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["CLASSIC", "FILES"]

_STATIC = files("webmqconnect_async.hub") / "static"
_SOURCE = (_STATIC / "webmq.mjs").read_text("utf-8")
_BODY = _SOURCE.removesuffix("\nexport { WebMQ };\n")
_URL = "import.meta.url"
"""The URL of the script, which only an ES module may ask for in this way."""

CLASSIC = f"""\
globalThis.WebMQ = (() => {{
"use strict";
{_BODY.replace(_URL, "globalThis.document?.currentScript?.src")}
return WebMQ;
}})();
"""
"""`webmq.js`, a classic script that defines one global, `WebMQ`."""

_COMMONJS = f"""\
"use strict";
{_BODY.replace(_URL, "undefined")}
module.exports = {{ WebMQ }};
"""

_TYPES = (_STATIC / "webmq.d.mts").read_bytes()
_MINIFIED = ("webmq.min.js", "webmq.min.js.map", "webmq.min.mjs", "webmq.min.mjs.map")

FILES = {
    "webmq.mjs": _SOURCE.encode(),
    "webmq.js": CLASSIC.encode(),
    "webmq.cjs": _COMMONJS.encode(),
    "webmq.d.mts": _TYPES,
    "webmq.d.cts": _TYPES,
} | {name: (_STATIC / name).read_bytes() for name in _MINIFIED}
"""All files by name. A map refers to its source, which has to be in the same folder."""
