"""The Dockerfile, executed step by step without Docker: its copies, commands, health check and process.

Each path of the image is replaced by one in a folder of the test. The commands of RUN need the package index.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient

from .processes import PATIENCE
from .redis_server import free_port
from .snippets import ROOT

TOPIC = "http://example.com/orders"


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction of a Dockerfile with its arguments, on one line."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, arguments = line.strip().partition(" ")
            yield name.upper(), " ".join(arguments.split()) if name != "RUN" else arguments.strip()


INSTRUCTIONS = list(instructions((ROOT / "Dockerfile").read_text("utf-8")))
LAST_STAGE = INSTRUCTIONS[max(place for place, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM") :]


def last(name: str) -> str:
    """Return the arguments of the last instruction with this name in the last stage."""
    return [arguments for each, arguments in LAST_STAGE if each == name][-1]


def ignored(path: str) -> bool:
    """Return whether `.dockerignore` excludes a path: the last pattern that matches it, or a parent folder, decides."""
    result = False
    parts = path.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        names = parts if "**/" in line else above
        if line and not line.startswith("#") and any(fnmatch(name, pattern) for name in names):
            result = not line.startswith("!")
    return result


@dataclass
class Image:
    """A folder that represents the root of an image."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """Return a text whose paths of the image are replaced by those in the folder."""
        return re.sub(r"(?<![\w./])/(?=opt/|src\b)", f"{self.root}/", text)

    def build(self) -> None:
        """Execute the instructions of all stages. Files that a stage copies from an earlier one already exist."""
        for name, arguments in INSTRUCTIONS:
            match name:
                case "FROM":
                    shutil.rmtree(self.root / "src", ignore_errors=True)  # the last stage does not have it
                case "COPY":
                    self._copy(*shlex.split(arguments))
                case "RUN":
                    self._run(arguments)
                case "ENV":
                    self.env |= dict(word.split("=", 1) for word in shlex.split(arguments))
        self.env = {key: self.here(value.replace("$PATH", os.environ["PATH"])) for key, value in self.env.items()}

    def _copy(self, *words: str) -> None:
        *sources, target = words
        if sources[0].startswith("--from="):
            assert sources[1:] == [target], "a virtual environment cannot be moved"
            assert Path(self.here(target)).is_dir()
            return
        for source in sources:
            found = [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*"))
            copied = [path for path in found if path.is_file() and not ignored(str(path.relative_to(ROOT)))]
            assert copied, f"no file of {source} is in the context"
            for path in copied:
                inside = path.name if path == ROOT / source else str(path.relative_to(ROOT / source))
                place = Path(self.here(target), inside)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)

    def _run(self, command: str) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(  # noqa: S603  # ours
            ["/bin/sh", "-c", self.here(command)],
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout

    def environment(self, port: int, **variables: str) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("WEBMQ_", "PYTHON"))}
        proxy = {"http_proxy": "http://127.0.0.1:9"}  # which Docker may set, and the health check does not use
        return {**outside, **proxy, **self.env, "WEBMQ_HUB_PORT": str(port), **variables}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    image = Image(tmp_path_factory.mktemp("image"))
    image.build()
    return image


@pytest.mark.timeout(300)
async def test_the_hub_of_the_image(image: Image, tmp_path: Path) -> None:
    """The hub starts, is healthy, accepts a signed push, and ends by SIGTERM; then the health check fails."""
    (tmp_path / "app").write_text("s3cret\n")
    port = free_port()
    env = image.environment(port, WEBMQ_HUB_KEY="app", WEBMQ_HUB_SECRET_FILE=str(tmp_path / "app"))
    command = json.loads(last("CMD"))
    program = shutil.which(command[0], path=env["PATH"])
    assert program == str(image.root / "opt/webmq/bin/webmqconnect")
    hub = await asyncio.create_subprocess_exec(program, *command[1:], env=env, cwd=image.root, stdout=DEVNULL)
    try:
        async with asyncio.timeout(PATIENCE):
            while await healthy(env):
                assert hub.returncode is None
        async with AsyncClient(f"http://127.0.0.1:{port}", "app", "s3cret") as client:
            assert (await client.push(TOPIC, {"id": 17})).status == 202
        hub.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(hub.wait(), PATIENCE) == 0
        assert await healthy(env) == 1
    finally:
        if hub.returncode is None:
            hub.kill()
            await hub.wait()


async def healthy(env: dict[str, str]) -> int:
    """Return the exit status of the health check."""
    command = json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
    program = shutil.which(command[0], path=env["PATH"])
    assert program is not None
    check = await asyncio.create_subprocess_exec(program, *command[1:], env=env, stderr=DEVNULL)
    return await asyncio.wait_for(check.wait(), PATIENCE)


def test_without_a_key_the_hub_does_not_start(image: Image) -> None:
    command = [str(image.root / "opt/webmq/bin/webmqconnect"), *json.loads(last("CMD"))[1:]]
    done = subprocess.run(command, env=image.environment(0), capture_output=True, text=True, timeout=PATIENCE)  # noqa: S603  # ours
    assert done.returncode == 2
    assert "WEBMQ_HUB_KEY must be given for a hub on '0.0.0.0'" in done.stderr


def test_the_image_does_not_need_the_sources(image: Image) -> None:
    """The package is installed in the environment, with all extras that a hub can need."""
    assert not (image.root / "src").exists()
    script = "import hiredis, prometheus_client, uvloop, webmqconnect_async.hub as hub; print(hub.__file__)"
    python = str(image.root / "opt/webmq/bin/python")
    done = subprocess.run(  # noqa: S603  # ours
        [python, "-c", script], env=image.environment(0), cwd=image.root, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith(str(image.root / "opt/webmq/lib"))


def test_the_hub_does_not_run_as_root() -> None:
    """The user is a number, which `runAsNonRoot` of Kubernetes requires."""
    assert [int(each) > 0 for each in last("USER").split(":")] == [True, True]
    names = [name for name, _ in LAST_STAGE]
    assert not {"RUN", "ADD"} & set(names[names.index("USER") :])


def test_the_first_process_is_the_hub() -> None:
    """The hub is process 1, because a shell would not forward SIGTERM."""
    assert not {"ENTRYPOINT", "STOPSIGNAL", "SHELL"} & set(dict(LAST_STAGE))
    assert json.loads(last("CMD")) == ["webmqconnect", "hub"]


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("app.secret", True),
        (".git/config", True),
        ("tests/conftest.py", True),
        ("examples/two_hubs/secrets/app", True),
        ("webmqconnect_async/hub/__pycache__/x.pyc", True),
        ("webmqconnect_async/hub/static/webmq.js", False),
        ("pyproject.toml", False),
    ],
)
def test_files_that_are_not_copied(path: str, out: bool) -> None:
    assert ignored(path) is out


def test_the_dockerfile_has_no_arguments_for_secrets() -> None:
    """Build arguments and variables are not secret: `docker history` and `docker inspect` show them."""
    assert "ARG" not in dict(INSTRUCTIONS)
    variables = {word.split("=")[0] for name, words in INSTRUCTIONS if name == "ENV" for word in shlex.split(words)}
    assert variables == {"PATH", "WEBMQ_HUB_HOST", "WEBMQ_HUB_PORT"}
