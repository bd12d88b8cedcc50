"""A WAMP v2 subscriber that nobody here wrote: `autobahn`, in a process of its own and by its own venv's Python.

    .crossbar/bin/python tests/crossbar/autobahn_subscriber.py URL json|msgpack|cbor

It joins `realm1` anonymously and subscribes to each topic that it reads from stdin, a line of JSON each; their end ends
it. It prints, a line of JSON each, who it is, the topics that it has subscribed to, the events, and why it left.
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


async def subscribe(session: Any, topic: str) -> None:
    def heard(*args: object, autobahn_details: Any, **kwargs: object) -> None:
        details = autobahn_details
        say(
            topic=topic,
            args=args,
            kwargs=kwargs,
            publication=details.publication,
            publisher=details.publisher,
            retained=bool(details.retained),
        )

    await session.subscribe(heard, topic, SubscribeOptions(details_arg="autobahn_details", get_retained=True))
    say(subscribed=topic)


async def listen(session: Any, details: Any) -> None:
    say(joined=details.session, authid=details.authid, authrole=details.authrole)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        await subscribe(session, json.loads(line))
    session.leave()


async def main(url: str, serializer: str) -> None:
    transport = {"type": "websocket", "url": url, "serializers": [serializer], "max_retries": 0}
    component = Component(transports=[transport], realm="realm1")
    component.on("join", listen)
    component.on("leave", lambda session, details: say(left=details.reason))
    await component.start()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
