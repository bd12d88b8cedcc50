"""Runs the two to-do boards with their command, and sends requests to them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp

from tests.examples.serving import EXAMPLES, Site, serving
from webmqconnect_async.testing import Hub

TOPIC = "http://example.com/board"
BOARDS = ("fastapi_board", "aiohttp_board")
_SAYS = {"fastapi_board": "Uvicorn running on", "aiohttp_board": "Running on"}


@dataclass(frozen=True, slots=True)
class Board:
    """A running board."""

    site: Site
    http: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, body: object = None, *, session: str | None = None
    ) -> tuple[int, object]:
        """Return the status and the JSON of a response. A body of None sends none."""
        headers = {} if session is None else {"X-WebMQ-Session": session}
        async with self.http.request(method, f"{self.site.url}/{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def change(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, session: str | None = None
    ) -> dict[str, object]:
        """Make a change, which must succeed, and return it."""
        status, change = await self.ask(method, path, body, session=session)
        assert status == (201 if method == "POST" else 200), change
        assert isinstance(change, dict)
        return change

    async def add(self, text: str, *, session: str | None = None) -> dict[str, object]:
        return await self.change("POST", "items", {"text": text}, session=session)

    async def listing(self) -> dict[str, object]:
        status, listing = await self.ask("GET", "items")
        assert status == 200
        assert isinstance(listing, dict)
        return listing

    async def texts(self) -> list[str]:
        items = (await self.listing())["items"]
        assert isinstance(items, dict)
        return [item["text"] for item in items.values()]

    async def ws_url(self) -> str:
        """Return the URL at which its pages subscribe."""
        url = urljoin(self.site.url, str((await self.listing())["hub"]))
        return re.sub("^http", "ws", url)


@asynccontextmanager
async def running(name: str, **env: str) -> AsyncIterator[Board]:
    """Run a board until the end of the block."""
    path = EXAMPLES / "boards" / f"{name}.py"
    async with serving(str(path), says=_SAYS[name], env=env) as site, aiohttp.ClientSession() as http:
        yield Board(site, http)


def named(hub: Hub) -> dict[str, str]:
    """Return the variables that configure a hub."""
    return {"WEBMQ_ENDPOINT": hub.url, "WEBMQ_AUTH_KEY": "app", "WEBMQ_AUTH_SECRET": "s3cret"}
