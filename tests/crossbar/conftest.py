"""The brokers, started once for all these tests, and subscribers that stay."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from .brokers import Broker, crossbar_io, hubs
from .subscribers import Subscriber, subscriber

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def real() -> Iterator[Broker]:
    with crossbar_io() as broker:
        yield broker


@pytest.fixture(scope="session")
def embedded() -> Iterator[Broker]:
    with hubs() as broker:
        yield broker


@pytest.fixture(scope="session", params=["embedded", pytest.param("real", marks=pytest.mark.crossbar)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Run the hub; then Crossbar.io."""
    running: Broker = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="session")
def alice(broker: Broker) -> Iterator[Subscriber]:
    """Listen to what is pushed unsigned."""
    with subscriber(broker.open.ws_url) as listening:
        yield listening


@pytest.fixture(scope="session")
def bob(broker: Broker) -> Iterator[Subscriber]:
    """Listen beside Alice."""
    with subscriber(broker.open.ws_url) as listening:
        yield listening


@pytest.fixture
def topic() -> str:
    """Return a topic that no other test has."""
    return f"com.example.topic{next(_numbers)}"
