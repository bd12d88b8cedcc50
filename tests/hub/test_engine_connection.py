"""The connection to Redis, with servers that reply as a test needs it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme

from webmqconnect_async.hub._backplane import Backplane
from webmqconnect_async.hub._engine import connection as module
from webmqconnect_async.hub._engine.connection import Connection, NotDone, Unreachable

from .outages import until

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LATE = "no response within 0 s"


def certified(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Return a file with the certificate of a new authority, and the context of a server that it has certified."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return str(folder / "ca.pem"), context


@asynccontextmanager
async def connected(
    serve: Serve, user: str | None = None, password: str | None = None, folder: Path | None = None
) -> AsyncIterator[Connection]:
    """Yield a connection to a server that calls `serve` for it. `folder`: use TLS, with the certificates there."""
    ended = asyncio.Event()
    authority_file, context = (None, None) if folder is None else certified(folder)

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # the hub aborts connections
            await serve(reader, writer)
        writer.close()
        ended.set()

    async with await asyncio.start_server(served, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        backplane = Backplane("127.0.0.1", port, "p", 0, context is not None, authority_file, user, password)
        connection = Connection(backplane)
        try:
            await connection.open()
            yield connection
        finally:
            await connection.aclose()
            await ended.wait()


def replying(*replies: bytes) -> Serve:
    """Return a server that replies to each command, and then waits until the connection is closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.read(1 << 12)  # the whole command
            writer.write(reply)
        while await reader.read(1 << 12):
            pass

    return serve


async def refusal(connection: Connection) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        await connection.ask("GET", "x")
    return caught.value


async def test_a_reply_in_pieces() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n")
        for byte in b"*3\r\n$5\r\nabc\r\n\r\n:17\r\n$-1\r\n":
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with connected(serve) as connection:
        assert await connection.ask("GET", "x") == [b"abc\r\n", 17, None]


async def test_a_reply_that_is_larger_than_the_buffer() -> None:
    value = b"x" * 1_000_000
    async with connected(replying(b"$1000000\r\n%s\r\n" % value, b"+ok\r\n")) as connection:
        assert await connection.ask("GET", "x") == value
        assert await connection.ask("GET", "y") == b"ok"


async def test_a_large_reply_over_tls(tmp_path: Path) -> None:
    """It is decrypted in pieces, to slices of the buffer."""
    value = b"".join(b"%07d" % number for number in range(150_000))
    async with connected(replying(b"$%d\r\n%s\r\n" % (len(value), value)), folder=tmp_path) as connection:
        assert await connection.ask("GET", "x") == value


async def test_a_reply_that_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command must not get the reply, so the connection is closed."""
    monkeypatch.setattr(module, "_TIMEOUT", 0.05)
    async with connected(replying()) as connection:
        late = await refusal(connection)
        assert (type(late), str(late)) == (Unreachable, LATE)
        after = await refusal(connection)
        assert (type(after), str(after)) == (NotDone, LATE)


async def test_each_command_has_a_timeout_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer of an earlier command does not end a later one."""
    monkeypatch.setattr(module, "_TIMEOUT", 0.4)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"x\r\n")
        writer.write(b"+1\r\n")
        await reader.readuntil(b"x\r\n")
        await asyncio.sleep(0.25)
        writer.write(b"+2\r\n")
        await reader.read()

    loop = asyncio.get_running_loop()
    async with connected(serve) as connection:
        assert await connection.ask("GET", "x") == b"1"
        await asyncio.sleep(0.25)
        assert await connection.ask("GET", "x") == b"2"
        began = loop.time()
        assert str(await refusal(connection)) == LATE
        assert loop.time() - began >= 0.39


async def test_the_timeout_after_a_command_that_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    loop = asyncio.get_running_loop()
    async with connected(replying(b"+1\r\n")) as connection:
        assert await connection.ask("XREAD", "x", wait=5.0) == b"1"
        began = loop.time()
        assert str(await refusal(connection)) == LATE
        assert 0.19 <= loop.time() - began < 2.0


async def test_a_command_that_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"x\r\n")
        await asyncio.sleep(0.2)
        writer.write(b"+1\r\n")
        await reader.read()

    async with connected(serve) as connection:
        assert await connection.ask("XREAD", "x", wait=5.0) == b"1"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        pytest.param(b"+1\r\n+2\r\n", "it has sent more replies than commands", id="two replies"),
        pytest.param(b"+1\r\n+", "it has sent more replies than commands", id="a reply and a half"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", "Protocol error, got 'H' as reply type byte", id="HTTP"),
    ],
)
async def test_an_invalid_reply(reply: bytes, said: str) -> None:
    """It is unknown which reply belongs to which command, so the connection is closed."""
    async with connected(replying(reply)) as connection:
        invalid = await refusal(connection)
        assert type(invalid) is Unreachable
        assert str(invalid).replace('"', "'") == said
        assert type(await refusal(connection)) is NotDone


@pytest.mark.parametrize("reply", [pytest.param(b"+1\r\n", id="complete"), pytest.param(b"+", id="incomplete")])
async def test_a_reply_without_a_command(reply: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await reader.read()

    async with connected(serve) as connection:
        await until(lambda: connection._lost != "")
        after = await refusal(connection)
        assert (type(after), str(after)) == (NotDone, "it has sent more replies than commands")


@pytest.mark.parametrize("password", [None, "pa55word"])
@pytest.mark.parametrize("error", ["ERR max number of clients reached", "DENIED Redis is running in protected mode"])
async def test_a_server_that_refuses_the_connection(error: str, password: str | None) -> None:
    """Redis sends an error as soon as the connection has been accepted."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"-{error}\r\n".encode())
        await reader.read()

    async def asked() -> None:
        async with connected(serve, password=password) as connection:
            await until(lambda: connection._lost != "")
            await connection.ask("GET", "x")

    with pytest.raises(Unreachable) as caught:
        await asked()
    assert str(caught.value) == error


@pytest.mark.parametrize("idle", [True, False])
async def test_the_server_closes_the_connection(idle: bool) -> None:
    """A command that has been sent may have been executed; a later one is not sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not idle:
            await reader.readuntil(b"x\r\n")

    async with connected(serve) as connection:
        if idle:
            await until(lambda: connection._lost != "")
        closed = await refusal(connection)
        assert (type(closed), str(closed)) == (NotDone if idle else Unreachable, "it has closed the connection")


async def test_a_command_without_a_connection() -> None:
    after = await refusal(Connection(Backplane("127.0.0.1", 1, "p")))
    assert (type(after), str(after)) == (NotDone, "it has not been opened")


async def test_closing_during_a_command() -> None:
    async with connected(replying()) as connection:
        asking = asyncio.ensure_future(refusal(connection))
        await asyncio.sleep(0.01)
        await connection.aclose()
        assert type(await asking) is Unreachable


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", NotDone),
        ("MISCONF Redis is configured to save RDB snapshots.", NotDone),
        ("NOREPLICAS Not enough good replicas to write.", NotDone),
        ("BUSY Redis is busy running a script.", NotDone),
        ("OOM command not allowed when used memory > 'maxmemory'.", NotDone),
        ("READONLY You can't write against a read only replica.", NotDone),
        ("LOADING Redis is loading the dataset in memory", NotDone),
        ("NOSCRIPT No matching script.", NotDone),
        ("NOAUTH Authentication required.", NotDone),
        ("NOPERM this user has no permissions to run the 'xadd' command", Unreachable),
        ("ERR user_script:1: attempt to index a nil value", Unreachable),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", Unreachable),
    ],
)
async def test_whether_a_refused_command_has_changed_nothing(error: str, kind: type[Unreachable]) -> None:
    """Only if it certainly has not, a push is refused with 503, after which a client may repeat it."""
    async with connected(replying(f"-{error}\r\n".encode())) as connection:
        assert type(await refusal(connection)) is kind


# Authentication


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", None),
        ("ERR AUTH <password> called without any password configured for the default user.", None),
        ("NOPERM this user has no permissions to run the 'auth' command", None),
        ("ERR unknown command 'AUTH', with args beginning with: 'hub' 'pa55word'", "it refuses to authenticate"),
        ("ERR invalid password pa55word", "it refuses to authenticate"),
    ],
)
async def test_a_refused_password(reply: str, said: str | None) -> None:
    """Some servers quote the arguments of a command that they refuse."""
    with pytest.raises(Unreachable) as caught:
        async with connected(replying(f"-{reply}\r\n".encode()), user="hub", password="pa55word"):
            pass
    assert str(caught.value) == (reply.rstrip(".") if said is None else said)
    assert caught.value.__context__ is None


async def test_a_user_without_a_password() -> None:
    """Otherwise the commands would be those of the user `default`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read(1 << 12) == b"*3\r\n$4\r\nAUTH\r\n$3\r\nhub\r\n$0\r\n\r\n"
        writer.write(b"+OK\r\n")
        await reader.read()

    async with asyncio.timeout(5), connected(serve, user="hub"):
        pass


def test_certificates_are_loaded_once(tmp_path: Path) -> None:
    """Loading those of the system takes up to 0.1 s, during which the hub would do nothing else at each attempt."""
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    first = module._context(str(file))
    file.unlink()
    assert module._context(str(file)) is first


async def test_certificates_that_have_been_replaced_are_loaded(tmp_path: Path) -> None:
    """After a failure, because the authority may be another one now."""
    async with connected(replying(), folder=tmp_path):
        pass
    authority_file, context = certified(tmp_path)
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        backplane = Backplane("127.0.0.1", server.sockets[0].getsockname()[1], "p", 0, True, authority_file)
        with pytest.raises(Unreachable, match="certificate verify failed"):
            await Connection(backplane).open()
        async with aclosing(Connection(backplane)) as connection:
            await connection.open()
