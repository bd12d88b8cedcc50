"""The files of the subscriber for browsers: how the hub serves them, what they contain, and pages that load them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from webmqconnect_async import __version__
from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._browser import FILES

from .conftest import HubClient
from .pages import watched

SCRIPTS = ("webmq.mjs", "webmq.js", "webmq.cjs", "webmq.min.js", "webmq.min.mjs")
SHARED = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}

# How the files are served


@pytest.mark.parametrize("name", FILES)
async def test_any_page_may_load_the_files(hub: Hub, wire: HubClient, name: str) -> None:
    """Any page may load the files, even one whose origin may not subscribe."""
    response = await wire.request("GET", hub, f"/{name}", Origin="https://foreign.example")
    assert (response.status, response.text) == (200, FILES[name].decode())
    assert {key: response.headers[key] for key in SHARED} == SHARED
    assert response.headers["Cache-Control"] == "no-cache"
    again = await wire.request("GET", hub, f"/{name}", If_None_Match=response.headers["Etag"])
    assert again.status == 304
    assert {key: again.headers[key] for key in SHARED} == SHARED


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        *((name, "text/javascript") for name in SCRIPTS),
        *((name, "application/json") for name in FILES if name.endswith(".map")),
        *((name, "text/plain") for name in ("webmq.d.mts", "webmq.d.cts")),
    ],
)
async def test_content_types(hub: Hub, wire: HubClient, name: str, content_type: str) -> None:
    response = await wire.request("GET", hub, f"/{name}")
    assert response.headers["Content-Type"] == f"{content_type}; charset=utf-8"


@pytest.mark.parametrize("end", ["min.js", "min.mjs"])
async def test_a_url_with_the_version_is_cached_forever(hub: Hub, wire: HubClient, end: str) -> None:
    response = await wire.request("GET", hub, f"/webmq-{__version__}.{end}")
    assert (response.status, response.text) == (200, FILES[f"webmq.{end}"].decode())
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert {key: response.headers[key] for key in SHARED} == SHARED
    assert (await wire.request("GET", hub, f"/webmq-0.0.0.{end}")).status == 404


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/hub.json"])
async def test_other_pages_may_not_load_the_files_of_the_live_page(hub: Hub, wire: HubClient, path: str) -> None:
    response = await wire.request("GET", hub, path)
    assert response.status == 200
    assert not SHARED.keys() & response.headers.keys()


# The contents of the files


def test_the_source_has_one_export() -> None:
    source = FILES["webmq.mjs"].decode()
    assert re.findall(r"^export .*", source, re.MULTILINE) == ["export { WebMQ };"]
    assert source.endswith("\nexport { WebMQ };\n")


@pytest.mark.parametrize("name", ["webmq.js", "webmq.cjs", "webmq.min.js"])
def test_only_modules_have_module_syntax(name: str) -> None:
    assert re.findall(r"import\.meta|^export ", FILES[name].decode(), re.MULTILINE) == []


@pytest.mark.parametrize("name", ["webmq.min.js", "webmq.min.mjs"])
def test_the_minified_files_are_small(name: str) -> None:
    assert len(gzip.compress(FILES[name], 9, mtime=0)) <= 4500


@pytest.mark.parametrize("name", ["webmq.min.js", "webmq.min.mjs"])
def test_properties_that_are_sent_to_the_hub_are_not_renamed(name: str) -> None:
    """Terser shortens properties that begin with an underscore, except for those that are sent to the hub."""
    names = {"_after", "_any_topic", "_former", "_history", "_missed", "_newest"}
    assert names <= set(re.findall(r"\b_\w+", FILES[name].decode()))


@pytest.mark.parametrize("name", ["webmq.min.js", "webmq.min.mjs"])
def test_a_source_map_leads_to_a_source(name: str) -> None:
    assert FILES[name].decode().splitlines()[-1] == f"//# sourceMappingURL={name}.map"
    assert json.loads(FILES[f"{name}.map"])["sources"] == [name.replace(".min", "")]


# Pages


@asynccontextmanager
async def site(body: str, worker: str = "") -> AsyncIterator[str]:
    """Serve an isolated page, of another origin than the hub's, and the script of a worker; yield its URL."""

    async def index(_request: web.Request) -> web.Response:
        text = f'<title>a site</title><link rel="icon" href="data:,">{body}'
        return web.Response(text=text, content_type="text/html", headers=isolated)

    async def script(_request: web.Request) -> web.Response:
        return web.Response(text=worker, content_type="text/javascript", headers=isolated)

    isolated = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
    app = web.Application()
    app.add_routes([web.get("/", index), web.get("/worker.js", script)])
    async with TestServer(app, host="127.0.0.1") as running:
        yield str(running.make_url("/"))


INTEGRITY = f"sha384-{base64.b64encode(hashlib.sha384(FILES['webmq.min.js']).digest()).decode()}"
WAYS = {
    "classic": ('<script src="HUB/webmq.js"></script>', ""),
    "minified": ('<script src="HUB/webmq.min.js"></script>', ""),
    "integrity": (f'<script src="HUB/webmq-{__version__}.min.js" integrity="{INTEGRITY}" crossorigin></script>', ""),
    "module": ('<script type="module">import { WebMQ } from "HUB/webmq.mjs"; window.WebMQ = WebMQ;</script>', ""),
    "minified module": (
        '<script type="module">import { WebMQ } from "HUB/webmq.min.mjs"; window.WebMQ = WebMQ;</script>',
        "",
    ),
    "worker": ("", 'importScripts("HUB/webmq.min.js"); const mq = new WebMQ("HUB"); const ready = Promise.resolve();'),
    "module worker": ("", 'import { WebMQ } from "HUB/webmq.min.mjs"; const mq = new WebMQ();'),
}
"""The HTML of the page and the script of the worker."""

SUBSCRIBE = """
const subscription = mq.subscribe("t", (event, topic) => postMessage({ topic, event }));
subscription.ready.then(() => postMessage("ready"));
"""


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("way", WAYS)
async def test_an_isolated_page_of_another_origin_subscribes(hub: Hub, wire: HubClient, way: str) -> None:
    """By default, a page or a module worker subscribes to the hub from which it loaded `webmq.js`."""
    page_text, worker = (each.replace("HUB", hub.url) for each in WAYS[way])
    async with site(page_text, worker + SUBSCRIBE) as url, watched() as page:
        await page.open(url)
        await page.evaluate("globalThis.said = []; undefined")
        if worker:
            options = json.dumps({"type": "module"} if "import {" in worker else {})
            await page.evaluate(f"""
                globalThis.worker = new Worker("/worker.js", {options});
                worker.onmessage = ({{ data }}) => said.push(data);
                undefined
            """)
        else:
            await page.evaluate(f"""
                globalThis.postMessage = (message) => said.push(message);
                globalThis.mq = new WebMQ();
                {SUBSCRIBE}
                undefined
            """)
        await page.until("said.length === 1")
        await wire.push(hub)
        await page.until("said.length === 2")
        assert await page.evaluate("said") == ["ready", {"topic": "t", "event": 1}]
        assert await page.evaluate("crossOriginIsolated") is True
        assert page.problems == []


@pytest.mark.usefixtures("chromium")
async def test_a_bundle_has_no_default() -> None:
    """A bundle has no default hub, because its URL is not that of a hub."""
    bundle = FILES["webmq.mjs"].decode().replace("export { WebMQ };", "window.WebMQ = WebMQ;")
    async with site('<script src="/worker.js" type="module"></script>', bundle) as url, watched() as page:
        await page.open(url)
        said = await page.evaluate("(() => { try { new WebMQ(); } catch (error) { return error.name; } })()")
        assert said == "TypeError"
