"""`webmqconnect listen`: how it prints events, and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from webmqconnect_async._cli.subscribing import print_event
from webmqconnect_async.hub import Hub
from webmqconnect_async.subscriber import Event, _handshake
from webmqconnect_async.subscriber._wamp1 import Wamp1Session

from ..hostile import hostile
from ..processes import MODULE, PATIENCE, python
from .conftest import SECRET, TOPIC, invoke, invoke_here, push_event

OTHER = "http://example.com/news"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://127.0.0.1:8080/ws", "ws://127.0.0.1:8080/ws"),
        ("ws://127.0.0.1:9000", "ws://127.0.0.1:9000"),
        ("wss://hub.example.com/a?b=c", "wss://hub.example.com/a?b=c"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"),
        ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/ws"),
        ("http://127.0.0.1:8080/ws", "ws://127.0.0.1:8080/ws"),
        ("https://example.com/hub/", "wss://example.com/hub/ws"),
        ("http://[::1]:8080", "ws://[::1]:8080/ws"),
    ],
)
def test_the_url_of_the_websocket_follows_from_that_for_pushes(url: str, expected: str) -> None:
    """The URL for pushes determines the URL for subscribers."""
    assert _handshake.socket_url(url) == expected


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8080", "does not begin with ws://"),
        ("ftp://example.com", "does not begin with ws://"),
        ("ws:///ws", "and a host"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("ws://127.0.0.1:port/ws", "Port"),
        ("ws://user:hidden@example.com", "user information is not allowed"),
    ],
)
def test_an_invalid_url(url: str, said: str) -> None:
    result = invoke_here("listen", url, TOPIC)
    assert (result.status, result.stdout) == (2, "")
    assert said in result.stderr
    assert "hidden" not in result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [["ws://127.0.0.1:1/ws"], ["ws://127.0.0.1:1/ws", TOPIC, "--count", "0"]])
def test_usage_error(arguments: list[str]) -> None:
    assert invoke_here("listen", *arguments).status == 2


async def test_events(hub: Hub) -> None:
    """Each event is printed at once as a line of topic, tab and JSON.

    The session ID goes to stderr, and --count ends the command.
    """
    async with python(*MODULE, "listen", hub.url, TOPIC, OTHER, "--count", "3") as process:
        said = await process.complained("session")
        assert re.fullmatch(rf"session \d{{16}}, subscribed to 2 topics at {hub.ws_url}; Ctrl-C ends", said)
        await push_event(hub, {"id": 17, "names": ["Żółw"], "paid": True})
        assert await process.said(TOPIC) == f'{TOPIC}\t{{"id": 17, "names": ["Żółw"], "paid": true}}'
        await push_event(hub, "not for it", "http://example.com/third")
        await push_event(hub, "text", OTHER)
        assert await process.said(OTHER) == f'{OTHER}\t"text"'
        await push_event(hub, 3)
        ended = await process.ended()
    assert (ended.status, ended.stdout, ended.stderr) == (0, f"{TOPIC}\t3\n", "")


HOSTILE = "[bold]\x1b]0;title\x07\x1b[2J\r\n\u202e:smile: & \ud83d\ude00"


@pytest.mark.parametrize("colour", [False, True], ids=["plain", "coloured"])
def test_markup_is_printed_as_text(
    colour: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Markup and control characters of an event or a topic are printed as text on one line, even on a terminal."""
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")
    event = HOSTILE.encode("utf-16", "surrogatepass").decode("utf-16")
    print_event(Event("t\x1b[2J[red]\n", event))
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert ("\x1b[" in printed) is colour
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed)
    assert "\x1b" not in plain
    shown_topic, shown_event = re.split(r"\t|  ", plain.rstrip("\n"), maxsplit=1)
    assert shown_topic == r"t\u001b[2J[red]\u000a"
    assert shown_event.isprintable()
    assert json.loads(shown_event) == event


async def test_a_lost_connection_exits_with_1() -> None:
    """A lost connection prints one line and exits with 1."""
    async with Hub(port=0) as hub, python(*MODULE, "listen", hub.ws_url, TOPIC, "--no-reconnect") as process:
        await process.complained("session")
        await hub.close()
        ended = await process.ended()
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == "error: the broker ended the session (system_shutdown)\n"


async def test_listen_reconnects_and_reports_losses() -> None:
    """After a restart of the hub, `listen` reconnects and reports losses on stderr. Ctrl-C still exits with 0."""
    async with Hub(port=0) as hub, python(*MODULE, "listen", hub.url, TOPIC) as process:
        port = int(hub.url.rpartition(":")[2])
        await process.complained("session")
        await push_event(hub, 1)
        assert await process.said(TOPIC) == f"{TOPIC}\t1"
        await hub.close()
        said = await process.complained("reconnecting")
        assert said == "the broker ended the session (system_shutdown); reconnecting"
        async with Hub(port=port) as restarted:
            assert await process.complained("missed") == f"missed events of {TOPIC}: the hub has restarted"
            await push_event(restarted, 2)
            assert await process.said(TOPIC) == f"{TOPIC}\t2"
            ended = await process.stopped(signal.SIGINT)
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "")


async def test_the_reader_closes_the_pipe(hub: Hub) -> None:
    """`webmqconnect listen … | head -1` ends without a traceback."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *MODULE, "listen", hub.url, TOPIC, stdout=writing, stderr=asyncio.subprocess.PIPE
    )
    os.close(writing)
    os.close(reading)
    assert process.stderr is not None
    try:
        assert b"session" in await asyncio.wait_for(process.stderr.readline(), PATIENCE)
        await push_event(hub, "nobody reads it")
        _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 1
    assert b"Traceback" not in stderr


async def test_full_pipe_that_does_not_block() -> None:
    """An event is printed completely to a non-blocking pipe, no matter how slowly it is read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    async with Hub(port=0, max_body=200_000) as hub:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *MODULE, "listen", hub.url, TOPIC, "--count", "1"),
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writing)
        assert process.stderr is not None
        try:
            assert b"session" in await asyncio.wait_for(process.stderr.readline(), PATIENCE)
            await push_event(hub, "x" * 100_000)
            with open(reading, "rb") as pipe:
                printed = await asyncio.wait_for(asyncio.to_thread(pipe.read), PATIENCE)
            _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert (process.returncode, stderr) == (0, b"")
    assert printed.decode() == f'{TOPIC}\t"{"x" * 100_000}"\n'


async def test_a_refused_connection_is_one_line() -> None:
    async with Hub(port=0) as hub:
        url = hub.ws_url
    ended = await invoke("listen", url, TOPIC)
    assert ended.status == 1
    authority = url.split("/")[2]
    assert ended.stderr == f"error: cannot connect to {authority}: Connection refused; does a hub listen there?\n"


async def test_certificate_that_does_not_verify() -> None:
    """A certificate that does not verify is reported as such, without the question whether a hub is running there."""
    with hostile(tls=True) as server:
        ended = await invoke("listen", server.url, TOPIC)
        authority = server.url.split("/")[2]
    assert ended.status == 1
    assert ended.stderr.startswith(f"error: the certificate of {authority} does not verify: ")
    assert "listen there" not in ended.stderr


async def test_a_url_without_a_websocket(hub: Hub) -> None:
    """The URL of the page is not that of the WebSocket, and the error says so."""
    result = await invoke("listen", hub.ws_url.removesuffix("/ws"), TOPIC)
    assert result.status == 1
    assert "refused the WebSocket with 200; the WebSocket of a hub is at /ws" in result.stderr


async def behave(request: web.Request) -> web.WebSocketResponse:
    """Serve a WebSocket whose behaviour depends on the path; by default it behaves like the hub of 2012."""
    behaviour = request.match_info["behaviour"]
    socket = web.WebSocketResponse(protocols=() if behaviour == "no-wamp" else ("wamp",))
    await socket.prepare(request)
    await socket.send_json([0, "1" * 16, 2 if behaviour == "wamp-2" else 1, "test"])
    async for message in socket:
        match behaviour, json.loads(message.data):
            case "silent", _:
                pass
            case "forbids", [2, call_id, str(procedure)] if procedure.endswith("authreq"):
                await socket.send_json([4, call_id, "http://api.wamp.ws/error#anonymous-auth-forbidden", "no"])
            case "closed", [2, call_id, str(procedure)]:
                await socket.send_json([4, call_id, "http://api.wamp.ws/error#closed-on-mondays", "no"])
            case "bare", [2, call_id, *_]:
                await socket.send_json([4, call_id, "http://api.wamp.ws/error#NoSuchRPCEndpoint", "no"])
            case _, [2, call_id, *_]:
                await socket.send_json([3, call_id, None])
            case "breaks", [5, _] if request.transport is not None:
                request.transport.abort()
            case _, [5, topic]:
                await socket.send_bytes(b"binary")
                await socket.send_str("not JSON")
                await socket.send_json([3, "somebody else's", None])
                await socket.send_json([8, topic, "before the answer to the last call"])
    return socket


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Return the URL at which `behave` serves."""
    app = web.Application()
    app.router.add_get("/{behaviour}", behave)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("behaviour", ["as-2012", "bare"])
async def test_hubs_that_behave_differently(behaviour: str, address: str) -> None:
    """Events are printed with and without authentication, and other messages between them are ignored."""
    result = await invoke("listen", f"{address}/{behaviour}", TOPIC, "--count", "1")
    assert (result.status, result.stdout) == (0, f'{TOPIC}\t"before the answer to the last call"\n')


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("no-wamp", "not a WAMP broker"),
        ("wamp-2", "not a WAMP broker"),
        ("forbids", "the hub does not accept anonymous subscribers: give --subscriber-key or --ticket-file"),
        ("closed", "the hub does not accept anonymous subscribers: closed-on-mondays"),
        ("breaks", "the connection to the hub broke"),
        ("silent", "127.0.0.1 sent no welcome within 0 s"),
    ],
)
async def test_servers_that_are_not_hubs(
    behaviour: str, said: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each server that does not behave like a hub causes an error of one line."""
    if behaviour == "silent":
        monkeypatch.setattr(_handshake, "_TIMEOUT", 0.2)
    result = await invoke("listen", f"{address}/{behaviour}", TOPIC, "--no-reconnect")
    assert (result.status, result.stdout) == (1, "")
    assert re.sub(r":\d+", "", result.stderr) == f"error: {said}\n"


CHECK = "; check --subscriber-key and its secret"


@pytest.mark.parametrize(
    ("key", "secret", "said"),
    [
        ("page", "other", f"the hub refuses the key 'page': invalid-signature{CHECK}"),
        ("other", SECRET, f"the hub refuses the key 'other': no-such-authkey{CHECK}"),
        (None, SECRET, "the hub does not accept anonymous subscribers: give --subscriber-key or --ticket-file"),
    ],
)
async def test_a_key_that_the_hub_refuses(
    key: str | None, secret: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused key prints one line and exits with 1. If no key was given, the line names the option."""
    monkeypatch.setattr("webmqconnect_async.hub._websocket._penalty", lambda: 0.0)
    monkeypatch.setattr(_handshake, "_SUBPROTOCOLS", {"wamp": Wamp1Session})
    options = ["--subscriber-key", key] if key else []
    async with Hub(port=0, subscriber_keys={"page": SECRET}) as hub:
        result = await invoke("listen", hub.url, TOPIC, *options, env={"WEBMQ_SUBSCRIBER_SECRET": secret})
    assert (result.status, result.stdout, result.stderr) == (1, "", f"error: {said}\n")


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("as-2012", "the hub sent no challenge: it does not authenticate subscribers"),
        ("bare", "the hub refuses the key 'page': NoSuchRPCEndpoint"),
    ],
)
async def test_a_key_for_a_hub_without_keys(behaviour: str, said: str, address: str) -> None:
    """A subscriber that tries to authenticate at a hub without keys fails instead of joining as anonymous."""
    options = ("--subscriber-key", "page")
    result = await invoke("listen", f"{address}/{behaviour}", TOPIC, *options, env={"WEBMQ_SUBSCRIBER_SECRET": SECRET})
    assert (result.status, result.stdout, result.stderr) == (1, "", f"error: {said}\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--subscriber-key", "page"], "--subscriber-key needs its secret: set WEBMQ_SUBSCRIBER_SECRET, or give"),
        (["--subscriber-secret-file", __file__], "--subscriber-secret-file needs --subscriber-key"),
        (["--subscriber-key", "page", "--subscriber-secret-file", os.devnull], "the secret in /dev/null is empty."),
    ],
)
def test_a_key_needs_a_secret(options: list[str], said: str) -> None:
    result = invoke_here("listen", "http://127.0.0.1:1", TOPIC, *options)
    assert (result.status, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())


async def test_a_handshake_without_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_handshake, "_TIMEOUT", 0.2)

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await invoke("listen", f"http://127.0.0.1:{port}", TOPIC)
    assert (result.status, result.stderr) == (1, f"error: cannot connect to 127.0.0.1:{port} within 0 s\n")
