"""No frame of an exception that leaves a push contains a signature, a signed URL or the secret.

These tests are about exceptions caused by the caller. `test_secrets.py` searches the frames of all others.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pkgutil
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any, NamedTuple

import aiohttp
import pytest
import yarl

from webmqconnect_async import (
    AsyncClient,
    AuthRejected,
    Client,
    ClientClosed,
    ConnectFailed,
    InvalidPush,
    Retry,
    SourceFailed,
    WebMQError,
)
from webmqconnect_async._core.dialects import DialectName, Request, Response
from webmqconnect_async.explain import SignedRequest
from webmqconnect_async.signing import Credentials

from .cases import MEGABYTES
from .clients import DRIVERS, METHODS, Both, only_post
from .escapes import shown
from .hostile import Hostile, Peer, Step, hostile, reply, stall, trusting
from .walker import found, walked

SECRET = "qK7-Zx93_pL0sVb7m"
TOPIC = "com.example.t"
DIALECTS: tuple[DialectName, ...] = ("webmq", "crossbar")


def refuse_with_signature(framing: str = "plain") -> Step:
    """Refuse a request with its valid signature in the body and in a header, as the original hub and proxies do."""

    async def step(peer: Peer) -> None:
        signature = (await peer.request()).query["signature"]
        said, header = f"expected {signature}".encode(), f"X: {signature}"
        if framing == "plain":
            await peer.send(reply(401, said, header))
        else:
            await peer.send(b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n%b\r\n\r\n" % header.encode())
            await peer.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(said), said))

    return step


def assert_bare(error: BaseException, server: Hostile) -> None:
    """Check that an exception contains neither the secret nor a signature that the server has received."""
    texts = walked(error)
    assert shown(texts, SECRET, *{request.query["signature"] for request in server.requests}) == []


def raised_by(driver: str, url: str, event: object = 1, **options: Any) -> BaseException:
    """Return the exception of a push, even an interrupt, which an event loop would not handle."""
    if driver == "sync":
        client = Client(url, "app", SECRET, **options)
        with pytest.raises(BaseException) as caught:  # noqa: PT011  # the caller checks it
            client.push(TOPIC, event)
        client.close(0)
        return caught.value
    loop = asyncio.new_event_loop()
    pushing = AsyncClient(url, "app", SECRET, **options)
    if driver == "posting":
        loop.run_until_complete(only_post(pushing))
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        loop.run_until_complete(pushing.push(TOPIC, event))
    loop.run_until_complete(loop.shutdown_asyncgens())  # closes the session
    loop.close()
    return caught.value


# Exceptions from functions that a push calls

CALLED = {
    "sync": [
        "webmqconnect_async.signing:hmac.digest",
        "webmqconnect_async.signing:urlsafe_b64encode",
        "webmqconnect_async._core.dialects.webmq:sign",
        "webmqconnect_async._core.dialects.webmq:Request",
        "webmqconnect_async._sync.process_state:Connection",
        "webmqconnect_async._sync.process_state:Connection.exchange",
        "webmqconnect_async._core.http1:RequestHead.encode",
        "webmqconnect_async._sync.connection:Connection._send",
        "webmqconnect_async._sync.connection:wait",
        "webmqconnect_async._sync.connection:ResponseReader",
        "webmqconnect_async._core.http1:Response",
        "webmqconnect_async._core.http1:_parse_plain",
        "webmqconnect_async._core.http1:h11.Connection",
        "webmqconnect_async._core.http1:_checked",
        "webmqconnect_async._core.dialects.webmq:text_of",
        "webmqconnect_async._core.dialects.replies:quotes",
    ],
    "async": [
        "webmqconnect_async.signing:hmac.digest",
        "webmqconnect_async._core.dialects.webmq:Request",
        "aiohttp.connector:TCPConnector.connect",
        "aiohttp.connector:TCPConnector._create_connection",
        "webmqconnect_async._core.http1:RequestHead.encode",
        "webmqconnect_async._aio.connection_pool:Connection.send",
        "webmqconnect_async._core.dialects.webmq:text_of",
        "webmqconnect_async._core.dialects.replies:quotes",
    ],
    "posting": [
        "webmqconnect_async._aio.posting:_Body",
        "aiohttp.client:ClientSession._request",
        "aiohttp.client_reqrep:ClientRequest.send",
        "aiohttp.client_reqrep:ClientResponse.start",
        "aiohttp.client_reqrep:CIMultiDictProxy",
        "aiohttp.streams:StreamReader.at_eof",
        "webmqconnect_async._aio.posting:Response",
    ],
}
"""Functions that a push calls, from signing it to judging its response."""


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize(("driver", "name"), [(driver, name) for driver in CALLED for name in CALLED[driver]])
def test_an_exception_of_any_called_function(
    driver: str, name: str, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception is Ctrl-C, raised by a signal handler, or an error in aiohttp or an extension of it."""

    def called(*_: object, **__: object) -> None:
        raise kind

    framing = "chunked" if name.endswith((":h11.Connection", ":_checked")) else "plain"
    with hostile(refuse_with_signature(framing), refuse_with_signature(framing)) as server:
        with Both(driver, server.url, "app", SECRET) as client:
            client.failure()  # runs the imports that are delayed
        module, _, path = name.partition(":")
        owner, _, last = f":{path}".rpartition(".")
        with monkeypatch.context() as patched:
            patched.setattr(pkgutil.resolve_name(f"{module}{owner or ':'}"), last.lstrip(":"), called)
            error = raised_by(driver, server.url)
        assert type(error) is kind
        assert_bare(error, server)
        assert error.__cause__ is error.__context__ is None
        # For an unexpected error, a note says where it was raised.
        notes = getattr(error, "__notes__", [])
        assert ["in drive" in note and "in called" in note for note in notes] == [True] * (kind is ZeroDivisionError)


async def _interrupt(peer: Peer) -> None:
    """Send the signal to the main thread, which pushes."""
    os.kill(os.getpid(), signal.SIGUSR1)
    await peer.gone()


def interrupted(form: str) -> Step:
    """Interrupt the push after a part of the response."""

    async def step(peer: Peer) -> None:
        signature = (await peer.request()).query["signature"]
        await peer.send(form.replace("SIGNATURE", signature).replace("|", "\r\n").encode())
        await _interrupt(peer)

    return step


async def interrupted_unread(peer: Peer) -> None:
    """Interrupt the push while it sends its body."""
    await peer.head()
    peer.pause()
    await _interrupt(peer)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Make a signal raise KeyboardInterrupt, as SIGINT does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    gc.disable()  # Hypothesis has a callback in the garbage collector, in which the exception would be lost
    yield
    gc.enable()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "step",
    [
        interrupted(""),
        interrupted("HTTP/1.1 401 SIGNATURE"),
        interrupted("HTTP/1.1 401 No|X: SIGNATURE|Y: "),
        interrupted("HTTP/1.1 401 No|X: SIGNATURE|Content-Length: 100||expected SIGNATURE"),
        interrupted("HTTP/1.1 401 No|X: SIGNATURE|Transfer-Encoding: chunked||2c|SIGNATURE|2c|SIG"),
        interrupted("HTTP/1.1 100 C|X: SIGNATURE||HTTP/1.1 401 No|Content-Length: 100||expected SIGNATURE"),
    ],
    ids=["no response", "status line", "headers", "body", "chunk", "interim response"],
)
def test_a_signal_while_a_client_waits(step: Step, dialect: DialectName, tls: bool) -> None:
    with hostile(step, tls=tls) as server:
        error = raised_by("sync", server.url, dialect=dialect, ssl=trusting(), timeout=30.0)
        assert type(error) is KeyboardInterrupt
        assert_bare(error, server)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_signal_while_a_client_sends(tls: bool) -> None:
    with hostile(interrupted_unread, tls=tls) as server:
        error = raised_by("sync", server.url, MEGABYTES, ssl=trusting(), timeout=30.0)
        assert type(error) is KeyboardInterrupt
        assert_bare(error, server)


def test_a_push_that_is_cancelled_at_any_iteration_of_the_loop() -> None:
    """The push waits for a connection, for the head of the response, or for its body."""

    async def slowly(peer: Peer) -> None:
        signature = (await peer.request()).query["signature"]
        for part in (f"HTTP/1.1 401 No\r\nX: {signature}", "\r\nContent-Length: 60\r\n\r\n", signature, "x" * 16):
            await peer.send(part.encode())
            await asyncio.sleep(0.005)

    async def cancelled(turns: int) -> BaseException:
        async with AsyncClient(server.url, "app", SECRET) as client:
            pushing = asyncio.create_task(client.push(TOPIC, 1))
            for _ in range(turns):
                await asyncio.sleep(0.002 if server.requests else 0)
            pushing.cancel()
            with pytest.raises((asyncio.CancelledError, WebMQError)) as caught:
                await pushing
        return caught.value

    ends = set()
    with hostile(*[slowly] * 100) as server:
        for turns in range(40):
            error = asyncio.run(cancelled(turns))
            ends.add(type(error))
            assert_bare(error, server)
            server.requests.clear()
    assert asyncio.CancelledError in ends
    assert len(ends) > 1


# Exceptions of the caller


async def _pushed(client: AsyncClient) -> None:
    await client.push(TOPIC, 1)


async def _pushed_many(client: AsyncClient) -> None:
    await client.push_many([(TOPIC, 1)] * 3)


async def _streamed(client: AsyncClient) -> None:
    async with client.push_stream([(TOPIC, 1)] * 3) as outcomes:
        async for _ in outcomes:
            pass


async def _grouped(client: AsyncClient) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_pushed(client))
        group.create_task(_pushed_many(client))


Method = Callable[[AsyncClient], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("method", [_pushed, _pushed_many, _streamed, _grouped])
async def test_a_push_that_is_cancelled(method: Method, dialect: DialectName) -> None:
    """A timeout, the task itself, or a group of tasks cancels the push."""
    with hostile(*[stall] * 20) as server:
        async with AsyncClient(server.url, "app", SECRET, dialect=dialect) as client:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.2):
                    await method(client)
            assert_bare(caught.value, server)
            task = asyncio.create_task(method(client))
            reached = len(server.requests)
            await asyncio.to_thread(server.until, lambda: len(server.requests) > reached)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
            assert_bare(cancelled.value, server)


async def _one_after_another(client: AsyncClient, server: Hostile) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_pushed(client))
        await asyncio.to_thread(server.until, lambda: len(server.requests) > 0)
        group.create_task(_pushed(client))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_group_of_pushes(dialect: DialectName) -> None:
    """The frames of the members of an exception group are searched, too."""
    with hostile(stall, refuse_with_signature(), refuse_with_signature()) as server:
        async with AsyncClient(server.url, "app", SECRET, dialect=dialect) as client:
            with pytest.raises(ExceptionGroup) as caught:
                await _one_after_another(client, server)
            assert [type(each) for each in caught.value.exceptions] == [AuthRejected]
            assert_bare(caught.value, server)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["push_many", "push_stream"])
def test_a_source_that_raises(driver: str, method: str) -> None:
    def source() -> Iterator[tuple[str, object]]:
        yield TOPIC, 1
        raise ZeroDivisionError

    with hostile(refuse_with_signature()) as server, Both(driver, server.url, "app", SECRET) as client:
        with pytest.raises((SourceFailed, ZeroDivisionError)) as caught:
            getattr(client, method)(source())
        assert_bare(caught.value, server)


def _unencodable(_event: object) -> str:
    raise LookupError


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_an_error_before_anything_is_sent(method: str, driver: str, dialect: DialectName) -> None:
    """The client is in the frames, and its objects contain the secret."""
    with Both(driver, "http://127.0.0.1:1/", "app", SECRET, dialect=dialect, dumps=_unencodable) as client:
        error = client.ended(method, TOPIC, 1)
        assert isinstance(error, InvalidPush)
        assert shown(walked(error), SECRET) == []
    with Both(driver, "http://127.0.0.1:1/", "app", SECRET, dialect=dialect) as client:
        client.close()
        with pytest.raises((ClientClosed, SourceFailed)) as caught:
            getattr(client, method)(*((TOPIC, 1) if method == "push" else ([(TOPIC, 1)],)))
        assert shown(walked(caught.value), SECRET) == []


@pytest.mark.parametrize("concurrency", [1, 2])
def test_an_interrupt_in_a_bulk(concurrency: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt arrives in the calling thread, or in another one, whose exception the calling thread raises."""

    def called(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("webmqconnect_async._core.dialects.replies.quotes", called)
    with (
        hostile(refuse_with_signature(), refuse_with_signature()) as server,
        Client(server.url, "app", SECRET) as client,
    ):
        with pytest.raises(KeyboardInterrupt) as caught:
            client.push_many([(TOPIC, 1), (TOPIC, 2)], concurrency=concurrency)
        assert_bare(caught.value, server)


async def test_an_error_of_a_middleware() -> None:
    """A middleware of a borrowed session gets the signed URL. Its error is raised, and a note says where."""

    async def middleware(
        request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
    ) -> aiohttp.ClientResponse:
        url = str(request.url)
        try:
            async with asyncio.TaskGroup():
                raise LookupError(len(url))
        except ExceptionGroup as group:
            raise ExceptionGroup("of a middleware", [ValueError(len(url)), *group.exceptions]) from group

    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        client = AsyncClient("http://127.0.0.1:1/", "app", SECRET, session=session)
        with pytest.raises(ExceptionGroup) as caught:
            await client.push(TOPIC, 1)
    assert not [text for text in walked(caught.value) if "signature=" in text]
    assert [type(each) for each in caught.value.exceptions] == [ValueError, LookupError]
    assert [" in middleware" in note for note in caught.value.__notes__] == [True]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_exception_that_the_caller_handles_stays_the_context(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object) -> None:
        try:
            raise LookupError
        except LookupError:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("webmqconnect_async.signing.hmac.digest", called)
    handled = ValueError("of the caller")
    try:
        raise handled
    except ValueError:
        error = raised_by(driver, "http://127.0.0.1:1/")
    assert error.__context__ is handled
    assert handled.__traceback__ is not None
    assert error.__cause__ is None
    assert not error.__suppress_context__


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_error_of_the_package_keeps_its_frames(driver: str) -> None:
    """The frames show where the caller pushed."""
    error = raised_by(driver, "http://127.0.0.1:1/", retry=Retry(attempts=1))
    assert isinstance(error, ConnectFailed)
    names = []
    traceback = error.__traceback__
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert names[-2:] == ["drive", "receive"]
    assert "push" in names
    assert error.__context__ is None
    assert not hasattr(error, "__notes__")


# Objects that contain signatures, and the search for them


@pytest.mark.parametrize(
    "held",
    [
        Request(f"signature={SECRET}", b"1", SECRET),
        Response(401, {"X": SECRET}, SECRET.encode()),
        SignedRequest({"topic": b"t"}, SECRET),
        Credentials("app", SECRET),
    ],
    ids=lambda held: type(held).__name__,
)
def test_no_signature_is_found_in_objects_that_have_one(held: object) -> None:
    assert shown([*found(held), *found([held])], SECRET) == []
    assert not isinstance(held, Iterable)
    assert not hasattr(held, "__dict__")
    if not isinstance(held, Credentials):
        assert not is_dataclass(held)


class _Tuple(NamedTuple):
    held: str

    def __repr__(self) -> str:
        return "_Tuple"


@dataclass
class _Dataclass:
    held: str

    def __repr__(self) -> str:
        return "_Dataclass"


class _Object:
    def __init__(self, held: object) -> None:
        self.held = held

    def __repr__(self) -> str:
        return "_Object"


@pytest.mark.parametrize(
    "wrap",
    [
        str,
        str.encode,
        lambda text: bytearray(text.encode()),
        lambda text: memoryview(text.encode()),
        lambda text: {1: [(text,)]},
        lambda text: {text: {1}},
        _Tuple,
        _Dataclass,
        lambda text: [_Dataclass(text)],
        _Object,
        lambda text: [_Object([text])],
        lambda text: partial(print, text),
        lambda text: partial(print, _Object(text)),
        lambda text: yarl.URL("http://h/").with_query({"signature": text}),
        lambda text: ValueError(text),
    ],
)
def test_the_walker_finds_secrets(wrap: Callable[[str], object]) -> None:
    """The walker finds a secret in every place, so the tests above can fail."""

    def raises() -> None:
        held = wrap(SECRET)  # noqa: F841  # a local variable
        raise ZeroDivisionError

    # The walker leaves out the frames of the tests.
    elsewhere: dict[str, Any] = {"wrap": wrap, "SECRET": SECRET}
    exec(compile("def raises():\n    held = wrap(SECRET)\n    1 / 0", "elsewhere.py", "exec"), elsewhere)  # noqa: S102
    with pytest.raises(ZeroDivisionError) as caught:
        elsewhere["raises"]()
    assert SECRET in "\n".join(walked(caught.value))
    with pytest.raises(ExceptionGroup) as grouped:
        raise ExceptionGroup("", [caught.value]) from ZeroDivisionError()
    assert SECRET in "\n".join(walked(grouped.value))
    with pytest.raises(ZeroDivisionError) as own:
        raises()
    assert SECRET not in "\n".join(walked(own.value))
