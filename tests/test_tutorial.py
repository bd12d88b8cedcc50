"""The tutorial, executed as a reader does it: files written, commands typed, pages opened, in order."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from .chromium import Page, chromium
from .examples.serving import serving
from .listener import listener
from .processes import python
from .snippets import PAGES, Fence, fences

TUTORIAL = PAGES / "tutorial.md"
ORDERS = "http://example.com/orders"
_OPEN = re.compile(r"Open <(http://127\.0\.0\.1:\d+[^>]*)>")
_LISTENING = {"webmqconnect": "push to", "http.server": "Serving HTTP", "uvicorn": "running on"}
"""The text that a server prints when it listens, by a part of its command."""


class Reader:
    """Executes the steps. The servers listen on free ports, which replace 8080 in the page's text.

    Args:
        servers: the exit stack that stops the servers at the end.
    """

    def __init__(self, servers: AsyncExitStack) -> None:
        self._servers = servers
        self._ports: dict[str, str] = {}
        self._env = {
            "PYTEST_ADDOPTS": "-p no:asyncio"
        }  # a plugin that the tutorial does not install, and that needs a setting
        self.opened: list[str] = []

    def real(self, text: str) -> str:
        """Return a text with the real ports of the servers."""
        return re.sub("|".join(self._ports) or "$^", lambda port: self._ports[port[0]], text)

    async def walk(self) -> AsyncIterator[str]:
        """Execute one step after another, and yield each: the name of a file, a command, a URL."""
        text = TUTORIAL.read_text("utf-8")
        steps: list[tuple[int, Fence | str]] = [(fence.start, fence) for fence in fences(TUTORIAL)]
        steps += [(opened.start(), opened[1]) for opened in _OPEN.finditer(text)]
        for _, step in sorted(steps, key=lambda step: step[0]):
            if isinstance(step, str):
                self.opened.append(self.real(step))
                yield step
            elif step.title is not None:
                self._write(step.title, step.text)
                yield step.title
            elif step.language == "sh":
                for line in step.text.splitlines():
                    await self._type(line, step.output)
                    yield line

    def _write(self, name: str, text: str) -> None:
        Path(name).write_text(self.real(text), "utf-8")

    async def _type(self, line: str, output: str | None) -> None:
        words = shlex.split(line)
        if words[0] == "export":
            self._env |= dict(self.real(word).split("=", 1) for word in words[1:])
        elif words[0] == "mkdir":
            os.mkdir(words[1])
        elif words[0] == "cd":
            os.chdir(words[1])
        elif words[:2] == ["pip", "install"]:
            for word in words[2:]:  # the later steps use the packages that this command installs
                distribution(Requirement(word.removeprefix("../").replace("_", "-")).name)
        elif not line.startswith(("python3 -m venv", ". .venv")):
            await self._run(words, output)

    async def _run(self, words: list[str], output: str | None) -> None:
        env = dict(self._env)
        while "=" in words[0]:
            name, _, env[name] = words.pop(0).partition("=")
        program, *arguments = words
        if program != "python":
            arguments = ["-m", {"webmqconnect": "webmqconnect_async"}.get(program, program), *arguments]
        says = next((says for name, says in _LISTENING.items() if name in words), None)
        if says is not None:
            await self._serve(arguments, says, env)
            return
        async with python(*arguments, env=env) as process:
            ended = await process.ended()
        assert (ended.status, ended.stderr) == (0, ""), ended
        assert output is None or output.strip() in ended.stdout

    async def _serve(self, arguments: list[str], says: str, env: dict[str, str]) -> None:
        port = next((word for word in arguments if re.fullmatch(r"\d{4}", word)), None)
        free = [*arguments, "--port", "0"] if port is None else ["0" if word == port else word for word in arguments]
        site = await self._servers.enter_async_context(serving(*free, says=says, env=env))
        self._ports[port or "8080"] = site.port


@asynccontextmanager
async def reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reader]:
    monkeypatch.chdir(folder)
    async with AsyncExitStack() as servers:
        yield Reader(servers)


@pytest.mark.usefixtures("chromium")
async def test_all_steps_succeed_and_its_pages_show_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushed events appear in the pages. An order appears once in the page that made it, and in all other pages.

    Each command succeeds and prints what the page says.
    """
    done = []
    async with reader(tmp_path, monkeypatch) as somebody, chromium() as page:
        async for step in somebody.walk():
            done.append(step)
            if step == "python first_push.py" and len(somebody.opened) == 2:
                await shown(page, "1: tea")
            elif step.startswith("http"):
                await page.open(somebody.opened[-1])
                if step.endswith("orders.html"):
                    await page.until("document.title === 'Orders (open)'")
            elif step == "test_shop.py":
                async with listener(somebody.real("ws://127.0.0.1:8080/ws"), ORDERS) as another:
                    await page.until("mq.state === 'open'")
                    await page.evaluate("document.querySelector('button').click()")
                    assert await another.next() == {"id": 2, "item": "tea"}
                    await shown(page, "2: tea")
                    async with python("first_push.py") as process:
                        assert (await process.ended()).status == 0
                    await shown(page, "2: tea", "1: tea")  # and nothing between: the author got no echo
        assert len(somebody.opened) == 3
    assert done[-1] == "pytest -q"
    assert [problem for problem in page.problems if "404" not in problem] == []  # none of the pages has an icon


async def shown(page: Page, *lines: str) -> None:
    await page.until(f"document.querySelectorAll('#orders li').length === {len(lines)}")
    assert await page.evaluate("[...document.querySelectorAll('#orders li')].map(line => line.textContent)") == [*lines]
