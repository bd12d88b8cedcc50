"""Fixtures of the command line: a hub, its subscribers, and commands that run within the process of the tests."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, nullcontext
from typing import TypeAlias

import pytest
import rich_click as click
from click.testing import CliRunner

from webmqconnect_async import AsyncClient
from webmqconnect_async._cli.app import app
from webmqconnect_async.hub import Hub

from ..listener import Listener, listener
from ..processes import Ended

COMMANDS = {name: app.resolve_command(click.Context(app), [name])[1] or app for name in app.commands}
"""All commands by name, loaded, including those of groups, such as `outbox list`."""
COMMANDS |= {
    f"{name} {each}": command
    for name, group in COMMANDS.items()
    if isinstance(group, click.Group)
    for each, command in group.commands.items()
}

TOPIC = "http://example.com/orders"
SECRET = "a-secret-of-the-tests"

Join: TypeAlias = Callable[[Hub], Awaitable[Listener]]


@pytest.fixture(autouse=True, scope="session")
def default_hangup() -> None:
    """Reset SIGHUP to its default. Under nohup, the processes of the tests would inherit that it is ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub(port=0) as hub:
        yield hub


@pytest.fixture
async def signed_hub() -> AsyncIterator[Hub]:
    async with Hub(port=0, keys={"app": SECRET}) as hub:
        yield hub


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    """Subscribe to TOPIC."""
    async with AsyncExitStack() as stack:

        async def join(hub: Hub) -> Listener:
            return await stack.enter_async_context(listener(hub.ws_url, TOPIC))

        yield join


async def push_event(hub: Hub, event: object, topic: str = TOPIC) -> None:
    async with AsyncClient(hub.url) as client:
        await client.push(topic, event)


async def received(session: Listener, count: int = 1) -> list[object]:
    """Return the values of the next events."""
    return [await session.next() for _ in range(count)]


async def nothing_but(session: Listener, hub: Hub, *events: object) -> None:
    """Check that a subscriber gets exactly these events. A last event, for this subscriber only, marks the end."""
    async with AsyncClient(hub.url, *(("app", SECRET) if hub.config.keys else ())) as client:
        await client.push(TOPIC, "the end", eligible=[session.session_id])
    got = []
    while (value := await session.next()) != "the end":
        got.append(value)
    assert got == list(events)


@contextmanager
def standard_input(text: str) -> Iterator[None]:
    """Replace the descriptor 0, from which commands read. Click's runner replaces only `sys.stdin`."""
    previous = os.dup(0)
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(previous, 0)
        os.close(previous)


def invoke_here(*arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Ended:
    """Run the command line in this thread, without the environment's variables."""
    unset = [name for name in os.environ if name.startswith("WEBMQ_") or name in ("FORCE_COLOR", "GITHUB_ACTIONS")]
    environment: dict[str, str | None] = {**dict.fromkeys(unset), "COLUMNS": "120", **(env or {})}
    with nullcontext() if stdin is None else standard_input(stdin):
        result = CliRunner().invoke(app, arguments, prog_name="webmqconnect", env=environment)
    assert isinstance(result.exception, SystemExit | None), result.exception
    # rich-click decides on colours when it is imported, by the environment.
    return Ended(result.exit_code, click.unstyle(result.stdout), click.unstyle(result.stderr))


async def invoke(*arguments: str, env: Mapping[str, str] | None = None) -> Ended:
    """Run the command line in a thread, while the test's event loop runs a hub."""
    return await asyncio.to_thread(invoke_here, *arguments, env=env)
