"""What hubs do when something is lost on the server: pages are told, or get everything, and the hubs go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from webmqconnect_async.hub import Hub
from webmqconnect_async.subscriber import Subscriber

from ..redis_server import RedisServer
from .conftest import HubClient, Run
from .outages import LOST, accepted, backplane, engine_of, gone, last_entries, quicken, until, until_ready
from .pair import Page, Pair, page
from .test_idempotency import TOPIC


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@pytest.fixture
async def pair(run: Run, own_redis: RedisServer) -> Pair:
    return Pair(*[await run(Hub(port=0, **backplane(own_redis))) for _ in range(2)])


async def three_events(wire: HubClient, pair: Pair) -> tuple[list[Page], list[int]]:
    """Publish events to a page at each hub. Return the pages and the IDs."""
    pages = [await page(wire, hub, TOPIC) for hub in pair]
    ids = [await accepted(wire, pair[number % 2], number, TOPIC) for number in range(3)]
    for peer in pages:
        assert [await peer.event() for _ in ids] == [(ids[number], [[number]]) for number in range(3)]
    return pages, ids


LATE = 100
"""Events with this number or a higher one may still arrive when hubs are checked."""


def is_late(arguments: object) -> bool:
    match arguments:
        case [[int(number)]]:
            return number >= LATE
    return False


async def assert_working(wire: HubClient, pair: Pair) -> None:
    """Check that both hubs publish and deliver, and have the same history."""
    await until_ready(wire, *pair)
    pages = [await page(wire, hub, TOPIC) for hub in pair]
    assert pages[0].history == pages[1].history
    for number, hub in enumerate(pair):
        publication = await accepted(wire, hub, 10 + number, TOPIC)
        for peer in pages:
            event = await peer.event()
            while is_late(event[1]):
                event = await peer.event()
            assert event == (publication, [[10 + number]])
            assert await peer.recover(TOPIC, publication) == []


def flushall(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()


def delete(name: str) -> Callable[[RedisServer], None]:
    def action(server: RedisServer) -> None:
        with server.client() as client:
            assert client.delete(f"webmq:{name}") == 1

    action.__name__ = f"delete_{name}"
    return action


def trim_all(server: RedisServer) -> None:
    with server.client() as client:
        assert client.xtrim("webmq:events", 0, approximate=False) == 4


def delete_the_last_entry(server: RedisServer) -> None:
    with server.client() as client:
        [(last, _)] = last_entries(client, 1)
        assert client.xdel("webmq:events", last) == 1


def replace_the_last_entry(server: RedisServer) -> None:
    """Let another entry have its ID, as when a copy that is behind has gone on by itself."""
    with server.client() as client:
        [(last, fields), (before, _)] = last_entries(client, 2)
        client.delete("webmq:events")
        client.xadd("webmq:events", {b"o": b"x", b"h": b"y"}, id=before)
        client.xadd("webmq:events", {b"o": b"another", b"p": fields[b"p"], b"t": b"t", b"e": b"1"}, id=last)


def restart_without_data(server: RedisServer) -> None:
    server._appendonly = False
    server.restart()


def restart_with_other_data(server: RedisServer) -> None:
    """Restart the server from a snapshot, which may be older than its data."""
    with server.client() as client:
        client.save()
    server._appendonly = False
    server.restart()


@pytest.mark.parametrize(
    "lose",
    [
        flushall,
        delete("events"),
        delete("history"),
        delete("server"),
        trim_all,
        delete_the_last_entry,
        replace_the_last_entry,
        restart_without_data,
        restart_with_other_data,
    ],
    ids=lambda lose: lose.__name__,
)
async def test_lost(pair: Pair, wire: HubClient, own_redis: RedisServer, lose: Callable[[RedisServer], None]) -> None:
    """All pages are disconnected, and the history that they find has another ID."""
    pages, _ = await three_events(wire, pair)
    await asyncio.to_thread(lose, own_redis)
    for peer in pages:
        assert await gone(peer) == LOST
    await assert_working(wire, pair)
    assert (await page(wire, pair.first)).history != pages[0].history


async def test_lost_while_others_push(pair: Pair, wire: HubClient, own_redis: RedisServer) -> None:
    """Pages that have reconnected get each event that is accepted afterwards, or are told that it was lost."""
    pages, _ = await three_events(wire, pair)
    stopped = False

    async def push(hub: Hub) -> None:
        number = LATE
        while not stopped:
            await accepted(wire, hub, number, TOPIC)
            number += 1

    async with asyncio.TaskGroup() as tasks:
        for hub in pair:
            tasks.create_task(push(hub))
        await asyncio.to_thread(flushall, own_redis)
        for peer in pages:
            assert await gone(peer) == LOST
        stopped = True
    await assert_working(wire, pair)


async def test_a_copy_that_is_behind(pair: Pair, wire: HubClient, own_redis: RedisServer, tmp_path: Path) -> None:
    """The same server has older data: a hub whose position is not there any more begins a new history."""
    pages, _ = await three_events(wire, pair)
    copy = await asyncio.to_thread(own_redis.copy, tmp_path / "copy")
    publication = await accepted(wire, pair.first, 3, TOPIC)
    for peer in pages:
        assert await peer.event() == (publication, [[3]])
    await asyncio.to_thread(own_redis.restore, copy)
    for peer in pages:
        assert await gone(peer) == LOST
    await assert_working(wire, pair)
    assert (await page(wire, pair.first)).history != pages[0].history


async def test_another_server_with_the_data(
    pair: Pair, wire: HubClient, own_redis: RedisServer, tmp_path: Path
) -> None:
    """Nobody knows whether it has all of them."""
    pages, _ = await three_events(wire, pair)
    copy = await asyncio.to_thread(own_redis.copy, tmp_path / "copy")
    await asyncio.to_thread(own_redis.replace, copy)
    for peer in pages:
        assert await gone(peer) == LOST
    await assert_working(wire, pair)
    assert (await page(wire, pair.first)).history != pages[0].history


async def test_started_again_with_its_data(pair: Pair, wire: HubClient, own_redis: RedisServer) -> None:
    """Pages stay, and nothing is lost."""
    pages, _ = await three_events(wire, pair)
    await asyncio.to_thread(own_redis.kill)
    await until_ready(wire, *pair, status=503)
    await asyncio.to_thread(own_redis.start)
    await until_ready(wire, *pair)
    publication = await accepted(wire, pair.second, 3, TOPIC)
    for peer in pages:
        assert await peer.event() == (publication, [[3]])
    assert (await page(wire, pair.first)).history == pages[0].history


async def test_scripts_that_are_gone(pair: Pair, wire: HubClient, own_redis: RedisServer) -> None:
    pages, _ = await three_events(wire, pair)
    with own_redis.client() as client:
        client.script_flush()
    publication = await accepted(wire, pair.second, 3, TOPIC)
    for peer in pages:
        assert await peer.event() == (publication, [[3]])


async def test_trimmed_behind_the_hubs(pair: Pair, wire: HubClient, own_redis: RedisServer) -> None:
    """What they have read is no longer needed."""
    pages, ids = await three_events(wire, pair)
    with own_redis.client() as client:
        assert client.xtrim("webmq:events", 1, approximate=False) == 3
    publication = await accepted(wire, pair.second, 3, TOPIC)
    for peer in pages:
        assert await peer.event() == (publication, [[3]])
    again = await page(wire, pair.first)
    assert await again.recover(TOPIC, ids[1]) == [(ids[2], [[2]]), (publication, [[3]])]


@pytest.mark.parametrize("fields", [{"a": "b"}, {"o": "a", "p": "1-0 b"}, {"o": "a", "h": "b"}])
async def test_an_entry_of_a_stranger(
    pair: Pair, wire: HubClient, own_redis: RedisServer, fields: dict[str, str]
) -> None:
    """Pages come back, and are told that something may be missing before it. Nothing is missing after it."""
    pages, ids = await three_events(wire, pair)
    with own_redis.client() as client:
        client.xadd("webmq:events", fields)  # type: ignore[arg-type]
    for peer in pages:
        assert await gone(peer) == LOST
    again = [await page(wire, hub) for hub in pair]
    assert [each.history for each in again] == [pages[0].history] * 2
    for peer in again:
        with pytest.raises(LookupError, match=r"^the hub has restarted$"):
            await peer.recover(TOPIC, ids[-1])
    await assert_working(wire, pair)


async def test_an_event_of_a_stranger(pair: Pair, wire: HubClient, own_redis: RedisServer) -> None:
    """One that looks like those of hubs, but is none, does not stop them."""
    pages, _ = await three_events(wire, pair)
    with own_redis.client() as client:
        [(last, fields)] = last_entries(client, 1)
        before = b"%s %s" % (last, fields[b"o"])
        client.xadd("webmq:events", {"o": "a", "p": before, "t": TOPIC, "e": b"\xff"})
    for peer in pages:
        assert await gone(peer) == LOST
    await assert_working(wire, pair)


async def test_an_event_of_a_stranger_that_cannot_be_decoded(
    pair: Pair, wire: HubClient, own_redis: RedisServer
) -> None:
    pages, _ = await three_events(wire, pair)
    with own_redis.client() as client:
        [(last, fields)] = last_entries(client, 1)
        before = b"%s %s" % (last, fields[b"o"])
        client.xadd("webmq:events", {"o": "a", "p": before, "t": TOPIC, "e": "1", "s": b"[" * 100_000})
    for peer in pages:
        assert await gone(peer) == LOST
    await assert_working(wire, pair)


async def test_on_lost(pair: Pair, wire: HubClient, own_redis: RedisServer) -> None:
    """A subscriber is told once for its topic, then gets every event once."""
    told: list[str] = []
    got: list[object] = []
    async with (
        Subscriber(pair.first.url, on_lost=lambda topic, _: told.append(topic)) as subscriber,
        subscriber.subscribe(TOPIC) as subscription,
    ):
        await accepted(wire, pair.second, 1, TOPIC)
        got.append((await anext(subscription)).value)
        await asyncio.to_thread(flushall, own_redis)
        session = subscriber.session_id
        await until(lambda: subscriber.session_id not in (None, session))
        await subscription.ready()
        await accepted(wire, pair.second, 2, TOPIC)
        got.append((await anext(subscription)).value)
    assert (got, told) == ([1, 2], [TOPIC])


async def test_no_history(run: Run, wire: HubClient, own_redis: RedisServer) -> None:
    """Hubs without a history go on, too, after a restart and after a loss."""
    pair = Pair(*[await run(Hub(port=0, history=0, **backplane(own_redis))) for _ in range(2)])
    peer = await wire.wamp2_subscriber(pair.first, TOPIC)
    await accepted(wire, pair.second, 1, TOPIC)
    assert (await peer.event())[1] == [[1]]
    await asyncio.to_thread(own_redis.restart)
    await until_ready(wire, *pair)
    await accepted(wire, pair.second, 2, TOPIC)
    assert (await peer.event())[1] == [[2]]
    await asyncio.to_thread(flushall, own_redis)
    assert (await peer.receive())[2] == "webmq.close.history_lost"
    assert await peer.end() == 1012
    await until_ready(wire, *pair)
    again = await wire.wamp2_subscriber(pair.first, TOPIC)
    await accepted(wire, pair.second, 3, TOPIC)
    assert (await again.event())[1] == [[3]]


async def test_an_entry_of_a_stranger_with_a_high_counter(pair: Pair, wire: HubClient, own_redis: RedisServer) -> None:
    """The IDs of later events still increase."""
    await three_events(wire, pair)
    with own_redis.client() as client:
        [(last, _)] = last_entries(client, 1)
        milliseconds = (int(last.partition(b"-")[0]) + 60_000) & ~3  # ahead of the clock; 5000 changes the last bits
        client.xadd("webmq:events", {"a": "b"}, id=f"{milliseconds}-5000")
    await until(lambda: engine_of(pair.second)._broker.ids.newest >> 11 >= milliseconds)
    peer = await page(wire, pair.second)
    assert await accepted(wire, pair.first, 1, TOPIC) > peer.newest
