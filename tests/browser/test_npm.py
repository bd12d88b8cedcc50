"""The npm package: its files and metadata, and whether Node.js, a bundler and TypeScript can use it once installed.

The programs that check it are pinned in `.ci/browser`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tarfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.processes import PATIENCE
from webmqconnect_async import AsyncClient, __version__
from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._browser import FILES

from .tools import BUILD, NAME, ROOT, TOOLS, run, tool

pytestmark = pytest.mark.usefixtures("npm")


# Files and metadata


@pytest.mark.usefixtures("tarball")
def test_the_minified_files_are_up_to_date() -> None:
    checked = run(sys.executable, BUILD, "--check", cwd=ROOT)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_files_of_the_package(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
        assert names == {*FILES, "package.json", "README.md", "LICENSE"}
        for name, content in FILES.items():
            packed = archive.extractfile(f"package/{name}")
            assert packed is not None
            assert packed.read() == content


def test_the_metadata_of_the_package(folder: Path) -> None:
    package = json.loads((folder / "node_modules" / NAME / "package.json").read_text())
    assert (package["name"], package["version"]) == (NAME, __version__)
    assert not [key for key in package if key.endswith("ependencies") or key == "scripts"]
    assert [[*conditions] for conditions in package["exports"]["."].values()] == [["types", "default"]] * 2


def test_publint_finds_no_problem(folder: Path) -> None:
    checked = tool("publint", "--strict", folder / "node_modules" / NAME, cwd=folder)
    assert "All good!" in checked.stdout, checked.stdout


def test_are_the_types_wrong_finds_no_problem(tarball: Path) -> None:
    checked = tool("attw", tarball, "--format", "ascii", cwd=tarball.parent)
    assert checked.returncode == 0, checked.stdout


# Node.js

PROGRAM = """
const [, , url, way] = process.argv;
const WebSocket = { global: globalThis.WebSocket, undici: globalThis.WebSocket, ws: createRequire(TOOLS)("ws") }[way];
const options = way === "global" ? {} : { WebSocket };
if (way !== "global") delete globalThis.WebSocket;
Math.random = () => 0;
new WebMQ(url, options).close();  // while it connects
const mq = new WebMQ(url, options);
const say = (...what) => console.log(JSON.stringify(what));
mq.onstate = (state, detail) => say(state, detail);
mq.subscribe("t", (event, topic) => { say(topic, event); mq.close(); }).ready.then(() => say("ready"));
"""
IMPORTS = {
    "mjs": f'import {{ createRequire }} from "node:module"; import {{ WebMQ }} from "{NAME}";',
    "cjs": f'const {{ createRequire }} = require("node:module"); const {{ WebMQ }} = require("{NAME}");',
}
WAYS = ["global", "undici", "ws"]
"""The WebSocket: the global one of Node.js (behind a flag before 22), the same passed as an option, or that of ws."""


@asynccontextmanager
async def program(folder: Path, kind: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run PROGRAM in Node.js."""
    path = folder / f"program.{kind}"
    path.write_text(f"{IMPORTS[kind]}\n{PROGRAM.replace('TOOLS', json.dumps(str(TOOLS / 'x')))}")
    process = await asyncio.create_subprocess_exec(
        "node", "--experimental-websocket", path, *arguments, stdin=DEVNULL, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def printed(process: asyncio.subprocess.Process) -> list[object]:
    """Return the next line that the program prints."""
    assert process.stdout is not None
    line: list[object] = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
    return line


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", IMPORTS)
async def test_a_program_ends_after_it_has_closed_its_subscriber(folder: Path, kind: str, way: str) -> None:
    """A program receives an event, and nothing keeps Node.js running after it has closed its subscriber."""
    async with Hub(port=0) as hub, AsyncClient(hub.url) as client, program(folder, kind, hub.url, way) as process:
        assert [await printed(process) for _ in range(2)] == [["open", ""], ["ready"]]
        await client.push("t", {"id": 1})
        assert [await printed(process) for _ in range(2)] == [["t", {"id": 1}], ["ended", ""]]
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_refused_handshake_is_repeated(folder: Path, way: str) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=403)

    app = web.Application()
    app.router.add_get("/ws", refuse)
    async with TestServer(app, host="127.0.0.1") as server:
        url = str(server.make_url("/"))
        async with program(folder, "mjs", url, way) as process:
            unreachable = ["closed", f"no hub answers at 127.0.0.1:{server.port}"]
            assert [await printed(process) for _ in range(4)] == [unreachable, ["connecting", ""]] * 2


# Bundlers


@pytest.mark.parametrize("form", ["esm", "cjs", "iife"])
def test_a_bundle_contains_only_the_module(folder: Path, form: str) -> None:
    """A bundle contains the module and nothing else, and bundling causes no warning."""
    (folder / "site.js").write_text(f'import {{ WebMQ }} from "{NAME}"; console.log(typeof WebMQ.signer);')
    bundle = folder / f"bundle.{'mjs' if form == 'esm' else 'cjs'}"
    arguments = ("--bundle", "--minify", f"--format={form}", f"--outfile={bundle}", "--log-level=warning")
    bundled = tool("esbuild", "site.js", *arguments, cwd=folder)
    assert (bundled.returncode, bundled.stdout) == (0, "")
    assert run("node", bundle, cwd=folder).stdout == "function\n"
    assert len(bundle.read_bytes()) < 1.3 * len(FILES["webmq.min.mjs"])


# TypeScript


@pytest.mark.parametrize(
    ("resolution", "module", "ends"), [("node16", "node16", ("mts", "cts")), ("bundler", "esnext", ("ts",))]
)
def test_typescript_accepts_and_refuses_the_right_programs(
    folder: Path, resolution: str, module: str, ends: tuple[str, ...]
) -> None:
    for end in ends:
        shutil.copy(Path(__file__).with_name("program.ts"), folder / f"{resolution}.{end}")
    options = {
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "noEmit": True,
        "target": "es2020",
        "lib": ["es2020", "dom"],
        "types": [],
        "moduleResolution": resolution,
        "module": module,
    }
    files = [f"{resolution}.{end}" for end in ends]
    config = folder / f"tsconfig.{resolution}.json"
    config.write_text(json.dumps({"compilerOptions": options, "files": files}))
    checked = tool("tsc", "--project", config, cwd=folder)
    assert (checked.returncode, checked.stdout) == (0, "")
