"""The subscriber for browsers: `webmq.mjs`, an ES module, and what is derived from it for code without modules."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["CLASSIC", "COMMONJS", "MODULE"]

_STATIC = files("webmqconnect_async.hub") / "static"
_EXPORT = "export { WebMQ };\n"
_URL = "import.meta.url"
"""An expression that only ES modules may contain."""

MODULE = (_STATIC / "webmq.mjs").read_text("utf-8")
"""`webmq.mjs`, the source."""

_BODY = MODULE.removesuffix(_EXPORT)

CLASSIC = f"""\
globalThis.WebMQ = (() => {{
"use strict";
{_BODY.replace(_URL, "globalThis.document?.currentScript?.src")}
return WebMQ;
}})();
"""
"""`webmq.js`, a classic script that defines one global, `WebMQ`."""

COMMONJS = f"""\
"use strict";
{_BODY.replace(_URL, "undefined")}
module.exports = {{ WebMQ }};
"""
"""`webmq.cjs`, for `require`."""
