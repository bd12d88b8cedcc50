"""A WAMP v2 subscriber that uses `autobahn`, an independent implementation. It runs with the Python of its own venv.

    .crossbar/bin/python tests/crossbar/autobahn_subscriber.py URL json|msgpack|cbor

It joins `realm1` anonymously. Each line of stdin is a JSON array of a topic and a match policy: it subscribes to that,
and ends at the end of stdin. It prints one JSON object per line: its session, the topics that it has subscribed to, the
events, and why it left.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from autobahn.asyncio.component import Component
from autobahn.wamp.types import SubscribeOptions


def say(**fields: object) -> None:
    print(json.dumps(fields, default=repr), flush=True)


async def subscribe(session: Any, topic: str, match: str) -> None:
    def heard(*args: object, autobahn_details: Any, **kwargs: object) -> None:
        details = autobahn_details
        say(
            heard=topic,
            topic=details.topic,
            args=args,
            kwargs=kwargs,
            publication=details.publication,
            publisher=details.publisher,
            retained=bool(details.retained),
        )

    options = SubscribeOptions(match=match, details_arg="autobahn_details", get_retained=True)
    await session.subscribe(heard, topic, options)
    say(subscribed=topic)


async def listen(session: Any, details: Any) -> None:
    say(joined=details.session, authid=details.authid, authrole=details.authrole)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        await subscribe(session, *json.loads(line))
    session.leave()


async def main(url: str, serializer: str) -> None:
    transport = {"type": "websocket", "url": url, "serializers": [serializer], "max_retries": 0}
    component = Component(transports=[transport], realm="realm1")
    component.on("join", listen)
    component.on("leave", lambda session, details: say(left=details.reason))
    await component.start()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
