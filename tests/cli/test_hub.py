"""`webmqconnect hub`: the commands that it prints work, its options reach the hub, and it shuts down cleanly."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from webmqconnect_async import AsyncClient, AuthRejected, Rejected
from webmqconnect_async._cli.options import duration
from webmqconnect_async.hub import Hub, HubConfig, _exposition, _metrics
from webmqconnect_async.hub._remedies import SIGNATURE
from webmqconnect_async.subscriber import SubscriberError
from webmqconnect_async.tickets import ticket

from ..listener import listener
from ..processes import MODULE, PATIENCE, Process, python
from .conftest import COMMANDS, SECRET, invoke, invoke_here, received

TOPIC = "http://example.com/orders"
TICKET_SECRET = "0123456789abcdefghijklmnopqrstuv"


async def addresses(process: Process) -> tuple[str, str, str]:
    """Return the URLs that the hub prints: for pushes, for subscribers, for browsers."""
    urls = [re.findall(r"\S+://\S+", await process.said(name))[0] for name in ("push to", "subscribe at", "see events")]
    return urls[0], urls[1], urls[2]


@pytest.mark.parametrize("signing", ["unsigned", "by the environment", "by a file", "by a variable's file"])
async def test_the_printed_commands_work(signing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The printed page exists, and both printed commands push from another terminal and folder. No secret is shown."""
    file = tmp_path / "it's a secret"
    file.write_bytes(b"\xff" + SECRET.encode() + b"\r\n")
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
    if signing == "by the environment":
        monkeypatch.setenv("WEBMQ_AUTH_SECRET", SECRET)
    async with python(*MODULE, "hub", "--port", "0", *options, env=env) as process:
        push_url, subscribe_url, page_url = await addresses(process)
        if os.path.exists("/proc"):  # noqa: ASYNC240  # where ps reads the arguments
            assert SECRET.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()  # noqa: ASYNC240
        lines = [await process.said(" push "), await process.said("import Client")]
        assert SECRET not in "".join(lines)
        async with listener(subscribe_url, TOPIC) as session, aiohttp.ClientSession() as http:
            async with http.get(page_url) as page:
                assert page.status == 200
            shell = await asyncio.create_subprocess_shell("\n".join(["set -e", *lines]), cwd="/")
            assert await asyncio.wait_for(shell.wait(), PATIENCE) == 0
            assert await received(session, 2) == [{"id": 17}] * 2
        if signing != "unsigned":
            async with AsyncClient(push_url) as client:
                with pytest.raises(Rejected, match="signed pushes only"):
                    await client.push(TOPIC, "unsigned")


@pytest.mark.parametrize("by_file", [False, True], ids=["environment", "file"])
async def test_subscriber_key(by_file: bool, tmp_path: Path) -> None:
    """The hub prints which key it requires, `listen` subscribes with it, and neither shows the secret."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    ticket_file = tmp_path / "tickets"
    ticket_file.write_text(TICKET_SECRET + "\n")
    options = ["--subscriber-key", "page", *(["--subscriber-secret-file", str(file)] if by_file else [])]
    tickets = ["--ticket-key", "users", *(["--ticket-secret-file", str(ticket_file)] if by_file else [])]
    env = {} if by_file else {"WEBMQ_SUBSCRIBER_SECRET": SECRET, "WEBMQ_TICKET_SECRET": TICKET_SECRET}
    public = "http://example.com/news"
    async with python(*MODULE, "hub", "--port", "0", *options, *tickets, "--public", public, env=env) as process:
        push_url = re.findall(r"\S+://\S+", await process.said("push to"))[0]
        line = await process.said("subscribe at")
        assert line.endswith(
            "  WAMP v1 or v2, with the key 'page' or a ticket of the key 'users'; public topics without"
        )
        [url] = re.findall(r"\S+://\S+", line)
        token = ticket(key="users", secret=TICKET_SECRET, sub="17", topics=[TOPIC])
        async with (
            listener(url, public),
            aiohttp.ClientSession() as http,
            http.ws_connect(url, protocols=["wamp.2.json"]) as holder,
        ):
            await holder.send_json([1, "realm1", {"authmethods": ["ticket"]}])
            assert await holder.receive_json() == [4, "ticket", {}]
            await holder.send_json([5, token, {}])
            assert (await holder.receive_json())[0] == 2
        listening = asyncio.create_task(invoke("listen", push_url, TOPIC, "--count", "1", *options, env=env))
        async with AsyncClient(push_url) as client:
            while not listening.done():  # until it has subscribed
                await client.push(TOPIC, 17)
        listened = await listening
        ended = await process.stopped(signal.SIGTERM)
    assert (listened.status, listened.stdout) == (0, f"{TOPIC}\t17\n")
    assert SECRET not in listened.stderr
    assert ended.status == 0
    assert "joined from 127.0.0.1: wamp.2.json, key 'page'" in ended.stderr
    assert "ticket of '17', key 'users'" in ended.stderr
    for secret in (SECRET, TICKET_SECRET, token):
        assert secret not in ended.stdout + ended.stderr


async def test_a_signal_ends_the_hub() -> None:
    """A signal ends the hub with status 0. Subscribers receive GOODBYE, stderr is empty, and the port is free."""
    quiet = ("--log-level", "warning", "--drain", "60")  # applies only to SIGTERM
    async with python(*MODULE, "hub", "--port", "0", *quiet) as process:
        push_url, subscribe_url, _ = await addresses(process)
        async with listener(subscribe_url, TOPIC) as session:
            process.signal(signal.SIGINT)
            with pytest.raises(SubscriberError, match="ended the session \\(system_shutdown\\)"):
                await session.next()
            ended = await process.ended()
    assert (ended.status, ended.stderr) == (0, "")
    port = int(push_url.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


async def test_sigterm_drains() -> None:
    """After SIGTERM the hub reports that it is not ready, but serves until the drain time is over, or until Ctrl-C."""
    async with python(*MODULE, "hub", "--port", "0", "--drain", "60") as process, aiohttp.ClientSession() as http:
        push_url, subscribe_url, _ = await addresses(process)
        async with listener(subscribe_url, TOPIC) as session:
            process.signal(signal.SIGTERM)
            status = 200
            while status == 200:
                async with http.get(f"{push_url}/readyz") as response:
                    status = response.status
            assert status == 503
            async with AsyncClient(push_url) as client:
                await client.push(TOPIC, 17)
            assert await received(session) == [17]
            process.signal(signal.SIGINT)
            with pytest.raises(SubscriberError, match="ended the session \\(system_shutdown\\)"):
                await session.next()
        assert (await process.ended()).status == 0


async def test_common_mistakes_are_logged() -> None:
    """The log names a misspelled topic, a page of another origin and a wrong key, and the metrics count them."""
    env = {"WEBMQ_AUTH_SECRET": SECRET}
    options = ["--port", "0", "--key", "app", "--metrics", "127.0.0.1:0", "--log-format", "json"]
    async with python(*MODULE, "hub", *options, env=env) as process, aiohttp.ClientSession() as http:
        push_url, _, _ = await addresses(process)
        metrics_url = re.findall(r"\S+://\S+", await process.said("metrics at"))[0]
        async with AsyncClient(push_url, auth_key="app", auth_secret=SECRET) as client:
            await client.push("http://example.com/ordres", {"id": 17})
        async with AsyncClient(push_url, auth_key="app", auth_secret="wrong") as client:
            with pytest.raises(AuthRejected):
                await client.push(TOPIC, {"id": 17})
        async with http.post(push_url, headers={"Origin": "https://shop.example.com"}) as response:
            assert response.status == 403
        typo, guess, origin = [json.loads(await process.complained("{")) for _ in range(3)]
        async with http.get(metrics_url) as response:
            assert 'webmqconnect_hub_pushes_total{result="refused"} 2.0' in await response.text()
        assert (await process.stopped(signal.SIGTERM)).status == 0
    assert (typo["level"], typo["topic"], typo["receivers"]) == ("info", "http://example.com/ordres", 0)
    assert (guess["level"], guess["remedy"]) == ("warning", SIGNATURE)
    assert (origin["level"], origin["remedy"]) == ("info", "--allow-origin https://shop.example.com")


async def test_metrics_on_a_port_in_use(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    address = hub.url.removeprefix("http://")
    ended = await invoke("hub", "--port", "0", "--metrics", address)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"error: cannot serve metrics at {address}: Address already in use\n"
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for module in (_exposition, _metrics):
        monkeypatch.delitem(sys.modules, module.__name__)
    ended = await invoke("hub", "--port", "0", "--metrics", "127.0.0.1:0")
    assert ended.status == 1
    assert ended.stderr == "error: metrics need prometheus_client: pip install 'webmqconnect-async[metrics]'\n"


def test_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = invoke_here("hub", "--port", str(port))
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"error: port {port} of 127.0.0.1 is in use; --port 0 chooses a free one\n"


def test_a_host_of_another_machine() -> None:
    """The hub cannot bind to an address of another machine, and says so."""
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
        (["--subscriber-key", "", "--subscriber-secret-file", __file__], "--subscriber-key: must not be empty"),
        (["--ticket-key", "users"], "--ticket-key needs its secret: set WEBMQ_TICKET_SECRET, or give"),
        (["--public", TOPIC], "--public needs --ticket-key or --subscriber-key."),
        (["--host", "0.0.0.0"], "--key must be given for a hub on '0.0.0.0'"),  # noqa: S104  # refused
        (["--allow-origin", "example.com"], "--allow-origin must contain origins"),
        (["--allow-host", "example.com:80"], "--allow-host must contain names without port"),
        (["--host", ""], "--host must not be empty"),
        (["--console-token-file", __file__, "--no-console"], "--console-token-file needs --console."),
        (["--console-token-file", __file__, "--allow-host", "a.example"], "--console-token-file needs --console."),
        (["--console-token-file", "/dev/null"], "--console-token-file: the secret in /dev/null is empty."),
        (["--port", "65536"], "--port"),
        (["--max-body", "0"], "--max-body"),
        (["--metrics", "9100"], "--metrics must be HOST:PORT like '127.0.0.1:9100', not '9100'."),
        (["--grace", "0"], "--grace"),
        (["--drain", "-1"], "--drain"),
        (["--max-queue", "10"], "--max-queue must be at least max_body"),
        (["--keepalive", "0s"], "--keepalive must be greater than 0"),
        (["--keepalive", "1d"], "'1d' is not a duration such as 6h, 30m or 90s."),
    ],
)
def test_usage_error(arguments: list[str], said: str) -> None:
    """Wrong options exit with 2, and the error names the options of the command line."""
    result = invoke_here("hub", "--port", "0", *arguments)
    assert (result.status, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(("content", "said"), [(b"short\n", "at least 16 characters"), (b"\xff" * 16, "is not UTF-8")])
def test_wrong_console_token(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    result = invoke_here("hub", "--port", "0", "--console-token-file", str(file))
    assert (result.status, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert "short" not in result.stderr


def test_weak_ticket_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short\n")
    result = invoke_here("hub", "--port", "0", "--ticket-key", "users", "--ticket-secret-file", str(file))
    assert result.status == 2
    said = " ".join(result.stderr.replace("│", " ").split())
    assert "The secret of --ticket-key must have at least 32 bytes." in said
    assert "short" not in said


async def console_accepts(page_url: str, token: str) -> bool:
    url = f"{page_url.partition('#')[0]}console"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, protocols=("webmq.console",)) as ws:
        await ws.send_str(token)
        return (await ws.receive()).type is aiohttp.WSMsgType.TEXT


async def test_console_link() -> None:
    """The link to the console contains a token that is new at each start."""
    tokens = set()
    for _ in range(2):
        async with python(*MODULE, "hub", "--port", "0") as process:
            line = await process.said("console at")
            link = re.findall(r"http://\S+", line)[0]
            tokens.add(token := link.partition("#console=")[2])
            assert len(token) == 43
            assert await console_accepts(link, token)
    assert len(tokens) == 2


async def test_console_token_of_a_file(tmp_path: Path) -> None:
    """The hub does not print a token that it reads from a file, so the token does not get into a log."""
    file = tmp_path / "token"
    file.write_text("token-of-the-console\n")
    options = ["--console", "--console-token-file", str(file), "--allow-host", "hub.example.com"]
    async with python(*MODULE, "hub", "--port", "0", *options) as process:
        line = await process.said("console at")
        assert line.endswith(f"/#console=…  with the token in {file}")
        assert await console_accepts(re.findall(r"http://\S+", line)[0], "token-of-the-console")
        ended = await process.stopped(signal.SIGTERM)
    assert "token-of-the-console" not in line + ended.stdout + ended.stderr


@pytest.mark.parametrize("options", [["--allow-host", "hub.example.com"], ["--no-console"]])
async def test_no_console(options: list[str]) -> None:
    async with python(*MODULE, "hub", "--port", "0", *options) as process:
        url = re.findall(r"http://\S+", await process.said("see events"))[0]
        async with aiohttp.ClientSession() as http, http.get(f"{url}console") as answer:
            assert answer.status == 404
        ended = await process.stopped(signal.SIGTERM)
    assert "console" not in ended.stdout


async def test_options_reach_the_hub() -> None:
    options = ["--allow-origin", "https://app.example.com", "--allow-host", "hub.example.com", "--allow-publish"]
    limits = ["--max-body", "10", "--max-connections", "2", "--max-queue", "5000"]
    async with python(*MODULE, "hub", "--port", "0", *options, *limits) as process:
        push_url, subscribe_url, _ = await addresses(process)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        allowed = form | {"Origin": "https://app.example.com", "Host": "hub.example.com"}
        async with aiohttp.ClientSession() as http, listener(subscribe_url, TOPIC) as session:
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
                    async with listener(subscribe_url, TOPIC):
                        pass


@pytest.mark.parametrize(
    "limit", ["max_body", "max_queue", "max_connections", "max_subscriptions", "max_topic", "grace"]
)
def test_default_of_a_limit(limit: str) -> None:
    """The command does not import the hub for its default limits, but they are the same."""
    [option] = [option for option in COMMANDS["hub"].params if option.name == limit]
    assert option.default == getattr(HubConfig(), limit)


@pytest.mark.parametrize(("text", "seconds"), [("6h", 21600), ("30m", 1800), ("90s", 90), ("0.5", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_default_of_keepalive() -> None:
    [option] = [option for option in COMMANDS["hub"].params if option.name == "keepalive"]
    assert isinstance(option.default, str)
    assert duration(option.default) == HubConfig().keepalive
