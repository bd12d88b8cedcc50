"""The connections that an AsyncClient takes over from aiohttp: how they are opened, kept, checked and closed."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from webmqconnect_async import AsyncClient, ConnectFailed, ConnectionLost, Rejected, Retry, TooLarge, WebMQError
from webmqconnect_async._aio.connection_pool import ConnectionPool
from webmqconnect_async._core.flow import PushFlow

from .hostile import (
    PATIENCE,
    Hostile,
    Peer,
    answer,
    bodies,
    drop_after_body,
    drop_at_once,
    held,
    hostile,
    reply,
    stall,
    trusting,
)

if sys.platform != "win32":
    import uvloop

TOPIC = "http://example.com/orders"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

Main = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Run a coroutine in an event loop that treats errors of callbacks as errors of the test."""

    def run(main: Main) -> None:
        unhandled: list[dict[str, Any]] = []

        def handle(_: object, context: dict[str, Any]) -> None:
            # uvloop reports an error for each TLS handshake that is cancelled, for any client.
            if context["message"] != "Fatal error on SSL protocol":
                unhandled.append(context)

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.get_loop().set_exception_handler(handle)
            runner.run(main())
            gc.collect()
        assert unhandled == []

    return run


def pool(client: AsyncClient) -> ConnectionPool:
    """Return the connections of a client that has pushed."""
    assert client._state is not None
    assert client._state._pool is not None
    return client._state._pool


async def until(server: Hostile, condition: Callable[[], bool]) -> None:
    """Wait for the server while the loop runs."""
    await asyncio.to_thread(server.until, condition)


@pytest.mark.parametrize("state", ["closed", "has spoken"])
def test_connection_that_is_unusable_before_it_is_taken_over(
    state: str, server: Hostile, run: Callable[[Main], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the broker closes a connection, or sends data, before the client takes it over, another one is opened."""
    connect = aiohttp.TCPConnector.connect
    spoiled: list[object] = []

    async def spoiling(self: aiohttp.TCPConnector, *args: Any) -> Any:
        connection = await connect(self, *args)
        if not spoiled:
            spoiled.append(connection)
            assert connection.protocol is not None
            if state == "closed":
                connection.protocol.close()
            else:
                connection.protocol.data_received(b"220 hello\r\n")
        return connection

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            assert (await client.push(TOPIC, 1)).attempts == 1

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", spoiling)
    run(main)
    assert (server.connections, len(server.requests)) == (2, 1)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_close_ends_every_connection(tls: bool, run: Callable[[Main], None]) -> None:
    """When `close` returns, no connection is open, idle or in use, and the session did not wait for any."""

    async def main() -> None:
        async with AsyncClient(server.url, ssl=trusting() if tls else None) as client:
            await client.push_many([(TOPIC, 1)] * 3)
            server.script(stall)
            pushing = asyncio.create_task(client.push(TOPIC, 2))
            await until(server, lambda: len(server.requests) == 4)
            async with asyncio.timeout(PATIENCE):
                await client.close(grace=0)
            assert pool(client)._open == set()
            with pytest.raises(WebMQError):
                await pushing
        await until(server, lambda: server.open_connections == 0)

    with hostile(*[held()] * 3, tls=tls) as server:
        server.release_at(3)
        run(main)


def test_the_connection_used_last_is_used_first(run: Callable[[Main], None]) -> None:
    """After a burst, one connection carries all pushes, and a timer closes the others when they have been idle."""

    async def main() -> None:
        async with AsyncClient(server.url, keepalive=0.2) as client:
            await client.push_many([(TOPIC, number) for number in range(5)])
            assert server.connections == 5
            while server.open_connections > 1:
                await client.push(TOPIC, "next")
                await asyncio.sleep(0.02)
            assert server.connections == 5
            # Without another push, the timer closes the last one, too.
            await until(server, lambda: server.open_connections == 0)

    with hostile(*[held()] * 5) as server:
        server.release_at(5)
        run(main)


@pytest.mark.parametrize("close", ["abort", "close"])
def test_connection_that_is_closing(close: str, server: Hostile, run: Callable[[Main], None]) -> None:
    """Nothing is written to a closing connection, even before its protocol is called, because uvloop would raise."""

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await client.push(TOPIC, 1)
            [connection] = pool(client)._idle
            getattr(connection._transport, close)()
            assert (await client.push(TOPIC, 2)).attempts == 1

    run(main)
    assert (server.connections, bodies(server)) == (2, [b"1", b"2"])


def test_unsolicited_data_closes_an_idle_connection(run: Callable[[Main], None]) -> None:
    """The data would be taken for the response to the next push. The connection is closed at once, not at that push."""

    async def talkative(peer: Peer) -> None:
        await answer(reply(202))(peer)
        await peer.server.released.wait()
        await peer.send(reply(401))
        await peer.gone()

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await client.push(TOPIC, 1)
            server.release()
            await until(server, lambda: server.open_connections == 0)
            assert pool(client)._open == set()

    with hostile(talkative) as server:
        run(main)


@pytest.mark.filterwarnings("error")
def test_a_garbage_collected_client_closes_its_connections(server: Hostile, run: Callable[[Main], None]) -> None:
    """A client that is garbage-collected closes its connections without a warning."""

    async def main() -> None:
        client = AsyncClient(server.url, keepalive=None)
        await client.push_many([(TOPIC, 1)] * 3)
        del client
        gc.collect()
        await until(server, lambda: server.open_connections == 0)

    run(main)


def test_unknown_aiohttp(
    server: Hostile, run: Callable[[Main], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If aiohttp lacks the required internals, the client sends with `session.post`, and logs that once."""

    def missing(*_: object) -> None:
        raise AttributeError("no such thing")

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await client.push_many([(TOPIC, 1)] * 3)
            assert "session.post" in repr(client)

    monkeypatch.setattr("webmqconnect_async._aio.session.ResponseHandler", missing)
    run(main)
    [record] = [each for each in caplog.records if each.name == "webmqconnect_async.client" and each.levelno > 10]
    assert record.levelno == logging.WARNING
    assert f"aiohttp {aiohttp.__version__} is not known" in record.getMessage()
    assert len(server.requests) == 3


def test_interception(server: Hostile, run: Callable[[Main], None]) -> None:
    """While the method of ClientSession that sends requests is patched, it is used; afterwards it is not."""
    seen: list[str] = []
    original = aiohttp.ClientSession._request

    async def recording(self: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> aiohttp.ClientResponse:
        seen.append(method)
        return await original(self, method, url, **options)

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await client.push(TOPIC, 1)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(aiohttp.ClientSession, "_request", recording)
                assert "session.post" in repr(client)
                await client.push(TOPIC, 2)
            assert "direct" in repr(client)
            await client.push(TOPIC, 3)

    run(main)
    assert (seen, bodies(server)) == (["POST"], [b"1", b"2", b"3"])


def test_session_with_trace_configurations(
    server: Hostile, run: Callable[[Main], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenTelemetry and Sentry add trace configurations to each new session; they see each push."""
    seen: list[str] = []
    trace = aiohttp.TraceConfig()

    async def started(_session: object, _context: object, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(params.method)

    trace.on_request_start.append(started)
    create = aiohttp.ClientSession.__init__

    def traced(self: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        create(self, *args, **options, trace_configs=[trace])

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await client.push(TOPIC, 1)
            assert "session.post" in repr(client)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)
    run(main)
    assert seen == ["POST"]


@pytest.mark.parametrize(
    ("tls", "half_close"), [(False, False), (False, True), (True, False)], ids=["http", "http, half-closed", "https"]
)
@pytest.mark.parametrize("status", [202, 413])
def test_early_response(status: int, half_close: bool, tls: bool, run: Callable[[Main], None]) -> None:
    """The response to a large event that the broker does not read is the outcome, and no part of the event is kept."""

    async def early(peer: Peer) -> None:
        await peer.head()
        peer.pause()
        await peer.send(reply(status))
        if half_close:
            peer.writer.write_eof()
        await peer.server.released.wait()

    event = "x" * 8_000_000  # too large for the kernel's buffer

    async def main() -> None:
        async with AsyncClient(server.url, ssl=trusting() if tls else None) as client:
            await client.push(TOPIC, 1)
            tracemalloc.start()
            for number in range(3):
                if status == 202:
                    assert (await client.push(TOPIC, event)).attempts == 1
                else:
                    with pytest.raises(TooLarge):
                        await client.push(TOPIC, event)
                assert len(server.requests) == number + 2
                # The server's copy is in the same process.
                await asyncio.to_thread(server.drop_all)
                assert pool(client)._open == set()
                gc.collect()
                kept, _ = tracemalloc.get_traced_memory()
                assert kept < 1_000_000
            tracemalloc.stop()

    with hostile(answer(reply(202)), *[early] * 3, tls=tls) as server:
        run(main)


def test_broker_that_closes_each_connection(run: Callable[[Main], None]) -> None:
    """The broker is not flooded: each attempt opens at most three connections."""

    async def main() -> None:
        async with AsyncClient(server.url, retry=Retry(attempts=1), concurrency=5) as client:
            outcomes = await client.push_many([(TOPIC, number) for number in range(20)])
        assert {type(outcome.error) for outcome in outcomes} <= {ConnectFailed, ConnectionLost}

    with hostile(*[drop_at_once] * 200) as server:
        run(main)
    assert 20 <= server.connections <= 60


def test_a_bulk_of_invalid_pushes_does_not_block_the_loop(server: Hostile, run: Callable[[Main], None]) -> None:
    """Other tasks run between two pushes that are refused before they are sent."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            counting = asyncio.create_task(count())
            outcomes = await client.push_many([("x" * 17_000, 1)] * 50, concurrency=1)
            counting.cancel()
        assert {type(outcome.error) for outcome in outcomes} == {TooLarge}

    run(main)
    assert turns > 50


def test_long_head_that_is_not_read(run: Callable[[Main], None]) -> None:
    """The unsent rest of a long head is not sent before the next request."""

    async def refuse(peer: Peer) -> None:
        await peer.reader.readexactly(1000)
        peer.pause()
        await peer.send(reply(431))
        await peer.server.released.wait()

    async def main() -> None:
        async with AsyncClient(server.url, max_request_head=None) as client:
            for _ in range(2):
                with pytest.raises(Rejected):
                    await client.push(TOPIC, 1, eligible=list(range(10**15, 10**15 + 300_000)))
            await client.push(TOPIC, "next")
            server.release()

    with hostile(refuse, refuse) as server:
        run(main)
    assert bodies(server) == [b'"next"']


def test_event_is_released_with_its_error(run: Callable[[Main], None]) -> None:
    """The event is released without the garbage collector: the flow and its error do not refer to each other."""

    async def main() -> None:
        async with AsyncClient(server.url, retry=Retry(wait=0.0, at_least_once=True)) as client:
            gc.collect()
            before = {id(each) for each in gc.get_objects() if type(each) is PushFlow}
            gc.disable()
            try:
                for status in (413, 401):
                    with suppress(WebMQError):
                        await client.push(TOPIC, status)
                    assert {id(each) for each in gc.get_objects() if type(each) is PushFlow} <= before
                pushing = asyncio.create_task(client.push(TOPIC, 503))
                await until(server, lambda: len(server.requests) == 4)
                await asyncio.sleep(0.05)
                await client.close(grace=0)
                with suppress(WebMQError):
                    await pushing
                del pushing
                await asyncio.sleep(0)
                assert {id(each) for each in gc.get_objects() if type(each) is PushFlow} <= before
            finally:
                gc.enable()

    busy = answer(reply(503, b"", "Retry-After: 3"))
    with hostile(answer(reply(413)), drop_after_body, answer(reply(401)), busy) as server:
        run(main)


# uvloop 0.21 leaves the socket of a cancelled connect to the garbage collector, for any client.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_cancellation_at_any_moment(tls: bool, run: Callable[[Main], None]) -> None:
    """Pushes that are cancelled at random moments do not affect others, and leave neither a slot nor a connection."""
    chance = random.Random(17)  # noqa: S311  # not for security

    async def push(client: AsyncClient, number: int) -> bool:
        with suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(chance.random() * (0.02 if tls else 0.004)):
                await client.push(TOPIC, number)
                return True
        return False

    async def main() -> None:
        async with AsyncClient(server.url, concurrency=5, ssl=trusting() if tls else None) as client:
            await client.push(TOPIC, "first")
            done: list[bool] = []
            for start in range(0, 400, 40):
                done += await asyncio.gather(*(push(client, number) for number in range(start, start + 40)))
            assert client.stats.in_flight == 0
            # All slots are free, and each remaining connection works.
            outcomes = await client.push_many([(TOPIC, "last")] * 20)
            assert [outcome.error for outcome in outcomes] == [None] * 20
            assert len(pool(client)._open) <= 5
        received = bodies(server)
        assert len(received) <= 421
        # Each push that was accepted has reached the broker once.
        assert all(received.count(b"%d" % number) == 1 for number, accepted in enumerate(done) if accepted)
        assert max(map(received.count, set(received) - {b'"last"'})) == 1

    with hostile(tls=tls) as server:
        run(main)
