"""The documented rights of the hubs in Redis suffice for everything that they do, and none of them is superfluous."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


@contextmanager
def server_with(rules: Sequence[str]) -> Iterator[RedisServer]:
    """Run a server whose user `hub` has these rules, and whose user `default` may do everything."""
    with running(acl=["user default on nopass ~* &* +@all", f"user hub {' '.join(rules)}"]) as server:
        yield server


def refused(server: RedisServer) -> set[str]:
    """Return the commands and keys that the server has refused to the hubs."""
    with server.client() as client:
        log = client.acl_log()
    return {str(entry["object"]) for entry in log if entry["username"] == "hub"}


def hub(server: RedisServer, database: int = 0) -> Hub:
    return Hub(port=0, backplane=f"redis://hub:{PASSWORD}@127.0.0.1:{server.port}/{database}")


async def work(server: RedisServer, seconds: float) -> None:
    """Let hubs start, push, deliver, restart, and recover after an outage and a flush of Redis.

    Args:
        server: the server.
        seconds: how long that may take.

    Raises:
        OSError, WebMQError, AssertionError: The hubs cannot do something.
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
        async with hub(server) as two:  # this hub loads existing entries
            with server.client() as administrator:
                administrator.flushall()
            await client.push(TOPIC, 3, idempotency_key="3")
            async with listener(two.ws_url, TOPIC) as listening:
                await client.push(TOPIC, 4, idempotency_key="4")
                assert await listening.next() == 4


async def test_the_documented_rights_suffice() -> None:
    with server_with(RULES) as server:
        await work(server, 60)
        assert refused(server) == set()


@pytest.mark.parametrize("right", RIGHTS)
async def test_no_documented_right_is_superfluous(right: str) -> None:
    with server_with([rule for rule in RULES if rule != right]) as server:
        with pytest.raises((OSError, WebMQError, AssertionError)):
            await work(server, 6)
        denied = refused(server)
    assert denied > set() if right.startswith("~") else right[1:] in denied


async def test_another_database_needs_one_more_right() -> None:
    assert "with another database than 0, add `+select`" in PAGE
    with server_with(RULES) as server, pytest.raises(ConnectionError, match="'select'"):
        await hub(server, 3).start()
    with server_with([*RULES, "+select"]) as server:
        async with hub(server, 3):
            pass


def test_a_user_begins_without_rights() -> None:
    """The documented rules begin with `reset`, so that neither earlier rules nor Redis's defaults apply."""
    assert RULES[:2] == ["reset", "on"]
    assert "resetchannels" in RULES  # Redis 6.2 allows new users all channels
    assert not [rule for rule in RULES if rule.startswith("+@") or rule in ("allkeys", "allcommands", "~*")]


def test_the_example_gives_the_same_rights() -> None:
    readme = (ROOT / "examples" / "two_hubs" / "README.md").read_text()
    (rules,) = re.findall(r"^user hub (.+)$", readme, re.MULTILINE)
    assert rules.replace(">$(cat secrets/password)", f">{PASSWORD}").split() == RULES
