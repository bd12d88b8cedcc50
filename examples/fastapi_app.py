"""Push from a FastAPI handler to everybody but the page that called it.

uvicorn --app-dir examples fastapi_app:app

WEBMQ_ENDPOINT says where the hub is (http://127.0.0.1:8080 if unset), WEBMQ_AUTH_KEY and WEBMQ_AUTH_SECRET sign.
The page sends the ID of its own session with the hub in a header: it shows the message itself and needs no echo.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel

from webmqconnect_async import AsyncClient, InvalidPush, WebMQError

TOPIC = "http://example.com/chat"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncClient(
        os.environ.get("WEBMQ_ENDPOINT", "http://127.0.0.1:8080"),
        auth_key=os.environ.get("WEBMQ_AUTH_KEY"),
        auth_secret=os.environ.get("WEBMQ_AUTH_SECRET"),
    ) as client:
        app.state.client = client
        yield


def webmq(request: Request) -> AsyncClient:
    client: AsyncClient = request.app.state.client
    return client


app = FastAPI(lifespan=lifespan)


class Message(BaseModel):
    author: str
    text: str


@app.post("/messages", status_code=202)
async def post_message(
    message: Message,
    client: Annotated[AsyncClient, Depends(webmq)],
    x_webmq_session: Annotated[str | None, Header()] = None,
) -> None:
    sender = [x_webmq_session] if x_webmq_session else None
    try:
        await client.push(TOPIC, message.model_dump(), exclude=sender)
    except InvalidPush as error:
        raise HTTPException(422, str(error)) from error
    except WebMQError as error:
        raise HTTPException(502, "the message was not delivered") from error
