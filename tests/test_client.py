"""Client on real sockets: threads and forks, closing, slots, deadlines, the calls of 2012, many pushes."""

from __future__ import annotations

import asyncio
import gc
import random
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import webmqconnect_async as webmqconnect
from webmqconnect_async import (
    BadReply,
    Client,
    ClientClosed,
    ConnectFailed,
    InvalidPush,
    Outcome,
    Overloaded,
    Push,
    QueueTimeout,
    Receipt,
    ReplyTimeout,
    Retry,
    SourceFailed,
    Stats,
    WebMQError,
    __version__,
)

from .hostile import (
    ACCEPTED,
    PATIENCE,
    Hostile,
    Peer,
    answer,
    bodies,
    drop_after_body,
    held,
    hostile,
    reply,
    reset_at_once,
    resolve,
    stall,
    trusting,
    unreachable,
)
from .scripts import run_script


class Custom(BaseException):
    """An exception that is not an Exception, and that Python itself does not raise."""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def arrived(server: Hostile, number: int) -> None:
    """Wait until `number` requests have arrived."""
    server.until(lambda: len(server.requests) >= number)


def failure(push: Future[Receipt]) -> WebMQError:
    """Return the error with which a push in another thread ended."""
    error = push.exception(PATIENCE)
    assert isinstance(error, WebMQError), error
    return error


class TestThreads:
    def test_shared(self, threads: ThreadPoolExecutor) -> None:
        """Sixteen threads share a client: each push gets its own response, and none is lost or sent twice."""

        async def judge(peer: Peer) -> None:
            body = (await peer.request()).body
            await peer.send(reply(400, b"about " + body))

        def push(number: int) -> None:
            for each in range(number * 50, number * 50 + 50):
                with pytest.raises(WebMQError) as caught:
                    client.push("t", each)
                assert str(caught.value).endswith(f": about {each}")

        with hostile(*[judge] * 800) as server, Client(server.url) as client:
            list(threads.map(push, range(16)))
            assert client.stats == Stats(failed=800)
            assert sorted(int(each) for each in bodies(server)) == list(range(800))
            assert server.connections <= 16

    def test_bound(self, server: Hostile, threads: ThreadPoolExecutor) -> None:
        """All threads together have at most `concurrency` pushes in flight."""
        server.script(*[held()] * 3)
        with Client(server.url, concurrency=3) as client:
            pushes = [threads.submit(client.push, "t", number) for number in range(16)]
            arrived(server, 3)
            assert client.stats.in_flight == 3
            assert len(server.requests) == 3
            server.release()
            for push in pushes:
                assert push.result(PATIENCE).status == 202
            assert server.connections == 3
            assert client.stats == Stats(pushed=16)

    def test_queue_timeout(self, server: Hostile, threads: ThreadPoolExecutor) -> None:
        """A push that gets no slot in time raises QueueTimeout, and nothing was sent."""
        server.script(held())
        with Client(server.url, concurrency=1, timeout=None) as client:
            first = threads.submit(client.push, "t", 1)
            arrived(server, 1)
            with pytest.raises(QueueTimeout) as caught:
                client.push("t", 2, timeout=0.05)
            assert caught.value.attempts == 0
            server.release()
            first.result(PATIENCE)
            assert client.stats == Stats(pushed=1, failed=1)
        assert bodies(server) == [b"1"]

    def test_first_come_first_served(self, server: Hostile) -> None:
        """A thread that pushes continuously does not keep the slot from one that waits for it."""
        stopped = threading.Event()

        def hammer() -> None:
            while not stopped.is_set():
                client.push("hammer", 1)

        with Client(server.url, concurrency=1) as client:
            hammering = threading.Thread(target=hammer)
            hammering.start()
            arrived(server, 10)
            for _ in range(20):
                before = len(server.requests)
                client.push("single", 1)
                assert len(server.requests) - before <= 3
            stopped.set()
            hammering.join(PATIENCE)

    def test_slot_is_released(self, server: Hostile) -> None:
        """The slot of a push is free again, however the push ends."""
        server.script(drop_after_body, answer(reply(400)), stall)
        with Client(server.url, concurrency=1) as client:
            for _ in range(3):
                with pytest.raises(WebMQError):
                    client.push("t", 1, timeout=0.2)
            with pytest.raises(InvalidPush):
                client.push("t", float("nan"))
            client.push("t", 2)


class TestClose:
    def test_never_used_and_twice(self) -> None:
        client = Client("http://127.0.0.1:1/")
        client.close()
        client.close()
        with pytest.raises(ClientClosed) as caught:
            client.push("t", 1)
        assert caught.value.attempts == 0
        assert client.stats == Stats()

    def test_idle(self, server: Hostile) -> None:
        """`close` closes the idle connection, and a push after it is never sent."""
        client = Client(server.url)
        client.push("t", 1)
        client.close()
        server.until(lambda: server.open_connections == 0)
        with pytest.raises(ClientClosed):
            client.push("t", 2)
        assert len(server.requests) == 1

    def test_within_grace(self, server: Hostile, threads: ThreadPoolExecutor) -> None:
        """A push in flight in another thread gets its response, and `close` waits for it."""
        server.script(held())
        client = Client(server.url, timeout=None)
        pushing = threads.submit(client.push, "t", 1)
        arrived(server, 1)
        closing = threads.submit(client.close, None)
        assert_waiting(closing)
        server.release()
        closing.result(PATIENCE)
        assert pushing.result(PATIENCE).status == 202
        server.until(lambda: server.open_connections == 0)

    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    def test_beyond_grace(self, tls: bool, threads: ThreadPoolExecutor) -> None:
        """A push without a response at the end of the grace period ends as at its deadline."""
        with hostile(stall, tls=tls) as server:
            client = Client(server.url, timeout=None, ssl=trusting())
            pushing = threads.submit(client.push, "t", 1)
            arrived(server, 1)
            client.close(grace=0.05)
            error = failure(pushing)
            assert type(error) is ReplyTimeout
            assert "closed" in str(error)
            server.until(lambda: server.open_connections == 0)

    def test_connecting_beyond_grace(self, threads: ThreadPoolExecutor) -> None:
        """A push that gets its connection after the grace period sends nothing."""

        async def wait(peer: Peer) -> None:
            await peer.server.released.wait()

        with hostile(tls=True, before=wait) as server:
            client = Client(server.url, timeout=None, ssl=trusting())
            pushing = threads.submit(client.push, "t", 1)
            server.until(lambda: server.connections == 1)
            client.close(grace=0)
            server.release()
            assert type(failure(pushing)) is ConnectFailed
            server.until(lambda: server.open_connections == 0)
            assert server.requests == []

    def test_sleeping(self, server: Hostile, threads: ThreadPoolExecutor) -> None:
        """A push that sleeps between two attempts ends with the grace period."""
        server.script(answer(reply(503, b"", "Retry-After: 4")))
        client = Client(server.url, timeout=None)
        pushing = threads.submit(client.push, "t", 1)
        arrived(server, 1)
        client.close(grace=0.05)
        assert type(failure(pushing)) is Overloaded

    def test_queued(self, server: Hostile, threads: ThreadPoolExecutor) -> None:
        """A push that waits for a slot raises ClientClosed at once."""
        server.script(held())
        client = Client(server.url, concurrency=1)
        first = threads.submit(client.push, "t", 1)
        arrived(server, 1)
        queued = [threads.submit(client.push, "t", 2, timeout=each) for each in (None, PATIENCE)]
        closing = threads.submit(client.close)
        for push in queued:
            assert type(failure(push)) is ClientClosed
        assert not first.done()
        server.release()
        assert first.result(PATIENCE).status == 202
        closing.result(PATIENCE)
        assert len(server.requests) == 1

    def test_bulk(self, server: Hostile, threads: ThreadPoolExecutor) -> None:
        """A bulk in flight stops reading its source; its error has the outcomes so far."""
        server.script(*[held()] * 2)
        client = Client(server.url, concurrency=2)
        read: list[int] = []

        def source() -> Iterator[tuple[str, object]]:
            for number in range(1000):
                read.append(number)
                yield "t", number

        pushing = threads.submit(client.push_many, source())
        arrived(server, 2)
        closing = threads.submit(client.close)
        assert_waiting(closing)
        server.release()
        error = pushing.exception(PATIENCE)
        closing.result(PATIENCE)
        assert isinstance(error, SourceFailed)
        assert isinstance(error.__cause__, ClientClosed)
        assert [each.ok for each in error.outcomes[:2]] == [True, True]
        assert all(isinstance(each.error, ClientClosed) for each in error.outcomes[2:])
        assert len(read) <= 4
        assert len(server.requests) == 2

    @pytest.mark.parametrize("grace", [-1.0, float("nan"), "5"])
    def test_grace(self, grace: float, server: Hostile) -> None:
        """An invalid `grace` is refused, and the client stays open."""
        with Client(server.url) as client:
            with pytest.raises((TypeError, ValueError), match="grace"):
                client.close(grace)
            client.push("t", 1)


def assert_waiting(closing: Future[None]) -> None:
    """Wait until a `close` has begun to wait: from then on no push gets a slot."""
    assert not closing.done()
    time.sleep(0.05)
    assert not closing.done()


class TestProcesses:
    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    def test_fork(self, tls: bool, tmp_path: Path) -> None:
        """After a fork, parent and child both push, and the child leaves the parent's connection intact."""
        with hostile(tls=tls) as server:
            printed = run_script(
                """
                for leave in (sys.exit, os._exit):
                    for used in (True, False):
                        client = Client(url, ssl=trust)
                        client.push("t", "before")
                        child = os.fork()
                        if not child:
                            if used:
                                client.push("t", "child")
                            leave(0)
                        _, status = os.waitpid(child, 0)
                        print(os.waitstatus_to_exitcode(status), flush=True)
                        client.push("t", "parent")
                        client.close()
                """,
                server.url,
                tmp_path,
            )
            assert printed.split() == ["0"] * 4
            used, unused = [b'"before"', b'"child"', b'"parent"'], [b'"before"', b'"parent"']
            assert bodies(server) == [*used, *unused] * 2
            assert server.connections == 2 * (2 + 1)

    def test_fork_while_pushing(self, tmp_path: Path) -> None:
        """A fork while other threads push and wait for a slot leaves the child a client that works."""
        with hostile(held()) as server:
            server.release_at(2)
            printed = run_script(
                """
                client = Client(url, concurrency=1, timeout=20)
                pushing = [threading.Thread(target=client.push, args=("t", "thread")) for _ in range(2)]
                for each in pushing:
                    each.start()
                while not client.stats.in_flight:
                    time.sleep(0.001)
                child = os.fork()
                if not child:
                    print(client.stats.in_flight, flush=True)
                    client.push("t", "child")
                    os._exit(0)
                _, status = os.waitpid(child, 0)
                print(os.waitstatus_to_exitcode(status), flush=True)
                for each in pushing:
                    each.join()
                """,
                server.url,
                tmp_path,
            )
            assert printed.split() == ["0", "0"]
            assert sorted(bodies(server)) == [b'"child"', b'"thread"', b'"thread"']

    def test_never_closed(self, server: Hostile, tmp_path: Path) -> None:
        """A client that is never closed causes no warning, whether it is garbage-collected or exists until the exit."""
        run_script(
            """
            Client(url).push("t", 1)
            gc.collect()
            client = Client(url)
            client.push("t", 2)
            """,
            server.url,
            tmp_path,
        )
        assert len(server.requests) == 2

    def test_never_closed_tls(self, tmp_path: Path) -> None:
        with hostile(tls=True) as server:
            run_script("client = Client(url, ssl=trust); client.push('t', 2)", server.url, tmp_path)
            assert len(server.requests) == 1


class TestCallsOf2012:
    """The calls in the README of webmqconnect of 2012, with values for the placeholders."""

    @pytest.fixture(autouse=True)
    def noon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: 1_330_000_000.5)

    def test_unsigned_string(self, server: Hostile) -> None:
        client = webmqconnect.Client(server.url)
        client.push("http://example.com/simple", "Hello, world!")
        client.push(topic="http://example.com/simple", event="Hello, world!")
        for sent in server.requests:
            assert sent.line == "POST /push?topicuri=http%3A%2F%2Fexample.com%2Fsimple HTTP/1.1"
            assert sent.body == b'"Hello, world!"'
            assert sent.head.decode().split("\r\n")[1:] == [
                f"Host: 127.0.0.1:{server.port}",
                "Content-Type: application/x-www-form-urlencoded",
                "Accept-Encoding: identity",
                f"User-Agent: webmqconnect_async/{__version__}",
                "Content-Length: 15",
            ]

    def test_nested_object(self, server: Hostile) -> None:
        client = webmqconnect.Client(pushEndpoint=server.url)
        client.push("http://example.com/simple", {"foo": 23, "bar": [1, 2, {"moo": "hey & ho"}]})
        assert bodies(server) == [b'{"foo":23,"bar":[1,2,{"moo":"hey \\u0026 ho"}]}']

    @pytest.mark.parametrize(
        "make",
        [
            lambda url: webmqconnect.Client(url, "foobar", "secret"),
            lambda url: webmqconnect.Client(url, authKey="foobar", authSecret="secret"),
            lambda url: webmqconnect.Client(pushEndpoint=url, authKey="foobar", authSecret="secret", timeout=5),
            lambda url: webmqconnect.Client(url, "foobar", "secret", 5),
        ],
    )
    def test_signed(self, make: Callable[[str], Client], server: Hostile) -> None:
        make(server.url).push("http://example.com/simple", "Hello, world!")
        assert server.requests[0].line == (
            "POST /push?topicuri=http%3A%2F%2Fexample.com%2Fsimple&appkey=foobar&timestamp=2012-02-23T12%3A26%3A40Z"
            "&signature=3GoS7rA7YUMAvGN6sCfugP1PDpb30OEtBTa9r623Jj0%3D HTTP/1.1"
        )

    def test_exclude_and_eligible(self, server: Hostile) -> None:
        """`eligible`, which never worked in 2012, works; an empty list means nobody."""
        client = webmqconnect.Client(server.url)
        client.push("t", 1, exclude=["J5DkZJgByutvaDWc"])
        client.push("t", 1, eligible=["J5DkZJgByutvaDWc", "dYqgDl0FthI6_hjb"])
        client.push("t", 1, ["a"], ["b"])
        client.push("t", 1, eligible=[])
        assert [each.line.split(" ")[1] for each in server.requests] == [
            "/push?topicuri=t&exclude=J5DkZJgByutvaDWc",
            "/push?topicuri=t&eligible=J5DkZJgByutvaDWc%2CdYqgDl0FthI6_hjb",
            "/push?topicuri=t&eligible=a&exclude=b",
            "/push?topicuri=t&eligible=",
        ]

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"pushEndpoint": "http://127.0.0.1/", "endpoint": "http://127.0.0.1/"}, "endpoint"),
            ({"endpoint": "http://127.0.0.1/", "auth_key": "k", "authKey": "k", "authSecret": "s"}, "auth_key"),
            ({"endpoint": "http://127.0.0.1/", "auth_key": "k", "auth_secret": "s", "authSecret": "s"}, "auth_secret"),
            ({}, "endpoint"),
        ],
    )
    def test_both_spellings_or_none(self, arguments: dict[str, Any], named: str) -> None:
        with pytest.raises(TypeError, match=rf"^{named}\b"):
            Client(**arguments)


class TestDeadline:
    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", True])
    def test_invalid_timeout(self, timeout: float, server: Hostile) -> None:
        with Client(server.url) as client:
            with pytest.raises((TypeError, ValueError), match="timeout"):
                client.push("t", 1, timeout=timeout)
            assert server.connections == 0

    @pytest.mark.parametrize("timeout", [None, 2e6])
    def test_long(self, timeout: float | None, server: Hostile) -> None:
        """The longest possible timeout is accepted by sockets, locks and sleeps."""
        server.script(answer(reply(503, b"", "Retry-After: 0")))
        with Client(server.url, timeout=0.001) as client:
            assert client.push("t", 1, timeout=timeout).attempts == 2

    def test_covers_retries(self, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
        """The timeout includes delays, and a retry that could not end in time is not started."""
        monkeypatch.setattr(random, "random", lambda: 0.5)  # no delay ends just before the deadline
        server.script(*[answer(reply(503, b"", "Retry-After: 0"))] * 100)
        with Client(server.url, timeout=0.3, retry=Retry(attempts=100, wait=0.2, max_wait=0.2)) as client:
            with pytest.raises(Overloaded) as caught:
                client.push("t", 1)
            assert caught.value.attempts == len(server.requests) < 100

    def test_shared_among_addresses(self, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
        """An address that does not respond leaves time for the next one."""
        with unreachable() as dead:
            resolve(monkeypatch, dead, server.url)
            with Client("http://broker.example:8080/push", timeout=1.0) as client:
                assert client.push("t", 1).attempts == 1
            assert server.requests[0].header("Host") == "broker.example:8080"

    def test_no_address_responds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with unreachable() as dead:
            resolve(monkeypatch, dead, dead, dead)
            with Client("http://broker.example/", timeout=0.2) as client, pytest.raises(ConnectFailed) as caught:
                client.push("t", 1)
            assert caught.value.attempts == 1
            assert "deadline" in str(caught.value)

    def test_ipv6(self) -> None:
        """An IPv6 literal is accepted in an endpoint, and is in brackets in messages."""
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
        heard: list[bytes] = []

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(ACCEPTED)

        with listening:
            serving = threading.Thread(target=serve)
            serving.start()
            port = listening.getsockname()[1]
            with Client(f"http://[::1]:{port}/") as client:
                client.push("t", 1)
            serving.join(PATIENCE)
        assert f"\r\nHost: [::1]:{port}\r\n".encode() in heard[0]


class TestMany:
    @pytest.mark.parametrize("concurrency", [None, 1, 3])
    def test_order_and_failures(self, concurrency: int | None) -> None:
        """Outcomes are in input order, each failure at its index. A malformed item does not end the bulk."""

        async def judge(peer: Peer) -> None:
            number = int((await peer.request()).body)
            await peer.send(reply(400, b"odd") if number % 2 else ACCEPTED)

        items: list[Any] = [("t", number) for number in range(20)]
        items[4] = "neither"
        items[6] = ("t", float("nan"))
        items[8] = ("t", 8, "three")
        with hostile(*[judge] * 20) as server, Client(server.url) as client:
            outcomes = client.push_many(items, concurrency=concurrency)
            assert server.connections <= (concurrency or 17)
        assert [each.index for each in outcomes] == list(range(20))
        assert {each.index for each in outcomes if isinstance(each.error, InvalidPush)} == {4, 6, 8}
        assert {each.index for each in outcomes if each.ok} == set(range(0, 20, 2)) - {4, 6, 8}
        assert outcomes[4].push is None
        assert outcomes[1].push == Push("t", 1)
        assert outcomes[0].receipt == Receipt(202)

    def test_sqlite_cursor(self, server: Hostile) -> None:
        """A cursor, which only its own thread may read, can be a source; a row is a topic and an event."""
        with Client(server.url) as client, sqlite3.connect(":memory:") as database:
            database.execute("create table pushes (topic text, event text)")
            database.executemany("insert into pushes values (?, ?)", [("t", str(number)) for number in range(200)])
            outcomes = client.push_many(database.execute("select topic, event from pushes"), concurrency=8)
            assert all(each.ok for each in outcomes)
        database.close()
        assert sorted(bodies(server)) == sorted(b'"%d"' % number for number in range(200))

    def test_no_thread(self, server: Hostile) -> None:
        """A concurrency of 1 starts no thread, and others start at most as many; all of them end."""
        with Client(server.url) as client:
            before = threading.active_count()
            for concurrency, most in ((1, 0), (4, 4)):
                seen: list[int] = []

                def source(seen: list[int] = seen) -> Iterator[tuple[str, object]]:
                    for number in range(100):
                        seen.append(threading.active_count() - before)
                        yield "t", number

                assert len(client.push_many(source(), concurrency=concurrency)) == 100
                assert max(seen) <= most
                assert threading.active_count() == before

    @pytest.mark.parametrize("error", [KeyError("k"), Custom(), GeneratorExit(), asyncio.CancelledError()], ids=repr)
    @pytest.mark.parametrize("concurrency", [1, 3])
    def test_source_raises(self, concurrency: int, error: BaseException, server: Hostile) -> None:
        """An error of the source is the cause of the failure, which has the outcomes of all items read before."""

        def source() -> Iterator[tuple[str, object]]:
            yield from (("t", number) for number in range(5))
            raise error

        with Client(server.url) as client:
            with pytest.raises(SourceFailed) as caught:
                client.push_many(source(), concurrency=concurrency)
            assert caught.value.__cause__ is error
            assert [each.index for each in caught.value.outcomes] == list(range(5))
            got: list[Outcome] = []
            with pytest.raises(type(error)) as last:
                got.extend(client.push_stream(source(), concurrency=concurrency))
            assert last.value is error
            assert len(got) == 5

    @pytest.mark.parametrize("concurrency", [1, 3])
    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()], ids=repr)
    @pytest.mark.parametrize("method", ["push_many", "push_stream"])
    def test_source_is_interrupted(self, method: str, error: BaseException, concurrency: int, server: Hostile) -> None:
        """An exception that ends the caller's thread is not a failure of the source."""

        def source() -> Iterator[tuple[str, object]]:
            yield from (("t", number) for number in range(5))
            raise error

        with Client(server.url) as client:
            with pytest.raises(type(error)) as caught:
                list(getattr(client, method)(source(), concurrency=concurrency))
            assert caught.value is error
            assert client.stats == Stats(pushed=5)

    @pytest.mark.parametrize("concurrency", [1, 3])
    @pytest.mark.parametrize("method", ["push_many", "push_stream"])
    def test_encoder_raises(self, method: str, concurrency: int, server: Hostile) -> None:
        """An error that is not an encoding error is raised after the pushes that were in flight."""
        error = Custom()

        def dumps(event: object) -> str:
            if event == 5:
                raise error
            if event == 3:
                raise LookupError(event)
            return str(event)

        before = threading.active_count()
        with Client(server.url, dumps=dumps) as client:
            with pytest.raises(Custom) as caught:
                list(getattr(client, method)((("t", number) for number in range(100)), concurrency=concurrency))
            assert caught.value is error
            assert threading.active_count() == before
            assert client.stats == Stats(pushed=len(server.requests))
            assert 4 <= len(server.requests) < 99

    @pytest.mark.parametrize("concurrency", [0, -1, True, 1.5])
    def test_wrong_concurrency(self, concurrency: int) -> None:
        """The argument is refused before the source is read."""
        read = iter([("t", 1)])
        with Client("http://127.0.0.1:1/") as client:
            for method in (client.push_many, client.push_stream):
                with pytest.raises((TypeError, ValueError), match="concurrency"):
                    method(read, concurrency=concurrency)
        assert list(read) == [("t", 1)]

    @pytest.mark.parametrize("pushes", ["text", b"bytes", 5, None])
    def test_no_source(self, pushes: Any) -> None:
        with Client("http://127.0.0.1:1/") as client, pytest.raises(TypeError, match="pushes"):
            client.push_many(pushes)

    def test_two_bulks(self, threads: ThreadPoolExecutor) -> None:
        """With two bulks at a slow broker, waiting for a slot does not count for the timeout.

        A single push gets a slot, too.
        """

        async def slowly(peer: Peer) -> None:
            await peer.request()
            await asyncio.sleep(0.02)
            await peer.send(ACCEPTED)

        with hostile(*[slowly] * 41) as server, Client(server.url, concurrency=2, timeout=0.3) as client:
            bulks = [threads.submit(client.push_many, [(name, number) for number in range(20)]) for name in "ab"]
            arrived(server, 2)
            assert client.push("single", 1, timeout=PATIENCE).status == 202
            for bulk in bulks:
                assert all(each.ok for each in bulk.result(PATIENCE))

    def test_keyboard_interrupt(self, server: Hostile) -> None:
        """Ctrl-C is raised and stops the threads, and the client still works."""
        before = threading.active_count()

        def source() -> Iterator[tuple[str, object]]:
            yield from (("t", number) for number in range(5))
            raise KeyboardInterrupt

        with Client(server.url) as client:
            for concurrency in (1, 3):
                with pytest.raises(KeyboardInterrupt):
                    client.push_many(source(), concurrency=concurrency)
                assert threading.active_count() == before
                assert client.stats.in_flight == 0
            client.push("t", 1)

    def test_keyboard_interrupt_in_flight(self, server: Hostile, tmp_path: Path) -> None:
        """Ctrl-C while a push waits for its response does the same."""
        server.script(held(), held())
        server.release_at(3)
        printed = run_script(
            """
            import signal
            client = Client(url, timeout=20)
            caught = threading.Event()

            def interrupt() -> None:
                while not caught.wait(0.5):  # one that comes just before a system call would be seen behind it
                    os.kill(os.getpid(), signal.SIGINT)

            threading.Thread(target=interrupt).start()
            try:
                client.push("t", 1)
            except KeyboardInterrupt:
                caught.set()
                print("interrupted", client.stats.in_flight)
            client.close()
            """,
            server.url,
            tmp_path,
        )
        assert printed.split() == ["interrupted", "0"]


class TestStream:
    def test_outcomes_arrive_as_pushes_end(self, server: Hostile) -> None:
        """Outcomes arrive as pushes end: a fast one does not wait for a slow one before it."""
        server.script(held())

        def source() -> Iterator[tuple[str, object]]:
            yield "t", 0
            arrived(server, 1)
            yield "t", 1
            yield "t", 2

        got: list[int] = []
        with Client(server.url, concurrency=2) as client:
            for outcome in client.push_stream(source()):
                got.append(outcome.index)
                if len(got) == 2:
                    server.release()
        assert got == [1, 2, 0]

    @pytest.mark.parametrize("concurrency", [1, 3])
    @pytest.mark.parametrize("scoped", [True, False], ids=["with", "break only"])
    def test_left_early(self, scoped: bool, concurrency: int, server: Hostile) -> None:
        """A consumer that leaves the loop stops the source, and no thread is left."""
        read: list[int] = []

        def source() -> Iterator[tuple[str, object]]:
            for number in range(1000):
                read.append(number)
                yield "t", number

        before = threading.active_count()
        with Client(server.url) as client:
            if scoped:
                with client.push_stream(source(), concurrency=concurrency) as outcomes:
                    for _ in outcomes:
                        break
            else:
                for _ in client.push_stream(source(), concurrency=concurrency):
                    break
            assert threading.active_count() == before
            assert client.stats.in_flight == 0
        assert len(read) <= 2 * concurrency

    def test_slow_consumer(self, server: Hostile) -> None:
        """While the consumer takes no outcome, the source is not read, and no slot is held."""
        read: list[int] = []

        def source() -> Iterator[tuple[str, object]]:
            for number in range(1000):
                read.append(number)
                yield "t", number

        with Client(server.url, concurrency=4) as client, client.push_stream(source()) as outcomes:
            next(outcomes)
            for number in range(10):  # with each of these, the stream could have continued
                client.push("single", number)
            deadline = time.monotonic() + 10
            while client.stats.in_flight and time.monotonic() < deadline:  # threads may still process the last item
                client.push("single", "again")
            assert client.stats.in_flight == 0
            assert len(read) <= 5

    def test_order_by_topic(self) -> None:
        """Pushes to one topic arrive in order, even with a retry."""
        items = [(topic, number) for number in range(30) for topic in ("a", "b", "c")]
        with (
            hostile(answer(reply(503, b"", "Retry-After: 0"))) as server,
            Client(server.url, concurrency=8, retry=Retry(wait=0.02)) as client,
        ):
            outcomes = list(client.push_stream(items, order_by_topic=True))
            assert client.stats.retried == 1
            assert sorted(each.index for each in outcomes) == list(range(90))
            for topic in ("a", "b", "c"):
                sent = [int(each.body) for each in server.requests if each.query["topicuri"] == topic]
                assert list(dict.fromkeys(sent)) == list(range(30))
                assert len(sent) in (30, 31)

    def test_a_function_in_place_of_sockets(self, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
        """A function may replace `socket.socket`, to bind each socket to an address."""
        make = socket.socket

        def bound(*args: int, **kwargs: int) -> socket.socket:
            made = make(*args, **kwargs)
            if not kwargs:  # the server accepts connections by a descriptor
                made.bind(("127.0.0.2", 0))
            return made

        with Client(server.url) as client:
            monkeypatch.setattr(socket, "socket", bound)
            assert client.push("t", 1).status == 202
            assert server.addresses == ["127.0.0.2"]

    def test_a_family_that_the_kernel_lacks(self, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the kernel does not support the family of an address, the next address is tried."""
        port = urlsplit(server.url).port
        addresses = [
            (999, socket.SOCK_STREAM, 0, "", ("::1", port)),
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: addresses)
        with Client(server.url) as client:
            assert client.push("t", 1).status == 202

    def test_source_fails_before_the_client_is_closed(self, server: Hostile, threads: ThreadPoolExecutor) -> None:
        """The reported cause is the error of the source, not that the client was closed meanwhile."""

        def source() -> Iterator[tuple[str, object]]:
            yield ("t", 1)
            yield ("t", 2)
            client.close(0)
            raise KeyError("source")

        server.script(stall, stall, stall)
        client = Client(server.url, concurrency=3)
        holding = [threads.submit(client.push, "t", 0) for _ in range(3)]
        arrived(server, 3)
        with pytest.raises(SourceFailed) as caught:
            client.push_many(source())
        assert isinstance(caught.value.__cause__, KeyError)
        assert [type(outcome.error) for outcome in caught.value.outcomes] == [ClientClosed, ClientClosed]
        assert all(failure(push) for push in holding)

    def test_chunk_of_negative_size(self, server: Hostile) -> None:
        """A chunk of negative size is refused.

        The response would be read to the end of the connection without a limit.
        """
        head = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n"
        server.script(answer(head + b"-1\r\n" + b"x" * 1000))
        with Client(server.url, timeout=2) as client, pytest.raises(BadReply):
            client.push("t", 1)

    def test_reset_before_the_handshake(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection that is reset before the TLS handshake raises ConnectFailed, and is closed."""
        set_option = socket.socket.setsockopt

        def when_reset(connected: socket.socket, *option: int) -> None:
            if threading.current_thread() is threading.main_thread():  # the server has its own
                reset = select.poll()
                reset.register(connected, 0)
                assert reset.poll(1000 * PATIENCE)
            set_option(connected, *option)

        monkeypatch.setattr(socket.socket, "setsockopt", when_reset)
        with (
            hostile(tls=True, before=reset_at_once) as server,
            Client(server.url, ssl=trusting(), retry=Retry(wait=0.0)) as client,
        ):
            with pytest.raises(ConnectFailed) as caught:
                client.push("t", 1)
            assert caught.value.attempts == server.connections == 3
        caught.value.__traceback__ = None
        gc.collect()
