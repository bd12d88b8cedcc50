"""Standard streams that another process has made non-blocking, as Node.js and ssh do with streams that they share."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from webmqconnect_async import AsyncClient
from webmqconnect_async._cli.stdio import _Output, read_some
from webmqconnect_async.hub import Hub

from ..processes import MODULE, PATIENCE
from .conftest import TOPIC, Join, received

NODE = """
const [program, ...rest] = process.argv.slice(1);
const child = require("child_process").spawn(program, rest, {stdio: "inherit"});
process.stdin;  // from now on it is non-blocking
child.on("exit", (status) => process.exit(status));
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe both ends of which are non-blocking."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        os.close(end)


def test_non_blocking_input_is_waited_for(pipe: tuple[int, int]) -> None:
    """Reading waits for input, and the descriptor stays non-blocking, because the other process relies on it."""
    reading, writing = pipe
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(read_some(reading, 100)))
    reader.start()
    os.write(writing, b"17\n")
    reader.join(PATIENCE)
    assert got == [b"17\n"]
    assert not os.get_blocking(reading)


def test_message_to_a_slow_reader(pipe: tuple[int, int]) -> None:
    """A message to a slow reader is written completely."""
    reading, writing = pipe
    message, got = b"x" * 300_000, b""
    with _Output(writing, lossy=True) as stream:

        def write() -> None:
            left = memoryview(message)
            while left:
                left = left[stream.write(left) :]

        writer = threading.Thread(target=write)
        writer.start()
        while len(got) < len(message):
            got += read_some(reading, 1 << 16)
        writer.join()
    assert got == message


async def test_explain_reads_all_of_its_input(pipe: tuple[int, int]) -> None:
    """`explain` reads all of stdin, even if it is non-blocking and still empty when the command starts to read."""
    reading, writing = pipe
    command = (sys.executable, *MODULE, "explain", "http://127.0.0.1:1", TOPIC, "1", "--refusal", "-")
    process = await asyncio.create_subprocess_exec(*command, stdin=reading, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    output = asyncio.create_task(process.stdout.read())
    os.set_blocking(writing, True)
    await asyncio.to_thread(os.write, writing, b" " * 200_000 + b"timestamp expired (delta 412 seconds)")
    os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
    assert b"412" in await asyncio.wait_for(output, PATIENCE)
    assert await process.wait() == 0


class Child:
    """The command line as a child of Node.js. Standard input and output are the same end of a socket."""

    def __init__(self, ours: socket.socket, process: asyncio.subprocess.Process) -> None:
        self._ours = ours
        self._process = process
        self.loop = asyncio.get_running_loop()

    async def type(self, text: bytes) -> None:
        await self.loop.sock_sendall(self._ours, text)

    async def read(self) -> bytes:
        return await self.loop.sock_recv(self._ours, 1 << 16)

    async def complained(self, text: bytes) -> None:
        assert self._process.stderr is not None
        await asyncio.wait_for(self._process.stderr.readuntil(text), PATIENCE)

    async def ended(self) -> int:
        self._ours.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(self._process.communicate(), PATIENCE)
        return self._process.returncode or 0


@asynccontextmanager
async def child_of_node(*arguments: str) -> AsyncIterator[Child]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    command = ("node", "-e", NODE, sys.executable, *MODULE, *arguments)
    with ours, theirs:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=asyncio.subprocess.PIPE
        )
        try:
            yield Child(ours, process)
            assert process.returncode is not None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_push_as_a_child_of_node(node: None, hub: Hub, join: Join) -> None:
    """`push` pushes each line as it arrives. The first one shows that the command has started to wait."""
    session = await join(hub)
    async with child_of_node("push", hub.url, "--topic", TOPIC, "--jsonl", "-") as child:
        for number in range(3):
            await child.type(b"%d\n" % number)
            assert await received(session) == [number]
        assert await child.ended() == 0


async def test_listen_as_a_child_of_node(node: None, hub: Hub) -> None:
    """`listen` writes every event completely, although none is read before all have been pushed."""
    events = [f"{number:03}{'x' * 3000}" for number in range(150)]
    async with child_of_node("listen", hub.url, TOPIC, "--count", "150") as child:
        await child.complained(b"subscribed to")
        async with AsyncClient(hub.url) as client:
            for event in events:
                await client.push(TOPIC, event)
        printed = b""
        while printed.count(b"\n") < 150:
            printed += await asyncio.wait_for(child.read(), PATIENCE)
        assert await child.ended() == 0
    assert printed.decode() == "".join(f'{TOPIC}\t"{event}"\n' for event in events)
