"""Flask: one `Client` for all workers, created before gunicorn forks. It pushes in the background or in the request.

.venv/bin/gunicorn --preload --workers 2 --chdir examples flask_orders:app

It pushes to `webmqconnect hub` on this machine, unless the variables WEBMQ_… name another broker. In another terminal:

    curl -i http://127.0.0.1:8000/orders -H 'Content-Type: application/json' -d '{"item": "tea", "amount": 2}'
    curl -i http://127.0.0.1:8000/calls -H 'Content-Type: application/json' -d '{"table": 4}'

An order is valid even if no page shows it, so it uses `push_soon`. A call that no waiter hears is useless, so the guest
waits for the outcome of `push`. Each event names the worker that pushed it. Order a few times until both have pushed.
"""

import os

from flask import Flask, request
from flask.typing import ResponseReturnValue

from webmqconnect_async import Client, InvalidPush, NotAccepted, TooLarge, Unconfirmed, WebMQError

os.environ.setdefault("WEBMQ_ENDPOINT", "http://127.0.0.1:8080")  # where `webmqconnect hub` listens
client = Client.from_env(timeout=2)  # threads share it, and each worker has its own connections and queue
app = Flask(__name__)


@app.post("/orders")
def post_order() -> ResponseReturnValue:
    event = {"order": request.get_json(), "worker": os.getpid()}
    client.push_soon("http://example.com/orders", event)
    return event, 202


@app.post("/calls")
def post_call() -> ResponseReturnValue:
    event = {"call": request.get_json(), "worker": os.getpid()}
    client.push("http://example.com/calls", event)
    return event, 202


@app.errorhandler(InvalidPush)  # the event is the client's JSON, so it may be the client's error
@app.errorhandler(TooLarge)
def invalid(error: WebMQError) -> ResponseReturnValue:
    return {"error": str(error)}, 422


@app.errorhandler(NotAccepted)
def not_accepted(error: NotAccepted) -> ResponseReturnValue:
    app.logger.warning("a call was not pushed: %s", error)
    return {"error": "not accepted: call again"}, 503, {"Retry-After": "10"}


@app.errorhandler(Unconfirmed)
def unconfirmed(error: Unconfirmed) -> ResponseReturnValue:
    app.logger.warning("a call may have been pushed: %s", error)
    return {"error": "perhaps accepted: look around before you call again"}, 502
