"""`examples/crossbar/`: Crossbar.io runs with its config.json, the example pushes, and its README is correct."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from brokers import crossbar
from webmqconnect_async import AsyncClient, AuthRejected

from ..processes import python
from .brokers import KEY, SECRET
from .subscribers import Event, subscriber

pytestmark = pytest.mark.usefixtures("crossbar")

ORDERS = "http://example.com/orders"
CONFIG: dict[str, Any] = json.loads(crossbar.EXAMPLE.read_text())
README = crossbar.EXAMPLE.with_name("README.md").read_text()


@pytest.fixture(scope="module")
def authority() -> Iterator[str]:
    """Run Crossbar.io with the example's configuration, except for the port."""
    with crossbar.node(CONFIG) as node:
        yield f"127.0.0.1:{node.port}"


async def test_the_example_pushes(authority: str) -> None:
    with subscriber(f"ws://{authority}/ws") as listening:
        listening.subscribe(ORDERS)
        (command,) = re.findall(r"^(WEBMQ_.*) \.venv/bin/python examples/crossbar/push\.py$", README, re.MULTILINE)
        signing = dict(word.split("=") for word in command.split())
        env = {"WEBMQ_ENDPOINT": f"http://{authority}/publish", **signing}
        async with python(str(crossbar.EXAMPLE.with_name("push.py")), env=env) as process:
            ended = await process.ended()
        got = listening.event()
    assert got == Event(ORDERS, [{"id": 17, "state": "paid"}])
    assert (ended.status, ended.stdout, ended.stderr) == (0, f"published as {got.publication}\n", "")


async def test_the_migration_that_the_readme_shows(authority: str) -> None:
    """The changed line of the README, which begins with a plus, makes a client whose pushes arrive."""
    (line,) = re.findall(r"^\+(AsyncClient\(.*\))$", README, re.MULTILINE)
    client = eval(line.replace("127.0.0.1:8080", authority), {"AsyncClient": AsyncClient})  # noqa: S307  # ours
    async with client:
        assert (await client.push(ORDERS, 1)).id


async def test_the_endpoint_for_signed_pushes_refuses_unsigned_ones(authority: str) -> None:
    async with AsyncClient(f"http://{authority}/publish-unsigned", dialect="crossbar") as client:
        await client.push(ORDERS, 1)
    for credentials in ((), (KEY, "x" + SECRET)):
        async with AsyncClient(f"http://{authority}/publish", *credentials, dialect="crossbar") as client:
            with pytest.raises(AuthRejected):
                await client.push(ORDERS, 1)


def test_the_readme_names_existing_files_and_paths() -> None:
    (transport,) = CONFIG["workers"][0]["transports"]
    assert re.findall(r"^\| `/([\w-]+)` \|", README, re.MULTILINE) == list(transport["paths"])
    assert transport["endpoint"] == {"type": "tcp", "interface": "127.0.0.1", "port": 8080}
    assert crossbar.COMMAND in README
    assert (crossbar.ROOT / "examples/crossbar/config.json") == crossbar.EXAMPLE
