"""The page "Run a hub in production" and `examples/production/`: what they install is verified, run and queried.

Each absolute path becomes one in a folder of the test, and `docker` a command that records what it is called with.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import yaml

from tests.examples.serving import EXAMPLES
from tests.processes import PATIENCE
from tests.redis_server import free_port
from tests.snippets import PAGES, ROOT, fences
from webmqconnect_async._cli.hub_variables import PREFIX
from webmqconnect_async.hub import HubConfig

EXAMPLE = EXAMPLES / "production"
PAGE = PAGES / "how-to" / "production.md"
TROUBLESHOOTING = (PAGES / "how-to" / "troubleshooting.md").read_text()
FENCES = {fence.title: fence.text for fence in fences(PAGE)}
COMPOSE: dict[str, Any] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
UNIT = (EXAMPLE / "webmq-hub.service").read_text()
NGINX = (EXAMPLE / "webmq.conf").read_text()
NAME = "events.example.com"


def settings(text: str) -> dict[str, list[str]]:
    """Return the settings of a unit, or the variables of an environment file, by name."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def read(path: str) -> str:
    return Path(path).read_text()


SERVICE = settings(UNIT)
VARIABLES = {name: value for name, [value] in settings((EXAMPLE / "hub.env").read_text()).items()}


@dataclass(frozen=True)
class Machine:
    """A folder in place of the root of a machine."""

    root: Path

    def here(self, text: str) -> str:
        """Return a text in which absolute paths are those in the folder."""
        return re.sub(r"(?<![\w./])/(?=(opt|etc)/)", f"{self.root}/", text)

    def run(self, title: str, cwd: Path = ROOT) -> None:
        """Run the commands of the page that have a title."""
        path = f"{self.root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(  # noqa: S603  # ours
            ["/bin/sh", "-e", "-c", self.here(FENCES[title])],
            cwd=cwd,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout

    def command(self, name: str) -> Path:
        """Make a command that records its arguments; return the path of the record."""
        (self.root / "bin").mkdir(exist_ok=True)
        record = self.root / f"{name}.calls"
        program = self.root / "bin" / name
        program.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(record))}\n')
        program.chmod(0o755)
        return record


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Follow the page on a machine."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    for folder in ("opt", "etc/systemd/system", "etc/nginx/conf.d", "etc/ssl/webmq"):
        (machine.root / folder).mkdir(parents=True)
    machine.run("install")
    return machine


@asynccontextmanager
async def running(*command: str, env: dict[str, str], cwd: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*command, env=env, cwd=cwd, stdout=DEVNULL)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def listens(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert process.returncode is None
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("nginx", "curl")
async def test_from_the_unit_to_a_push(machine: Machine) -> None:
    """What the page installs runs as the unit says, behind nginx as the page has it, and the page's commands work."""
    hub_port, tls_port, http_port = free_port(), free_port(), free_port()
    root = machine.root
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME, "localhost")
    certificate.private_key_pem.write_to_path(root / "etc/ssl/webmq/privkey.pem")
    for place, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(root / "etc/ssl/webmq/fullchain.pem", append=place > 0)
    authority.cert_pem.write_to_path(root / "ca.pem")

    credentials = root / "credentials"
    credentials.mkdir()
    unit = settings(machine.here((root / "etc/systemd/system/webmq-hub.service").read_text()))
    for name, source in (each.split(":") for each in unit["LoadCredential"]):
        shutil.copy(source, credentials / name)
    [file], [start] = unit["EnvironmentFile"], unit["ExecStart"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("WEBMQ_")}
    env |= {name: value for name, [value] in settings(read(file)).items()}
    env |= dict(each.replace("%d", str(credentials)).split("=", 1) for each in unit["Environment"])
    env |= {"WEBMQ_HUB_PORT": str(hub_port), "WEBMQ_HUB_METRICS": f"127.0.0.1:{free_port()}", "WEBMQ_HUB_DRAIN": "0.1"}

    configuration = root / "nginx.conf"
    paths = " ".join(
        f"{each}_temp_path {root}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    installed = "".join(path.read_text() for path in sorted((root / "etc/nginx/conf.d").iterdir()))
    installed = machine.here(installed).replace("127.0.0.1:8080", f"127.0.0.1:{hub_port}")
    installed = installed.replace("listen 443", f"listen 127.0.0.1:{tls_port}")
    installed = installed.replace("listen 80", f"listen 127.0.0.1:{http_port}")
    configuration.write_text(
        "daemon off; master_process off; "  # one process, which SIGKILL ends
        f"pid {root}/pid; error_log stderr; events {{}} http {{ {paths} {installed} }}"
    )

    async with (
        running(*shlex.split(start), env=env, cwd=root) as hub,
        running("nginx", "-e", "stderr", "-p", str(root), "-c", str(configuration), env=env, cwd=root) as nginx,
    ):
        await listens(hub_port, hub)
        await listens(tls_port, nginx)
        context = ssl.create_default_context(cafile=root / "ca.pem")
        url = f"https://localhost:{tls_port}"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
            headers = {"Host": NAME, "Origin": "https://shop.example.com"}
            async with http.ws_connect(f"{url}/ws", headers=headers, protocols=["wamp.2.json"]) as page:
                await page.send_json([1, "realm1", {"roles": {"subscriber": {}}}])
                assert (await page.receive_json())[0] == 2
                await page.send_json([32, 1, {}, "http://example.com/orders"])
                assert (await page.receive_json())[0] == 33
                await asyncio.to_thread(try_it, machine, tls_port)
                assert (await page.receive_json())[4] == [{"id": 17}]
            async with http.get(f"{url}/ws", headers={"Host": NAME, "Origin": "https://evil.example"}) as response:
                assert response.status == 403
            http_url = f"http://127.0.0.1:{http_port}/orders"
            async with http.get(http_url, headers={"Host": NAME}, allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (301, f"https://{NAME}/orders")
        hub.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(hub.wait(), PATIENCE) == 0


def try_it(machine: Machine, port: int) -> None:
    """Run the commands of "Try it", with the port of the test; curl resolves the name, and the other one is local."""
    resolve = ["--cacert", str(machine.root / "ca.pem"), "--resolve", f"{NAME}:{port}:127.0.0.1"]
    for line in machine.here(FENCES["try"]).splitlines():
        program, *arguments = shlex.split(line.replace(NAME, f"{NAME}:{port}"))
        if program == "curl":
            command = ["curl", *resolve, *arguments]
        else:
            command = [str(machine.root / "opt/webmq/bin" / program)]
            command += [each.replace(NAME, "localhost") for each in arguments]
        env = os.environ | {"SSL_CERT_FILE": str(machine.root / "ca.pem")}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE)  # noqa: S603  # ours
        assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("systemd")
def test_systemd_accepts_the_unit(machine: Machine) -> None:
    """It also finds it well confined: the exposure is at most 2 of 10."""
    unit = machine.root / "webmq-hub.service"
    unit.write_text(machine.here(UNIT))
    for command in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(["systemd-analyze", *command, str(unit)], capture_output=True, text=True)  # noqa: S603, S607
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""


def test_an_upgrade(machine: Machine) -> None:
    """The new version is tried before the hub is restarted."""
    calls = machine.command("systemctl")
    machine.run("upgrade")
    assert calls.read_text() == "restart webmq-hub\n"


def test_what_is_installed_is_for_its_owner_alone(machine: Machine) -> None:
    assert (machine.root / "etc/webmq").stat().st_mode & 0o777 == 0o700
    assert (machine.root / "etc/webmq/app.secret").stat().st_mode & 0o777 == 0o600


def test_the_variables_are_options() -> None:
    """The hub refuses others: see tests/cli/test_hub_variables.py."""
    assert all(name.startswith(PREFIX) for name in VARIABLES)
    assert COMPOSE["services"]["hub"]["env_file"] == "hub.env"


def test_the_hub_has_time_to_drain() -> None:
    seconds = float(VARIABLES["WEBMQ_HUB_DRAIN"]) + HubConfig().grace
    assert float(SERVICE["TimeoutStopSec"][0]) > seconds
    assert float(COMPOSE["services"]["hub"]["stop_grace_period"].removesuffix("s")) > seconds
    for text in (UNIT, (EXAMPLE / "compose.yaml").read_text()):
        assert f"WEBMQ_HUB_DRAIN ({VARIABLES['WEBMQ_HUB_DRAIN']} s) and WEBMQ_HUB_GRACE (3 s)" in text


def test_the_limits_have_room_for_the_subscribers() -> None:
    connections = HubConfig().max_connections + 200
    assert int(SERVICE["LimitNOFILE"][0]) > connections
    assert COMPOSE["services"]["hub"]["ulimits"]["nofile"] > connections
    [workers] = re.findall(r"worker_connections (\d+);", (EXAMPLE / "nginx.conf").read_text())
    assert int(workers) > 2 * connections
    assert f"worker_connections {workers};" in PAGE.read_text()


@pytest.mark.usefixtures("nginx")
def test_nginx_accepts_the_configuration_of_compose(tmp_path: Path) -> None:
    """Docker's host names, and `resolve`, which needs nginx 1.27.3, are replaced."""
    certificate = trustme.CA().issue_cert(NAME)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    text = (EXAMPLE / "nginx.conf").read_text().replace("hub:8080 resolve", "127.0.0.1:8080").replace("user nginx;", "")
    (tmp_path / "webmq.conf").write_text(re.sub(r"/etc/ssl/webmq/\w+\.pem", str(tmp_path / "pem"), NGINX))
    (tmp_path / "nginx.conf").write_text(f"pid pid;\n{text.replace('/etc/nginx/webmq.conf', 'webmq.conf')}")
    command = ["nginx", "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)  # noqa: S603  # ours
    assert done.returncode == 0, done.stderr


def test_the_containers_get_what_they_name(tmp_path: Path) -> None:
    """The commands of the page make the secret, which the hub can read, and nobody else who is not in its container."""
    machine = Machine(tmp_path)
    calls = machine.command("docker")
    shutil.copytree(EXAMPLE, tmp_path / "examples/production", ignore=shutil.ignore_patterns("secrets", "tls"))
    machine.run("containers", cwd=tmp_path)
    assert calls.read_text().startswith("compose up ")
    folder = tmp_path / "examples/production"
    [secret] = [each["file"] for each in COMPOSE["secrets"].values()]
    assert len((folder / secret).read_text().strip()) > 40
    assert (folder / secret).stat().st_mode & 0o004
    assert (folder / secret).parent.stat().st_mode & 0o777 == 0o700
    hub, nginx = COMPOSE["services"]["hub"], COMPOSE["services"]["nginx"]
    assert hub["environment"]["WEBMQ_HUB_SECRET_FILE"] == f"/run/secrets/{hub['secrets'][0]}"
    assert (EXAMPLE / hub["build"] / "Dockerfile").is_file()
    mounted = [volume.split(":")[0] for volume in nginx["volumes"]]
    assert [each for each in mounted if not (folder / each).exists()] == ["./tls"]  # the reader's certificate
    assert "./tls:/etc/ssl/webmq:ro" in nginx["volumes"]


def test_the_page_restarts_the_unit_that_it_installs() -> None:
    units = re.findall(r"systemctl (?:restart|enable --now|status|show) ([\w-]+)", PAGE.read_text() + TROUBLESHOOTING)
    assert len(units) >= 4
    assert set(units) == {"webmq-hub"}


def test_the_alerts_use_metrics_that_there_are() -> None:
    rules = yaml.safe_load(FENCES["alerts.yaml"])["groups"][0]["rules"]
    names = set(re.findall(r"webmqconnect_(?:hub|relay)_\w+", str(rules) + PAGE.read_text() + TROUBLESHOOTING))
    documented = "".join((PAGES / "how-to" / each).read_text() for each in ("watching.md", "relay.md"))
    assert [name for name in names if name not in documented] == []
    assert len(rules) == 4
