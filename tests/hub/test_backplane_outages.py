"""Redis is down or refuses to write: subscribers stay, pushes are refused or unconfirmed, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import prometheus_client  # noqa: F401  # its import reads /proc, which would block the event loop
import pytest

from webmqconnect_async import AsyncClient, BadReply, Client, Overloaded, Receipt, Retry
from webmqconnect_async._core.dialects import DialectName
from webmqconnect_async.hub import Hub

from ..redis_server import RedisServer, free_port
from ..tcp_proxy import TcpProxy
from .conftest import Answer, HubClient, Run
from .outages import accepted, backplane, engine_of, quicken, until, until_ready
from .pair import page
from .test_idempotency import TOPIC, Sent
from .test_metrics import scraped

AWAY = "the backplane cannot be used at present"
UNKNOWN = "the backplane has not responded: the event may have been published"
COLOURS = ("async", "sync")
DIALECTS: tuple[DialectName, ...] = ("webmq", "crossbar")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


class Place(NamedTuple):
    """Two hubs, of which the first is connected to Redis through a proxy."""

    redis: RedisServer
    proxy: TcpProxy
    near: Hub
    far: Hub


@pytest.fixture
async def place(own_redis: RedisServer, run: Run) -> AsyncIterator[Place]:
    async with TcpProxy(own_redis.port) as proxy:
        start = partial(Hub, port=0, metrics="127.0.0.1:0", allow_publish=True)
        near = await run(start(**backplane(proxy)))
        yield Place(own_redis, proxy, near, await run(start(**backplane(own_redis))))
        proxy.mend()
        await near.close()


@dataclass(frozen=True)
class Outage:
    name: str
    begin: Callable[[Place], None]
    end: Callable[[Place], None]
    alone: bool = False
    """Whether only the first hub loses its connection."""


OUTAGES = [
    Outage("killed", lambda place: place.redis.kill(), lambda place: place.redis.start()),
    Outage("paused", lambda place: place.redis.pause(), lambda place: place.redis.resume()),
    Outage("cut", lambda place: place.proxy.cut(), lambda place: place.proxy.mend(), alone=True),
    Outage("stalled", lambda place: place.proxy.stall(), lambda place: place.proxy.mend(), alone=True),
]


async def pushed(colour: str, url: str, event: int = 1, dialect: DialectName = "webmq") -> Receipt:
    """Push once with one of the clients."""
    if colour == "async":
        async with AsyncClient(url, retry=Retry(attempts=1), dialect=dialect) as client:
            return await client.push(TOPIC, event)

    def push() -> Receipt:
        with Client(url, retry=Retry(attempts=1), dialect=dialect) as client:
            return client.push(TOPIC, event)

    return await asyncio.to_thread(push)


async def put(wire: HubClient, hub: Hub, event: int = 1) -> Answer:
    body = json.dumps({"topic": TOPIC, "args": [event]}).encode()
    return await wire.request("PUT", hub, "/publish", body, Content_Type="application/json")


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
async def test_an_outage_of_redis(place: Place, wire: HubClient, outage: Outage) -> None:
    """During an outage, subscribers stay and pushes are refused. Afterwards every event arrives once."""
    pages = [await page(wire, hub, TOPIC) for hub in (place.near, place.far)]
    old = await wire.subscriber(place.near)
    outage.begin(place)
    away = [place.near] if outage.alone else [place.near, place.far]
    await until_ready(wire, *away, status=503)
    expected: list[int] = []
    if outage.alone:
        expected = [await accepted(wire, place.far, number, TOPIC) for number in range(3)]
    for hub in away:
        ready = await wire.request("GET", hub, "/readyz")
        assert (ready.status, ready.text) == (503, "the backplane cannot be used\n")
        assert (await wire.request("GET", hub, "/healthz")).status == 200
        answer = await wire.request("POST", hub, f"/?topicuri={TOPIC}")
        assert (answer.status, answer.text, answer.headers["Retry-After"]) == (503, f"{AWAY}\n", "1")
        answer = await put(wire, hub)
        assert (answer.status, json.loads(answer.text)["error"], answer.headers["Retry-After"]) == (503, AWAY, "1")
        assert (await scraped(wire, hub))["backplane_up"] == 0
    await pages[0].send(16, 5, {"acknowledge": True}, TOPIC, [1])
    assert await pages[0].receive() == [8, 16, 5, {}, "webmq.error.not_published", [AWAY]]
    await old.send(7, TOPIC, 1)
    await old.heard()
    outage.end(place)
    await until_ready(wire, place.near, place.far)
    expected += [await accepted(wire, hub, 9, TOPIC) for hub in (place.near, place.far)]
    for peer in pages:
        assert [(await peer.event())[0] for _ in expected] == expected
    again = await page(wire, place.near)
    assert again.history == pages[0].history
    assert [number for number, _ in await again.recover(TOPIC, pages[0].newest)] == expected
    assert (await scraped(wire, place.near))["backplane_up"] == 1


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_client_retries_while_redis_is_down(
    place: Place, wire: HubClient, colour: str, dialect: DialectName, caplog: pytest.LogCaptureFixture
) -> None:
    """A client may push again without a duplicate, and does so by default."""
    url = place.near.url if dialect == "webmq" else f"{place.near.url}/publish"
    place.proxy.cut()
    await until_ready(wire, place.near, status=503)
    with pytest.raises(Overloaded, match=AWAY) as caught:
        await pushed(colour, url, dialect=dialect)
    assert (caught.value.status, caught.value.retry_after, caught.value.retryable) == (503, 1, True)
    peer = await page(wire, place.far, TOPIC)
    caplog.set_level(logging.INFO, "webmqconnect_async.hub")
    caplog.clear()
    async with AsyncClient(url, dialect=dialect) as client:
        pushing = asyncio.create_task(client.push(TOPIC, 2))
        await until(lambda: any(AWAY in record.getMessage() for record in caplog.records))
        place.proxy.mend()
        receipt = await pushing
    assert await peer.event() == (receipt.id, [[2]])


# In flight


async def in_flight(hub: Hub, push: Callable[[int], object]) -> list[asyncio.Task[object]]:
    """Push one event that is sent to Redis, which does not respond, and two more that wait for it."""
    engine = engine_of(hub)
    before = len(engine._appender.own)
    pushing = [asyncio.ensure_future(push(1))]  # type: ignore[call-overload]
    await until(lambda: len(engine._appender.own) == before + 1 and not engine._appender._waiting)
    pushing += [asyncio.ensure_future(push(number)) for number in (2, 3)]  # type: ignore[call-overload]
    await until(lambda: len(engine._appender._waiting) == 2)
    return pushing


async def test_in_flight_when_redis_is_killed(place: Place, wire: HubClient) -> None:
    """The event in flight is unconfirmed, and the waiting ones are refused. None of them is published."""
    peer = await page(wire, place.far, TOPIC)
    place.redis.pause()
    pushing = await in_flight(place.near, lambda number: put(wire, place.near, number))
    place.redis.kill()
    answers: list[Answer] = await asyncio.gather(*pushing)  # type: ignore[assignment]
    assert [answer.status for answer in answers] == [502, 503, 503]
    assert [json.loads(answer.text)["error"] for answer in answers] == [UNKNOWN, AWAY, AWAY]
    assert ["Retry-After" in answer.headers for answer in answers] == [False, True, True]
    await asyncio.to_thread(place.redis.start)
    await until_ready(wire, place.near, place.far)
    publication = await accepted(wire, place.near, 4, TOPIC)
    assert await peer.event() == (publication, [[4]])


@pytest.mark.parametrize("colour", COLOURS)
async def test_in_flight_when_the_connection_is_cut(place: Place, wire: HubClient, colour: str) -> None:
    """Redis adds the event without a reply to the hub: every page gets it once, and a client does not push it again."""
    pages = [await page(wire, hub, TOPIC) for hub in (place.near, place.far)]
    place.redis.pause()
    pushing = await in_flight(place.near, lambda number: pushed(colour, place.near.url, number))
    place.proxy.cut()
    errors = await asyncio.gather(*pushing, return_exceptions=True)
    assert [type(error) for error in errors] == [BadReply, Overloaded, Overloaded]
    assert isinstance(errors[0], BadReply)
    assert (errors[0].status, UNKNOWN in str(errors[0])) == (502, True)
    place.redis.resume()
    place.proxy.mend()
    await until_ready(wire, place.near, place.far)
    publication = await accepted(wire, place.near, 4, TOPIC)
    for peer in pages:
        assert (await peer.event())[1] == [[1]]
        assert await peer.event() == (publication, [[4]])


async def test_an_unconfirmed_push_is_repeated_with_its_key(place: Place, wire: HubClient) -> None:
    """With an idempotency key, an unconfirmed push that is repeated at either hub is published once."""
    pages = [await page(wire, hub, TOPIC) for hub in (place.near, place.far)]
    sent = Sent("webmq")
    place.redis.pause()
    pushing = await in_flight(place.near, lambda number: sent.push(wire, place.near, f'"{number}"', event=number))
    place.proxy.cut()
    answers: list[Answer] = await asyncio.gather(*pushing)  # type: ignore[assignment]
    assert [answer.status for answer in answers] == [502, 503, 503]
    place.redis.resume()
    place.proxy.mend()
    await until_ready(wire, place.near, place.far)
    again = [await sent.push(wire, place.far, f'"{number}"', event=number) for number in (1, 2, 3)]
    assert ["Idempotent-Replayed" in answer.headers for answer in again] == [True, False, False]
    for peer in pages:
        got = [await peer.event() for _ in again]
        assert got == [(sent.publication(answer), [[number]]) for number, answer in enumerate(again, 1)]


async def test_a_push_that_is_cancelled(place: Place, wire: HubClient) -> None:
    """After a client has disconnected, the hub still adds its event, and continues to work."""
    peer = await page(wire, place.far, TOPIC)
    engine = engine_of(place.near)
    place.redis.pause()
    pushing = await in_flight(place.near, lambda number: put(wire, place.near, number))
    for task in pushing:
        task.cancel()
    await asyncio.gather(*pushing, return_exceptions=True)
    place.redis.resume()
    publication = await accepted(wire, place.near, 4, TOPIC)
    assert [(await peer.event())[1] for _ in range(3)] == [[[1]], [[2]], [[3]]]
    assert await peer.event() == (publication, [[4]])
    await until(lambda: not engine._appender.own)


async def test_a_publishing_subscriber_that_disconnects_during_an_outage(place: Place, wire: HubClient) -> None:
    new, peer = await page(wire, place.near), await page(wire, place.far, TOPIC)
    place.redis.pause()
    engine = engine_of(place.near)
    await new.send(16, 1, {}, TOPIC, [1])
    await until(lambda: len(engine._appender.own) == 1)
    leaving = asyncio.create_task(new.socket.close())
    await asyncio.sleep(0)
    place.redis.resume()
    await leaving
    assert (await peer.event())[1] == [[1]]
    await until(lambda: not engine._appender.own)


# Redis refuses to write


@pytest.mark.parametrize("paused", [False, True])
async def test_closing_with_a_push_in_flight(run: Run, own_redis: RedisServer, wire: HubClient, paused: bool) -> None:
    """The hub closes within its grace, whether Redis responds or not."""
    hub = await run(Hub(port=0, grace=1.0, **backplane(own_redis)))
    peer = await page(wire, hub, TOPIC)
    own_redis.pause()
    pushing = await in_flight(hub, lambda number: put(wire, hub, number))
    closing = asyncio.create_task(hub.close())
    assert (await peer.receive())[2] == "wamp.close.system_shutdown"
    await peer.end()
    if not paused:
        own_redis.resume()
    async with asyncio.timeout(3):
        await closing
    answers = await asyncio.gather(*pushing, return_exceptions=True)
    own_redis.resume()
    if not paused:
        assert [getattr(answer, "status", None) for answer in answers] == [200] * 3


async def test_closing_while_redis_is_stopped(run: Run, own_redis: RedisServer) -> None:
    """The hub closes cleanly if Redis is stopped at the same time."""
    for _ in range(3):
        hub = await run(Hub(port=0, **backplane(own_redis)))
        own_redis.kill()
        async with asyncio.timeout(3):
            await hub.close()
        own_redis.start()


async def test_redis_is_out_of_memory(place: Place, wire: HubClient) -> None:
    """If Redis reaches its `maxmemory`, pushes are refused and subscribers stay."""
    pages = [await page(wire, hub, TOPIC) for hub in (place.near, place.far)]
    with place.redis.client() as client:
        client.config_set("maxmemory", "1")
        for hub in (place.near, place.far):
            await until_ready(wire, hub)
            answer = await put(wire, hub)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        client.config_set("maxmemory", "0")
    publication = await accepted(wire, place.near, 2, TOPIC)
    for peer in pages:
        assert await peer.event() == (publication, [[2]])


async def test_redis_is_a_replica_for_a_while(place: Place, wire: HubClient) -> None:
    """While Redis is a replica, which accepts no writes, pushes are refused."""
    pages = [await page(wire, hub, TOPIC) for hub in (place.near, place.far)]
    with place.redis.client() as client:
        client.replicaof("127.0.0.1", str(free_port()))
        for hub in (place.near, place.far):
            assert (await put(wire, hub)).status == 503
            await until_ready(wire, hub, status=503)
        client.replicaof("NO", "ONE")
    publication = await accepted(wire, place.near, 2, TOPIC)
    for peer in pages:
        assert await peer.event() == (publication, [[2]])
