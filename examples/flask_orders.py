"""Flask: one `Client` for all workers, made before gunicorn forks, and what an answer says of each way to fail.

.venv/bin/gunicorn --preload --workers 2 --chdir examples flask_orders:app

It pushes to `webmqconnect hub` on this machine, or to what the variables WEBMQ_… say. Order in another terminal:

    curl -i http://127.0.0.1:8000/orders -H 'Content-Type: application/json' -d '{"item": "tea", "amount": 2}'

Each event names the worker that pushed it: order a few times.
"""

import os

from flask import Flask, request
from flask.typing import ResponseReturnValue

from webmqconnect_async import Client, InvalidPush, NotAccepted, TooLarge, Unconfirmed, WebMQError

TOPIC = "http://example.com/orders"

os.environ.setdefault("WEBMQ_ENDPOINT", "http://127.0.0.1:8080")  # where `webmqconnect hub` listens
client = Client.from_env()  # threads share it, and a worker makes connections of its own
app = Flask(__name__)


@app.post("/orders")
def post_order() -> ResponseReturnValue:
    event = {"order": request.get_json(), "worker": os.getpid()}
    client.push(TOPIC, event)
    return event, 202


@app.errorhandler(InvalidPush)  # the event is the client's JSON, so it may be the client's error
@app.errorhandler(TooLarge)
def invalid(error: WebMQError) -> ResponseReturnValue:
    return {"error": str(error)}, 422


@app.errorhandler(NotAccepted)
def not_accepted(error: NotAccepted) -> ResponseReturnValue:
    app.logger.warning("an order was not pushed: %s", error)
    return {"error": "nobody was told: order again"}, 503, {"Retry-After": "10"}


@app.errorhandler(Unconfirmed)
def unconfirmed(error: Unconfirmed) -> ResponseReturnValue:
    app.logger.warning("an order was perhaps pushed: %s", error)
    return {"error": "they may have been told: ask before you order again"}, 502
