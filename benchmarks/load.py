"""The event that every client pushes, and how it is signed. Each push is signed anew.

A client is a context manager: it gets a `Load` and yields a function. The function takes a number, pushes that many
events, and raises unless all were accepted. So a measurement can warm the client up before it starts the clock.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import quote_plus, urlencode

TOPIC = "http://example.com/orders"
KEY = "app"
SECRET = "s3cret"  # noqa: S105  # every broker here is our own
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}

EVENT_BYTES = 218
"""Bytes of the usual event, as compact JSON."""

Run: TypeAlias = Callable[[int], Awaitable[None]]
BlockingRun: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Load:
    """The broker to push to, the event, and the concurrency."""

    url: str
    """`http://127.0.0.1:1234`; brokers accept pushes at its root."""
    concurrency: int = 1
    topics: int = 1
    body: int = EVENT_BYTES
    """Bytes of an event as compact JSON."""
    timeout: float = 5.0
    """Seconds for each push, for clients that have a timeout."""

    @property
    def event(self) -> dict[str, object]:
        """The event, of `body` bytes."""
        return {"id": 17, "state": "paid", "text": "x" * (self.body - 34)}


AsyncPeer: TypeAlias = Callable[[Load], AbstractAsyncContextManager[Run]]
BlockingPeer: TypeAlias = Callable[[Load], AbstractContextManager[BlockingRun]]


class Refused(Exception):
    """The response to a push was not 202, so the measurement is worthless."""


def check(status: int) -> None:
    """Raise unless a push was accepted."""
    if status != 202:
        raise Refused(f"status {status}")


def timestamp(second: int | None = None) -> str:
    """Return a time in the format of a push. `None`: now."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def signed_params(body: bytes) -> dict[str, str]:
    """Sign as most people would write it at first, and return the parameters of the query."""
    now = timestamp()
    signature = hmac.new(SECRET.encode(), f"{TOPIC}{KEY}{now}".encode() + body, hashlib.sha256).digest()
    return {"topicuri": TOPIC, "appkey": KEY, "timestamp": now, "signature": urlsafe_b64encode(signature).decode()}


@lru_cache(maxsize=1)
def signed_at(second: int) -> tuple[bytes, str]:
    """Return the part of the signed text before the body, and the query up to it: constant within a second."""
    now = timestamp(second)
    query = f"topicuri={quote_plus(TOPIC)}&appkey={KEY}&timestamp={quote_plus(now)}&signature="
    return f"{TOPIC}{KEY}{now}".encode(), query


def signed_query(body: bytes) -> str:
    """Sign with as little work as Python allows, and return the query. Constant parts are computed once a second."""
    signed, query = signed_at(int(time.time()))
    signature = urlsafe_b64encode(hmac.digest(SECRET.encode(), signed + body, "sha256")).decode()
    return f"{query}{signature[:-1]}%3D"


def bridge_body() -> bytes:
    """Return the event in the format of Crossbar.io's HTTP bridge."""
    return json.dumps({"topic": TOPIC, "args": [Load("").event]}, separators=(",", ":")).encode()


def bridge_query(body: bytes) -> str:
    """Sign for Crossbar.io's bridge, which accepts a signature for five minutes, and return the query."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    mac = hmac.digest(SECRET.encode(), f"{KEY}{now}17".encode() + body, "sha256")
    fields = {"key": KEY, "timestamp": now, "seq": 1, "nonce": 7, "signature": urlsafe_b64encode(mac).decode()}
    return urlencode(fields)


async def by_workers(push: Callable[[], Awaitable[None]], events: int, concurrency: int) -> None:
    """Push `count` events with `concurrency` tasks, each of which awaits one push after another."""
    left = iter(range(events))

    async def work() -> None:
        for _ in left:
            await push()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, events)):
            group.create_task(work())
