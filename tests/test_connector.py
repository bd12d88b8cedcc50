"""How `Client` connects: to which addresses of a name, in which order, and that other attempts are closed."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from webmqconnect_async import Client, ConnectFailed, Retry
from webmqconnect_async._sync import connector

from .hostile import PATIENCE, Hostile, hostile, refusing, resolve, serving, trusting, unreachable
from .test_interrupted import descriptors

NEVER = 1000.0
"""A number of seconds longer than any test."""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Return a list of the sockets that are created as a client does it, without a given descriptor."""
    make = socket.socket
    made: list[socket.socket] = []

    def recorded(*args: int, **kwargs: int) -> socket.socket:
        new = make(*args, **kwargs)
        if not kwargs:
            made.append(new)
        return new

    monkeypatch.setattr(socket, "socket", recorded)
    return made


def delay(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the delay between two attempts."""
    monkeypatch.setattr(connector, "_DELAY", seconds)


def pushed(client: Client, server: Hostile, threads: ThreadPoolExecutor, event: object = 1) -> None:
    """Push with a client whose timeout is longer than a test."""
    before = len(server.requests)
    pushing = threads.submit(client.push, "t", event)
    try:
        server.until(lambda: len(server.requests) > before)
        assert pushing.result(PATIENCE).attempts == 1
    except BaseException:
        client.close(0)
        raise


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_first_address_does_not_respond(
    tls: bool, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, created: list[socket.socket]
) -> None:
    """The next address is tried after a delay, and is the first one the next time."""
    before = descriptors()
    with (
        unreachable() as dead,
        hostile(tls=tls and serving("broker.example")) as server,
        Client(f"http{'s' * tls}://broker.example/", timeout=NEVER, keepalive=0, ssl=trusting()) as client,
    ):
        assert connector._DELAY == 0.25
        delay(monkeypatch, 0.01)
        resolve(monkeypatch, dead, dead, server.url)
        created.clear()
        pushed(client, server, threads)
        assert len(created) == 3
        pushed(client, server, threads)
        assert len(created) == 4
        assert server.connections == 2
    assert descriptors() <= before


def test_a_refused_connection(threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, server: Hostile) -> None:
    """After a refused connection, the next address is tried without a delay."""
    delay(monkeypatch, NEVER)
    with refusing() as refused, Client("http://broker.example/", timeout=NEVER) as client:
        resolve(monkeypatch, refused, refused, server.url)
        pushed(client, server, threads)


def test_the_address_that_worked_no_longer_responds(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the address that worked no longer responds, the other ones are tried, too."""
    with hostile() as first, hostile() as second, Client("http://broker.example/", keepalive=0) as client:
        resolve(monkeypatch, first.url, second.url)
        client.push("t", 1)
        first.drop_all(stop=True)
        client.push("t", 2)
        client.push("t", 3)
        assert [len(first.requests), len(second.requests)] == [1, 2]


def test_connect_timeout_of_each_address(monkeypatch: pytest.MonkeyPatch, created: list[socket.socket]) -> None:
    """The timeout ends an attempt, and the next address is tried. The error is that of the last attempt."""
    delay(monkeypatch, NEVER)
    with unreachable() as dead:
        resolve(monkeypatch, dead, dead, dead)
        created.clear()
        client = Client("http://broker.example/", connect_timeout=0.02, retry=Retry(attempts=1))
        with pytest.raises(ConnectFailed, match=os.strerror(errno.ETIMEDOUT)) as caught:
            client.push("t", 1)
        assert caught.value.transient
        assert len(created) == 3
        assert {each.fileno() for each in created} == {-1}


def test_deadline(monkeypatch: pytest.MonkeyPatch, created: list[socket.socket]) -> None:
    """The deadline of the push ends all attempts at once."""
    delay(monkeypatch, 0.01)
    with unreachable() as dead:
        resolve(monkeypatch, dead, dead, dead)
        created.clear()
        with pytest.raises(ConnectFailed, match="deadline"):
            Client("http://broker.example/", timeout=0.1).push("t", 1)
        assert len(created) == 3
        assert {each.fileno() for each in created} == {-1}


def test_closed_while_connecting(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, server: Hostile, created: list[socket.socket]
) -> None:
    """If the client is closed, the attempt ends, and no other address is tried."""
    delay(monkeypatch, NEVER)
    with unreachable() as dead:
        resolve(monkeypatch, dead, server.url)
        created.clear()
        client = Client("http://broker.example/", timeout=None)
        pushing = threads.submit(client.push, "t", 1)
        while not created:
            assert not pushing.done()
        client.close(grace=0)
        assert type(pushing.exception(PATIENCE)) is ConnectFailed
        assert server.connections == 0


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that returns no address is a failure to connect."""
    resolve(monkeypatch)
    with pytest.raises(ConnectFailed, match="no address"):
        Client("http://broker.example/", retry=Retry(attempts=1)).push("t", 1)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_system_without_poll(tls: bool, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client works without `select.poll`, as on Windows."""
    monkeypatch.delattr(select, "poll")
    delay(monkeypatch, 0.01)
    with (
        unreachable() as dead,
        refusing() as refused,
        hostile(tls=tls and serving("broker.example")) as server,
        Client(f"http{'s' * tls}://broker.example/", timeout=NEVER, ssl=trusting()) as client,
    ):
        resolve(monkeypatch, dead, refused, server.url)
        pushed(client, server, threads)
        pushed(client, server, threads, "x" * 8_000_000)
        server.drop_all()
        pushed(client, server, threads)
        assert server.connections == 2


V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("families", "last", "order"),
    [
        ([], None, []),
        ([V4], None, [0]),
        ([V6, V6, V6, V4, V4], None, [0, 3, 1, 4, 2]),
        ([V4, V4, V6], None, [0, 2, 1]),
        ([V6, V6, V6, V4, V4], 4, [4, 0, 3, 1, 2]),
        ([V6, V4], 9, [0, 1]),
    ],
)
def test_the_order_of_addresses(families: list[int], last: int | None, order: list[int]) -> None:
    """The families alternate, beginning with that of the first address; the address that worked last is tried first."""

    def address(family: int, number: int) -> Any:
        return family, socket.SOCK_STREAM, 6, "", (f"host {number}", 80)

    addresses = [address(family, number) for number, family in enumerate(families)]
    first = None if last is None else address(families[last] if last < len(families) else V4, last)
    assert [addresses.index(each) for each in connector._in_order(addresses, first)] == order
