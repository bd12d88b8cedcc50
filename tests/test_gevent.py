"""The blocking client under gevent's `patch_all` waits without blocking other greenlets, and within its timeouts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from .hostile import ACCEPTED, Hostile, Peer, answer_and_close, held, hostile, stall
from .scripts import run_script

pytestmark = pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")


def under_gevent(script: str, server: Hostile, tmp_path: Path) -> list[str]:
    """Run a program that uses `gevent` and a `client` with four slots; return the words that it printed."""
    prelude = "import gevent\nclient = Client(url, concurrency=4, ssl=trust)\n"
    first = "from gevent import monkey; monkey.patch_all()\n"
    return run_script(script, server.url, tmp_path, first=first, prelude=prelude).split()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_pushes_side_by_side(tls: bool, tmp_path: Path) -> None:
    """As many greenlets push at the same time as there are slots."""
    with hostile(*[held()] * 4, tls=tls) as server:
        server.release_at(4)
        printed = under_gevent(
            """
            pushes = [gevent.spawn(client.push, "t", number) for number in range(12)]
            gevent.joinall(pushes, raise_error=True)
            print(client.stats.pushed)
            """,
            server,
            tmp_path,
        )
        assert printed == ["12"]
        assert server.connections == 4


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_bulks(tls: bool, tmp_path: Path) -> None:
    with hostile(*[held()] * 4, tls=tls) as server:
        server.release_at(4)
        printed = under_gevent(
            """
            print(sum(each.ok for each in client.push_many([("t", number) for number in range(40)])))
            topics = [(str(number % 3), number) for number in range(30)]
            print([each.index for each in client.push_many(topics, order_by_topic=True)] == list(range(30)))
            with client.push_stream(("t", number) for number in range(1000)) as outcomes:
                print(next(outcomes).ok)
            print(client.stats.in_flight)
            """,
            server,
            tmp_path,
        )
        assert printed == ["40", "True", "True", "0"]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_deadlines(tls: bool, tmp_path: Path) -> None:
    """The deadlines of a response and of the queue expire while other greenlets run."""
    with hostile(*[stall] * 5, tls=tls) as server:
        printed = under_gevent(
            """
            def turn():
                turns = 0
                while True:
                    gevent.sleep(0.001)
                    turning.turns = turns = turns + 1

            def end(timeout):
                try:
                    client.push("t", 1, timeout=timeout)
                except WebMQError as error:
                    return type(error).__name__

            turning = gevent.spawn(turn)
            print(end(0.3), turning.turns > 0)
            stalled = [gevent.spawn(end, 1.0) for _ in range(4)]
            gevent.sleep(0)
            print(end(0.1))
            print(*[each.get() for each in stalled])
            print(client.push("t", 2).status, client.stats.in_flight)
            turning.kill()
            """,
            server,
            tmp_path,
        )
        assert printed == ["ReplyTimeout", "True", "QueueTimeout", *["ReplyTimeout"] * 4, "202", "0"]


def test_greenlets_that_are_killed(tmp_path: Path) -> None:
    """A push that is killed, or ended by a `gevent.Timeout`, releases its slot. Its connection is not reused."""

    async def stall_the_first(peer: Peer) -> None:
        if (await peer.request()).body == b"1":
            await peer.gone()
        else:
            await peer.send(ACCEPTED)

    with hostile(*[stall_the_first] * 16) as server:
        printed = under_gevent(
            """
            for _ in range(4):
                with gevent.Timeout(0.05, False):
                    client.push("t", 1)
            pushes = [gevent.spawn(client.push, "t", 1) for _ in range(4)]
            while client.stats.in_flight < 4:
                gevent.sleep(0)
            gevent.killall(pushes)
            print(client.stats.in_flight, sum(each.ok for each in client.push_many([("t", 2)] * 8)))
            """,
            server,
            tmp_path,
        )
        assert printed == ["0", "8"]


def test_idle_connection_closed(tmp_path: Path) -> None:
    with hostile(*[answer_and_close(ACCEPTED)] * 5) as server:
        printed = under_gevent(
            """
            for number in range(5):
                print(client.push("t", number).attempts)
                gevent.sleep(0.05)
            """,
            server,
            tmp_path,
        )
        assert printed == ["1"] * 5
        assert server.connections == 5
