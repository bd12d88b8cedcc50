"""The log messages of the clients, their levels, and that both log the same.

For secrets in them, see `test_secrets`.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import aiohttp
import pytest

from webmqconnect_async import AsyncClient, Client, ConnectionLost, Overloaded, Rejected, ReplyTimeout, Retry
from webmqconnect_async._sync.slots import Lease, Slots

from .clients import DRIVERS, Both
from .hostile import PATIENCE, Hostile, answer, drop_after_body, refusing, reply, stall
from .scripts import run_script

LOGGER = "webmqconnect_async.client"
TOPIC = "http://example.com/orders"
BUSY = answer(reply(503, b"", "Retry-After: 0"))
AT_LEAST_ONCE = Retry(wait=0.0, at_least_once=True)

both_drivers = pytest.mark.parametrize("driver", DRIVERS)


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    """Collect the records of all levels that users see by default."""
    caplog.set_level(logging.INFO, LOGGER)


def records_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str]]:
    """Return the logger, level and message of each record of this package."""
    ours = [each for each in caplog.records if each.name.startswith("webmqconnect_async")]
    return [(each.name, each.levelno, each.getMessage()) for each in ours]


@both_drivers
def test_an_accepted_push_logs_nothing(driver: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    with Both(driver, server.url, "app", "s3cret") as client:
        client.push(TOPIC, 1)
        client.push_many([(TOPIC, 2)])
    assert records_of(caplog) == []


@both_drivers
def test_an_error_that_is_raised_is_not_logged(driver: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    server.script(answer(reply(400)), drop_after_body)
    with Both(driver, server.url) as client:
        assert isinstance(client.failure(), Rejected)
        assert isinstance(client.failure(), ConnectionLost)
    assert records_of(caplog) == []


@both_drivers
def test_a_retry_is_logged_at_info(driver: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    """The message has the broker without a path, the attempt, the class and text of its error, and the delay."""
    server.script(drop_after_body, BUSY)
    with Both(driver, server.url, "app", "s3cret", retry=AT_LEAST_ONCE) as client:
        assert client.push(TOPIC, 1).attempts == 3
    lost, busy = records_of(caplog)
    broker = f"127.0.0.1:{server.port}"
    assert lost == (
        LOGGER,
        logging.INFO,
        f"{broker}: attempt 1 ended in ConnectionLost, the next follows in 0.000 seconds: "
        f"{broker} closed the connection before it responded",
    )
    assert busy[:2] == (LOGGER, logging.INFO)
    assert busy[2].startswith(f"{broker}: attempt 2 ended in Overloaded, the next follows in 0.000 seconds: ")


@both_drivers
def test_the_error_of_the_last_attempt_is_not_logged(
    driver: str, server: Hostile, caplog: pytest.LogCaptureFixture
) -> None:
    """Of three failed attempts, only the two that are followed by another one are logged."""
    server.script(BUSY, BUSY, BUSY)
    with Both(driver, server.url, retry=Retry(wait=0.0)) as client:
        assert isinstance(client.failure(), Overloaded)
    assert ["attempt 1" in text or "attempt 2" in text for _, _, text in records_of(caplog)] == [True, True]


@both_drivers
def test_a_bulk_logs_its_retries(driver: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    server.script(BUSY)
    with Both(driver, server.url, retry=Retry(wait=0.0)) as client:
        assert all(outcome.ok for outcome in client.push_many([(TOPIC, number) for number in range(5)]))
    [(_, level, text)] = records_of(caplog)
    assert level == logging.INFO
    assert "attempt 1 ended in Overloaded" in text


@both_drivers
def test_a_retry_is_not_shown_by_default(driver: str, caplog: pytest.LogCaptureFixture) -> None:
    """At the default level of Python's root logger, a retry is not shown."""
    caplog.set_level(logging.WARNING, LOGGER)
    with refusing() as url, Both(driver, url, retry=Retry(wait=0.0)) as client:
        client.failure()
    assert records_of(caplog) == []


def cut_off(server: Hostile) -> tuple[str, int, str]:
    """Return the record of a `close` that ended two pushes."""
    said = "closing the client ended pushes that had no response yet: 2"
    return LOGGER, logging.INFO, f"127.0.0.1:{server.port}: {said}"


async def test_pushes_that_close_ends_are_logged(server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    """The message is logged once, however often the client is closed. Pushes that wait for a slot are not counted."""
    server.script(stall, stall)
    client = AsyncClient(server.url, timeout=None, concurrency=2)
    pushing = [asyncio.create_task(client.push(TOPIC, number)) for number in range(3)]
    await asyncio.to_thread(server.until, lambda: len(server.requests) == 2)
    await client.close(grace=0.0)
    await client.close()
    errors = await asyncio.gather(*pushing, return_exceptions=True)
    assert [isinstance(error, ReplyTimeout) for error in errors] == [True, True, False]
    assert records_of(caplog) == [cut_off(server)]


async def test_a_push_that_ends_at_its_own_deadline_during_close_is_not_counted(
    server: Hostile, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(stall)
    client = AsyncClient(server.url, timeout=0.3)
    pushing = asyncio.create_task(client.push(TOPIC, 1))
    await asyncio.to_thread(server.until, lambda: len(server.requests) == 1)
    await client.close(grace=PATIENCE)
    with pytest.raises(ReplyTimeout, match="the deadline passed"):
        await pushing
    assert records_of(caplog) == []


async def test_pushes_that_a_cancelled_close_ends_are_logged(server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    """The `close` that ends the pushes logs it, and not the next one."""
    server.script(stall, stall)
    client = AsyncClient(server.url, timeout=None)
    pushing = [asyncio.create_task(client.push(TOPIC, number)) for number in range(2)]
    await asyncio.to_thread(server.until, lambda: len(server.requests) == 2)
    closing = asyncio.create_task(client.close(grace=None))
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert records_of(caplog) == [cut_off(server)]
    errors = await asyncio.gather(*pushing, return_exceptions=True)
    assert ["the client was closed" in str(error) for error in errors] == [True, True]


def test_pushes_that_a_blocking_close_ends_are_logged(server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    server.script(stall, stall)
    client = Client(server.url, timeout=None)
    with ThreadPoolExecutor(2) as threads:
        pushing = [threads.submit(client.push, TOPIC, number) for number in range(2)]
        server.until(lambda: len(server.requests) == 2)
        client.close(grace=0.0)
        client.close()
        assert [type(each.exception(PATIENCE)) for each in pushing] == [ReplyTimeout] * 2
    assert records_of(caplog) == [cut_off(server)]


def test_a_push_is_counted_once() -> None:
    """A push is counted once, even if it has not returned yet when the client is closed again."""
    slots = Slots(1)
    slots.acquire(Lease(), deadline=inf)
    assert slots.close(deadline=0.0) == 1
    assert slots.close(deadline=0.0) == 0


@both_drivers
def test_a_close_that_ends_no_push_logs_nothing(driver: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    client = Both(driver, server.url)
    with client:
        client.push(TOPIC, 1)
        client.close(grace=0.0)
    assert records_of(caplog) == []


ASYNC = "client = AsyncClient(url); push = lambda event: asyncio.run(client.push('t', event))"
SYNC = "client = Client(url); push = lambda event: client.push('t', event)"


@pytest.mark.parametrize("script", [ASYNC, SYNC], ids=DRIVERS)
def test_a_fork_is_logged_at_debug(script: str, server: Hostile, tmp_path: Path) -> None:
    """The child logs the fork once; the parent logs nothing."""
    printed = run_script(
        """
        logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s %(message)s", level="DEBUG")
        logging.getLogger("asyncio").disabled = True
        push("parent")
        child = os.fork()
        push("both")
        push("both")
        if child:
            os.waitpid(child, 0)
        """,
        server.url,
        tmp_path,
        prelude=f"{script}\n",
    )
    said = "a fork has copied the client, which does not use the parent's connections"
    # In each event loop, an AsyncClient also logs how it sends.
    lines = [line for line in printed.splitlines() if "requests are sent directly" not in line]
    assert lines == [f"{LOGGER} DEBUG 127.0.0.1:{server.port}: {said}"]
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("session", "said"),
    [
        (False, "requests are sent directly over connections of the session's connector"),
        (True, "requests are sent by session.post, because the session is borrowed"),
    ],
)
async def test_the_way_of_sending_is_logged_at_debug(
    session: bool, said: str, server: Hostile, caplog: pytest.LogCaptureFixture
) -> None:
    """How requests are sent is logged once, and shown in the repr."""
    caplog.set_level(logging.DEBUG, LOGGER)
    async with aiohttp.ClientSession() as borrowed:
        client = AsyncClient(server.url, session=borrowed if session else None)
        assert repr(client) == f"<AsyncClient {server.url} auth_key=None>"
        async with client:
            await client.push_many([(TOPIC, 1), (TOPIC, 2)])
            assert repr(client) == f"<AsyncClient {server.url} auth_key=None {'session.post' if session else 'direct'}>"
    assert records_of(caplog) == [(LOGGER, logging.DEBUG, f"127.0.0.1:{server.port}: {said}")]


def test_both_clients_log_the_same(server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    """The messages are the same for a push that fails and for one that is accepted after retries."""
    said = []
    for driver in DRIVERS:
        server.script(BUSY, drop_after_body, answer(reply(500)), drop_after_body)
        with Both(driver, server.url, retry=AT_LEAST_ONCE) as client:
            client.failure()
            client.push(TOPIC, 1)
        said.append(records_of(caplog))
        caplog.clear()
    assert said[0] == said[1]
    assert len(said[0]) == 3
