"""A shared to-do board on FastAPI: each open page shows at once what the others change.

    .venv/bin/python examples/boards/fastapi_board.py

Open http://127.0.0.1:8000 in two windows. A hub runs in this process, on a port of its own, unless WEBMQ_ENDPOINT and
the other variables of `AsyncClient.from_env` name a broker.
"""

import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from live import announce, listing, named_broker
from pydantic import BaseModel, StrictBool
from store import Board, Change, Refused

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub

BOARD = Board()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        broker = named_broker()
        if broker is None:
            secret = secrets.token_urlsafe()  # nobody else may push
            port = int(os.environ.get("HUB_PORT", "8001"))
            hub = await stack.enter_async_context(Hub(port=port, keys={"board": secret}))
            broker = AsyncClient(hub.url, "board", secret), hub.ws_url
        client, app.state.hub = broker
        app.state.client = await stack.enter_async_context(client)
        yield  # leaving the block pushes the queued events


class NewItem(BaseModel):
    text: str


class Tick(BaseModel):
    done: StrictBool


def announcer(request: Request, x_webmq_session: Annotated[str | None, Header()] = None) -> Callable[[Change], Change]:
    """Return a function that pushes a change to all other pages, and returns it."""

    def announced(change: Change) -> Change:
        announce(request.app.state.client, change, x_webmq_session)
        return change

    return announced


Announced = Annotated[Callable[[Change], Change], Depends(announcer)]
app = FastAPI(lifespan=lifespan)


@app.get("/items")
async def items() -> dict[str, object]:
    return listing(BOARD, app.state.hub)


@app.post("/items", status_code=201)
async def add(new: NewItem, announced: Announced) -> Change:
    return announced(BOARD.add(new.text))


@app.patch("/items/{id}")
async def tick(id: int, new: Tick, announced: Announced) -> Change:
    return announced(BOARD.tick(id, new.done))


@app.delete("/items/{id}")
async def delete(id: int, announced: Announced) -> Change:
    return announced(BOARD.delete(id))


@app.exception_handler(Refused)
async def refused(_request: Request, error: Refused) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, error.status)


app.mount("/webmq", StaticFiles(packages=[("webmqconnect_async.hub", "static")]))
app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
