"""Interrupted pushes: cancelled, with their loop closed, or with SIGTERM sent to their process."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient

from .hostile import (
    ACCEPTED,
    Hostile,
    Peer,
    Step,
    answer,
    bodies,
    drop_after_body,
    held,
    hostile,
    reply,
    reset_after_head,
    stall,
    trickle,
    trusting,
)
from .scripts import run_script

WHATEVER: list[Step] = [
    *[answer(ACCEPTED)] * 3,
    answer(reply(400, b"no")),
    answer(reply(503, b"", "Retry-After: 0")),
    trickle(ACCEPTED, 0.0001),
    drop_after_body,
    reset_after_head,
    stall,
]


def descriptors() -> int:
    """Return the number of open descriptors of this process; 0 if the system does not have /proc."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_cancelled_at_random_moments(tls: bool, extent: str) -> None:
    """After many cancelled pushes every slot is free, no task and no connection is left, and the client works."""
    number = (100 if tls else 500) if extent == "sample" else (500 if tls else 2_000)
    seed = time.time_ns()
    print(f"{seed=}")  # shown when the test fails
    dice = random.Random(seed)  # noqa: S311  # not for security
    before = descriptors()
    with hostile(tls=tls) as server:
        server.script(*dice.choices(WHATEVER, k=4 * number))
        async with AsyncClient(server.url, concurrency=20, ssl=trusting() if tls else None) as client:

            async def push_and_cancel() -> bool:
                pushing = asyncio.create_task(client.push("t", 1))
                if dice.random() < 0.5:
                    for _ in range(dice.randrange(1, 20)):
                        await asyncio.sleep(0)
                else:
                    await asyncio.sleep(dice.expovariate(1 / 0.003))
                pushing.cancel()
                await asyncio.wait([pushing])
                return pushing.cancelled()

            made = cancelled = 0
            while cancelled < number:
                made += 50
                cancelled += sum(await asyncio.gather(*[push_and_cancel() for _ in range(50)]))
            assert client.stats.in_flight == 0
            assert client.stats.pushed + client.stats.failed == made
            server.forget()
            await all_slots_are_free(client, server, 20)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await asyncio.to_thread(server.until, lambda: server.open_connections <= 20)
        await asyncio.to_thread(server.until, lambda: server.open_connections == 0)
    assert descriptors() == before


async def all_slots_are_free(client: AsyncClient, server: Hostile, slots: int) -> None:
    """Check that `slots` pushes can be in flight at once."""
    server.script(*[held()] * slots)
    pushes = [asyncio.create_task(client.push("t", "last")) for _ in range(slots)]
    await asyncio.to_thread(server.until, lambda: bodies(server).count(b'"last"') == slots)
    server.release()
    assert [receipt.status for receipt in await asyncio.gather(*pushes)] == [202] * slots


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_loop_closed_during_pushes(tls: bool, tmp_path: Path) -> None:
    """After a loop was closed during pushes, there is no warning, and the client works in the next loop."""

    async def one_of_three(peer: Peer) -> None:
        """Respond to one request when the other two have arrived, too."""
        if (await peer.request()).body == b'"seen"':
            await peer.server.released.wait()
            await peer.send(ACCEPTED)
        else:
            await peer.gone()

    with hostile(*[one_of_three] * 3, tls=tls) as server:
        server.release_at(3)
        printed = run_script(
            """
            client, witness = AsyncClient(url, concurrency=2, ssl=trust), AsyncClient(url, ssl=trust)
            loop = asyncio.new_event_loop()
            pushes = [loop.create_task(client.push("t", number)) for number in range(4)]
            pushes.append(loop.create_task(client.push_many([("t", 5), ("t", 6)])))
            loop.run_until_complete(witness.push("t", "seen"))
            print(client.stats.in_flight)
            loop.close()

            async def main():
                print((await client.push("t", "next")).status)
                await client.close()

            # asyncio itself complains of the tasks and the transports that its closed loop has left.
            import warnings
            logging.getLogger("asyncio").disabled = True
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                asyncio.run(main())
                del pushes, loop, witness
                gc.collect()
            print(client.stats.in_flight)
            """,
            server.url,
            tmp_path,
        )
        assert printed.split() == ["2", "202", "0"]
        assert bodies(server)[-1] == b'"next"'


SOURCE = """
import itertools, signal

def source(number):
    for each in itertools.count():
        if each == number:
            os.kill(os.getpid(), signal.SIGTERM)
        yield "t", each
"""


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "stalled"])
def test_sigterm_during_a_bulk(answered: bool, tmp_path: Path) -> None:
    """A service that cancels its main task at SIGTERM ends at once and without warnings."""
    with hostile(*[] if answered else [stall] * 100) as server:
        printed = run_script(
            f"""
            async def push_many(client, items):
                await client.push_many(items)

            async def push_stream(client, items):
                async with client.push_stream(items) as outcomes:
                    async for outcome in outcomes:
                        pass

            async def main(push):
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
                async with AsyncClient(url, timeout=None) as client:
                    try:
                        await push(client, source({100 if answered else 49}))
                    finally:
                        print(client.stats.in_flight)

            for push in (push_many, push_stream):
                try:
                    asyncio.run(main(push))
                except asyncio.CancelledError:
                    print("cancelled")
            """,
            server.url,
            tmp_path,
            prelude=SOURCE,
        )
        assert printed.split() == ["0", "cancelled"] * 2


@pytest.mark.parametrize("concurrency", [1, 8])
def test_sigterm_during_a_blocking_bulk(concurrency: int, tmp_path: Path) -> None:
    """A program that exits at SIGTERM waits for the pushes in flight, and leaves no thread."""
    with hostile() as server:
        printed = run_script(
            f"""
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            with Client(url) as client:
                try:
                    client.push_many(source(500), concurrency={concurrency})
                finally:
                    print(client.stats.in_flight, threading.active_count(), client.stats.pushed)
            """,
            server.url,
            tmp_path,
            prelude=SOURCE,
        )
        in_flight, threads, pushed = map(int, printed.split())
        assert (in_flight, threads) == (0, 1)
        assert 1 <= pushed == len(server.requests)
