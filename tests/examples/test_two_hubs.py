"""`examples/two_hubs/`: the commands of its README work, and hubs can be restarted in turn under connected pages."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from benchmarks.recovering.subscribers import KINDS
from tests.examples.serving import EXAMPLES
from tests.processes import PATIENCE
from tests.snippets import fences
from webmqconnect_async import AsyncClient, Retry
from webmqconnect_async.testing import Hub

EXAMPLE = EXAMPLES / "two_hubs"
FENCES = [fence.text for fence in fences(EXAMPLE / "README.md")]
INSTALL, ENTER, SECRETS, UP, RESTART, REDIS, HUB1, HUB2, NGINX, READY, LISTEN, PUSH = FENCES
COMPOSE: dict[str, Any] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
NGINX_CONF = (EXAMPLE / "nginx.conf").read_text()
TOPIC = "http://example.com/orders"
PORTS = ("8080", "8081", "8082", "6379")


def free_ports(count: int) -> list[str]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [str(probe.getsockname()[1]) for probe in probes]


class Checkout:
    """A copy of the example with free ports, and an environment to activate."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.folder = root / "examples" / "two_hubs"
        shutil.copytree(EXAMPLE, self.folder, ignore=shutil.ignore_patterns("secrets", "data"))
        configuration = self.folder / "nginx.local.conf"
        configuration.write_text(self.text(configuration.read_text()))
        activate = root / ".venv" / "bin" / "activate"
        activate.parent.mkdir(parents=True)
        activate.write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')

    def text(self, text: str) -> str:
        """Return a text with the ports of this copy."""
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda matched: self.ports[matched[0]], text)

    def url(self, port: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[port]}"

    def script(self, fence: str) -> list[str]:
        """Return a command that runs the commands of a fence, as in a new terminal."""
        return ["bash", "-e", "-c", self.text(f"{ENTER}\n{fence}")]

    def run(self, fence: str) -> str:
        """Run commands, and return their output."""
        command = self.script(fence)
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603  # ours
        assert done.returncode == 0, done.stderr
        return done.stdout

    @asynccontextmanager
    async def running(self, fence: str, log: str) -> AsyncIterator[Server]:
        """Run a command that serves, until the end of the block."""
        server = Server(self, fence, self.root / log)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


class Server:
    """A command that serves, with all processes that it starts."""

    def __init__(self, checkout: Checkout, fence: str, log: Path) -> None:
        self._checkout = checkout
        self._fence = fence
        self._log = log

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._checkout.script(self._fence),
                cwd=self._checkout.root,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def stop(self) -> None:
        """Send SIGTERM, and wait for the end."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 20)
                return

    def output(self) -> str:
        return self._log.read_text()

    async def until(self, condition: Callable[[], Awaitable[object]]) -> None:
        """Wait until a condition is true, while the command runs."""
        async with asyncio.timeout(PATIENCE):
            while not await condition():
                assert self._process.returncode is None, self.output()
                await asyncio.sleep(0.02)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@asynccontextmanager
async def running_example(checkout: Checkout) -> AsyncIterator[tuple[Server, Server]]:
    """Make the secrets, and start Redis, both hubs and nginx, as the README says."""
    await asyncio.to_thread(checkout.run, SECRETS)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(checkout.running(REDIS, "redis.log"))
        await redis.until(lambda: responds_to_ping(checkout))
        hubs = []
        for number, (fence, port) in enumerate(((HUB1, "8081"), (HUB2, "8082")), 1):
            hub = await stack.enter_async_context(checkout.running(fence, f"hub{number}.log"))
            await hub.until(lambda port=port: ready(checkout.url(port)))  # type: ignore[misc]  # its default is typed
            hubs.append(hub)
        nginx = await stack.enter_async_context(checkout.running(NGINX, "nginx.log"))
        await nginx.until(lambda: ready(checkout.url("8080")))
        one, two = hubs
        yield one, two


async def responds_to_ping(checkout: Checkout) -> bool:
    """Return whether Redis responds to a PING, which needs no password."""
    return await redis_says(checkout, b"PING\r\n") == b"+PONG\r\n"


async def redis_says(checkout: Checkout, command: bytes) -> bytes:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(checkout.ports["6379"]))
    except OSError:
        return b""
    writer.write(command)
    answer = await reader.readline()
    writer.close()
    return answer


async def ready(url: str) -> bool:
    with suppress(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as response:
            return response.status == 200
    return False


@pytest.mark.usefixtures("redis", "nginx", "bash", "curl")
async def test_the_commands_of_the_readme(checkout: Checkout) -> None:
    """An event that is pushed arrives, the page may subscribe, and other users of Redis may do nothing."""
    async with (
        running_example(checkout) as (one, two),
        checkout.running(LISTEN, "listen.log") as listening,
        aiohttp.ClientSession() as http,
    ):
        await asyncio.to_thread(checkout.run, READY)

        async def subscribed() -> bool:
            return " joined " in one.output() + two.output()

        async def heard() -> bool:
            return f'{TOPIC}\t{{"id": 17}}\n' in listening.output()

        await listening.until(subscribed)
        async with asyncio.timeout(PATIENCE):
            while not await heard():  # the page subscribes after it has connected
                await asyncio.to_thread(checkout.run, PUSH)
        async with http.get(f"{checkout.url('8080')}/") as page:
            assert (page.status, page.content_type) == (200, "text/html")
        origin = checkout.url("8080")
        async with http.ws_connect(f"{origin}/ws", origin=origin, protocols=("wamp.2.json",)) as page_socket:
            assert page_socket.protocol == "wamp.2.json"
        assert (await redis_says(checkout, b"KEYS *\r\n")).startswith(b"-NOPERM")
    assert f"push to {TOPIC}" in one.output() + two.output()


@pytest.mark.usefixtures("redis", "nginx", "node", "bash")
async def test_no_event_is_missed_while_hubs_restart_in_turn(checkout: Checkout) -> None:
    """Each page gets every event once and in order, and none is notified of a loss."""
    numbers: dict[str, list[int]] = defaultdict(list)
    sessions: dict[str, set[str | None]] = defaultdict(set)
    others: list[tuple[str, str]] = []
    names = [f"{kind} {number}" for kind in ("node", "python") for number in range(2)]

    def report(name: str, _topic: str, kind: str, number: int, session: str | None) -> None:
        sessions[name].add(session)
        if kind == "event":
            numbers[name].append(number)
        else:
            others.append((name, kind))

    async with running_example(checkout) as hubs, AsyncExitStack() as stack:
        for name in names:
            kind = name.partition(" ")[0]
            subscribers = await stack.enter_async_context(KINDS[kind](report))
            await subscribers.connect(name, f"{checkout.url('8080', 'ws')}/ws")
            await subscribers.subscribe(name, TOPIC)
        async with asyncio.timeout(PATIENCE):
            while len(others) < len(names):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        restarted = asyncio.Event()
        pushing = asyncio.create_task(push_until(restarted, checkout))
        for hub, port in zip(hubs, ("8081", "8082"), strict=True):
            await hub.stop()
            await hub.start()
            await hub.until(lambda port=port: ready(checkout.url(port)))  # type: ignore[misc]
        restarted.set()
        pushed = await pushing
        async with asyncio.timeout(PATIENCE):
            while any(numbers[name][-1:] != [pushed - 1] for name in names):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert sorted(others) == [(name, "ready") for name in names]
    assert {name: numbers[name] == list(range(pushed)) for name in names} == dict.fromkeys(names, True)
    assert all(len(sessions[name]) > 1 for name in names)  # each was connected to one of the hubs that restarted


async def push_until(end: asyncio.Event, checkout: Checkout) -> int:
    """Push numbers through nginx, one after another, as the documentation recommends; return how many."""
    secret = (checkout.folder / "secrets" / "app").read_text().strip()
    retry = Retry(attempts=100, max_wait=1, at_least_once=True)
    number = 0
    async with AsyncClient(checkout.url("8080"), "app", secret, retry=retry, timeout=30) as client:
        while not end.is_set():
            await client.push(TOPIC, {"number": number}, idempotency_key=f"event-{number}")
            number += 1
            await asyncio.sleep(0.01)
    return number


# compose.yaml, without Docker


def test_the_environment_of_compose_suffices_for_the_hubs() -> None:
    """The variables in compose.yaml suffice to run a hub. For the image, see tests/test_dockerfile.py."""
    assert "'.[cli,redis]'" in INSTALL
    assert (EXAMPLE / COMPOSE["services"]["hub1"]["build"] / "Dockerfile").is_file()


def test_the_health_check_asks_whether_a_hub_is_ready() -> None:
    _, *command = COMPOSE["services"]["hub1"]["healthcheck"]["test"]
    with Hub() as hub:
        port = hub.url.rpartition(":")[2]
        command = [sys.executable, *(word.replace("8080", port) for word in command[1:])]
        env = os.environ | {"http_proxy": "http://127.0.0.1:9"}
        assert subprocess.run(command, env=env, timeout=PATIENCE).returncode == 0  # noqa: S603  # ours
    assert subprocess.run(command, env=env, timeout=PATIENCE, capture_output=True).returncode == 1  # noqa: S603  # ours


@pytest.mark.usefixtures("bash")
def test_the_references_of_compose_exist(checkout: Checkout) -> None:
    """compose.yaml refers to existing secrets, volumes and services. The README makes the files of the secrets."""
    checkout.run(SECRETS)
    services = COMPOSE["services"]
    for name, secret in COMPOSE["secrets"].items():
        file = checkout.folder / secret["file"]
        assert file.read_text().strip(), name
        assert file.stat().st_mode & 0o004, f"{name} cannot be read by another user in a container"
    assert (checkout.folder / "secrets").stat().st_mode & 0o777 == 0o700
    used = {secret for service in services.values() for secret in service.get("secrets", ())}
    assert used == set(COMPOSE["secrets"])
    mentioned = set(re.findall(r"/run/secrets/(\w+)", str(services)))
    assert mentioned == used
    for source, *_ in (volume.split(":") for service in services.values() for volume in service.get("volumes", ())):
        assert (EXAMPLE / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "test" in services[needed]["healthcheck"]


def test_the_hubs_of_compose_have_time_to_drain() -> None:
    """A hub is in use again before the next one closes its port, and Docker waits until a hub has drained."""
    for name in ("hub1", "hub2"):
        service = COMPOSE["services"][name]
        (drain,) = [float(word.partition("=")[2]) for word in service["command"] if word.startswith("--drain=")]
        forgotten = re.findall(rf"server {name}:8080 resolve fail_timeout=(\d+)s;", NGINX_CONF)
        assert [int(each) < drain for each in forgotten] == [True]
        assert int(service["stop_grace_period"].removesuffix("s")) > drain + 3
        assert "readyz" in str(service["healthcheck"]["test"])


@pytest.mark.parametrize("command", [UP, RESTART])
def test_the_commands_of_docker_name_services(command: str) -> None:
    assert set(re.findall(r"restart (\w+)", command)) <= set(COMPOSE["services"])
    assert all(part.strip().startswith("docker compose ") for part in command.split("&&"))


def resolvable(configuration: str) -> Iterator[str]:
    """Yield the lines of nginx.conf without `resolve`, which needs nginx 1.27.3, and without Docker's names."""
    for line in configuration.splitlines():
        if not line.strip().startswith(("user ", "resolver ")):
            yield re.sub(r"hub(\d):8080 resolve", r"127.0.0.\1:8080", line)


@pytest.mark.usefixtures("nginx")
def test_nginx_accepts_the_configuration_of_compose(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "proxy.conf", tmp_path)
    written = tmp_path / "nginx.conf"
    written.write_text("pid pid;\n" + "\n".join(resolvable(NGINX_CONF)))
    command = ["nginx", "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603  # ours
    assert done.returncode == 0, done.stderr
    assert "proxy_next_upstream " not in re.sub(r"#.*", "", (EXAMPLE / "proxy.conf").read_text())
