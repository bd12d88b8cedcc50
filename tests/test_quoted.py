"""A server whose refusal quotes the request, as aiohttp's does: no error contains any part of the signature."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from webmqconnect_async import Push, Rejected, Retry, WebMQError
from webmqconnect_async._core.dialects import DialectName

from .clients import DRIVERS, METHODS, Both
from .escapes import ESCAPES, nested, shown
from .hostile import Peer, Step, hostile, reply
from .running import in_thread
from .test_secrets import texts_of

SECRET = "a-secret-of-the-tests"
DIALECTS: tuple[DialectName, ...] = ("webmq", "crossbar")
SESSION_IDS = range(10**15, 10**15 + 1000)
"""A thousand session IDs, with which the target of a WebMQ push is longer than aiohttp allows."""


@dataclass
class Quoting:
    """An aiohttp server, and the bytes that it received."""

    url: str
    received: bytearray = field(default_factory=bytearray)

    @property
    def signature(self) -> str:
        """The signature of the last request."""
        line = bytes(self.received).rpartition(b"POST ")[2].split(b" ")[0]
        return parse_qs(urlsplit(line.decode()).query)["signature"][0]


class _Recording(asyncio.Protocol):
    """A connection of the server that is recorded: aiohttp does not show a request that it cannot parse."""

    def __init__(self, within: web.RequestHandler, received: bytearray) -> None:
        self._within = within
        self._received = received
        self.connection_made = within.connection_made  # type: ignore[method-assign]  # forwarded unchanged
        self.connection_lost = within.connection_lost  # type: ignore[method-assign]
        self.eof_received = within.eof_received  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._within.data_received(data)


@asynccontextmanager
async def _serving(longest: int) -> AsyncIterator[Quoting]:
    async def unreached(request: web.BaseRequest) -> web.Response:
        return web.Response(status=404)

    silent = logging.getLogger("tests.quoting")
    silent.disabled = True
    quoting = Quoting("")
    server = web.Server(unreached, max_line_size=longest, logger=silent)
    listening = await asyncio.get_running_loop().create_server(
        lambda: _Recording(server(), quoting.received), "127.0.0.1", 0
    )
    host, port = listening.sockets[0].getsockname()
    quoting.url = f"http://{host}:{port}/push"
    try:
        yield quoting
    finally:
        listening.close()
        await server.shutdown(1.0)


@contextmanager
def quoting(longest: int) -> Iterator[Quoting]:
    with in_thread(lambda: _serving(longest)) as server:
        yield server


def failure(client: Both, method: str, push: Push) -> WebMQError:
    """Push with a method, and return the error."""
    if method == "push":
        return client.failure(push.event, topic=push.topic, eligible=push.eligible)
    [outcome] = client.push_many([push]) if method == "push_many" else client.push_stream([push])
    assert outcome.error is not None
    return outcome.error


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("dialect", "longest"), [("webmq", 8190), ("webmq", 60), ("crossbar", 60)], ids=lambda value: str(value)
)
def test_the_400_of_an_aiohttp_server(driver: str, method: str, dialect: DialectName, longest: int) -> None:
    """The server quotes the first 100 bytes of a long request target, which contain most of the signature."""
    options = {"dialect": dialect, "max_request_head": None}
    with quoting(longest) as server, Both(driver, server.url, "app", SECRET, **options) as client:
        error = failure(client, method, Push("com.example.t", 1, eligible=list(SESSION_IDS)))
        assert isinstance(error, Rejected)
        assert error.status == 400
        assert shown(list(texts_of(error)), server.signature) == []


def echo(status: int, name: str, *headers: str) -> Step:
    """Quote a request's signature in an escape: in the body, and in headers in place of `{}`."""

    async def step(peer: Peer) -> None:
        quoted = nested((await peer.request()).query["signature"][5:39], name)
        folded = " ".join(quoted.split())
        await peer.send(reply(status, f"no: {quoted}".encode(), *(each.format(folded) for each in headers)))

    return step


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_part_of_the_signature(driver: str, dialect: DialectName, caplog: pytest.LogCaptureFixture) -> None:
    """No part is shown in any escape: in a refusal, a refusal that is retried and logged, a redirect, or headers."""
    steps = []
    for name in ESCAPES:
        steps.append(echo(401, name, "X: {}", "Retry-After: {}", "Date: {}"))
        steps += [echo(429, name), echo(503, name, "Retry-After: 0"), echo(400, name)]
        steps.append(echo(302, name, "Location: http://{}@host-{}/{}?{}#{}"))
    with (
        hostile(*steps) as server,
        Both(driver, server.url, "app", SECRET, dialect=dialect, retry=Retry(wait=0.0)) as client,
        caplog.at_level(logging.DEBUG),
    ):
        texts = [text for _ in range(3 * len(ESCAPES)) for text in texts_of(client.failure(topic="com.example.t"))]
        texts += [text for record in caplog.records for text in (record.getMessage(), repr(record.args))]
        signatures = [request.query["signature"] for request in server.requests]
    assert len(signatures) == len(steps)
    assert shown(texts, *signatures) == []
