"""Private orders on FastAPI: users see changes of their own orders, and the admin sees those of all users.

    .venv/bin/python examples/private_orders/app.py

Open http://127.0.0.1:8000 in a normal and a private window, which have separate cookies, and log in as different users.
A hub runs in this process, on a port of its own. Pages subscribe with a ticket, which this server makes.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Body, Depends, FastAPI, HTTPException, Request
from fastapi.staticfiles import StaticFiles
from starlette.middleware.sessions import SessionMiddleware

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub
from webmqconnect_async.tickets import ticket

ADMIN = "1"
USERS = (ADMIN, "17", "18")
TOPIC = "http://example.com/users/{}/orders"
Order = dict[str, object]
ORDERS: dict[int, Order] = {}
PUSHES, TICKETS, COOKIES = (secrets.token_urlsafe(32) for _ in range(3))
HUB = Hub(port=int(os.environ.get("HUB_PORT", "8001")), keys={"shop": PUSHES}, ticket_keys={"tickets": TICKETS})


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with HUB, AsyncClient(HUB.url, "shop", PUSHES) as app.state.client:
        yield


def logged_in(request: Request) -> str:
    if (user := request.session.get("user")) not in USERS:
        raise HTTPException(401, "log in first")
    return str(user)


def announced(order: Order) -> Order:
    app.state.client.push_soon(TOPIC.format(order["user"]), order)
    return order


User = Annotated[str, Depends(logged_in)]
Text = Annotated[str, Body(embed=True)]  # in JSON, which a page of another origin cannot post
app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=COOKIES)  # a signed cookie, SameSite=Lax


@app.post("/login")
async def login(request: Request, user: Text) -> None:
    request.session["user"] = user  # your application asks for a password


@app.post("/ticket")  # safe from CSRF: it changes nothing, and a page of another origin cannot read the response
async def make_ticket(user: User) -> str:
    topic = TOPIC.format(user) if user != ADMIN else "http://example.com/users/*"
    return ticket(key="tickets", secret=TICKETS, sub=user, topics=[topic], valid=300)


@app.get("/orders")
async def orders(user: User) -> dict[str, object]:
    """Return the orders of a user, or of all users, and their topics, because the hub has no prefix subscriptions."""
    users = USERS if user == ADMIN else (user,)
    seen = [order for order in ORDERS.values() if order["user"] in users]
    return {"user": user, "orders": seen, "hub": HUB.ws_url, "topics": [TOPIC.format(each) for each in users]}


@app.post("/orders", status_code=201)
async def add(item: Text, user: User) -> Order:
    order = ORDERS[len(ORDERS)] = {"id": len(ORDERS), "user": user, "item": item, "state": "ordered"}
    return announced(order)


@app.patch("/orders/{id}")
async def send(id: int, user: User) -> Order:
    if user != ADMIN or id not in ORDERS:
        raise HTTPException(404)
    order = ORDERS[id] = ORDERS[id] | {"state": "sent"}
    return announced(order)


app.mount("/webmq", StaticFiles(packages=[("webmqconnect_async.hub", "static")]))
app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
