"""The rights in Redis that the documentation gives the hubs: enough for all that they do, and none to spare."""

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
    """Return what the server has refused the hubs: commands, and keys."""
    with server.client() as client:
        log = client.acl_log()
    return {str(entry["object"]) for entry in log if entry["username"] == "hub"}


def hub(server: RedisServer, database: int = 0) -> Hub:
    return Hub(port=0, backplane=f"redis://hub:{PASSWORD}@127.0.0.1:{server.port}/{database}")


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


async def test_the_documented_rights_are_enough() -> None:
    with server_with(RULES) as server:
        await work(server, 60)
        assert refused(server) == set()


@pytest.mark.parametrize("right", RIGHTS)
async def test_none_of_them_is_superfluous(right: str) -> None:
    with server_with([rule for rule in RULES if rule != right]) as server:
        with pytest.raises((OSError, WebMQError, AssertionError)):
            await work(server, 6)
        denied = refused(server)
    assert denied > set() if right.startswith("~") else right[1:] in denied


async def test_another_database_needs_one_right_more() -> None:
    assert "with another database than 0, add `+select`" in PAGE
    with server_with(RULES) as server, pytest.raises(ConnectionError, match="'select'"):
        await hub(server, 3).start()
    with server_with([*RULES, "+select"]) as server:
        async with hub(server, 3):
            pass


def test_a_user_begins_without_rights() -> None:
    """So that a rule that was there before, or that Redis gives new users, does not count."""
    assert RULES[:2] == ["reset", "on"]
    assert "resetchannels" in RULES  # Redis 6.2 lets new users into all channels
    assert not [rule for rule in RULES if rule.startswith("+@") or rule in ("allkeys", "allcommands", "~*")]


def test_the_example_gives_the_same_rights() -> None:
    readme = (ROOT / "examples" / "two_hubs" / "README.md").read_text()
    (rules,) = re.findall(r"^user hub (.+)$", readme, re.MULTILINE)
    assert rules.replace(">$(cat secrets/password)", f">{PASSWORD}").split() == RULES
