"""`webmqconnect relay`: its arguments, its output and its end."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from webmqconnect_async.hub import Hub

from ..outbox.databases import Database
from ..processes import MODULE, python
from .conftest import SECRET, TOPIC, Join, invoke, invoke_here, received


@pytest.fixture
def shop(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path}/shop.db")


async def test_once_pushes_all_rows_and_ends(shop: Database, hub: Hub, join: Join) -> None:
    session = await join(hub)
    shop.insert((TOPIC, 1), (TOPIC, 2))
    ended = await invoke("relay", hub.url, shop.url, "--once")
    assert (ended.status, ended.stdout) == (0, "")
    assert f"active: pushing the rows of the outbox to {hub.url}" in ended.stderr
    assert re.search(r"^2 pushed, 0 failed, 0 parked in \d+\.\d s", ended.stderr, re.MULTILINE)
    assert await received(session, 2) == [1, 2]


async def test_variables_and_a_key(shop: Database, signed_hub: Hub, tmp_path: Path) -> None:
    shop.insert((TOPIC, 1))
    env = {"WEBMQ_ENDPOINT": signed_hub.url, "WEBMQ_AUTH_KEY": "app", "WEBMQ_AUTH_SECRET": SECRET}
    assert (await invoke("relay", "--once", env={**env, "WEBMQ_OUTBOX_URL": shop.url})).status == 0
    (tmp_path / "url").write_text(f"{shop.url}\n")
    shop.insert((TOPIC, 2))
    ended = await invoke("relay", "--once", "--url-file", str(tmp_path / "url"), env=env)
    assert "1 pushed" in ended.stderr


async def test_once_with_a_row_that_is_parked(shop: Database, hub: Hub) -> None:
    shop.insert((TOPIC, "x" * 5000))
    ended = await invoke("relay", hub.url, shop.url, "--once")
    assert ended.status == 1
    assert f"WARNING row 1 of {TOPIC}: parked: TooLarge" in ended.stderr
    assert "0 pushed, 1 failed, 1 parked" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("localhost:8080", "sqlite:///a.db"), "'localhost:8080' is not a URL: ENDPOINT begins with http://"),
        ((), "URL is needed: give it, or set WEBMQ_OUTBOX_URL"),
        (("sqlite:///shop.db",), "ENDPOINT is needed"),
        (("http://127.0.0.1:1", "sqlite:///a.db", "sqlite:///b.db"), "URL is given twice"),
        (("http://127.0.0.1:1", "mysql://localhost/shop"), "must be sqlite:///PATH or postgresql://"),
        (("http://127.0.0.1:1", "postgresql://me:pa55@localhost/shop"), "URL has a password"),
        (("http://127.0.0.1:1", "postgresql://localhost/shop?password=pa55"), "URL has a password"),
        (("http://127.0.0.1:1", "sqlite:///shop.db", "--metrics", "9101"), "--metrics must be HOST:PORT"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], said: str) -> None:
    ended = invoke_here("relay", *arguments)
    assert (ended.status, ended.stdout) == (2, "")
    assert said in " ".join(ended.stderr.replace("│", "").split())
    assert "pa55" not in ended.stderr


async def test_a_missing_database(tmp_path: Path, hub: Hub) -> None:
    ended = await invoke("relay", hub.url, f"sqlite:///{tmp_path}/none.db")
    assert ended.status == 1
    assert f"error: the database {tmp_path}/none.db does not exist" in ended.stderr
    assert "0 pushed" not in ended.stderr


async def test_metrics_on_a_port_in_use(shop: Database, hub: Hub) -> None:
    address = hub.url.removeprefix("http://")
    ended = await invoke("relay", hub.url, shop.url, "--metrics", address)
    assert ended.status == 1
    assert f"error: cannot serve metrics at {address}: Address already in use" in ended.stderr


async def test_a_service(shop: Database, hub: Hub, join: Join) -> None:
    """As a service, the relay pushes rows that are committed later, serves metrics, and ends with SIGTERM."""
    session = await join(hub)
    arguments = (*MODULE, "relay", hub.url, shop.url, "--metrics", "127.0.0.1:0")
    async with python(*arguments) as process, aiohttp.ClientSession() as http:
        url = re.findall(r"http://\S+", await process.complained("metrics at"))[0]
        await process.complained("active:")
        shop.insert((TOPIC, "x" * 5000), (TOPIC, 17))
        assert await received(session) == [17]
        await process.complained("parked")
        async with http.get(url) as response:
            text = await response.text()
        samples = {each.name: each.value for family in text_string_to_metric_families(text) for each in family.samples}
        assert samples["webmqconnect_relay_active"] == 1
        assert samples["webmqconnect_relay_failed_total"] == 1
        assert samples["webmqconnect_relay_parked"] == 1
        ended = await process.stopped(signal.SIGTERM)
    assert ended.status == 0
    assert "1 pushed, 1 failed, 1 parked" in ended.stderr
