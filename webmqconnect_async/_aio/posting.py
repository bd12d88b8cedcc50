"""Requests by `ClientSession.post`, so that traces, middlewares, cookies, proxies and test doubles of a session work.

A request takes three times the CPU time of one over `connection_pool`.
"""

from __future__ import annotations

import asyncio
from functools import partial

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter

from .._core import transport_failures as failures
from .._core.dialects import Request, Response
from .._core.http1 import LONGEST_BODY, LONGEST_LINE, MOST_HEADERS
from .._core.idempotency import IDEMPOTENCY_KEY, value_of
from .._core.settings import Settings
from .._core.transport_failures import TransportFailure
from .._core.transports import abort
from .aiohttp_errors import failure_of
from .deadlines import Deadline, Expired
from .session import UNSEEN, url_of

_HIGH_WATER = 64 * 1024
"""Bytes that a transport of asyncio buffers before it calls `pause_writing`."""


class Posting:
    """Sends the requests of one client in one event loop with a session.

    A borrowed session is never changed: the client's headers are sent with each request.
    """

    def __init__(self, session: aiohttp.ClientSession, settings: Settings, *, borrowed: bool) -> None:
        self._session = session
        self._broker = settings.endpoint.authority
        self._content_type = settings.dialect.content_type
        self._endpoint = settings.endpoint
        self._headers = settings.headers if borrowed else {}
        self._post = partial(
            session.post,
            allow_redirects=False,  # another server must not get the signature; a redirect is a BadReply
            raise_for_status=False,
            auto_decompress=False,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            # The deadline of the push replaces aiohttp's timeouts.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout),
            ssl=settings.ssl or True,
        )
        self._time = asyncio.get_running_loop().time
        self._last_response = self._time()

    async def exchange(self, request: Request, deadline: Deadline) -> Response | TransportFailure:
        body = _Body(request.body, self._content_type)
        task = asyncio.current_task()
        cancelling = task.cancelling() if task is not None else 0
        try:
            return await deadline.wait(self._exchange(request, body))
        except Expired:
            body.abandon()
            return failures.expired(body.begun, deadline.closing, "Expect" in self._session.headers)
        except asyncio.CancelledError:
            body.abandon()
            # Closing a session cancels what waits in it, although nobody has cancelled this task.
            if not self._session.closed or (task is not None and task.cancelling() > cancelling):
                raise
            return failures.broken(self._broker, body.begun, "the session was closed")
        except (aiohttp.ClientError, OSError) as error:
            return failure_of(error, self._broker, begun=body.begun)
        except (AssertionError, RuntimeError) as error:
            # aiohttp raises these if the session is closed, and the owner of a borrowed one may close it at any time.
            if self._session.closed:
                return failures.broken(self._broker, body.begun, "the session was closed")
            # aiohttp raises these if a resolver returns no address: an AssertionError without its DNS cache, and a
            # RuntimeError caused by a StopIteration with it.
            if not body.begun and (isinstance(error, AssertionError) or isinstance(error.__cause__, StopIteration)):
                return failures.unreachable(self._broker, "the name has no address")
            raise

    async def _exchange(self, request: Request, body: _Body) -> Response:
        if self._time() - self._last_response > UNSEEN:
            # One iteration of the loop polls the sockets, the next handles those that were closed.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        headers = self._headers
        if request.idempotency_key:
            headers = headers | {IDEMPOTENCY_KEY: value_of(request.idempotency_key)}
        reply = await self._post(url_of(self._endpoint, request.query), headers=headers, data=body)
        content = b"" if reply.closed and reply.content.at_eof() else await _read(reply)
        body.responded()
        self._last_response = self._time()
        return Response(reply.status, reply.headers, content)


class _Body(aiohttp.Payload):
    """The body of a request, which records whether sending has begun.

    Not a BytesPayload, which warns about bodies above 1 MB.
    """

    begun = False
    _transport: asyncio.Transport | None = None

    def __init__(self, body: bytes, content_type: str) -> None:
        super().__init__(body, content_type=content_type)
        self._body = body

    @property
    def size(self) -> int:
        return len(self._body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body. aiohttp calls this only once there is a connection."""
        self.begun = True
        if isinstance(writer, StreamWriter):
            self._transport = writer.transport
        await writer.write(self._body)

    def responded(self) -> None:
        """Abort the connection if the response may have come before the body was sent: aiohttp would reuse it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if (
            transport.get_write_buffer_size()
            # The write buffer size of a TLS transport does not include that of its TCP transport.
            or (len(self._body) > _HIGH_WATER and transport.get_extra_info("sslcontext"))
        ):
            abort(transport)

    def abandon(self) -> None:
        """Abort the connection: aiohttp would continue to send for as long as the broker reads."""
        # A transport that is not closing has received its response, and may be in use for another push.
        if self._transport is not None and self._transport.is_closing():
            abort(self._transport)


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    """Return the first LONGEST_BODY bytes of a body. The connection of a longer response is closed."""
    content = b""
    try:
        while len(content) < LONGEST_BODY and (chunk := await reply.content.read(LONGEST_BODY - len(content))):
            content += chunk
    finally:
        reply.release()
    return content
