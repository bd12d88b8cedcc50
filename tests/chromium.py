"""A page in headless Chromium, driven over the DevTools protocol: as much of it as the tests need."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

_PATIENCE = 30.0
_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1000,700",
)


@dataclass(frozen=True, slots=True)
class _Browser:
    session: aiohttp.ClientSession
    address: str
    """Host and port of its DevTools."""

    @asynccontextmanager
    async def page(self, target: Mapping[str, str]) -> AsyncIterator[Page]:
        """Connect to a page, as DevTools lists it."""
        async with self.session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            yield Page(socket, self)


class Page:
    """A page, and what its console has said."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, browser: _Browser) -> None:
        self._socket = socket
        self._browser = browser
        self._ids = itertools.count(1)
        self.problems: list[str] = []
        """Errors and warnings: of scripts, of the network, of the Content-Security-Policy."""

    async def command(self, method: str, **parameters: object) -> dict[str, object]:
        """Send a command and return its result."""
        command_id = next(self._ids)
        await self._socket.send_json({"id": command_id, "method": method, "params": parameters})
        while (message := await self._receive()).get("id") != command_id:
            pass
        assert "error" not in message, message["error"]
        return _mapping(message["result"])

    @asynccontextmanager
    async def another(self) -> AsyncIterator[Page]:
        """Give one more page of this browser, a tab beside this one."""
        async with self._browser.session.put(f"http://{self._browser.address}/json/new") as answer:
            target = await answer.json()
        async with self._browser.page(target) as page:
            yield page

    async def open(self, url: str) -> None:
        """Go to an address and return when all it consists of has been loaded."""
        for domain in ("Page", "Runtime", "Log"):
            await self.command(f"{domain}.enable")
        await self.command("Emulation.setFocusEmulationEnabled", enabled=True)  # as the page that somebody looks at
        await self.command("Page.navigate", url=url)
        await self._loaded()

    async def reload(self) -> None:
        """Load the page again."""
        await self.command("Page.reload")
        await self._loaded()

    async def before_scripts(self, script: str) -> None:
        """Run a script in each page that is opened from now on, before its own."""
        await self.command("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def appear(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Give the page a window of so many pixels, on a phone or not, and a person with this taste."""
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])

    async def _loaded(self) -> None:
        while (await self._receive()).get("method") != "Page.loadEventFired":
            pass

    async def _receive(self) -> dict[str, object]:
        message = _mapping(await self._socket.receive_json(timeout=_PATIENCE))
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(message["params"]))
        elif message.get("method") == "Log.entryAdded":
            entry = _mapping(_mapping(message["params"])["entry"])
            if entry["level"] in ("warning", "error"):
                self.problems.append(str(entry["text"]))
        return message

    async def evaluate(self, script: str) -> object:
        """Return the value of a script, run as if by a person's click; of a promise, what it becomes."""
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return _mapping(answer["result"]).get("value")

    async def until(self, condition: str) -> None:
        """Return once a JavaScript expression is true; the page itself tries it again and again."""
        attempt = f"""new Promise(done => {{
            const deadline = performance.now() + 1000;
            const attempt = () => {{
                if ({condition}) done(true);
                else if (performance.now() > deadline) done(false);
                else setTimeout(attempt, 10);
            }};
            attempt();
        }})"""
        async with asyncio.timeout(_PATIENCE):
            while not await self.evaluate(attempt):
                pass

    async def screenshot(self, path: Path) -> None:
        """Save what the page looks like, as PNG."""
        data = (await self.command("Page.captureScreenshot", format="png"))["data"]
        assert isinstance(data, str)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(data))


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


@asynccontextmanager
async def chromium(*switches: str) -> AsyncIterator[Page]:
    """Start Chromium with a profile of its own and give its first page; both end with the block."""
    program = shutil.which("chromium")
    assert program is not None
    profile = Path(tempfile.mkdtemp(prefix="chromium-"))
    process = await asyncio.create_subprocess_exec(
        program,
        *_SWITCHES,
        *switches,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession() as session:
            async with asyncio.timeout(_PATIENCE):
                browser = _Browser(session, await _devtools(process))
            async with session.get(f"http://{browser.address}/json/list") as answer:
                (target,) = [one for one in await answer.json() if one["type"] == "page"]
            async with browser.page(target) as page:
                yield page
    finally:
        process.kill()
        await process.communicate()
        await asyncio.to_thread(shutil.rmtree, profile, ignore_errors=True)


async def _devtools(process: asyncio.subprocess.Process) -> str:
    """Return host and port, which Chromium prints once it listens."""
    assert process.stderr is not None
    said = []
    while line := (await process.stderr.readline()).decode():
        said.append(line)
        if line.startswith("DevTools listening on ws://"):
            return line.split("/")[2]
    raise AssertionError("Chromium did not start: " + "".join(said))
