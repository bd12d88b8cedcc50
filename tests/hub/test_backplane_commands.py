"""The commands that hubs send to Redis, and how hubs handle the replies."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._engine import appender
from webmqconnect_async.hub._engine.connection import Connection, Reply, Unreachable
from webmqconnect_async.hub._engine.entries import Entry, position_at
from webmqconnect_async.hub._engine.tail import _MOST_BYTES, Portions

from ..redis_server import RedisServer
from .conftest import HubClient, Run
from .outages import accepted, backplane, engine_of, quicken, until, until_ready
from .pair import Pair, page
from .test_idempotency import TOPIC


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)
    monkeypatch.setattr(appender, "_PROBE", 0.05)


@pytest.fixture
async def pair(run: Run, own_redis: RedisServer) -> Pair:
    return Pair(*[await run(Hub(port=0, **backplane(own_redis))) for _ in range(2)])


def entries(count: int, size: int) -> list[Entry]:
    return [Entry(position_at(b"1-0", b"o"), b"", [b"x" * size])] * count


def test_the_number_of_entries_per_read() -> None:
    """The first reads are small enough for the largest allowed events; later ones adapt to the size of real events."""
    assert Portions(4096).count == 100
    portions = Portions(_MOST_BYTES)
    assert portions.count == 1
    counts = []
    for size in (10, 10, 10, 10, 1_000_000, 1_000_000, 1_000_000, 10):
        portions.arrived(entries(portions.count, size))
        counts.append(portions.count)
    assert counts == [2, 4, 8, 16, 8, 4, 2, 4]
    portions.arrived(entries(1, 10))  # there were no more entries
    assert portions.count == 4


async def test_a_read_that_times_out_is_halved() -> None:
    """After a read that times out, the next one asks for half as many entries."""

    class Slow:
        async def ask(self, *command: bytes | str | int, wait: float) -> Reply:
            raise Unreachable

    portions = Portions(4096)
    counts = []
    for _ in range(8):
        with pytest.raises(Unreachable):
            await portions.ask(cast(Connection, Slow()), "XRANGE")
        counts.append(portions.count)
    assert counts == [50, 25, 12, 6, 3, 1, 1, 1]


async def test_a_connection_that_redis_closes_between_two_events(
    pair: Pair, wire: HubClient, own_redis: RedisServer
) -> None:
    await accepted(wire, pair.first, 1, TOPIC)
    with own_redis.client() as client:

        def adding() -> set[str]:
            return {each["id"] for each in client.client_list() if each["cmd"] in ("time", "evalsha")}

        before = adding()
        assert len(before) == 2
        for client_id in before:
            client.client_kill_filter(_id=client_id)
        await until(lambda: len(adding()) == 2 and not adding() & before)
    await until_ready(wire, *pair)
    for hub in pair:
        assert (await wire.request("POST", hub, f"/?topicuri={TOPIC}", b"2")).status == 202


async def test_a_push_after_redis_has_closed_the_connection(
    run: Run, wire: HubClient, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event has certainly not been added, because the hub has noticed the end of the connection before."""
    monkeypatch.setattr(appender, "_PROBE", 60.0)
    hub = await run(Hub(port=0, **backplane(own_redis)))
    await accepted(wire, hub, 1, TOPIC)
    connection = engine_of(hub)._appender._connection
    assert connection is not None
    with own_redis.client() as client:
        (adding,) = [each["id"] for each in client.client_list() if each["cmd"] == "evalsha"]
        client.client_kill_filter(_id=adding)
    await until(lambda: connection._lost != "")
    answer = await wire.request("POST", hub, f"/?topicuri={TOPIC}", b"2")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    await accepted(wire, hub, 3, TOPIC)


async def test_a_command_that_arrives_when_the_hub_no_longer_waits(
    pair: Pair, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that reaches Redis after the hub's timeout adds nothing, because the event would follow newer ones."""
    monkeypatch.setattr(appender, "_PROBE", 60.0)
    peer = await page(wire, pair.second, TOPIC)
    connection = engine_of(pair.first)._appender._connection
    assert connection is not None
    connection._ahead -= 60_000  # the command has waited for a minute somewhere on its way
    answer = await wire.request("POST", pair.first, f"/?topicuri={TOPIC}", b"1")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    publication = await accepted(wire, pair.first, 2, TOPIC)
    assert await peer.event() == (publication, [[2]])


async def test_trimming_of_entries_that_the_hub_has_read_is_not_a_loss(
    pair: Pair, wire: HubClient, own_redis: RedisServer
) -> None:
    """Trimming entries that the hub added and has read past is not a loss."""
    peer = await page(wire, pair.first, TOPIC)
    ids = [await accepted(wire, hub, number, TOPIC) for number, hub in enumerate(pair)]
    assert [(await peer.event())[0] for _ in ids] == ids
    with own_redis.client() as client:
        client.xtrim("webmq:events", maxlen=1, approximate=False)
        asked = client.info("commandstats")["cmdstat_mget"]["calls"]
        await until(lambda: client.info("commandstats")["cmdstat_mget"]["calls"] > asked + 2)
    publication = await accepted(wire, pair.second, 2, TOPIC)
    assert await peer.event() == (publication, [[2]])


@pytest.mark.parametrize("before", [b"garbage", b"", b"1-", b"1-x o", b"\xff"])
async def test_an_entry_that_follows_nothing(
    pair: Pair, wire: HubClient, own_redis: RedisServer, before: bytes
) -> None:
    """Another application has added an entry without a predecessor. The hubs continue."""
    with own_redis.client() as client:
        entry = cast(bytes, client.xadd("webmq:events", {"o": "x", "p": before}))
    reached = position_at(entry, b"x").publication_id
    await until(lambda: all(engine_of(hub)._broker.ids.newest == reached for hub in pair))
    await until_ready(wire, *pair)
    peer = await page(wire, pair.second, TOPIC)
    publication = await accepted(wire, pair.first, 1, TOPIC)
    assert await peer.event() == (publication, [[1]])


async def test_a_right_that_is_revoked(run: Run, wire: HubClient, own_redis: RedisServer) -> None:
    """The event is added, but not its key: the response says that it is unknown whether the event was published."""
    hub = await run(Hub(port=0, **backplane(own_redis)))
    await accepted(wire, hub, 1, TOPIC)
    with own_redis.client() as client:
        client.execute_command("ACL SETUSER default -set")  # type: ignore[no-untyped-call]
    answer = await wire.request("POST", hub, f"/?topicuri={TOPIC}", b"2", Idempotency_Key='"key"')
    assert answer.status == 502


async def test_a_server_that_quotes_the_password(run: Run) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"-ERR unknown command 'AUTH', with args beginning with: 'hub' 'pa55word'\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionError) as caught:
            await run(Hub(port=0, backplane=f"redis://hub:pa55word@127.0.0.1:{port}"))
    assert str(caught.value) == f"the backplane 127.0.0.1:{port} cannot be used: it refuses to authenticate"


async def test_a_malformed_host(run: Run) -> None:
    with pytest.raises(ConnectionError, match=r"^the backplane foo\.\.bar:6379 cannot be used: "):
        await run(Hub(port=0, backplane="redis://foo..bar"))
