"""The hook and the component of the page "React", bundled and type-checked with React, in a browser."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.chromium import Page
from tests.hub.pages import heard, watched
from tests.snippets import HUB, PAGES, fences
from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub

from .tools import NAME, TOOLS, tool

TOPIC = "http://example.com/orders"
SOURCES = {
    each.title: each.text
    for page in ("react", "browser")
    for each in fences(PAGES / f"how-to/{page}.md")
    if each.title is not None and each.language in ("ts", "tsx")
}
PROGRAM = """
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Orders } from "./Orders";
import { useTopic } from "./useTopic";

globalThis.log = [];

/** Logs the events of a topic, which `choose` changes. */
function Watcher() {
  const [topic, setTopic] = useState("first");
  globalThis.choose = setTopic;
  useTopic(topic, (event) => log.push(`${topic} ${event}`), () => log.push(`${topic} load`));
  return null;
}

const shown = { orders: Orders, watcher: Watcher }[document.body.id];
globalThis.root = createRoot(document.getElementById("root"));
root.render(<StrictMode>{[shown].map((Shown) => <Shown key="shown" />)}</StrictMode>);
"""


@pytest.fixture(scope="module")
def sources(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that contains the sources, React and the package."""
    sources = tmp_path_factory.mktemp("sources")
    for name, source in {**SOURCES, "main.jsx": PROGRAM}.items():
        (sources / name).write_text(source)
    packages = sources / "node_modules"
    packages.mkdir()
    for package in ("react", "react-dom", "@types"):
        (packages / package).symlink_to(TOOLS / package)
    (packages / NAME).symlink_to(folder / "node_modules" / NAME)
    return sources


@pytest.fixture(scope="module")
def bundle(sources: Path) -> str:
    """Return the bundle. It is a development build, in which strict mode mounts components twice."""
    development = '--define:process.env.NODE_ENV="development"'
    arguments = ("--bundle", "--jsx=automatic", "--log-level=warning", development)
    bundled = tool("esbuild", "main.jsx", "--outfile=bundle.js", *arguments, cwd=sources)
    assert (bundled.returncode, bundled.stdout) == (0, "")
    return (sources / "bundle.js").read_text()


@asynccontextmanager
async def site(component: str, bundle: str, hub: Hub, orders: list[dict[str, object]]) -> AsyncIterator[Page]:
    """Open a page that shows a component. Its server lists the orders."""

    async def index(_request: web.Request) -> web.Response:
        html = '<link rel="icon" href="data:,"><body id="{}"><div id="root"></div><script src="bundle.js"></script>'
        return web.Response(text=html.format(component), content_type="text/html")

    async def script(_request: web.Request) -> web.Response:
        return web.Response(text=bundle.replace(HUB, hub.url), content_type="text/javascript")

    async def listing(_request: web.Request) -> web.Response:
        return web.json_response(orders)

    application = web.Application()
    application.add_routes([web.get("/", index), web.get("/bundle.js", script), web.get("/orders", listing)])
    async with TestServer(application, host="127.0.0.1") as server, watched() as page:
        await page.before_scripts("Math.random = () => 0;")  # it reconnects without a delay
        await page.open(str(server.make_url("/")))
        yield page


@pytest.mark.usefixtures("npm")
def test_typescript_accepts_the_sources(sources: Path) -> None:
    options = {
        "strict": True,
        "noEmit": True,
        "target": "es2020",
        "lib": ["es2020", "dom"],
        "jsx": "react-jsx",
        "module": "esnext",
        "moduleResolution": "bundler",
        "types": [],
    }
    (sources / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": [*SOURCES]}))
    checked = tool("tsc", "--project", ".", cwd=sources)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.usefixtures("chromium", "npm")
async def test_a_component_shows_the_current_state_of_each_order(bundle: str) -> None:
    """The component shows current orders, even after an event that arrives late or a restart that loses the history."""
    orders: list[dict[str, object]] = [{"id": 17, "version": 2, "state": "paid"}]
    lines = "[...document.querySelectorAll('li')].map((line) => line.textContent).join()"
    hub = Hub(port=0)
    await hub.start()
    port = int(hub.url.rpartition(":")[2])
    try:
        async with AsyncClient(hub.url) as client, site("orders", bundle, hub, orders) as page:
            await page.until(f"{lines} === '17: paid'")
            await client.push(TOPIC, {"id": 17, "version": 1, "state": "new"})
            await client.push(TOPIC, {"id": 18, "version": 1, "state": "new"})
            await page.until(f"{lines} === '17: paid,18: new'")
            await hub.close()
            orders[:] = [{"id": number, "version": 3, "state": "sent"} for number in (17, 18, 19)]
            hub = Hub(port=port)
            await hub.start()
            await page.until(f"{lines} === '17: sent,18: sent,19: sent'")
            assert not [each for each in page.problems if "WebSocket" not in each]
    finally:
        await hub.close()


@pytest.mark.usefixtures("chromium", "npm")
async def test_the_hook_follows_topic_and_component(bundle: str) -> None:
    """The hook calls the latest functions once for each event, and calls none after the component is unmounted."""
    async with Hub(port=0) as hub, AsyncClient(hub.url) as client, site("watcher", bundle, hub, []) as page:
        expected: list[str] = []

        async def logged(*lines: str) -> None:
            expected.extend(lines)
            await page.until(f"log.length >= {len(expected)}")
            assert await page.evaluate("log") == expected

        await logged("first load")
        await client.push("first", 1)
        await logged("first 1")
        await page.evaluate("choose('second')")
        await logged("second load")
        await client.push("first", 2)
        await client.push("second", 3)
        await logged("second 3")
        await page.evaluate("root.unmount()")
        await client.push("second", 4)
        await heard(page)
        await logged()
