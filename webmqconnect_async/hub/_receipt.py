"""The response to most pushes, `202 Accepted`, written directly to the transport.

aiohttp creates a response, a map of headers and two coroutines for each request: a sixth of the cost of a push.
"""

from __future__ import annotations

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

PUBLICATION = "WebMQ-Publication"  # the header with the ID of the publication
PUBLICATION_ID = web.RequestKey("PUBLICATION_ID", int)  # under which a request has that ID, for `RECEIPT`
_HEAD = f"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nServer: {SERVER_SOFTWARE}\r\nDate: "


class _Receipt(web.StreamResponse):
    """A response without a body. It has no state, so one instance responds to all requests."""

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is not None and not transport.is_closing():
            # The ID comes last: a client can recognize what precedes it, which is the same for a second.
            head = f"{_HEAD}{rfc822_formatted_time()}\r\n{PUBLICATION}: {request[PUBLICATION_ID]}\r\n\r\n"
            transport.write(head.encode("ascii"))
            if request.protocol.writing_paused:  # the peer does not read the responses
                await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        pass  # `prepare` has written the end


RECEIPT = _Receipt(status=202)


def may_be_short(request: web.Request) -> bool:
    """Return whether `RECEIPT` has all headers that the response to a request needs."""
    return request.version == HttpVersion11 and request.keep_alive and hdrs.ORIGIN not in request.headers
