"""No secret, signature or signed URL is in anything that a push leaves behind, however it ends."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote_plus

import aiohttp
import prometheus_client  # noqa: F401  # its import reads /proc, which would block the event loop
import pytest

from webmqconnect_async import AsyncClient, Client, ConnectionLost, Retry, SourceFailed, WebMQError
from webmqconnect_async._core.dialects import DialectName, Request, Response
from webmqconnect_async.explain import explain, signed_request
from webmqconnect_async.hub import Hub, Identity, _websocket
from webmqconnect_async.signing import Credentials, sign
from webmqconnect_async.tickets import ticket

from .answers import ANSWERS
from .cases import Case, in_clear
from .cli.conftest import invoke_here
from .clients import DRIVERS, Both
from .faults import FAULTS
from .hostile import Peer, Recorded, answer, drop_after_body, held, hostile, reply
from .processes import MODULE, python
from .walker import walked

CASES = ANSWERS + FAULTS

SECRET = "a-secret-of-the-tests"
CONSOLE = "a-token-of-the-console"
LONG_TOPIC = "http://example.com/orders/of/the/tests"


def texts_of(error: BaseException) -> Iterator[str]:
    """Return all texts of an error, and of the errors to which it refers."""
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
    """Collect the messages of all loggers at DEBUG. Warnings are not allowed."""
    heard: list[str] = []
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield heard
    for record in caplog.records:
        heard += [record.getMessage(), repr(record.args), repr(vars(record))]
        if record.exc_info and record.exc_info[1]:
            heard += texts_of(record.exc_info[1])
    assert [str(each.message) for each in warned] == []


def secrets_of(*requests: Recorded) -> set[str]:
    """Return the secret, the signature and the query of each request, and a part of the query that identifies it."""
    found = {SECRET, "signature=", "topicuri=", "nonce="}
    for request in requests:
        signature = request.query["signature"]
        assert len(signature) == 44
        found |= {signature, signature.rstrip("="), quote_plus(signature), request.line.split(" ")[1].partition("?")[2]}
    return found


def assert_silent(texts: list[str], secrets: set[str]) -> None:
    for text in texts:
        for secret in secrets:
            assert secret not in text, text


@pytest.fixture(autouse=True)
def debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the debug mode of asyncio."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")


DIALECTS: tuple[DialectName, ...] = ("webmq", "crossbar")
WAYS = [(driver, dialect) for driver in DRIVERS for dialect in DIALECTS]


@pytest.mark.parametrize(
    ("case", "extent"),
    [*((case, "sample") for case in CASES[::4]), *((case, "every") for case in CASES)],
    ids=lambda value: value.name if isinstance(value, Case) else value,
)
def test_case(case: Case, extent: str, caplog: pytest.LogCaptureFixture) -> None:
    """No case leaves a secret behind, with either client and in either dialect.

    Each response is tested with one client in one dialect, and with the other client in the other dialect.
    """
    number = CASES.index(case)
    if extent == "sample":
        ways = [WAYS[number // 4 % len(WAYS)]]
    else:
        ways = WAYS if case in FAULTS else [WAYS[number % 2], WAYS[-1 - number % 2]]
    with watched(caplog) as heard, ThreadPoolExecutor(len(ways)) as threads:
        ends = list(threads.map(lambda way: left_behind(case, *way), ways))
    for texts, requests in ends:
        assert texts
        assert_silent(heard + texts, secrets_of(*requests))


def left_behind(case: Case, driver: str, dialect: DialectName) -> tuple[list[str], list[Recorded]]:
    """Run a case in a dialect. Return all visible texts of its pushes, and their requests."""
    case = replace(case, dialect=dialect)
    with case.staging(case) as (url, server), case.client(driver, url, SECRET) as client:
        texts: list[str] = []
        try:
            receipt = client.push(LONG_TOPIC, case.event)
        except WebMQError as error:
            texts += texts_of(error)
            texts += walked(error)
        else:
            texts += [repr(receipt), repr(pickle.dumps(receipt))]
        if server is not None and not case.lasting:
            server.release()
            [outcome] = client.push_many([(LONG_TOPIC, 1)])
            texts += [repr(outcome), repr(pickle.dumps(outcome)), *(texts_of(outcome.error) if outcome.error else [])]
        texts += [repr(client.client), repr(vars(client.client)), repr(client.stats)]
        return texts, list(server.requests) if server is not None else []


async def page(peer: Peer) -> None:
    """Respond with the request line, as a debug page does, with changed names of parameters."""
    line = (await peer.request()).line
    await peer.send(reply(500, f"<pre>{line.replace('topicuri', 't').replace('signature=', 's ')}</pre>".encode()))


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_signature_in_a_response_is_not_shown(driver: str, caplog: pytest.LogCaptureFixture) -> None:
    """A 401 of a WebMQ hub contains the valid signature of the request, and so may a redirect or an error page."""

    async def tell(peer: Peer) -> None:
        signature = (await peer.request()).query["signature"]
        await peer.send(reply(401, f"invalid request signature (expected {signature}, got x)".encode()))

    async def echo(peer: Peer) -> None:
        line = (await peer.request()).line
        await peer.send(reply(302, f"<a href='{line}'>".encode(), f"Location: {line.split(' ')[1]}"))

    with hostile(tell, echo, page) as server, Both(driver, server.url, "app", SECRET) as client:
        with watched(caplog) as heard:
            for _ in range(3):
                heard += texts_of(client.failure())
        secrets = secrets_of(*server.requests)
    assert_silent(heard, secrets - {"signature=", "topicuri="})


@pytest.mark.parametrize("driver", DRIVERS)
def test_log_of_a_retry(driver: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log line of a retry contains no secret, even if the broker quotes the request."""

    async def busy(peer: Peer) -> None:
        line = (await peer.request()).line
        await peer.send(reply(429, line.encode(), f"Location: {line.split(' ')[1]}", "Retry-After: 0"))

    retry = Retry(attempts=4, wait=0.0, at_least_once=True)
    with hostile(page, busy, drop_after_body) as server:
        with watched(caplog) as heard, Both(driver, server.url, "app", SECRET, retry=retry) as client:
            assert client.push(LONG_TOPIC, 1).attempts == 4
        records = [each for each in caplog.records if each.name == "webmqconnect_async.client"]
        assert [each.levelno for each in records if each.levelno > logging.DEBUG] == [logging.INFO] * 3
        assert_silent(heard, secrets_of(*server.requests) - {"signature=", "topicuri="})


@pytest.mark.parametrize("driver", DRIVERS)
def test_source_failed(driver: str) -> None:
    """The error of a bulk contains those of its pushes, and no secret."""

    def source() -> Iterator[tuple[str, object]]:
        yield LONG_TOPIC, 1
        raise ZeroDivisionError

    with hostile(drop_after_body) as server, Both(driver, server.url, "app", SECRET) as client:
        with pytest.raises(SourceFailed) as caught:
            client.push_many(source())
        [outcome] = caught.value.outcomes
        assert isinstance(outcome.error, ConnectionLost)
        assert_silent(list(texts_of(caught.value)), secrets_of(*server.requests))


async def test_tasks(caplog: pytest.LogCaptureFixture) -> None:
    """Log messages of asyncio about tasks contain no secret: for a cancelled push, and one that is never awaited."""
    with hostile(answer(reply(400))) as server, watched(caplog) as heard:
        asyncio.get_running_loop().set_debug(True)
        async with AsyncClient(server.url, "app", SECRET) as client:
            pushing = asyncio.create_task(client.push(LONG_TOPIC, 1))
            await asyncio.sleep(0)
            heard += [repr(each) for each in asyncio.all_tasks()]
            heard += texts_of(await failed(pushing))
            pushing = asyncio.create_task(client.push(LONG_TOPIC, 1))
            await asyncio.sleep(0)
            pushing.cancel()
            await asyncio.wait([pushing])
            heard.append(repr(pushing))
    assert_silent(heard, secrets_of(*server.requests))


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
async def test_command_line(tmp_path: Path) -> None:
    """The command line shows no secret: in its output for each response, in files of failures, or in `ps`."""
    # Cases that take long, or have to be the first on their connection, are left out.
    cases = [case for case in CASES if case.staging is in_clear and case.requests is None and not case.timeout]
    steps = [step for case in cases for step in case.script]
    lines, failed = tmp_path / "lines", tmp_path / "failed"
    lines.write_text("".join(f"{number}\n" for number in range(len(steps) + 1)))
    with hostile(held(), *steps) as server:
        options = ("--topic", LONG_TOPIC, "--key", "app", "--concurrency", "1", "--timeout", "20")
        call = (*MODULE, "push", server.url, "--jsonl", str(lines), "--failed", str(failed), *options)
        async with python(*call, env={"WEBMQ_AUTH_SECRET": SECRET, "PYTHONASYNCIODEBUG": "1"}) as process:
            await asyncio.to_thread(server.until, lambda: bool(server.requests))
            arguments = Path(f"/proc/{process.pid}/cmdline").read_text()  # noqa: ASYNC240  # it reads no disk
            server.release()
            ended = await process.ended()
        written = failed.read_text()
        assert written.count("\n") > len(cases) / 2
        assert_silent([ended.stdout, ended.stderr, written, arguments], secrets_of(*server.requests))


def test_explain_shows_the_correct_signature_only() -> None:
    """The output shows neither the secret nor the wrong signatures from its input."""
    credentials = Credentials("app", SECRET)
    wrong = sign(Credentials("app", f"{SECRET}\n"), LONG_TOPIC.encode(), b"app", b"2026-11-24T14:00:00Z", b"1")
    query = f"topicuri={LONG_TOPIC}&appkey=app&timestamp=2026-11-24T14:00:00Z&signature={wrong}"
    told = f"invalid request signature (expected {'e' * 43}=, got {wrong})"
    env = {"WEBMQ_AUTH_KEY": "app", "WEBMQ_AUTH_SECRET": SECRET}
    for options in ((), ("--query", query), ("--refusal", told), ("--query", query, "--refusal", told)):
        call = ("explain", "http://127.0.0.1:1", LONG_TOPIC, "1", "--at", "2026-11-24T14:00:00Z", *options)
        ended = invoke_here(*call, env=env)
        assert (ended.status, ended.stderr) == (0, "")
        right = sign(credentials, LONG_TOPIC.encode(), b"app", b"2026-11-24T14:00:00Z", b"1")
        assert ended.stdout.count(right.rstrip("=")) == 3  # on its own line, in the request line, and for curl
        assert_silent([ended.stdout], {SECRET, wrong, "e" * 43})


async def failed(push: asyncio.Task[object]) -> BaseException:
    await asyncio.wait([push])
    error = push.exception()
    assert error is not None
    return error


def test_reprs() -> None:
    """The repr and the str of an object with a secret or a signature do not contain it."""
    credentials = Credentials("app", SECRET)
    signature = sign(credentials, b"x")
    request = Request(f"topicuri=t&signature={signature}", b"body")
    response = Response(401, {}, f"expected {signature}".encode())
    client = Client("http://127.0.0.1:1/", "app", SECRET)
    holders: list[object] = [
        credentials,
        explain(credentials, {"topic": b"x"}),
        signed_request("webmq", f"topicuri=t&appkey=app&timestamp=x&signature={signature}", b"x"),
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
        make(**arguments)  # type: ignore[arg-type, call-overload]  # wrong on purpose
    with pytest.raises(ValueError, match="secret") as surrogate:
        make("http://127.0.0.1/", "app", SECRET + "\ud800")
    assert_silent([*texts_of(caught.value), *texts_of(surrogate.value)], {SECRET})


async def joined(http: aiohttp.ClientSession, hub: Hub, token: str) -> list[str]:
    """Authenticate with a ticket, and subscribe to its topic and another one; return the replies."""
    async with http.ws_connect(hub.ws_url, protocols=("wamp.2.json",)) as socket:
        await socket.send_json([1, "realm1", {"authmethods": ["ticket"]}])
        replies = [(await socket.receive()).data]
        await socket.send_json([5, token, {}])
        replies.append((await socket.receive()).data)
        if replies[-1].startswith("[2,"):
            for topic in (LONG_TOPIC, "other"):
                await socket.send_json([32, 1, {}, topic])
                replies.append((await socket.receive()).data)
        return replies


async def test_tickets(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ticket, and no secret of its key, is in a hub's log, metrics, reprs and replies, or in its frames."""

    async def hook(identity: Identity, topic: str) -> bool:
        raise ValueError(identity)

    monkeypatch.setattr(_websocket, "_penalty", lambda: 0.0)
    secret = "a-secret-of-the-tests-for-tickets"
    good, old, forged = (
        ticket(key="users", secret=each, sub="17", topics=[LONG_TOPIC], now=now)
        for each, now in ((secret, None), (secret, 1e9), (secret[::-1], None))
    )
    mistaken = {"keys": {"app": secret}, "public": ["x*"]}
    texts: list[str] = []
    with watched(caplog) as heard:
        asyncio.get_running_loop().set_debug(True)
        hub = Hub(
            port=0, ticket_keys={"users": secret}, may_subscribe=hook, console_token=CONSOLE, metrics="127.0.0.1:0"
        )
        for options in mistaken.items():
            with pytest.raises(ValueError, match=r"needs its own secret|topics with a") as caught:
                Hub(ticket_keys={"users": secret}, **dict([options]))  # type: ignore[arg-type]
            heard += texts_of(caught.value)
        async with hub, aiohttp.ClientSession() as http:
            async with http.ws_connect(f"{hub.url}/console", protocols=("webmq.console",)) as console:
                await console.send_str(CONSOLE)
                for token in (good, old, forged, f"{good}x", f"{good[:-9]}", f"x{good}"):
                    texts += await joined(http, hub, token)
                async with AsyncClient(hub.url) as client:
                    await client.push("t", 1)
                while "events" not in texts[-1]:
                    texts.append((await console.receive(10)).data)
            assert hub.metrics_url is not None
            for url in (hub.metrics_url, f"{hub.url}/hub.json"):
                async with http.get(url) as response:
                    texts.append(await response.text())
            assert hub._handlers is not None
            texts += [repr(hub), repr(vars(hub)), repr(hub.config), repr(vars(hub._handlers))]
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [type(error) for error in errors] == [ValueError]
    texts += [text for error in errors if error for text in walked(error)]
    assert sum("ticket" in text for text in texts) > 5
    parts = {part for token in (good, old, forged) for part in token.split(".")[1:]}
    assert_silent(heard + texts, {secret, secret[::-1], *parts})
