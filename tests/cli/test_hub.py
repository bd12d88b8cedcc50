"""`webmqconnect hub`: what it prints works as it stands, its options reach the hub, and it ends cleanly."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from webmqconnect_async import AsyncClient, Rejected
from webmqconnect_async._cli.duration import duration
from webmqconnect_async._subscriber import SubscriberError, subscriber
from webmqconnect_async.hub import HubConfig

from ..processes import MODULE, Process, python
from .conftest import COMMANDS, SECRET, invoke, invoke_here, received

TOPIC = "http://example.com/orders"


async def addresses(process: Process) -> tuple[str, str, str]:
    """Return what the hub says it is at: for pushes, for subscribers, for browsers."""
    urls = [re.findall(r"\S+://\S+", await process.said(name))[0] for name in ("push to", "subscribe at", "see events")]
    return urls[0], urls[1], urls[2]


@pytest.mark.parametrize("signing", ["unsigned", "by the environment", "by a file", "by a variable's file"])
async def test_what_it_prints_works(signing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is there, and the line of Python pushes to who subscribes where it says. No secret is shown."""
    file = tmp_path / "it's a secret"
    file.write_text(SECRET + "\n")
    options = {
        "unsigned": [],
        "by the environment": ["--key", "app"],
        "by a file": ["--key", "app", "--secret-file", str(file)],
        "by a variable's file": [],
    }[signing]
    env = {
        "by the environment": {"WEBMQ_AUTH_SECRET": SECRET},
        "by a variable's file": {"WEBMQ_AUTH_KEY": "app", "WEBMQ_AUTH_SECRET_FILE": str(file)},
    }.get(signing, {})
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    async with python(*MODULE, "hub", "--port", "0", *options, env=env) as process:
        push_url, subscribe_url, page_url = await addresses(process)
        if os.path.exists("/proc"):  # noqa: ASYNC240  # where ps reads the arguments
            assert SECRET.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()  # noqa: ASYNC240
        line = await process.said("import Client")
        assert SECRET not in line
        async with subscriber(subscribe_url, TOPIC) as session, aiohttp.ClientSession() as http:
            async with http.get(page_url) as page:
                assert page.status == 200
            await asyncio.to_thread(exec, line, {})
            assert await received(session) == [{"id": 17}]
        if signing != "unsigned":
            async with AsyncClient(push_url) as client:
                with pytest.raises(Rejected, match="signed pushes only"):
                    await client.push(TOPIC, "unsigned")


@pytest.mark.parametrize("by_file", [False, True], ids=["by the environment", "by a file"])
async def test_subscriber_key(by_file: bool, tmp_path: Path) -> None:
    """The hub says which key it wants, `listen` subscribes with it, and neither shows the secret."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    options = ["--subscriber-key", "page", *(["--subscriber-secret-file", str(file)] if by_file else [])]
    env = {} if by_file else {"WEBMQ_SUBSCRIBER_SECRET": SECRET}
    async with python(*MODULE, "hub", "--port", "0", *options, env=env) as process:
        push_url = re.findall(r"\S+://\S+", await process.said("push to"))[0]
        assert (await process.said("subscribe at")).endswith("  WAMP v1 or v2, with the key 'page'")
        listening = asyncio.create_task(invoke("listen", push_url, TOPIC, "--count", "1", *options, env=env))
        async with AsyncClient(push_url) as client:
            while not listening.done():  # until it has subscribed
                await client.push(TOPIC, 17)
        listened = await listening
        ended = await process.stopped(signal.SIGTERM)
    assert (listened.status, listened.stdout) == (0, f"{TOPIC}\t17\n")
    assert SECRET not in listened.stderr
    assert (ended.status, ended.stderr) == (0, "")
    assert SECRET not in ended.stdout


async def test_signal_ends_it() -> None:
    """Subscribers hear goodbye, nothing is complained of, the exit status is 0 and the port free."""
    async with python(*MODULE, "hub", "--port", "0") as process:
        push_url, subscribe_url, _ = await addresses(process)
        async with subscriber(subscribe_url, TOPIC) as session:
            process.signal(signal.SIGINT)
            with pytest.raises(SubscriberError, match="closed the connection \\(1001"):
                await session.next_event()
            ended = await process.ended()
    assert (ended.status, ended.stderr) == (0, "")
    port = int(push_url.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = invoke_here("hub", "--port", str(port))
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"error: port {port} of 127.0.0.1 is in use; --port 0 chooses a free one\n"


def test_host_that_is_not_here() -> None:
    """An address of another machine cannot be bound to."""
    result = invoke_here("hub", "--host", "192.0.2.1", "--port", "0", "--key", "app", env={"WEBMQ_AUTH_SECRET": "s"})
    assert result.status == 1
    assert re.fullmatch(r"error: cannot listen on 192\.0\.2\.1, port 0: .+\n", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", "app"], "--key needs its secret: set WEBMQ_AUTH_SECRET, or give --secret-file FILE."),
        (["--secret-file", __file__], "--secret-file needs --key"),
        (["--subscriber-key", "page"], "--subscriber-key needs its secret: set WEBMQ_SUBSCRIBER_SECRET, or give"),
        (["--subscriber-secret-file", __file__], "--subscriber-secret-file needs --subscriber-key"),
        (["--subscriber-key", "", "--subscriber-secret-file", __file__], "--subscriber-key: empty"),
        (["--host", "0.0.0.0"], "--key must be given for a hub on '0.0.0.0'"),  # noqa: S104  # refused
        (["--allow-origin", "example.com"], "--allow-origin must contain origins"),
        (["--allow-host", "example.com:80"], "--allow-host must contain names without port"),
        (["--host", ""], "--host must not be empty"),
        (["--port", "65536"], "--port"),
        (["--max-body", "0"], "--max-body"),
        (["--max-queue", "10"], "--max-queue must be at least max_body"),
        (["--keepalive", "0s"], "--keepalive must be greater than 0"),
        (["--keepalive", "1d"], "'1d' is not a duration such as 6h, 30m or 90s."),
    ],
)
def test_usage_error(arguments: list[str], said: str) -> None:
    """What the hub refuses is said in words of the command line, with exit 2."""
    result = invoke_here("hub", "--port", "0", *arguments)
    assert (result.status, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())


async def test_options_reach_the_hub() -> None:
    options = ["--allow-origin", "https://app.example.com", "--allow-host", "hub.example.com", "--allow-publish"]
    limits = ["--max-body", "10", "--max-connections", "2", "--max-queue", "5000"]
    async with python(*MODULE, "hub", "--port", "0", *options, *limits) as process:
        push_url, subscribe_url, _ = await addresses(process)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        allowed = form | {"Origin": "https://app.example.com", "Host": "hub.example.com"}
        async with aiohttp.ClientSession() as http, subscriber(subscribe_url, TOPIC) as session:
            for headers, body, status in (
                (allowed, b"1", 202),
                (form | {"Origin": "https://evil.example.com"}, b"1", 403),
                (form | {"Host": "evil.example.com"}, b"1", 403),
                (form, b'"12345678"', 202),
                (form, b'"123456789"', 400),
            ):
                async with http.post(push_url, params={"topicuri": TOPIC}, data=body, headers=headers) as answer:
                    assert answer.status == status
            assert await received(session, 2) == [1, "12345678"]
            async with http.ws_connect(subscribe_url, protocols=["wamp"]) as publisher:
                await publisher.send_json([7, TOPIC, "published"])
                assert await received(session) == ["published"]
                with pytest.raises(SubscriberError, match="503"):
                    async with subscriber(subscribe_url):
                        pass


@pytest.mark.parametrize("limit", ["max_body", "max_queue", "max_connections"])
def test_default_of_a_limit(limit: str) -> None:
    """The command does not import the hub for its defaults, but they are the same."""
    [option] = [option for option in COMMANDS["hub"].params if option.name == limit]
    assert option.default == getattr(HubConfig(), limit)


@pytest.mark.parametrize(("text", "seconds"), [("6h", 21600), ("30m", 1800), ("90s", 90), ("0.5", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_default_of_keepalive() -> None:
    [option] = [option for option in COMMANDS["hub"].params if option.name == "keepalive"]
    assert isinstance(option.default, str)
    assert duration(option.default) == HubConfig().keepalive
