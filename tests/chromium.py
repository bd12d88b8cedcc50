"""A page in headless Chromium, controlled over the DevTools protocol, with the commands that the tests need."""

from __future__ import annotations

import asyncio
import atexit
import base64
import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    "--host-resolver-rules=MAP foreign.example 127.0.0.1,MAP listed.example 127.0.0.1",
)
_SHELL = "chromium-headless-shell"
_LISTENING = "DevTools listening on "
_SIZE = {"width": 1000, "height": 700}


class _Commands:
    """Commands over a WebSocket, and their results."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def command(self, method: str, **parameters: object) -> dict[str, object]:
        """Send a command and return its result."""
        command_id = next(self._ids)
        await self._socket.send_json({"id": command_id, "method": method, "params": parameters})
        while (message := await self._receive()).get("id") != command_id:
            pass
        assert "error" not in message, message["error"]
        return _mapping(message["result"])

    async def _receive(self) -> dict[str, object]:
        return _mapping(await self._socket.receive_json(timeout=_PATIENCE))


class _Browser(_Commands):
    """The browser, and a browser context in it, which shares nothing with other contexts."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        super().__init__(socket)
        self._session = session
        self._url = url
        self._context: object = None

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """Open a page and connect to it."""
        if self._context is None:
            self._context = (await self.command("Target.createBrowserContext"))["browserContextId"]
            permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
            await self.command("Browser.grantPermissions", permissions=permissions, browserContextId=self._context)
        target = await self.command(
            "Target.createTarget", url="about:blank", browserContextId=self._context, newWindow=True, **_SIZE
        )
        url = f"{self._url.partition('/devtools/')[0]}/devtools/page/{target['targetId']}"
        async with self._session.ws_connect(url, max_msg_size=0) as socket:
            yield Page(socket, self)

    async def close(self) -> None:
        """Close the pages."""
        if self._context is not None:
            await self.command("Target.disposeBrowserContext", browserContextId=self._context)


class Page(_Commands):
    """A page, and the messages of its console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, browser: _Browser) -> None:
        super().__init__(socket)
        self._browser = browser
        self.problems: list[str] = []
        """Errors and warnings of scripts, of the network and of the Content-Security-Policy."""

    @asynccontextmanager
    async def another(self) -> AsyncIterator[Page]:
        """Open another page in this browser."""
        async with self._browser.page() as page:
            yield page

    async def open(self, url: str) -> None:
        """Go to a URL, and return when the page and its resources have been loaded."""
        for domain in ("Page", "Runtime", "Log"):
            await self.command(f"{domain}.enable")
        await self.command("Emulation.setFocusEmulationEnabled", enabled=True)  # the page must be visible, as to a user
        await self.command("Page.navigate", url=url)
        await self._loaded()

    async def back(self) -> None:
        """Go back in the history. The page may come from the back/forward cache, which does not load it again."""
        history = await self.command("Page.getNavigationHistory")
        current, entries = history["currentIndex"], history["entries"]
        assert isinstance(current, int)
        assert isinstance(entries, list)
        await self.command("Page.navigateToHistoryEntry", entryId=entries[current - 1]["id"])

    async def offline(self, offline: bool) -> None:
        """Disconnect the page from the network, or reconnect it. Open WebSockets stay open."""
        await self.command("Network.enable")
        await self.command(
            "Network.emulateNetworkConditions", offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    async def reload(self) -> None:
        """Load the page again."""
        await self.command("Page.reload")
        await self._loaded()

    async def loaded_by(self, script: str) -> None:
        """Run a script that loads a page, and return when the page is loaded."""
        await self.evaluate(script)  # its result comes before the page is loaded
        await self._loaded()

    async def before_scripts(self, script: str) -> None:
        """Run a script in each page that is opened from now on, before the page's own scripts."""
        await self.command("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def appear(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window in pixels, whether it is that of a phone, and the preferred colour scheme."""
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])

    async def _loaded(self) -> None:
        while (await self._receive()).get("method") != "Page.loadEventFired":
            pass

    async def _receive(self) -> dict[str, object]:
        message = await super()._receive()
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(message["params"]))
        elif message.get("method") == "Log.entryAdded":
            entry = _mapping(_mapping(message["params"])["entry"])
            if entry["level"] in ("warning", "error"):
                self.problems.append(str(entry["text"]))
        return message

    async def evaluate(self, script: str) -> object:
        """Return the value of a script, or the result of its promise. It runs as if a user had clicked."""
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return _mapping(answer["result"]).get("value")

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key, given by its name."""
        code = {"Tab": 9, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}[key]
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        for kind in ("rawKeyDown", "keyUp"):
            await self.command("Input.dispatchKeyEvent", type=kind, **event)

    async def until(self, condition: str) -> None:
        """Return once a JavaScript expression is true. The page evaluates it repeatedly."""
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
        """Save a screenshot as PNG."""
        data = (await self.command("Page.captureScreenshot", format="png"))["data"]
        assert isinstance(data, str)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(data))


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


@asynccontextmanager
async def chromium(*, whole: bool = False) -> AsyncIterator[Page]:
    """Yield a page in the browser that all tests share. The page has its own cookies, storage and cache.

    The browser is Chromium's headless shell if that is installed: a page costs a quarter of the CPU time there. The
    shell has no back/forward cache.
    """
    url = _started("chromium" if whole or not shutil.which(_SHELL) else _SHELL)
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
        browser = _Browser(session, socket, url)
        try:
            async with browser.page() as page:
                yield page
        finally:
            await browser.close()


@functools.cache
def _started(name: str) -> str:
    """Start Chromium, and return the URL of its DevTools. It ends with the process of the tests."""
    program = shutil.which(name)
    assert program is not None
    profile = tempfile.mkdtemp(prefix="chromium-")
    process = subprocess.Popen(  # noqa: S603  # Debian's
        [program, *_SWITCHES, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = process.stderr

    def end() -> None:
        os.killpg(process.pid, signal.SIGKILL)  # the program is a shell script that starts the browser
        process.wait()
        shutil.rmtree(profile, ignore_errors=True)

    atexit.register(end)
    lines = []
    for line in said:
        lines.append(line)
        if line.startswith(_LISTENING):
            # Chromium would block as soon as the pipe is full.
            threading.Thread(target=deque, args=(said, 0), daemon=True).start()
            return line.removeprefix(_LISTENING).strip()
    raise AssertionError("Chromium did not start: " + "".join(lines))
