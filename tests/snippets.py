"""The fenced blocks of README and docs, and functions that run them: Python with a hub; commands are only parsed."""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from webmqconnect_async import AsyncClient, Client
from webmqconnect_async.testing import Hub

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "pages"
HUB = "http://127.0.0.1:8080"
"""The URL to which all snippets push, with the key `app` and the secret `s3cret`."""

_KNOWN: dict[str, object] = {
    "topic": "http://example.com/orders",
    "header": "1" * 16,
    "buyer": "2" * 16,
    "order": {"id": 17},
    "number": 17,
    "state": "paid",
    "user": "17",
}
"""Arguments for the functions and routes of snippets, by the names of their parameters."""

_FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')
_INCLUDE = re.compile(r"--8<--\n(\S+)\n--8<--\n")


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block of a page."""

    page: str
    start: int
    """The position of its beginning in the page, in characters."""
    language: str
    title: str | None
    """The name of the file in which the reader saves it."""
    text: str
    output: str | None
    """The output that it must print, which is the fence directly after it; None if there is none."""
    line: int
    """The number of its first line in the page."""

    @property
    def included(self) -> Path | None:
        """The file that it includes; None if it has text of its own."""
        matched = _INCLUDE.fullmatch(self.text)
        return ROOT / matched[1] if matched else None

    @property
    def is_suite(self) -> bool:
        """Whether it contains tests."""
        return "def test_" in self.text

    @property
    def left_to_call(self) -> str | None:
        """The undecorated function at the end, which the reader has to call; `None` if there is none."""
        last = ast.parse(self.text).body[-1]
        if not isinstance(last, ast.FunctionDef | ast.AsyncFunctionDef) or last.decorator_list:
            return None
        return last.name

    @property
    def patches_the_process(self) -> bool:
        """Whether it needs a process of its own, because it patches libraries in a way that cannot be undone."""
        return "sentry_sdk.init(" in self.text

    @property
    def pushes(self) -> bool:
        """Whether it pushes to the hub of all snippets, and not to a hub of its own or to none."""
        return ".push" in self.text and "import Hub" not in self.text


def fences(page: Path) -> list[Fence]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    found = list(_FENCE.finditer(text))
    return [
        Fence(
            page=str(page.relative_to(ROOT)),
            start=each.start(),
            language=each[2],
            title=title[1] if (title := _TITLE.search(each[3])) else None,
            text=re.sub(f"^{each[1]}", "", each[4], flags=re.MULTILINE),
            output=after[4] if after and after[2] == "text" and not text[each.end() : after.start()].strip() else None,
            line=text.count("\n", 0, each.start()) + 1,
        )
        for each, after in zip_longest(found, found[1:])
        if each
    ]


@contextmanager
def broker() -> Iterator[Hub]:
    """Run the hub that snippets push to, and set the environment variables for it."""
    with Hub(keys={"app": "s3cret"}) as hub, pytest.MonkeyPatch.context() as environment:
        environment.setenv("WEBMQ_ENDPOINT", hub.url)
        environment.setenv("WEBMQ_AUTH_KEY", "app")
        environment.setenv("WEBMQ_AUTH_SECRET", "s3cret")
        yield hub


def run(fence: Fence, hub: Hub) -> None:
    """Execute a snippet with a hub, and call the function that the reader has to call."""
    if fence.patches_the_process:
        command = [sys.executable, "-W", "error", "-c", _pointed(fence, hub)]
        result = subprocess.run(command, text=True, capture_output=True)  # noqa: S603  # ours
        print(result.stdout, end="")
        print(result.stderr, end="", file=sys.stderr)
        assert result.returncode == 0
        return
    with _logs_left_alone():
        _run(fence, hub)


@contextmanager
def _logs_left_alone() -> Iterator[None]:
    """Undo changes to loggers at the end of the block, so that other tests get the same log records."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    levels = [(logger, logger.level) for logger in loggers]
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for logger, level in levels:
            logger.setLevel(level)


def _run(fence: Fence, hub: Hub) -> None:
    names = executed(fence, hub)
    if isinstance(app := names.get("app"), FastAPI):
        with _files_of(fence), TestClient(app) as web:
            for route in app.routes:
                if isinstance(route, APIRoute):
                    for method in route.methods or ():
                        assert web.request(method, route.path.format(**_KNOWN)).is_success, route.path
    elif fence.left_to_call is not None:
        function = names[fence.left_to_call]
        assert callable(function)
        if inspect.iscoroutinefunction(function):
            asyncio.run(_awaited(function, hub))
        else:
            with Client(hub.url, "app", "s3cret") as client:
                function(**_arguments(function, client))


@contextmanager
def _files_of(fence: Fence) -> Iterator[None]:
    """Change to a folder that contains the files which the same page tells its reader to save."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for each in fences(ROOT / fence.page):
            if each.title is not None and "/" not in each.title:
                Path(each.title).write_text(each.text, "utf-8")
        yield


def executed(fence: Fence, hub: Hub) -> dict[str, object]:
    """Execute a snippet like an imported module, and return its globals."""
    names: dict[str, object] = {"__name__": "snippet"}
    exec(compile(_pointed(fence, hub), fence.page, "exec"), names)  # noqa: S102  # ours
    return names


def _pointed(fence: Fence, hub: Hub) -> str:
    """Return a snippet that pushes to this hub."""
    return fence.text.replace(HUB, hub.url)


async def _awaited(function: Callable[..., Awaitable[object]], hub: Hub) -> None:
    async with AsyncClient(hub.url, "app", "s3cret") as client:
        await function(**_arguments(function, client))


def _arguments(function: Callable[..., object], client: Client | AsyncClient) -> dict[str, object]:
    known = _KNOWN | {"client": client}
    return {name: known[name] for name in inspect.signature(function).parameters}


def run_suite(fence: Fence, pytester: pytest.Pytester) -> None:
    """Run a snippet of tests as a module of its own, with warnings as errors. All tests must pass."""
    pytester.makepyfile(test_snippet=fence.text)
    result = pytester.runpytest_subprocess("-W", "error", "-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(passed=fence.text.count("def test_"))


def commands(text: str) -> list[list[str]]:
    """Return each `webmqconnect …` of a shell script, or of a unit of systemd, as its arguments.

    Commands in quotes, for another shell, are found, too.
    """
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words = list(lexer)
        for word in words:
            if " " in word and "webmqconnect " in word:
                found += commands(word)
        while words:
            end = next((place for place, word in enumerate(words) if set(word) <= set("|&;<>()")), len(words))
            into_file = words[end : end + 1] in ([">"], [">>"], ["<"])
            command, words = words[:end], words[end + 1 + into_file :]
            names = [place for place, word in enumerate(command) if Path(word).name == "webmqconnect"]
            if names:
                found.append(command[names[0] + 1 :])
    return found
