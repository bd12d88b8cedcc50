"""The resolver of an AsyncClient: it returns what aiohttp's returns, and does not delay the exit of a program."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from webmqconnect_async import AsyncClient, ConnectFailed, Retry, WebMQError
from webmqconnect_async._aio.resolver import DaemonResolver

from .cases import SHORT
from .clients import DRIVERS, Both
from .hostile import PATIENCE, hostile
from .processes import MODULE, WITHOUT_UVLOOP, python

BROKER = "http://broker.example:8080/"
ONCE = Retry(attempts=1)
Lookup: TypeAlias = Callable[..., list[object]]


@pytest.fixture
def look_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[Lookup], None]:
    """Return a function that replaces the lookup of names; IP addresses need no lookup."""
    original = socket.getaddrinfo

    def replace(lookup: Lookup) -> None:
        def replaced(host: str, *args: object, **kwargs: object) -> object:
            if host.endswith(".example"):
                return lookup(host, *args, **kwargs)
            return original(host, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "getaddrinfo", replaced)

    return replace


class NameServer:
    """A name server that does not respond before it is released."""

    def __init__(self) -> None:
        self.lookups = 0
        self.asked = threading.Semaphore(0)
        self.released = threading.Event()
        self.was_released = True
        """Whether every lookup was released before its timeout."""

    def __call__(self, *args: object, **kwargs: object) -> list[object]:
        self.lookups += 1
        self.asked.release()
        if not self.released.wait(PATIENCE):
            self.was_released = False
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.fixture
def hung(look_up: Callable[[Lookup], None]) -> Iterator[NameServer]:
    server = NameServer()
    look_up(server)
    yield server
    server.released.set()
    for thread in threading.enumerate():
        if thread.name == "webmqconnect-resolve":
            thread.join(PATIENCE)
    assert server.was_released


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC], ids=lambda each: each.name)
async def test_addresses_are_those_of_aiohttp(family: socket.AddressFamily) -> None:
    try:
        expected = await ThreadedResolver().resolve("localhost", 8080, family)
    except OSError as error:  # on a machine without IPv6
        with pytest.raises(type(error)):
            await DaemonResolver().resolve("localhost", 8080, family)
    else:
        assert await DaemonResolver().resolve("localhost", 8080, family) == expected


async def test_arguments_and_unusual_addresses(look_up: Callable[[Lookup], None]) -> None:
    """A link-local address keeps its scope; addresses that a Python without IPv6 returns are left out."""
    calls = []

    def lookup(*args: object, **kwargs: object) -> list[object]:
        calls.append((args, kwargs))
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 8080, 0, 1)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 8080, 0, 0)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (10, b"raw")),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 8080)),
        ]

    look_up(lookup)
    found = await DaemonResolver().resolve("broker.example", 8080, socket.AF_UNSPEC)
    assert [each["host"] for each in found] == ["fe80::1%lo", "2001:db8::1", "192.0.2.1"]
    assert found == await ThreadedResolver().resolve("broker.example", 8080, socket.AF_UNSPEC)
    (args, kwargs), (_, expected) = calls
    assert args == ("broker.example", 8080)
    assert kwargs == {"family": socket.AF_UNSPEC, "type": socket.SOCK_STREAM, "flags": socket.AI_ADDRCONFIG}
    assert expected == {} or expected == kwargs


async def test_only_addresses_that_are_left_out(look_up: Callable[[Lookup], None]) -> None:
    look_up(lambda *_, **__: [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (10, b"raw"))])
    with pytest.raises(OSError, match="the name has no address"):
        await DaemonResolver().resolve("broker.example", 8080, socket.AF_UNSPEC)


async def test_the_rest_of_the_loop() -> None:
    """Another release of aiohttp may use more of it than the two methods that need a thread."""
    assert DaemonResolver()._loop.is_running()


async def test_a_name_is_resolved(look_up: Callable[[Lookup], None]) -> None:
    """A client with its own session resolves the name of its endpoint."""
    with hostile() as server:
        look_up(lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))])
        async with AsyncClient(f"http://broker.example:{server.port}/") as client:
            assert (await client.push("t", 1)).attempts == 1
        assert server.requests[0].header("Host") == f"broker.example:{server.port}"


def test_a_hung_name_server(hung: NameServer) -> None:
    """The push ends at its deadline, and then `asyncio.run` does; the lookup ends after the loop was closed."""

    async def main() -> None:
        async with AsyncClient(BROKER, timeout=SHORT) as client:
            outcomes = await client.push_many([("t", number) for number in range(20)])
            assert {(type(each.error), str(each.error)) for each in outcomes} == {
                (ConnectFailed, "the deadline passed before there was a connection")
            }

    asyncio.run(main())
    assert not hung.released.is_set()
    assert hung.lookups == 1
    assert hung.was_released


async def test_a_hung_name_server_that_responds_after_all(hung: NameServer) -> None:
    """The cancellation of a push does not affect others that wait for the same lookup."""
    async with AsyncClient(BROKER, retry=ONCE, timeout=PATIENCE) as client:
        pushes = [asyncio.create_task(client.push("t", number)) for number in range(3)]
        await asyncio.to_thread(hung.asked.acquire, timeout=PATIENCE)
        pushes[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushes[0]
        hung.released.set()
        for each in await asyncio.gather(*pushes[1:], return_exceptions=True):
            assert isinstance(each, ConnectFailed)
            assert "Temporary failure in name resolution" in str(each)


@pytest.mark.parametrize("module", [MODULE, WITHOUT_UVLOOP], ids=["uvloop", "asyncio"])
async def test_a_hung_name_server_and_the_command(module: tuple[str, ...]) -> None:
    """The command ends at its deadline, although the name server never responds."""
    hang = "import socket, threading; socket.getaddrinfo = lambda *_, **__: threading.Event().wait()\n"
    run = module[1] if module[0] == "-c" else "from webmqconnect_async._cli import main; main()"
    async with python("-c", hang + run, "push", BROKER, "http://example.com/t", "1", "--timeout", "0.2") as process:
        ended = await process.ended()
    assert ended.status == 1
    assert ended.stderr.startswith("error: the deadline passed before there was a connection")


@pytest.mark.parametrize("module", [MODULE, WITHOUT_UVLOOP], ids=["uvloop", "asyncio"])
async def test_a_hung_name_server_and_ctrl_c(module: tuple[str, ...], tmp_path: Path) -> None:
    """`listen` ends at once. `hub`, whose event loop resolves the name, ends at the second Ctrl-C."""
    fifo = tmp_path / "host.conf"
    os.mkfifo(fifo)
    # glibc reads this file in the first lookup, in any thread, and waits until its writers close it.
    env = {"RESOLV_HOST_CONF": str(fifo), "WEBMQ_AUTH_SECRET": "s3cret"}
    for command in (("listen", "http://hung.test", "t"), ("hub", "--host", "hung.test", "--key", "app")):
        async with python(*module, *command, env=env) as process:
            resolving = await asyncio.to_thread(os.open, fifo, os.O_WRONLY)
            if command[0] == "hub":
                assert await process.pestered(signal.SIGINT) == -signal.SIGINT
            else:
                assert (await process.stopped(signal.SIGINT)).status == 0
            os.close(resolving)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_name_without_an_address(driver: str, look_up: Callable[[Lookup], None]) -> None:
    """A resolver that returns no address is a failure to connect."""
    look_up(lambda *_, **__: [])
    with Both(driver, BROKER, retry=ONCE) as client:
        error = client.failure()
    assert isinstance(error, ConnectFailed)
    assert str(error) == "cannot connect to broker.example:8080: the name has no address"
    assert error.retryable


class Empty(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return []

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("cached", [False, True])
async def test_a_name_without_an_address_in_a_borrowed_session(cached: bool) -> None:
    """If the session's own resolver returns nothing, aiohttp raises an AssertionError or a RuntimeError."""
    connector = aiohttp.TCPConnector(resolver=Empty(), use_dns_cache=cached)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = AsyncClient(BROKER, session=session, retry=ONCE)
        with pytest.raises(ConnectFailed, match=r"broker\.example:8080: the name has no address"):
            await client.push("t", 1)
        await client.close()


@pytest.mark.parametrize("said", ["can't start new thread", "can't create new thread at interpreter shutdown"])
async def test_no_thread_can_be_started(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(threading.Thread, "start", start)
    async with AsyncClient(BROKER, retry=ONCE) as client:
        with pytest.raises(WebMQError) as caught:
            await client.push("t", 1)
    assert isinstance(caught.value, ConnectFailed)
    assert str(caught.value) == f"cannot connect to broker.example:8080: {said}"
