"""Push from an aiohttp handler to everybody but the page that called it.

python examples/aiohttp_app.py

WEBMQ_ENDPOINT says where the hub is (http://127.0.0.1:8080 if unset), WEBMQ_AUTH_KEY and WEBMQ_AUTH_SECRET sign;
PORT is where this server listens (8000 if unset).
The page sends the ID of its own session with the hub along, as a field of the JSON: it shows the message itself and
needs no echo.
"""

import os
from collections.abc import AsyncIterator

from aiohttp import web

from webmqconnect_async import AsyncClient, WebMQError

TOPIC = "http://example.com/chat"
CLIENT = web.AppKey("client", AsyncClient)


async def client_context(app: web.Application) -> AsyncIterator[None]:
    async with AsyncClient(
        os.environ.get("WEBMQ_ENDPOINT", "http://127.0.0.1:8080"),
        auth_key=os.environ.get("WEBMQ_AUTH_KEY"),
        auth_secret=os.environ.get("WEBMQ_AUTH_SECRET"),
    ) as client:
        app[CLIENT] = client
        yield


async def post_message(request: web.Request) -> web.Response:
    try:
        body = await request.json()
        message = {"author": body["author"], "text": body["text"]}
        sender = [body["session"]] if "session" in body else None
        await request.app[CLIENT].push(TOPIC, message, exclude=sender)
    except (ValueError, KeyError, TypeError) as error:  # an InvalidPush is a ValueError
        raise web.HTTPBadRequest(text="author, text and perhaps session are needed") from error
    except WebMQError as error:
        raise web.HTTPBadGateway(text="the message was not delivered") from error
    return web.Response(status=202)


def make_app() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(client_context)
    app.router.add_post("/messages", post_message)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
