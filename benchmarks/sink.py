"""A server that takes any POST and forgets it: `python -m benchmarks.sink [--delay SECONDS]`.

It answers each complete request with an empty 202, as a hub does, and requests to `/api/...` with what Centrifugo says,
for cent. It prints its port. It reads heads only as far as `Content-Length`; chunked requests are not for it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
from functools import partial
from typing import cast

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
CENTRIFUGO = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"result":{}}'

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Sink(asyncio.Protocol):
    """One connection, on which requests may come in pieces or several at once.

    Args:
        delay: seconds from the end of a request to its answer.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay
        self._head = b""
        self._body_left = 0
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where answers go."""
        # A cast: uvloop's transports are asyncio's by duck typing alone.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer all requests that end in this piece."""
        data = self._head + data
        at = 0
        answers = []
        while True:
            skipped = min(self._body_left, len(data) - at)
            at += skipped
            self._body_left -= skipped
            if self._body_left:
                break
            if self._answer:
                answers.append(self._answer)
                self._answer = b""
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                break
            length = _LENGTH.search(data, at, end)
            self._body_left = int(length[1]) if length else 0
            self._answer = CENTRIFUGO if data.startswith(b"POST /api/", at) else ACCEPTED
            at = end + 4
        self._head = data[at:]
        if answers:
            self._say(b"".join(answers))

    def _say(self, answers: bytes) -> None:
        if self._transport is None:
            return
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, answers)
        else:
            self._transport.write(answers)


async def serve(delay: float) -> None:
    """Serve on a free port of the loopback until the process is ended."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = await asyncio.get_running_loop().create_server(partial(Sink, delay), sock=listening)
    print(listening.getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that each answer comes later")
    delay = parser.parse_args().delay
    loop_factory = None
    # uvloop's timers count whole milliseconds and may come one too early, which 20 ms would show.
    if not delay:
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(delay))


if __name__ == "__main__":
    main()
