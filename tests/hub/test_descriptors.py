"""The limit of open files of a hub."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from webmqconnect_async.hub import Hub, _descriptors
from webmqconnect_async.hub._descriptors import available

from .conftest import HubClient, Run

resource = pytest.importorskip("resource")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the soft and the hard limit of open files."""
    limits = [100, 100]

    def replace(_resource: int, new: tuple[int, int]) -> None:
        if new[0] > limits[1]:
            raise ValueError("not allowed to raise maximum limit")
        limits[:] = new

    monkeypatch.setattr(resource, "getrlimit", lambda _resource: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", replace)
    return limits


def test_the_soft_limit_is_raised_as_far_as_needed(limits: list[int]) -> None:
    limits[1] = 5000
    assert available(1000) == 1000
    assert 1000 < limits[0] < 1100
    assert limits[1] == 5000


@pytest.mark.parametrize("soft", [4000, resource.RLIM_INFINITY])
def test_a_limit_that_suffices_is_left_alone(limits: list[int], soft: int) -> None:
    limits[:] = [soft, 5000]
    assert available(1000) == 1000
    assert limits == [soft, 5000]


def test_a_limit_that_cannot_be_raised_reduces_the_connections(limits: list[int]) -> None:
    limits[:] = [100, 300]
    assert 100 < available(1000) < 300
    assert limits == [300, 300]


def test_at_least_one_connection_is_allowed(limits: list[int]) -> None:
    limits[:] = [1, 1]
    assert available(1000) == 1


async def test_a_reduced_number_of_subscribers_is_logged(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webmqconnect_async.hub._server.available", lambda wanted: wanted - 900)
    hub = await run(Hub(port=0))
    await wire.subscriber(hub, "t")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(
        "max_connections is 50 instead of 800, because the limit of open files is too"
    )
    assert hub.config.max_connections == 800


async def test_running_out_of_descriptors_is_logged_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    others: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: others.append(context["message"]))
    hub = await run(Hub(port=0))
    error = OSError(errno.EMFILE, "Too many open files")
    for _ in range(100):
        loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
    loop.call_exception_handler({"message": "another"})
    assert [record.getMessage() for record in caplog.records] == [f"the hub cannot accept connections: {error}"]
    assert others == ["another"]
    await hub.close()
    loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
    assert others == ["another", "socket.accept() out of system resource"]


async def test_running_out_of_descriptors_again_later_is_logged_again(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_descriptors, "_OUTAGE", -1.0)
    await run(Hub(port=0))
    for _ in range(2):
        asyncio.get_running_loop().call_exception_handler({"message": "socket.accept() out of system resource"})
    assert len(caplog.records) == 2
