"""The rights in Redis that the documentation gives the hubs: enough for all that they do, and none to spare."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence

import pytest

from webmqconnect_async import AsyncClient, Retry, WebMQError
from webmqconnect_async.hub import Hub

from ..listener import listener
from ..redis_server import RedisServer, running
from ..snippets import PAGES, ROOT

pytestmark = pytest.mark.usefixtures("redis")

PAGE = (PAGES / "how-to" / "several-hubs.md").read_text()
RULES = re.findall(r"^ACL SETUSER hub (.+)$", PAGE, re.MULTILINE)[0].split()
RIGHTS = [rule for rule in RULES if rule.startswith(("+", "~"))]
(PASSWORD,) = [rule[1:] for rule in RULES if rule.startswith(">")]
TOPIC = "http://example.com/orders"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Run a server whose user `default` may do everything."""
    with running(acl=["user default on nopass ~* &* +@all"]) as server:
        yield server


def allow(server: RedisServer, rules: Sequence[str]) -> None:
    """Set the rights of the hubs, as an administrator does, and keep them when the server restarts."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "hub", *rules)
        client.execute_command("ACL", "SAVE")
        client.execute_command("ACL", "LOG", "RESET")


def refused(server: RedisServer) -> set[str]:
    """Return what the server has refused the hubs: commands, and keys."""
    with server.client() as client:
        log = client.acl_log()
    return {str(entry["object"]) for entry in log if entry["username"] == "hub"}


def hub(server: RedisServer) -> Hub:
    return Hub(port=0, backplane=server.url.replace("://", f"://hub:{PASSWORD}@"))


async def work(server: RedisServer, seconds: float) -> None:
    """Let hubs do all that they do: start, push, deliver, restart, and go on after Redis was away or was flushed.

    Args:
        server: the server.
        seconds: how long that may take.

    Raises:
        OSError, WebMQError, AssertionError: They cannot.
    """
    retry = Retry(attempts=100, max_wait=1, at_least_once=True)
    async with (
        asyncio.timeout(seconds),
        hub(server) as one,
        AsyncClient(one.url, retry=retry, timeout=seconds) as client,
    ):
        async with hub(server) as two, listener(two.ws_url, TOPIC) as listening:
            for _ in range(2):
                await client.push(TOPIC, 1, idempotency_key="1")
            assert await listening.next() == 1
            await asyncio.to_thread(server.restart)
            await client.push(TOPIC, 2, idempotency_key="2")
            assert await listening.next() == 2
        async with hub(server) as two:  # which loads what there is
            with server.client() as administrator:
                administrator.flushall()
            await client.push(TOPIC, 3, idempotency_key="3")
            async with listener(two.ws_url, TOPIC) as listening:
                await client.push(TOPIC, 4, idempotency_key="4")
                assert await listening.next() == 4


async def test_the_documented_rights_are_enough(server: RedisServer) -> None:
    allow(server, RULES)
    await work(server, 60)
    assert refused(server) <= {"client|setinfo"}  # which redis-py sends and does not need


@pytest.mark.parametrize("right", RIGHTS)
async def test_none_of_them_is_superfluous(server: RedisServer, right: str) -> None:
    allow(server, [rule for rule in RULES if rule != right])
    with pytest.raises((OSError, WebMQError, AssertionError)):
        await work(server, 10)
    denied = refused(server)
    assert denied > set() if right.startswith("~") else right[1:] in denied


def test_a_user_begins_without_rights() -> None:
    """So that a rule that was there before, or that Redis gives new users, does not count."""
    assert RULES[:2] == ["reset", "on"]
    assert "resetchannels" in RULES  # Redis 6.2 lets new users into all channels
    assert not [rule for rule in RULES if rule.startswith("+@") or rule in ("allkeys", "allcommands", "~*")]


def test_the_example_gives_the_same_rights() -> None:
    readme = (ROOT / "examples" / "two_hubs" / "README.md").read_text()
    (user,) = re.findall(r"^user hub (.+)$", readme, re.MULTILINE)
    assert [rule for rule in user.split() if not rule.startswith(">")] == [
        rule for rule in RULES if not rule.startswith(">")
    ]
