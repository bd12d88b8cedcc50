"""No secret, signature or signed URL in anything that a push leaves behind, however it ends."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote_plus

import pytest

from webmqconnect_async import AsyncClient, Client, Retry, SourceFailed, WebMQError
from webmqconnect_async.dialects import Request, Response
from webmqconnect_async.signing import Credentials, sign

from .cases import CASES, UNREACHED, Case, Unreached
from .colours import COLOURS, Both
from .hostile import Hostile, Peer, answer, hostile, reply

SECRET = "a-secret-of-the-tests"
TOPIC = "http://example.com/orders?with=query"


def said(error: BaseException) -> Iterator[str]:
    """Give everything that an error says, and what hangs on it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield str(each)
        yield repr(each)
        yield repr(each.args)
        yield repr(vars(each))
        yield repr(getattr(each, "__notes__", []))
        yield "".join(traceback.format_exception(each))
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        if isinstance(each, WebMQError):
            yield repr(pickle.dumps(each))
        if isinstance(each, SourceFailed):
            waiting += [outcome.error for outcome in each.outcomes]
            yield repr(each.outcomes)


@contextmanager
def watched(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect what all loggers say at DEBUG."""
    heard: list[str] = []
    with caplog.at_level(logging.DEBUG):
        yield heard
    for record in caplog.records:
        heard += [record.getMessage(), repr(record.args), repr(vars(record))]
        if record.exc_info and record.exc_info[1]:
            heard += said(record.exc_info[1])


def secrets_of(server: Hostile | None) -> set[str]:
    """Return the secret, each signature that the server was sent, and enough of a query to know one by."""
    found = {SECRET, "signature=", "topicuri="}
    for request in server.requests if server else []:
        signature = request.query["signature"]
        assert len(signature) == 44
        found |= {signature, signature.rstrip("="), quote_plus(signature)}
    return found


def assert_silent(texts: list[str], secrets: set[str]) -> None:
    for text in texts:
        for secret in secrets:
            assert secret not in text, text


@pytest.fixture(autouse=True)
def debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let asyncio say all it can."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("case", [each for each in CASES if each.error], ids=lambda case: case.name)
def test_case(colour: str, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the network does to a push."""
    with (
        hostile(*case.script) as server,
        watched(caplog) as heard,
        Both(colour, server.url, "app", SECRET, 10.0, retry=Retry(wait=0.0)) as client,
    ):
        try:
            client.push(TOPIC, case.event, timeout=case.timeout or 10.0)
        except WebMQError as error:
            heard += said(error)
        [outcome] = client.push_many([(TOPIC, 1)])
        assert outcome.ok
        heard += [repr(outcome), repr(client.client), repr(client.stats)]
        server.release()
    assert heard
    assert_silent(heard, secrets_of(server))


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("case", UNREACHED, ids=lambda case: case.name)
def test_unreached(colour: str, case: Unreached, caplog: pytest.LogCaptureFixture) -> None:
    """Without a connection, too: aiohttp's own words hold the URL."""
    with (
        case.place() as url,
        watched(caplog) as heard,
        Both(colour, url, "app", SECRET, case.timeout or 10.0, connect_timeout=0.1, retry=Retry(wait=0.0)) as client,
    ):
        heard += said(client.failure())
        heard += said(client.push_many([(TOPIC, 1)])[0].error or AssertionError())
    assert_silent(heard, secrets_of(None))


@pytest.mark.parametrize("colour", COLOURS)
def test_signature_told_by_the_broker(colour: str, caplog: pytest.LogCaptureFixture) -> None:
    """A 401 of a WebMQ hub holds the valid signature of the very request, and so may a redirect or an error page."""

    async def tell(peer: Peer) -> None:
        signature = (await peer.request()).query["signature"]
        await peer.send(reply(401, f"invalid request signature (expected {signature}, got x)".encode()))

    async def echo(peer: Peer) -> None:
        line = (await peer.request()).line
        await peer.send(reply(302, f"<a href='{line}'>".encode(), f"Location: {line.split(' ')[1]}"))

    async def page(peer: Peer) -> None:
        line = (await peer.request()).line
        await peer.send(reply(500, f"<pre>{line.replace('topicuri', 't').replace('signature=', 's ')}</pre>".encode()))

    with hostile(tell, echo, page) as server, Both(colour, server.url, "app", SECRET) as client:
        with watched(caplog) as heard:
            for _ in range(3):
                heard += said(client.failure())
        secrets = secrets_of(server)
    assert_silent(heard, secrets - {"signature=", "topicuri="})


async def test_tasks(caplog: pytest.LogCaptureFixture) -> None:
    """Nor in what asyncio says of its tasks, of a cancelled push and of one that nobody waits for."""
    with hostile(answer(reply(400))) as server, watched(caplog) as heard:
        asyncio.get_running_loop().set_debug(True)
        async with AsyncClient(server.url, "app", SECRET) as client:
            pushing = asyncio.create_task(client.push(TOPIC, 1))
            await asyncio.sleep(0)
            heard += [repr(each) for each in asyncio.all_tasks()]
            heard += said(await failed(pushing))
            pushing = asyncio.create_task(client.push(TOPIC, 1))
            await asyncio.sleep(0)
            pushing.cancel()
            await asyncio.wait([pushing])
            heard.append(repr(pushing))
    assert_silent(heard, secrets_of(server))


async def failed(push: asyncio.Task[object]) -> BaseException:
    await asyncio.wait([push])
    error = push.exception()
    assert error is not None
    return error


def test_reprs() -> None:
    """What holds a secret does not show it."""
    credentials = Credentials("app", SECRET)
    signature = sign(credentials, b"x")
    request = Request(f"topicuri=t&signature={signature}", b"body")
    response = Response(401, {}, f"expected {signature}".encode())
    client = Client("http://127.0.0.1:1/", "app", SECRET)
    holders: list[object] = [
        credentials,
        request,
        response,
        client,
        AsyncClient("http://127.0.0.1:1/", "app", SECRET),
        vars(client),
    ]
    texts = [shown for each in holders for shown in (repr(each), str(each), f"{each}")]
    assert_silent(texts, {SECRET, signature, signature.rstrip("=")})
    with pytest.raises(TypeError):
        pickle.dumps(credentials)


@pytest.mark.parametrize("make", [AsyncClient, Client])
@pytest.mark.parametrize(
    "bad", [{"auth_key": None}, {"auth_key": ""}, {"auth_key": 5}, {"endpoint": "ftp://x/"}, {"timeout": -1}]
)
def test_wrong_arguments(make: type[AsyncClient] | type[Client], bad: dict[str, object]) -> None:
    """The error of a constructor does not repeat the secret; nor does that of an impossible secret."""
    arguments: dict[str, object] = {"endpoint": "http://127.0.0.1/", "auth_key": "app", "auth_secret": SECRET} | bad
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**arguments)  # type: ignore[arg-type]  # the subject
    with pytest.raises(ValueError, match="secret") as surrogate:
        make("http://127.0.0.1/", "app", SECRET + "\ud800")
    assert_silent([*said(caught.value), *said(surrogate.value)], {SECRET})
