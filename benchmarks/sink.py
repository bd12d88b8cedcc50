"""A server that accepts any POST and discards it: `python -m benchmarks.sink [--delay SECONDS] [--spin] [--tls FILE]`.

It prints its port. It responds to each complete request with an empty 202, like a hub, and to requests for `/api/...`
as Centrifugo responds to cent. It reads no header except `Content-Length`, so it does not support chunked requests.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import ssl
from functools import partial
from typing import cast

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
CENTRIFUGO = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"result":{}}'

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Sink(asyncio.Protocol):
    """One connection, on which requests may arrive in pieces, or several at once.

    Args:
        delay: seconds from the end of a request to its response.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay
        self._head = b""
        self._body_left = 0
        self._response = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport for the responses."""
        # A cast, because uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Respond to all requests that end in this piece."""
        data = self._head + data
        at = 0
        responses = []
        while True:
            skipped = min(self._body_left, len(data) - at)
            at += skipped
            self._body_left -= skipped
            if self._body_left:
                break
            if self._response:
                responses.append(self._response)
                self._response = b""
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                break
            length = _LENGTH.search(data, at, end)
            self._body_left = int(length[1]) if length else 0
            self._response = CENTRIFUGO if data.startswith(b"POST /api/", at) else ACCEPTED
            at = end + 4
        self._head = data[at:]
        if responses:
            self._write(b"".join(responses))

    def _write(self, responses: bytes) -> None:
        if self._transport is None:
            return
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, responses)
        else:
            self._transport.write(responses)


def _spin() -> None:
    asyncio.get_running_loop().call_soon(_spin)


async def serve(delay: float, spin: bool, certificate: str | None) -> None:
    """Serve on a free port of the loopback until the process ends."""
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = await asyncio.get_running_loop().create_server(partial(Sink, delay), sock=listening, ssl=context)
    print(listening.getsockname()[1], flush=True)
    if spin:
        _spin()
    await server.serve_forever()


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each response")
    # A server that sleeps has to be woken on its core, which makes each send of a client several times as expensive.
    parser.add_argument("--spin", action="store_true", help="poll without sleeping; needs a core of its own")
    parser.add_argument("--tls", metavar="FILE", help="serve TLS with the key and the certificates of this file")
    options = parser.parse_args()
    loop_factory = None
    # uvloop's timers have a resolution of a millisecond and may fire one too early, which is noticeable in 20 ms.
    if not options.delay:
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(options.delay, options.spin, options.tls))


if __name__ == "__main__":
    main()
