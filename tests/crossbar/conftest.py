"""Fixtures for Crossbar.io: brokers that all these tests share, and subscribers of them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from brokers.crossbar_cluster import KINDS, Cluster
from brokers.crossbar_cluster import cluster as running_cluster
from webmqconnect_async.hub._browser import CLASSIC

from ..chromium import Page
from ..hub.pages import watched
from .brokers import Broker, crossbar_io, hubs
from .subscribers import Subscriber, subscriber

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def real(crossbar: None) -> Iterator[Broker]:
    with crossbar_io() as broker:
        yield broker


@pytest.fixture(scope="session")
def embedded() -> Iterator[Broker]:
    with hubs() as broker:
        yield broker


@pytest.fixture(scope="session", params=["embedded", "real"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Run the hub, or Crossbar.io."""
    running: Broker = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="session")
def alice(broker: Broker) -> Iterator[Subscriber]:
    """Return a subscriber of unsigned pushes."""
    with subscriber(broker.open.ws_url) as listening:
        yield listening


@pytest.fixture(scope="session")
def bob(broker: Broker) -> Iterator[Subscriber]:
    """Return a second subscriber of unsigned pushes."""
    with subscriber(broker.open.ws_url) as listening:
        yield listening


@pytest.fixture
def topic() -> str:
    """Return a topic that no other test uses."""
    return f"com.example.topic{next(_numbers)}"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Open a page with webmq.js, served by a server that is not a broker."""

    async def index(_request: web.Request) -> web.Response:
        text = '<title>a site</title><link rel="icon" href="data:,"><script src="webmq.js"></script>'
        return web.Response(text=text, content_type="text/html")

    async def script(_request: web.Request) -> web.Response:
        return web.Response(text=CLASSIC, content_type="text/javascript")

    site = web.Application()
    site.router.add_get("/", index)
    site.router.add_get("/webmq.js", script)
    async with TestServer(site, host="127.0.0.1") as running, watched() as page:
        await page.open(str(running.make_url("/")))
        yield page


@pytest.fixture(scope="session", params=KINDS)
def cluster(request: pytest.FixtureRequest, crossbar: None) -> Iterator[Cluster]:
    """Run a cluster of a router and a proxy, or of two equal nodes."""
    with running_cluster(request.param) as running:
        yield running
