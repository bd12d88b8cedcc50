"""A shared to-do board on aiohttp: each open page shows at once what the others change.

    .venv/bin/python examples/boards/aiohttp_board.py

Open http://127.0.0.1:8000 in two windows. The hub is a part of this application, below /hub/, unless WEBMQ_ENDPOINT and
the other variables of `AsyncClient.from_env` name a broker.
"""

import os
import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from live import announce, listing, named_broker
from store import Board, Change, Refused

from webmqconnect_async import AsyncClient, hub

BOARD = Board()
PAGE = Path(__file__).parent / "page"
CLIENT, HUB = web.AppKey("CLIENT", AsyncClient), web.AppKey("HUB", str)
T = TypeVar("T")


async def pushing(app: web.Application) -> AsyncIterator[None]:
    async with app[CLIENT]:  # leaving the block pushes the queued events
        yield


def announced(request: web.Request, change: Change, status: int = 200) -> web.Response:
    """Push a change to all pages but the one that made it, and respond with it."""
    announce(request.app[CLIENT], change, request.headers.get("X-WebMQ-Session"))
    return web.json_response(asdict(change), status=status)


async def field(request: web.Request, name: str, kind: type[T]) -> T:
    """Return a field of a JSON body, which a page of another origin cannot send without a preflight request."""
    if request.content_type != "application/json":
        raise Refused(415, "application/json is required")
    try:
        value = (await request.json())[name]
    except (ValueError, LookupError, TypeError):
        value = None
    if not isinstance(value, kind):
        raise Refused(422, f"{name}: missing, or of the wrong type")
    return value


async def items(request: web.Request) -> web.Response:
    return web.json_response(listing(BOARD, request.app[HUB]))


async def add(request: web.Request) -> web.Response:
    return announced(request, BOARD.add(await field(request, "text", str)), 201)


async def tick(request: web.Request) -> web.Response:
    return announced(request, BOARD.tick(int(request.match_info["id"]), await field(request, "done", bool)))


async def delete(request: web.Request) -> web.Response:
    return announced(request, BOARD.delete(int(request.match_info["id"])))


async def index(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "index.html")


@web.middleware
async def refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as error:
        return web.json_response({"detail": str(error)}, status=error.status)


def make_app(port: int) -> web.Application:
    app = web.Application(middlewares=[refusing], client_max_size=4096)
    secret = secrets.token_urlsafe()  # nobody else may push
    app.add_subapp("/hub/", hub.create_app(keys={"board": secret}))
    app[CLIENT], app[HUB] = named_broker() or (AsyncClient(f"http://127.0.0.1:{port}/hub/", "board", secret), "hub/ws")
    app.cleanup_ctx.append(pushing)
    app.add_routes([web.get("/", index), web.get("/items", items), web.post("/items", add)])
    app.add_routes([web.patch(r"/items/{id:\d{1,16}}", tick), web.delete(r"/items/{id:\d{1,16}}", delete)])
    app.add_routes([web.static("/webmq", Path(hub.__file__).parent / "static"), web.static("/", PAGE)])
    return app


if __name__ == "__main__":
    sock = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "8000"))))
    web.run_app(make_app(sock.getsockname()[1]), sock=sock, access_log=None)  # it would show the pushes' signatures
