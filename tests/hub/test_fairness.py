"""Subscribers that flood the hub, and their effect on others."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from webmqconnect_async.hub import Hub, _fairness
from webmqconnect_async.hub._fairness import FairGuard, Turns
from webmqconnect_async.hub._session import Session
from webmqconnect_async.hub._wamp1.session import Wamp1Session

from .conftest import PATIENCE, HubClient, Run
from .raw import Raw, connected, frame, handshake

PING, PONG = 9, 10
CALL = frame(b'[2,"c","http://api.wamp.ws/procedure#ping"]')


async def processed(raw: Raw) -> None:
    """Return when the hub has processed everything that was sent before."""
    await raw.send(CALL)
    async with asyncio.timeout(PATIENCE):
        await raw.reader.readuntil(b'[3,"c",null]')


# With real connections


@pytest.mark.parametrize(
    ("flood", "processes"),
    [
        (frame(b'[6,"x"]'), (Wamp1Session, "receive")),
        (frame(b'[2,"1","http://api.wamp.ws/procedure#echo",[1,2,3]]'), (Wamp1Session, "receive")),
        (frame(b"", PING), (Session, "send")),
        (frame(b"", PONG), (FairGuard, "charge")),
    ],
    ids=["messages", "calls", "pings", "pongs"],
)
async def test_a_flooding_subscriber_does_not_block_the_loop(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, flood: bytes, processes: tuple[type, str]
) -> None:
    """While frames of one subscriber can be read without waiting, the hub still gives others their turn."""
    turns, seen = 0, []

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    within = getattr(*processes)

    def noting(*arguments: object) -> object:
        seen.append(turns)
        return within(*arguments)

    for cost in ("_PER_MESSAGE", "_TURN"):
        monkeypatch.setattr(_fairness, cost, 1.0)
    async with connected(hub) as raw:
        await handshake(raw)
        await processed(raw)
        monkeypatch.setattr(*processes, noting)
        counting = asyncio.create_task(count_turns())
        await raw.send(flood * 300)
        async with asyncio.timeout(PATIENCE):
            while len(seen) < 300:  # noqa: ASYNC110  # counts iterations of the loop
                await asyncio.sleep(0)
        counting.cancel()
    assert len(set(seen[:300])) == 300


@pytest.mark.parametrize(
    "flood",
    [
        frame(b"", PING),
        frame(b"", PONG),
        frame(b'[5,"t"]') + frame(b'[6,"t"]'),
        frame(b"", 0, first=0),
        frame(b'[7,"t",1]'),
    ],
    ids=["pings", "pongs", "subscriptions", "fragments", "events that it may not publish"],
)
async def test_a_flooding_subscriber_is_dropped_with_one_line_in_the_log(
    hub: Hub, wire: HubClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, flood: bytes
) -> None:
    monkeypatch.setattr(_fairness, "BEHIND", 0.05)
    async with connected(hub) as raw:
        await handshake(raw)
        await raw.send(frame(b"x", first=0) if flood[0] == 0 else b"")
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await raw.send(flood * 1000)
    peer = await wire.subscriber(hub, "t")
    await wire.push(hub)
    assert await peer.receive() == [8, "t", 1]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "it sends more than the hub can read, for 5 s"
    ]


async def test_a_publishing_subscriber_is_slowed_down_and_not_dropped(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fairness, "BEHIND", 0.0)
    hub = await run(Hub(port=0, allow_publish=True))
    peer = await wire.subscriber(hub, "t")
    async with connected(hub) as raw:
        await handshake(raw)
        await raw.send(b"".join(frame(b'[7,"t",%d]' % number) for number in range(3000)))
        for number in range(3000):
            assert await peer.receive() == [8, "t", number]
        await processed(raw)
    assert caplog.text == ""


async def test_many_simultaneous_subscriptions_are_not_a_flood(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await run(Hub(port=0))
    async with connected(hub) as raw:
        await handshake(raw)
        await raw.send(b"".join(frame(b'[5,"http://example.com/a-topic-%d"]' % number) for number in range(256)))
        await processed(raw)
        await wire.push(hub, "topicuri=http://example.com/a-topic-255")
        async with asyncio.timeout(PATIENCE):
            await raw.reader.readuntil(b'[8,"http://example.com/a-topic-255",1]')
    assert caplog.text == ""


# Turns


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        self.reading = True
        self.closing = False

    def is_reading(self) -> bool:
        return self.reading

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class _Clock:
    """The clock of the loop, which only tests advance."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    return clock


def _guard(turns: Turns, transport: _Transport) -> FairGuard:
    return FairGuard(asyncio.Protocol(), 45, transport, turns, lambda: pytest.fail("dropped"))


async def _iterations(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_all_waiting_subscribers_share_one_turn_per_iteration(clock: _Clock) -> None:
    """A read that fills the buffer takes two turns: one to process it, one to continue reading."""
    turns, transports = Turns(), [_Transport() for _ in range(3)]
    for transport in transports:
        _guard(turns, transport).buffer_updated(len(turns.buffer))
    assert [transport.reading for transport in transports] == [False, False, False]
    for resumed in range(3):
        await _iterations(2)
        assert [transport.reading for transport in transports] == [number <= resumed for number in range(3)]


async def test_a_subscriber_that_needs_several_turns_finishes_before_others_begin(clock: _Clock) -> None:
    """A subscriber finishes first, so that aiohttp holds few frames at a time, which the garbage collector visits."""
    turns, transports = Turns(), [_Transport() for _ in range(2)]
    first, second = (_guard(turns, transport) for transport in transports)
    first.buffer_updated(len(turns.buffer))
    second.buffer_updated(len(turns.buffer))
    await _iterations(1)
    clock.now = 0.0025
    first.charge(0.0).send(None)  # as the task that processes messages does it
    for reading in ([False, False], [False, False], [True, False], [True, False], [True, True]):
        await _iterations(1)
        assert [transport.reading for transport in transports] == reading


async def test_the_rest_of_a_turn_is_not_saved(clock: _Clock) -> None:
    turns, transport = Turns(), _Transport()
    guard = _guard(turns, transport)
    guard.buffer_updated(len(turns.buffer))
    await _iterations(2)
    assert transport.reading
    guard.buffer_updated(1)
    assert not transport.reading
    await _iterations(2)
    clock.now = 1.0
    guard.buffer_updated(1)
    assert transport.reading


async def test_expensive_work_takes_many_turns(clock: _Clock) -> None:
    turns, transport = Turns(), _Transport()
    guard = _guard(turns, transport)
    clock.now = 0.0105
    waiting = asyncio.create_task(guard.charge(0.0))
    for _ in range(10):
        await asyncio.sleep(0)
        assert not transport.reading
    await waiting
    assert transport.reading


async def test_the_allowance_is_restored_over_time(clock: _Clock) -> None:
    turns, transport = Turns(), _Transport()
    guard = _guard(turns, transport)
    for second in range(1, 10):
        clock.now = second
        guard.buffer_updated(1)
        clock.now = second + 0.0009
        await guard.charge(second)
        assert transport.reading


async def test_a_transport_that_aiohttp_has_paused_is_not_resumed(clock: _Clock) -> None:
    turns, transport = Turns(), _Transport()
    guard = _guard(turns, transport)
    transport.pause_reading()
    clock.now = 0.0015
    await guard.charge(0.0)
    assert not transport.reading


async def test_a_lost_connection_does_not_wait(clock: _Clock) -> None:
    turns, transport = Turns(), _Transport()
    guard = _guard(turns, transport)
    clock.now = 100.0
    waiting = asyncio.create_task(guard.charge(0.0))
    await asyncio.sleep(0)
    transport.closing = True
    await waiting
    assert not transport.reading


async def test_a_transport_that_aiohttp_has_resumed_keeps_waiting(clock: _Clock) -> None:
    turns, transport = Turns(), _Transport()
    guard = _guard(turns, transport)
    guard.buffer_updated(len(turns.buffer))
    transport.resume_reading()
    guard.buffer_updated(1)
    assert not transport.reading


async def test_a_subscriber_that_pauses_is_not_behind(clock: _Clock) -> None:
    turns, transport = Turns(), _Transport()
    guard = _guard(turns, transport)
    for now in (0.0, 20.0, 40.0):
        clock.now = now
        guard.buffer_updated(len(turns.buffer))
        await _iterations(2)
        assert transport.reading


async def test_an_error_does_not_stop_the_turns_of_others(clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, transport = Turns(), _Transport()
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    broken = _guard(turns, _Transport())
    monkeypatch.setattr(broken, "take_turn", lambda: 1 / 0)
    broken.buffer_updated(len(turns.buffer))
    _guard(turns, transport).buffer_updated(len(turns.buffer))
    await _iterations(3)
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert transport.reading
