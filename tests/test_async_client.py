"""AsyncClient on real sockets: loops and forks, closing, slots, deadlines, cancellation, many pushes."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import anyio
import pytest

from webmqconnect_async import (
    AsyncClient,
    ClientClosed,
    ConnectFailed,
    ConnectionLost,
    InvalidPush,
    Outcome,
    Push,
    QueueTimeout,
    Receipt,
    ReplyTimeout,
    Retry,
    SourceFailed,
    WebMQError,
    WrongLoop,
    __version__,
)

from .hostile import (
    ACCEPTED,
    PATIENCE,
    Hostile,
    Peer,
    Step,
    answer,
    bodies,
    drop_after_body,
    held,
    hostile,
    refusing,
    reply,
    stall,
    trusting,
    unreachable,
)
from .scripts import run_script


async def requests(server: Hostile, number: int) -> None:
    """Wait until `number` requests have arrived."""
    await asyncio.to_thread(server.until, lambda: len(server.requests) >= number)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, checking it in each iteration of the loop."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0)


async def no_other_task() -> None:
    """Wait until no other task is running."""
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def turns() -> None:
    """Run enough iterations of the loop for a push to get as far as it can."""
    for _ in range(30):
        await asyncio.sleep(0)


class TestLoops:
    def test_made_before_any_loop(self, server: Hostile, tmp_path: Path) -> None:
        """A global client works in one loop after another, without `close` and without warnings."""
        printed = run_script(
            """
            client = AsyncClient(url)
            for _ in range(3):
                print(asyncio.run(client.push("t", 1)).status)
            """,
            server.url,
            tmp_path,
        )
        assert printed.split() == ["202"] * 3
        assert server.connections == 3

    def test_made_before_any_loop_tls(self, tmp_path: Path) -> None:
        """A global client also works in one loop after another with TLS."""
        with hostile(tls=True) as server:
            run_script(
                """
                client = AsyncClient(url, ssl=trust)
                asyncio.run(client.push("t", 1))
                asyncio.run(client.push("t", 1))
                """,
                server.url,
                tmp_path,
            )
            assert server.connections == 2

    def test_never_used(self, tmp_path: Path) -> None:
        run_script("client = AsyncClient(url)", "http://127.0.0.1:1/", tmp_path)

    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    def test_loop_closed_without_shutdown(self, tls: bool, tmp_path: Path) -> None:
        """After a loop that was closed without `shutdown_asyncgens`, the client works in the next loop."""
        with hostile(tls=tls) as server:
            printed = run_script(
                """
                client = AsyncClient(url, ssl=trust)
                loop = asyncio.new_event_loop()
                loop.run_until_complete(client.push("t", 1))
                loop.close()

                async def main():
                    print((await client.push("t", 2)).status)

                # asyncio itself complains of the transports that its closed loop has left.
                import warnings
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ResourceWarning)
                    asyncio.run(main())
                    del loop
                    gc.collect()
                """,
                server.url,
                tmp_path,
            )
            assert printed.split() == ["202"]

    def test_two_live_loops(self, server: Hostile) -> None:
        """While its loop is open, a client works in no other loop. Neither pushing nor closing there affects it."""
        client = AsyncClient(server.url)
        with asyncio.Runner() as first:
            first.run(client.push("t", 1))
            with asyncio.Runner() as second:
                with pytest.raises(WrongLoop):
                    second.run(client.push("t", 2))
                with pytest.raises(WrongLoop):
                    second.run(client.close())
                with pytest.raises(WrongLoop):
                    second.run(client.push_many([("t", 3)]))
            first.run(client.push("t", 4))
            first.run(client.close())
        assert bodies(server) == [b"1", b"4"]

    def test_borrowed_session_in_another_loop(self, server: Hostile) -> None:
        """A client with a borrowed session works only in the loop of the session, even after that loop has ended."""

        async def first() -> AsyncClient:
            async with aiohttp.ClientSession() as session:
                client = AsyncClient(server.url, session=session)
                await client.push("t", 1)
                return client

        client = asyncio.run(first())
        with pytest.raises(WrongLoop):
            asyncio.run(client.push("t", 2))
        assert len(server.requests) == 1

    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    def test_fork(self, tls: bool, tmp_path: Path) -> None:
        """After a fork, parent and child both push, and the child leaves the parent's connection intact."""
        with hostile(tls=tls) as server:
            printed = run_script(
                """
                for leave in (sys.exit, os._exit):
                    for used in (True, False):
                        client = AsyncClient(url, ssl=trust)
                        runner = asyncio.Runner()
                        runner.run(client.push("t", "before"))
                        child = os.fork()
                        if not child:
                            if used:
                                asyncio.run(client.push("t", "child"))
                            leave(0)
                        _, status = os.waitpid(child, 0)
                        print(os.waitstatus_to_exitcode(status), flush=True)
                        runner.run(client.push("t", "parent"))
                        runner.run(client.close())
                        runner.close()
                """,
                server.url,
                tmp_path,
            )
            assert printed.split() == ["0"] * 4
            used, unused = [b'"before"', b'"child"', b'"parent"'], [b'"before"', b'"parent"']
            assert bodies(server) == [*used, *unused] * 2
            assert server.connections == 2 * (2 + 1)


class TestBorrowedSession:
    async def test_made_in_another_loop(self, server: Hostile) -> None:
        """The first push with a session that was made in another loop is refused."""
        session = aiohttp.ClientSession()
        client = AsyncClient(server.url, session=session)

        async def elsewhere() -> None:
            with pytest.raises(WrongLoop):
                await client.push("t", 1)

        await asyncio.to_thread(asyncio.run, elsewhere())
        assert not server.requests
        await session.close()

    async def test_left_as_it_was(self, server: Hostile) -> None:
        """A borrowed session is neither closed nor changed.

        Its headers are sent, unless the push or the client has the same.
        """
        async with aiohttp.ClientSession(
            headers={"X-Theirs": "1", "X-Both": "session", "Content-Type": "text/plain"}, cookies={"c": "1"}
        ) as session:
            before = dict(session.headers)
            async with AsyncClient(server.url, session=session, headers={"X-Both": "client"}) as client:
                await client.push("t", 1)
            assert not session.closed
            assert dict(session.headers) == before
        sent = server.requests[0]
        assert sent.header("X-Theirs") == "1"
        assert sent.header("X-Both") == "client"
        assert sent.header("Content-Type") == "application/x-www-form-urlencoded"
        assert sent.header("Cookie") == "c=1"
        assert sent.header("User-Agent") == f"webmqconnect_async/{__version__}"

    async def test_its_own_rules_do_not_apply(self, server: Hostile) -> None:
        """Neither `raise_for_status` nor a base URL or a timeout of the session changes the outcome of a push."""
        server.script(answer(reply(401, b"invalid request signature (expected x, got y)")), held())
        async with (
            aiohttp.ClientSession(
                f"http://127.0.0.1:{server.port}/elsewhere/",
                raise_for_status=True,
                timeout=aiohttp.ClientTimeout(total=0.05),
            ) as session,
            AsyncClient(server.url, session=session) as client,
        ):
            with pytest.raises(WebMQError) as caught:
                await client.push("t", 1)
            assert type(caught.value).__name__ == "AuthRejected"
            pushing = asyncio.create_task(client.push("t", 2))
            await requests(server, 2)
            await asyncio.sleep(0.1)  # the test is about the session's timeout
            server.release()
            assert (await pushing).status == 202
        assert all(each.line.startswith("POST /push?topicuri=t ") for each in server.requests)

    async def test_closed_by_its_owner(self, server: Hostile) -> None:
        session = aiohttp.ClientSession()
        client = AsyncClient(server.url, session=session)
        await session.close()
        with pytest.raises(ClientClosed, match="session"):
            await client.push("t", 1)

    @pytest.mark.parametrize(
        ("step", "error"),
        [(answer(reply(503, b"", "Retry-After: 1")), ConnectFailed), (stall, ConnectionLost)],
        ids=["between attempts", "in flight"],
    )
    async def test_closed_by_its_owner_meanwhile(
        self, step: Step, error: type[WebMQError], server: Hostile, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        server.script(step)
        session = aiohttp.ClientSession()
        pushing = asyncio.create_task(AsyncClient(server.url, session=session).push("t", 1))
        await requests(server, 1)
        if step is not stall:
            await until(lambda: bool(caplog.records))  # that the push will be retried
        await session.close()
        with pytest.raises(error):
            await pushing

    def test_wrong_type(self) -> None:
        with pytest.raises(TypeError, match="session"):
            AsyncClient("http://127.0.0.1/", session=aiohttp)  # type: ignore[arg-type]  # wrong on purpose


class TestOwnSession:
    async def test_session_is_isolated_from_the_environment(
        self, server: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client's session uses no proxy of the environment, no netrc, and no cookie of an earlier response."""
        server.script(answer(reply(202, b"", "Set-Cookie: c=1; Path=/")))
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password mine\n")
        monkeypatch.setenv("NETRC", str(netrc))
        with refusing() as dead:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, dead)
            for name in ("NO_PROXY", "no_proxy"):
                monkeypatch.delenv(name, raising=False)
            async with AsyncClient(server.url) as client:
                await client.push("t", 1)
                await client.push("t", 2)
        for sent in server.requests:
            assert sent.header("Cookie") is None
            assert sent.header("Authorization") is None
            assert sent.line.startswith("POST /push?")

    async def test_request_on_the_wire(self, server: Hostile) -> None:
        """The request contains only headers that have a purpose."""
        async with AsyncClient(server.url, headers={"X-Tenant": "blue"}) as client:
            await client.push("http://example.com/ä b&c", {"a": "x&y"}, ["s1"], ["s2", 3])
        sent = server.requests[0]
        assert sent.line == (
            "POST /push?topicuri=http%3A%2F%2Fexample.com%2F%C3%A4+b%26c&eligible=s1&exclude=s2%2C3 HTTP/1.1"
        )
        assert sent.body == b'{"a":"x\\u0026y"}'
        names = {line.split(":")[0] for line in sent.head.decode().split("\r\n")[1:]}
        assert names == {
            "Host",
            "Content-Type",
            "Accept-Encoding",
            "User-Agent",
            "X-Tenant",
            "Content-Length",
        }
        assert sent.header("X-Tenant") == "blue"
        assert sent.header("User-Agent") == f"webmqconnect_async/{__version__}"


class TestClose:
    async def test_never_used(self) -> None:
        client = AsyncClient("http://127.0.0.1:1/")
        await client.close()
        with pytest.raises(ClientClosed):
            await client.push("t", 1)

    async def test_idle_and_twice(self, server: Hostile) -> None:
        """`close` closes an idle connection and may be called again.

        A later push raises ClientClosed and is not sent.
        """
        client = AsyncClient(server.url)
        await client.push("t", 1)
        await client.close()
        await asyncio.to_thread(server.until, lambda: server.open_connections == 0)
        await client.close()
        with pytest.raises(ClientClosed) as caught:
            await client.push("t", 2)
        assert caught.value.attempts == 0
        assert len(server.requests) == 1
        assert client.stats.pushed == 1
        assert client.stats.failed == 0

    async def test_in_flight_within_grace(self, server: Hostile) -> None:
        """A push in flight gets its response, and `close` waits for it."""
        server.script(held())
        client = AsyncClient(server.url)
        pushing = asyncio.create_task(client.push("t", 1))
        await requests(server, 1)
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        assert not closing.done()
        server.release()
        await closing
        assert pushing.done()
        assert (await pushing).status == 202
        await no_other_task()

    async def test_in_flight_beyond_grace(self, server: Hostile) -> None:
        """A push without a response at the end of the grace period ends as at its deadline."""
        server.script(stall)
        client = AsyncClient(server.url, timeout=None)
        pushing = asyncio.create_task(client.push("t", 1))
        await requests(server, 1)
        await client.close(grace=0.05)
        with pytest.raises(ReplyTimeout, match="closed"):
            await pushing
        await no_other_task()

    async def test_connecting_beyond_grace(self) -> None:
        """A push without a connection at the end of the grace period was not sent."""
        with unreachable() as url:
            client = AsyncClient(url, timeout=None)
            pushing = asyncio.create_task(client.push("t", 1))
            await asyncio.sleep(0)
            await client.close(grace=0.05)
            with pytest.raises(ConnectFailed):
                await pushing

    async def test_deadline_before_grace(self, server: Hostile) -> None:
        """The grace period does not extend the deadline of a push."""
        server.script(stall)
        client = AsyncClient(server.url, timeout=0.1)
        pushing = asyncio.create_task(client.push("t", 1))
        await requests(server, 1)
        async with asyncio.timeout(PATIENCE):
            await client.close(grace=1000.0)
        with pytest.raises(ReplyTimeout):
            await pushing

    async def test_sleeping(self, server: Hostile) -> None:
        """A push that sleeps between two attempts ends with the grace period."""
        server.script(answer(reply(503, b"", "Retry-After: 4")))
        client = AsyncClient(server.url, timeout=None)
        pushing = asyncio.create_task(client.push("t", 1))
        await requests(server, 1)
        async with asyncio.timeout(2.0):
            await client.close(grace=0.05)
            with pytest.raises(WebMQError) as caught:
                await pushing
        assert type(caught.value).__name__ == "Overloaded"

    async def test_queued(self, server: Hostile) -> None:
        """A push that waits for a slot raises ClientClosed at once, regardless of its deadline."""
        server.script(held())
        client = AsyncClient(server.url, concurrency=1)
        first = asyncio.create_task(client.push("t", 1))
        await requests(server, 1)
        queued = [asyncio.create_task(client.push("t", 2, timeout=each)) for each in (None, 5.0)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(client.close())
        for push in queued:
            with pytest.raises(ClientClosed):
                await push
        assert not first.done()
        server.release()
        assert (await first).status == 202
        await closing
        assert len(server.requests) == 1

    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    async def test_by_several(self, tls: bool) -> None:
        """`close` may be called concurrently, with or without a push in flight."""
        with hostile(held(), tls=tls) as server:
            client = AsyncClient(server.url, ssl=trusting())
            pushing = asyncio.create_task(client.push("t", 1))
            await requests(server, 1)
            closing = [asyncio.create_task(client.close()) for _ in range(3)]
            await asyncio.sleep(0)
            server.release()
            await asyncio.gather(*closing)
            assert (await pushing).status == 202
            await asyncio.gather(*[client.close() for _ in range(3)])

    async def test_later_and_shorter(self, server: Hostile) -> None:
        """A second `close` with a shorter grace period also ends the wait of the first one."""
        server.script(stall)
        client = AsyncClient(server.url, timeout=None)
        pushing = asyncio.create_task(client.push("t", 1))
        await requests(server, 1)
        closing = asyncio.create_task(client.close(grace=1000.0))
        await asyncio.sleep(0)
        await client.close(grace=0)
        await closing
        with pytest.raises(ReplyTimeout):
            await pushing

    @pytest.mark.parametrize("busy", ["stalled", "sleeping", "connecting"])
    async def test_cancelled(self, busy: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
        """If `close` is cancelled, pushes in flight end as at the end of the grace period."""
        caplog.set_level(logging.INFO)
        server.script(stall if busy == "stalled" else answer(reply(503, b"", "Retry-After: 4")))
        with unreachable() as nowhere:
            client = AsyncClient(nowhere if busy == "connecting" else server.url, timeout=None)
            pushing = asyncio.create_task(client.push("t", 1))
            if busy == "stalled":
                await requests(server, 1)
            elif busy == "sleeping":
                await until(lambda: bool(caplog.records))
            closing = asyncio.create_task(client.close(grace=1000.0))
            await turns()
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            async with asyncio.timeout(2.0):
                with pytest.raises(WebMQError):
                    await pushing
            await client.close()
            await no_other_task()

    async def test_bulk(self, server: Hostile) -> None:
        """A bulk in flight stops reading its source; its error has the outcomes so far."""
        server.script(*[held()] * 2)
        client = AsyncClient(server.url, concurrency=2)
        read: list[int] = []

        def source() -> Iterator[tuple[str, object]]:
            for number in range(1000):
                read.append(number)
                yield "t", number

        pushing = asyncio.create_task(client.push_many(source()))
        await requests(server, 2)
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        server.release()
        with pytest.raises(SourceFailed) as caught:
            await pushing
        await closing
        outcomes = caught.value.outcomes
        assert isinstance(caught.value.__cause__, ClientClosed)
        assert [each.index for each in outcomes] == list(range(len(outcomes)))
        assert [each.ok for each in outcomes[:2]] == [True, True]
        assert all(isinstance(each.error, ClientClosed) for each in outcomes[2:])
        assert len(read) <= 4
        assert len(server.requests) == 2

    @pytest.mark.parametrize("grace", [-1.0, float("nan"), "5"])
    async def test_grace(self, grace: float) -> None:
        """An invalid `grace` is refused, and the client stays open."""
        with hostile() as server:
            async with AsyncClient(server.url) as client:
                with pytest.raises((TypeError, ValueError), match="grace"):
                    await client.close(grace)
                await client.push("t", 1)


class TestSlots:
    async def test_bound(self, server: Hostile) -> None:
        """Single pushes and bulks together are never more in flight than `concurrency`."""
        server.script(*[held()] * 3)
        async with AsyncClient(server.url, concurrency=3) as client:
            pushes = [asyncio.create_task(client.push("t", number)) for number in range(5)]
            bulk = asyncio.create_task(client.push_many(("t", number) for number in range(20)))
            await requests(server, 3)
            for _ in range(20):
                await asyncio.sleep(0)
            assert client.stats.in_flight == 3
            assert len(server.requests) == server.connections == 3
            server.release()
            await asyncio.gather(*pushes)
            assert all(each.ok for each in await bulk)
            assert server.connections == 3
            assert client.stats == type(client.stats)(pushed=25)

    async def test_queue_timeout(self, server: Hostile) -> None:
        """A push that gets no slot in time raises QueueTimeout, and nothing was sent. Without a timeout, it waits."""
        server.script(held())
        async with AsyncClient(server.url, concurrency=1, timeout=None) as client:
            first = asyncio.create_task(client.push("t", 1))
            await requests(server, 1)
            patient = asyncio.create_task(client.push("t", 3))
            with pytest.raises(QueueTimeout) as caught:
                await client.push("t", 2, timeout=0.05)
            assert caught.value.attempts == 0
            server.release()
            await first
            await patient
            assert client.stats.pushed == 2
            assert client.stats.failed == 1
        assert bodies(server) == [b"1", b"3"]

    async def test_bulk_waits(self) -> None:
        """With two bulks at a slow broker, waiting for a slot does not count for the timeout.

        A single push gets a slot, too.
        """

        async def slowly(peer: Peer) -> None:
            await peer.request()
            await asyncio.sleep(0.02)
            await peer.send(ACCEPTED)

        with hostile(*[slowly] * 61) as server:
            async with AsyncClient(server.url, concurrency=2, timeout=0.5) as client:
                bulks = [
                    asyncio.create_task(client.push_many([(name, number) for number in range(30)]))
                    for name in ("a", "b")
                ]
                await requests(server, 2)
                assert (await client.push("single", 1)).status == 202
                assert len(server.requests) < 20
                for outcomes in await asyncio.gather(*bulks):
                    assert all(each.ok for each in outcomes)
            assert {each.query["topicuri"] for each in server.requests[:6]} >= {"a", "b"}

    async def test_slot_is_released(self, server: Hostile) -> None:
        """The slot of a push is free again, however the push ends."""
        server.script(drop_after_body, answer(reply(400)), stall)
        async with AsyncClient(server.url, concurrency=1) as client:
            for _ in range(3):
                with pytest.raises(WebMQError):
                    await client.push("t", 1, timeout=0.2)
            with pytest.raises(InvalidPush):
                await client.push("t", float("nan"))
            await client.push("t", 2)


class TestTimeout:
    async def test_covers_retries(self, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
        """The timeout includes delays, and a retry that could not end in time is not started."""
        monkeypatch.setattr(
            random, "random", lambda: 0.5
        )  # delays of 0.1 s, so that none ends just before the deadline
        server.script(*[answer(reply(503, b"", "Retry-After: 0"))] * 100)
        retry = Retry(attempts=100, wait=0.2, max_wait=0.2)
        async with AsyncClient(server.url, timeout=0.3, retry=retry) as client:
            async with asyncio.timeout(1.0):
                with pytest.raises(WebMQError) as caught:
                    await client.push("t", 1)
            assert type(caught.value).__name__ == "Overloaded"
            assert caught.value.attempts == len(server.requests) < 20

    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", True])
    async def test_invalid_timeout(self, timeout: float, server: Hostile) -> None:
        """A timeout that is not a number of seconds above 0 is refused with its name, and nothing is sent."""
        async with AsyncClient(server.url) as client:
            with pytest.raises((TypeError, ValueError), match="timeout"):
                await client.push("t", 1, timeout=timeout)
            assert server.connections == 0

    async def test_none(self, server: Hostile) -> None:
        """`None` removes the client's limit for one push."""
        server.script(held())
        async with AsyncClient(server.url, timeout=0.05) as client:
            pushing = asyncio.create_task(client.push("t", 1, timeout=None))
            await requests(server, 1)
            await asyncio.sleep(0.1)  # twice the limit of the client
            assert not pushing.done()
            server.release()
            assert (await pushing).status == 202

    async def test_many_deadlines(self, server: Hostile) -> None:
        """Each of many pushes ends at its own deadline, not at the earlier one of another."""
        server.script(*[stall] * 30)
        clock = asyncio.get_running_loop().time

        async def push(client: AsyncClient, number: int) -> None:
            began, timeout = clock(), 0.1 + 0.02 * (number % 10)
            with pytest.raises((ReplyTimeout, ConnectFailed)):  # a busy machine may not even connect so soon
                await client.push("t", number, timeout=timeout)
            assert clock() - began >= timeout - 0.01

        async with AsyncClient(server.url) as client:
            await asyncio.gather(*[push(client, number) for number in range(30)])
            assert client.stats.failed == 30


class TestCancel:
    async def test_hundreds(self, server: Hostile) -> None:
        """After hundreds of cancelled pushes, the only slot still works."""
        async with AsyncClient(server.url, concurrency=1) as client:
            for number in range(300):
                pushing = asyncio.create_task(client.push("t", number))
                for _ in range(number % 12):
                    await asyncio.sleep(0)
                pushing.cancel()
                await asyncio.wait([pushing])
            await client.push("t", "last")
            assert client.stats.in_flight == 0
        assert server.requests[-1].body == b'"last"'

    async def test_a_thousand_queued(self, server: Hostile) -> None:
        """After a thousand cancelled pushes that waited for the slot, the slot still works."""
        server.script(held())
        async with AsyncClient(server.url, concurrency=1) as client:
            first = asyncio.create_task(client.push("t", 1))
            await requests(server, 1)
            pushes = [asyncio.create_task(client.push("t", number)) for number in range(1000)]
            await asyncio.sleep(0)
            for push in pushes:
                push.cancel()
            server.release()
            results = await asyncio.gather(*pushes, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in results)
            await first
            await client.push("t", "last")
            assert client.stats.failed == 1000
        assert len(server.requests) == 2

    @pytest.mark.parametrize("where", ["queue", "connect", "answer", "body", "pause"])
    async def test_anywhere(self, where: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
        """A cancelled push raises CancelledError at any point and leaves no task, and the client still works."""
        caplog.set_level(logging.INFO)
        sent = threading.Event()

        async def half_a_response(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply(202, b"a body that is not all")[:-5])
            sent.set()
            await peer.gone()

        with unreachable() as nowhere:
            step: Step = {"pause": answer(reply(503, b"", "Retry-After: 4")), "body": half_a_response}.get(where, stall)
            server.script(step)
            async with AsyncClient(nowhere if where == "connect" else server.url, concurrency=1) as client:
                pushing = asyncio.create_task(client.push("t", 1))
                if where == "pause":
                    await until(lambda: bool(caplog.records))
                elif where == "body":
                    await asyncio.to_thread(sent.wait, PATIENCE)
                elif where != "connect":
                    await requests(server, 1)
                await turns()
                if where == "queue":
                    holder, pushing = pushing, asyncio.create_task(client.push("t", 2))
                    await asyncio.sleep(0)
                    pushing.cancel()
                    await asyncio.wait([pushing])
                    holder.cancel()
                    await asyncio.wait([holder])
                else:
                    pushing.cancel()
                    await asyncio.wait([pushing])
                assert pushing.cancelled()
                assert client.stats.in_flight == 0
                await no_other_task()
                if where != "connect":
                    await client.push("t", 3)

    async def test_asyncio_timeout(self, server: Hostile) -> None:
        """`asyncio.timeout` ends a push like any other await."""
        server.script(stall)
        async with AsyncClient(server.url) as client:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05):
                    await client.push("t", 1)
            assert not isinstance(caught.value, WebMQError)
            await client.push("t", 2)

    async def test_anyio_scopes(self, server: Hostile) -> None:
        """A scope of anyio repeats its cancellation until the scope is left."""
        server.script(stall, stall)
        async with AsyncClient(server.url) as client:
            with anyio.move_on_after(0.05) as scope:
                await client.push("t", 1)
            assert scope.cancelled_caught
            with pytest.raises(TimeoutError):
                with anyio.fail_after(0.05):
                    await client.push("t", 1)
            await client.push("t", 2)

    async def test_deadline_inside_scopes(self, server: Hostile) -> None:
        """If the client's deadline passes inside a scope, its error is raised, and the scope is not cancelled."""
        server.script(stall, stall)
        async with AsyncClient(server.url, timeout=0.05) as client:
            with anyio.move_on_after(PATIENCE) as scope:
                with pytest.raises(ReplyTimeout):
                    await client.push("t", 1)
            assert not scope.cancelled_caught
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ReplyTimeout):
                    await client.push("t", 1)
                await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    async def test_both_at_once(self, server: Hostile) -> None:
        """A push that is cancelled at the moment of its deadline raises CancelledError."""
        server.script(stall)
        async with AsyncClient(server.url, timeout=0.05) as client:
            pushing = asyncio.create_task(client.push("t", 1))
            await requests(server, 1)
            time.sleep(0.1)  # noqa: ASYNC251  # now both are due in one iteration of the loop
            asyncio.get_running_loop().call_soon(pushing.cancel)
            await asyncio.wait([pushing])
            assert pushing.cancelled()

    async def test_nothing_unclosed(self, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
        """After success, error and cancellation, no task is left, and neither aiohttp nor asyncio warns."""
        server.script(answer(ACCEPTED), answer(reply(400)), stall, drop_after_body)
        async with AsyncClient(server.url) as client:
            await client.push("t", 1)
            for timeout in (5.0, 0.05, 5.0):
                with pytest.raises(WebMQError):
                    await client.push("t", 1, timeout=timeout)
            server.script(stall)
            pushing = asyncio.create_task(client.push("t", 1))
            await requests(server, 5)
            pushing.cancel()
            await asyncio.wait([pushing])
        await no_other_task()
        gc.collect()
        assert not [each for each in caplog.records if each.levelno >= logging.WARNING]

    def test_debug_mode(self, tmp_path: Path) -> None:
        """There are no warnings in development mode."""
        with hostile(answer(ACCEPTED), answer(reply(400)), stall, drop_after_body) as server:
            run_script(
                """
                logging.basicConfig(level=logging.WARNING)

                async def main():
                    async with AsyncClient(url) as client:
                        await client.push("t", 1)
                        for _ in range(3):
                            try:
                                await client.push("t", 1, timeout=0.3)
                            except WebMQError as error:
                                print(type(error).__name__)
                        await client.push_many([("t", n) for n in range(100)])
                        async for outcome in client.push_stream(("t", n) for n in range(100)):
                            break

                asyncio.run(main(), debug=True)
                """,
                server.url,
                tmp_path,
            )


class TestMany:
    async def test_order_and_failures(self) -> None:
        """Outcomes are in input order, each failure at its index. A malformed item does not end the bulk."""

        async def judge(peer: Peer) -> None:
            number = int((await peer.request()).body)
            await peer.send(reply(400, b"odd") if number % 2 else ACCEPTED)

        items: list[object] = [("t", number) for number in range(20)]
        items[4] = "neither"
        items[6] = ("t", float("nan"))
        items[8] = ("t", 8, "three")
        items[10] = Push("t", 10, eligible="bare")
        with hostile(*[judge] * 20) as server:
            async with AsyncClient(server.url, concurrency=4) as client:
                outcomes = await client.push_many(items)  # type: ignore[arg-type]  # wrong on purpose
        assert [each.index for each in outcomes] == list(range(20))
        invalid = {4, 6, 8, 10}
        assert {each.index for each in outcomes if isinstance(each.error, InvalidPush)} == invalid
        assert {each.index for each in outcomes if each.ok} == set(range(0, 20, 2)) - invalid
        assert outcomes[4].push is None
        assert outcomes[10].push == items[10]
        assert outcomes[1].push == Push("t", 1)
        assert outcomes[1].receipt is None
        assert outcomes[0].receipt == Receipt(202)

    async def test_tasks_do_not_grow_with_the_bulk(self, server: Hostile) -> None:
        """For any number of items, there are two tasks per slot, one of them aiohttp's, and little is read ahead."""
        most = 0
        ahead = 0

        def source() -> Iterator[tuple[str, object]]:
            nonlocal most, ahead
            for number in range(1_000):
                most = max(most, len(asyncio.all_tasks()))
                ahead = max(ahead, number - client.stats.pushed)
                yield "t", number

        async with AsyncClient(server.url, concurrency=10) as client:
            before = len(asyncio.all_tasks())
            outcomes = await client.push_many(source())
            assert len(outcomes) == client.stats.pushed == 1_000
        assert most <= before + 2 * 10
        assert ahead <= 10

    @pytest.mark.parametrize("concurrency", [None, 1, 3])
    async def test_async_source(self, concurrency: int | None, server: Hostile) -> None:
        """An asynchronous source is read by one worker at a time."""

        async def source() -> AsyncIterator[Push]:
            for number in range(50):
                await asyncio.sleep(0)
                yield Push("t", number)

        async with AsyncClient(server.url) as client:
            outcomes = await client.push_many(source(), concurrency=concurrency)
        assert [each.push.event for each in outcomes if each.push] == list(range(50))
        assert all(each.ok for each in outcomes)
        if concurrency is not None:
            assert server.connections <= concurrency

    async def test_empty(self) -> None:
        async with AsyncClient("http://127.0.0.1:1/") as client:
            assert await client.push_many([]) == []
            assert [each async for each in client.push_stream([])] == []

    @pytest.mark.parametrize("concurrency", [0, -1, True, 1.5])
    async def test_wrong_concurrency(self, concurrency: int, server: Hostile) -> None:
        """The argument is refused before the source is read."""
        read = iter([("t", 1)])
        async with AsyncClient(server.url) as client:
            with pytest.raises((TypeError, ValueError), match="concurrency"):
                await client.push_many(read, concurrency=concurrency)
            with pytest.raises((TypeError, ValueError), match="concurrency"):
                client.push_stream(read, concurrency=concurrency)
        assert list(read) == [("t", 1)]

    @pytest.mark.parametrize("pushes", ["text", b"bytes", 5, None])
    async def test_no_source(self, pushes: object) -> None:
        async with AsyncClient("http://127.0.0.1:1/") as client:
            with pytest.raises(TypeError, match="pushes"):
                await client.push_many(pushes)  # type: ignore[arg-type]  # wrong on purpose

    async def test_session_closed_by_its_owner(self) -> None:
        """Pushes that wait for a connection have an outcome, although aiohttp cancels their wait."""
        with hostile(*[stall] * 4) as server:
            session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
            client = AsyncClient(server.url, concurrency=4, session=session, timeout=2)
            pushing = asyncio.create_task(client.push_many([("t", number) for number in range(4)]))
            await requests(server, 1)
            await session.close()
            outcomes = await pushing
            assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3]
            assert not any(outcome.ok for outcome in outcomes)

    async def test_wrong_loop_reads_no_source(self, server: Hostile) -> None:
        """In a wrong loop nothing can be sent, so the source is not read."""
        read: list[int] = []

        def source() -> Iterator[tuple[str, object]]:
            for number in range(1000):
                read.append(number)
                yield ("t", number)

        client = AsyncClient(server.url, concurrency=2)
        await client.push("t", 1)

        async def elsewhere() -> None:
            with pytest.raises(WrongLoop):
                await client.push_many(source())

        await asyncio.to_thread(asyncio.run, elsewhere())
        assert not read
        await client.close()

    async def test_stream_whose_tasks_are_cancelled(self, server: Hostile) -> None:
        """If all tasks are cancelled, no consumer waits forever."""
        server.script(*[stall] * 2)
        async with AsyncClient(server.url, concurrency=2) as client:
            before = asyncio.all_tasks()
            stream = client.push_stream([("t", 1), ("t", 2)])
            reading = asyncio.ensure_future(anext(stream))
            await requests(server, 2)
            for task in asyncio.all_tasks() - before - {reading}:
                task.cancel()
            await asyncio.wait([reading], timeout=5)
            assert reading.done()
            assert reading.cancelled()

    async def test_malformed_items_do_not_block_the_loop(self, server: Hostile) -> None:
        """Many malformed items in a row, which end without I/O, do not block other tasks."""
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with AsyncClient(server.url, concurrency=2) as client:
            counting = asyncio.create_task(count())
            outcomes = await client.push_many([Push("t", float("nan"))] * 1000)
            counting.cancel()
        assert not any(outcome.ok for outcome in outcomes)
        assert turns > 100

    @pytest.mark.parametrize("error", [KeyError, TimeoutError, asyncio.CancelledError])
    @pytest.mark.parametrize("colour", ["sync", "async"])
    async def test_source_raises(self, colour: str, error: type[BaseException], server: Hostile) -> None:
        """Any error of a source is reported, with the outcomes of all items read before."""

        def source() -> Iterator[tuple[str, object]]:
            yield from (("t", number) for number in range(5))
            raise error

        async def async_source() -> AsyncIterator[tuple[str, object]]:
            for item in source():
                yield item

        def pushes() -> Iterator[tuple[str, object]] | AsyncIterator[tuple[str, object]]:
            return source() if colour == "sync" else async_source()

        async with AsyncClient(server.url, concurrency=3) as client:
            with pytest.raises(SourceFailed) as caught:
                await client.push_many(pushes())
            assert error.__name__ in repr(caught.value.__cause__) or "cancelled" in repr(caught.value.__cause__)
            assert [each.index for each in caught.value.outcomes] == list(range(5))
            assert all(each.ok for each in caught.value.outcomes)
            got: list[Outcome] = []

            async def take() -> None:
                async for outcome in client.push_stream(pushes()):
                    got.append(outcome)  # noqa: PERF401  # it raises an error

            with pytest.raises((error, RuntimeError)):
                await take()
            assert len(got) == 5
        await no_other_task()

    async def test_cancelled(self, server: Hostile) -> None:
        """A cancelled bulk stops its pushes and its source, and the client still works."""
        server.script(*[stall] * 3)
        async with AsyncClient(server.url, concurrency=3) as client:
            bulk = asyncio.create_task(client.push_many(("t", number) for number in range(100)))
            await requests(server, 3)
            bulk.cancel()
            await asyncio.wait([bulk])
            assert bulk.cancelled()
            await no_other_task()
            await client.push("t", "next")
            assert client.stats.in_flight == 0
        assert len(server.requests) == 4


class TestStream:
    async def test_outcomes_arrive_as_pushes_end(self, server: Hostile) -> None:
        """Outcomes arrive as pushes end: a fast one does not wait for a slow one before it."""
        server.script(held())
        async with AsyncClient(server.url, concurrency=2) as client:

            async def source() -> AsyncIterator[tuple[str, object]]:
                yield "t", 0
                await requests(server, 1)
                yield "t", 1
                yield "t", 2

            got = []
            async for outcome in client.push_stream(source()):
                got.append(outcome.index)
                if len(got) == 2:
                    server.release()
        assert got == [1, 2, 0]

    @pytest.mark.parametrize("scoped", [True, False], ids=["async with", "break only"])
    async def test_left_early(self, scoped: bool, server: Hostile) -> None:
        """A consumer that leaves the loop stops the source and the pushes in flight."""
        server.script(answer(ACCEPTED), *[stall] * 2)
        read: list[int] = []

        def source() -> Iterator[tuple[str, object]]:
            for number in range(1000):
                read.append(number)
                yield "t", number

        async with AsyncClient(server.url, concurrency=3, timeout=None) as client:
            if scoped:
                async with client.push_stream(source()) as outcomes:
                    async for _ in outcomes:
                        break
                assert client.stats.in_flight == 0
            else:
                async for _ in client.push_stream(source()):
                    break
            await no_other_task()
            assert client.stats.in_flight == 0
        assert len(read) < 10

    async def test_never_begun(self, server: Hostile) -> None:
        """A stream that nobody iterates over pushes nothing and leaves no task."""
        async with AsyncClient(server.url) as client:
            stream = client.push_stream([("t", 1)])
            async with client.push_stream([("t", 1)]):
                pass
            del stream
        assert server.requests == []

    async def test_raised_out_of(self, server: Hostile) -> None:
        async def fail() -> None:
            async with client.push_stream(("t", number) for number in range(1000)) as outcomes:
                async for _ in outcomes:
                    raise ZeroDivisionError

        async with AsyncClient(server.url, concurrency=3) as client:
            with pytest.raises(ZeroDivisionError):
                await fail()
            await no_other_task()
            assert len(server.requests) < 20

    async def test_slow_consumer(self, server: Hostile) -> None:
        """While the consumer takes no outcome, the source is not read, and no slot is held."""
        read: list[int] = []

        def source() -> Iterator[tuple[str, object]]:
            for number in range(1000):
                read.append(number)
                yield "t", number

        async with AsyncClient(server.url, concurrency=4) as client, client.push_stream(source()) as outcomes:
            await anext(outcomes)
            for number in range(20):  # with each of these, the stream could have continued
                await client.push("single", number)
            # One outcome was taken, four wait to be taken, and each of four workers has one more.
            assert len(read) <= 1 + 4 + 4
            assert client.stats.in_flight == 0

    async def test_order_by_topic(self) -> None:
        """Pushes to one topic arrive in order, even with a retry; another topic does not wait."""
        with hostile() as server:
            server.script(answer(reply(503, b"", "Retry-After: 0")))
            items = [(topic, number) for number in range(30) for topic in ("a", "b", "c")]
            async with AsyncClient(server.url, concurrency=8, retry=Retry(wait=0.02)) as client:
                outcomes = [each async for each in client.push_stream(items, order_by_topic=True)]
                assert client.stats.retried == 1
            assert sorted(each.index for each in outcomes) == list(range(90))
            for topic in ("a", "b", "c"):
                sent = [int(each.body) for each in server.requests if each.query["topicuri"] == topic]
                assert list(dict.fromkeys(sent)) == list(range(30))
                assert len(sent) in (30, 31)
