"""The steps of a course: faults of the hubs and of Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.redis_server import RedisServer

from .fleet import SCRIPT, Fleet

Act: TypeAlias = Callable[[Fleet], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Step:
    """A fault of a hub or of Redis.

    Args:
        name: what happens.
        act: makes it happen, and returns when it is over, though hubs may not be ready yet.
        may_lose: whether subscribers may be notified of losses. After any other step they may not.
    """

    name: str
    act: Act
    may_lose: bool = False


async def _nothing(_fleet: Fleet) -> None:
    await asyncio.sleep(1)


async def _hub_killed(fleet: Fleet) -> None:
    async with fleet.one_hub() as number:
        await fleet.hubs[number].kill()
        await asyncio.sleep(fleet.random.choice((0, fleet.random.uniform(0, 0.5))))
        await fleet.hubs[number].start_again_and_again()


async def _hub_restarted(fleet: Fleet) -> None:
    async with fleet.one_hub() as number:
        await fleet.hubs[number].stop()
        await fleet.hubs[number].start_again_and_again()


async def _for_a_while(fleet: Fleet, begin: Callable[[int], None], end: Callable[[int], None]) -> None:
    """Begin something at a hub, and end it later. Both functions get the number of the hub."""
    async with fleet.one_hub() as number:
        begin(number)
        await asyncio.sleep(fleet.random.uniform(0.3, fleet.outage))
        end(number)


async def _hub_stands_still(fleet: Fleet) -> None:
    hubs = fleet.hubs
    await _for_a_while(fleet, lambda number: hubs[number].pause(), lambda number: hubs[number].resume())


async def _clock_set_back(fleet: Fleet) -> None:
    """Restart a hub with a clock that is a minute behind, let it work, and restart it with a correct clock."""
    async with fleet.one_hub() as number:
        hub = fleet.hubs[number]
        right = hub.command
        await hub.kill()
        hub.command = (*SCRIPT, "--behind", "60")
        await hub.start_again_and_again()
        await asyncio.sleep(1)
        await hub.kill()
        hub.command = right
        await hub.start_again_and_again()


async def _redis_restarted(fleet: Fleet) -> None:
    async with fleet.redis_lock:
        await asyncio.to_thread(fleet.redis.restart)


async def _redis_killed(fleet: Fleet) -> None:
    async with fleet.redis_lock:
        await asyncio.to_thread(fleet.redis.kill)
        await asyncio.to_thread(fleet.redis.start)


async def _redis_stopped(fleet: Fleet) -> None:
    async with fleet.redis_lock:
        await asyncio.to_thread(fleet.redis.stop)
        await asyncio.sleep(fleet.outage)
        await asyncio.to_thread(fleet.redis.start)


async def _redis_stands_still(fleet: Fleet) -> None:
    async with fleet.redis_lock:
        with fleet.redis.paused():
            await asyncio.sleep(fleet.outage)


async def _redis_flushed(fleet: Fleet) -> None:
    async with fleet.redis_lock:
        with fleet.losing_data():
            await asyncio.to_thread(_flush, fleet)


def _flush(fleet: Fleet) -> None:
    with fleet.redis.client() as client:
        client.flushall()


async def _redis_replaced(fleet: Fleet) -> None:
    """Copy the data, let time pass, and continue with a server in another folder that has the copy."""
    await _with_a_copy(fleet, RedisServer.replace)


async def _power_failed(fleet: Fleet) -> None:
    """Restart the same server without its last writes."""
    await _with_a_copy(fleet, RedisServer.restore)


async def _with_a_copy(fleet: Fleet, use: Callable[[RedisServer, Path], None]) -> None:
    async with fleet.redis_lock:
        copy = await asyncio.to_thread(fleet.redis.copy, fleet.folder / f"redis-{time.monotonic_ns()}")
        await asyncio.sleep(fleet.random.uniform(0.3, 1))
        with fleet.losing_data():
            await asyncio.to_thread(use, fleet.redis, copy)


async def _everything_fails(fleet: Fleet) -> None:
    """Restart Redis without its last writes while no hub is running that has received them."""
    async with fleet.all_hubs() as hubs, fleet.redis_lock:
        copy = await asyncio.to_thread(fleet.redis.copy, fleet.folder / f"redis-{time.monotonic_ns()}")
        fleet.ways[0].stall()  # the subscribers of this hub do not get the events that are lost
        await asyncio.sleep(fleet.random.uniform(0.3, 1))
        await asyncio.gather(*(hub.kill() for hub in hubs))
        with fleet.losing_data():
            await asyncio.to_thread(fleet.redis.restore, copy)
        fleet.ways[0].mend()
        await asyncio.gather(*(hub.start_again_and_again() for hub in hubs))


async def _hub_cut_off(fleet: Fleet) -> None:
    await _for_a_while(fleet, lambda number: fleet.ways[number].cut(), lambda number: fleet.ways[number].mend())


async def _hub_receives_nothing(fleet: Fleet) -> None:
    await _for_a_while(fleet, lambda number: fleet.ways[number].stall(), lambda number: fleet.ways[number].mend())


async def _replaced_while_cut_off(fleet: Fleet) -> None:
    """Reconnect a hub to a stream that is beyond the hub's position and has no entry at that position."""
    async with fleet.one_hub() as number:
        fleet.ways[number].cut()
        await _with_a_copy(fleet, fleet.random.choice((RedisServer.replace, RedisServer.restore)))
        await asyncio.sleep(1)
        fleet.ways[number].mend()


async def _flushed_while_cut_off(fleet: Fleet) -> None:
    async with fleet.one_hub() as number:
        fleet.ways[number].stall()
        await _redis_flushed(fleet)
        await asyncio.sleep(0.5)
        fleet.ways[number].mend()


QUIET = Step("nothing happens", _nothing)
HUB_KILLED = Step("a hub is killed", _hub_killed)
REPLACED_WHILE_CUT_OFF = Step("Redis is replaced while a hub is cut off", _replaced_while_cut_off, may_lose=True)

OTHERS: Sequence[Step] = (
    Step("a hub is restarted", _hub_restarted),
    Step("a hub stands still", _hub_stands_still, may_lose=True),  # meanwhile, its subscribers may miss many events
    Step("the clock of a hub is set back", _clock_set_back),
    Step("Redis is restarted", _redis_restarted),
    Step("Redis is killed", _redis_killed),
    Step("Redis is stopped for a while", _redis_stopped),
    Step("Redis stands still for a while", _redis_stands_still),
    Step("Redis is flushed", _redis_flushed, may_lose=True),
    Step("Redis is replaced by a copy that is behind", _redis_replaced, may_lose=True),
    Step("the machine of Redis has a power failure", _power_failed, may_lose=True),
    Step("Redis and all hubs have a power failure", _everything_fails, may_lose=True),
    Step("a hub is cut off from Redis", _hub_cut_off),
    Step("a hub gets no packets from Redis", _hub_receives_nothing),
    REPLACED_WHILE_CUT_OFF,
    Step("Redis is flushed while a hub gets no packets", _flushed_while_cut_off, may_lose=True),
)
"""The steps of a course other than `HUB_KILLED`."""


def both(one: Step, other: Step) -> Step:
    """Return a step in which two others happen at the same time.

    Losses may be reported: a hub that is behind a subscriber's position for more than 2 s cannot send what it missed.
    """

    async def act(fleet: Fleet) -> None:
        await asyncio.gather(one.act(fleet), other.act(fleet))

    return Step(f"{one.name}, and {other.name}", act, may_lose=True)
