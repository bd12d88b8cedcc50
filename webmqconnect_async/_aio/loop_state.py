"""What an AsyncClient has in one event loop: session, slots, deadlines; and how a request crosses the network.

It decides nothing: whether to try again and what an answer means is the flow's business.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial

import aiohttp
from yarl import URL

from .._core import log
from .._core import transport_failures as failures
from .._core.dialects import Request, Response
from .._core.flow import Answer, Clock, PushFlow, Sleep
from .._core.settings import LONGEST_ANSWER, LONGEST_HEADER, MOST_HEADERS, Settings
from .._core.transport_failures import TransportFailure, WithoutFrames
from .._core.values import Receipt
from ..errors import ClientClosed, QueueTimeout, WrongLoop
from .deadlines import Deadline, Deadlines
from .fork import mark_after_fork
from .session import Body, open_session

__all__ = ["LoopState", "running_loop"]

_IDLE = 0.05
"""Seconds without an answer after which a close by the broker may lie in the kernel, unseen by the loop."""


class _Slots(asyncio.Semaphore):
    """Slots that may be given back after the loop was closed: its pushes end when they are collected."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._home = asyncio.get_running_loop()

    def release(self) -> None:
        """Give a slot back. A closed loop can wake nobody, and complains."""
        if not self._home.is_closed():
            super().release()


class LoopState:
    """One event loop's share of an AsyncClient; made in that loop.

    Args:
        settings: the client's.
        borrowed: a session of the caller's, used as it is and never closed; None to make one.
    """

    def __init__(self, settings: Settings, borrowed: aiohttp.ClientSession | None) -> None:
        # asyncio receives into a new block of 256 KB each time. glibc maps and unmaps the memory of such a block, a
        # seventh of a push, until a larger one has been freed in the process; so one is.
        bytearray(1 << 20)
        self.loop = asyncio.get_running_loop()
        self.inherited = False
        """Whether a fork has copied it from the parent, whose connections it has."""
        mark_after_fork(self)
        self.clock = Clock(time.time, self.loop.time)
        self._size = settings.concurrency
        self.slots = _Slots(self._size)
        self.deadlines = Deadlines(self.loop)
        self.closing = False
        self.in_flight = 0
        self.drained = asyncio.Event()
        """Set when a push ends while the client is closing."""
        self.queue: set[Deadline] = set()
        """Single pushes that wait for a slot."""
        self._last_answer = self.loop.time()
        self._broker = settings.endpoint.authority
        self._content_type = settings.dialect.content_type
        # A borrowed session is never changed, so it is told with each push.
        self._headers = settings.headers if borrowed is not None else None
        self._ssl = settings.ssl or True
        # encoded: aiohttp would requote what is signed.
        self._url = partial(
            URL.build,
            scheme=settings.endpoint.scheme,
            authority=self._broker,
            path=settings.endpoint.path,
            encoded=True,
        )
        # The flow's deadline bounds the whole push; aiohttp's own timeouts would cost a timer each.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout)
        self._guard: AsyncGenerator[None] | None = None
        if borrowed is not None:
            self.session = borrowed
        else:
            self.session = open_session(settings)
            self._guard = _closed_in_the_end(self.session)
            # The first step awaits nothing, so it can be taken here. From then on the loop's own shutdown of
            # asynchronous generators closes the session, should the caller forget to.
            with suppress(StopIteration):
                self._guard.asend(None).send(None)

    async def take_slot(self, deadline: Deadline) -> None:
        """Wait for a slot, no longer than a single push may.

        Raises:
            QueueTimeout: the deadline struck.
            ClientClosed: the client was closed meanwhile.
        """
        if not self.slots.locked():
            await self.slots.acquire()
            return
        self.queue.add(deadline)
        try:
            await self.slots.acquire()
        except asyncio.CancelledError:
            if not deadline.is_ours():
                raise
        else:
            return
        finally:
            self.queue.discard(deadline)
        if self.closing:
            raise ClientClosed("the client was closed while the push waited for a slot")
        raise QueueTimeout(f"none of the {self._size} slots came free before the deadline")

    async def drive(self, flow: PushFlow, deadline: Deadline) -> Receipt:
        """Carry out what the flow asks for until it has a receipt; the flow's errors pass through."""
        answer: Answer = None
        with WithoutFrames():
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    receipt: Receipt = end.value
                    return receipt
                if isinstance(step, Request):
                    answer = await self.exchange(step, deadline)
                else:
                    answer = await self._sleep(step, deadline)

    async def exchange(self, request: Request, deadline: Deadline) -> Response | TransportFailure:
        """Send one request and return its answer, or why there is none."""
        body = Body(request.body, self._content_type)
        try:
            if self.loop.time() - self._last_answer > _IDLE:
                await _look_at_the_sockets()
            reply = await self.session.post(
                self._url(query_string=request.query),
                data=body,
                headers=self._headers,
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=False,
                max_line_size=LONGEST_HEADER,
                max_field_size=LONGEST_HEADER,
                max_headers=MOST_HEADERS,
                timeout=self._timeout,
                ssl=self._ssl,
            )
            content = b"" if reply.closed and reply.content.at_eof() else await _read(reply)
            self._last_answer = self.loop.time()
            return Response(reply.status, reply.headers, content)
        except asyncio.CancelledError:
            body.abandon()
            if deadline.is_ours():
                return failures.expired(body.begun, deadline.cut, "Expect" in self.session.headers)
            # Nobody has cancelled the push where a session that is closed cancels what waits in it.
            if deadline.is_others() or not self.session.closed:
                raise
            return failures.broken(self._broker, body.begun, "the session was closed")
        except (aiohttp.ClientError, OSError) as error:
            return self._failure(error, body.begun)
        except (AssertionError, RuntimeError) as error:
            # So aiohttp says that the session is closed: the owner of a borrowed one may do that at any time.
            if self.session.closed:
                return failures.broken(self._broker, body.begun, "the session was closed")
            # So it fails if a resolver has returned nothing: without its cache of names, and with it.
            if not body.begun and (isinstance(error, AssertionError) or isinstance(error.__cause__, StopIteration)):
                return failures.nowhere(self._broker)
            raise

    async def close(self) -> None:
        """End what is in flight, and close the session if it is this client's own."""
        self.deadlines.close()
        if cut := self.deadlines.cut_off:
            log.cut(self._broker, cut)
            self.deadlines.cut_off = 0
        if self._guard is not None:
            await self.session.close()
            # It has nothing left to do: it never waits, and so may be closed by several at once.
            await self._guard.aclose()

    def is_here(self) -> bool:
        """Tell whether this is the loop, and the process, that the wire was made in."""
        return self.loop is asyncio.get_running_loop() and not self.inherited

    def leave(self) -> None:
        """Let go of what another loop, which has ended, or the process before a fork has left behind.

        Raises:
            WrongLoop: the other loop is alive, or the session is borrowed.
        """
        if self._guard is None:
            raise WrongLoop("the borrowed session belongs to another event loop")
        if self.inherited:
            log.forked(self._broker)
            return
        if not self.loop.is_closed():
            raise WrongLoop("the client works in another event loop, which is still open: make one client a loop")
        if not self.session.closed:
            # In a closed loop aiohttp has nothing to wait for: the coroutine runs through at once.
            with suppress(StopIteration):
                self.session.close().send(None)

    async def _sleep(self, sleep: Sleep, deadline: Deadline) -> TransportFailure | None:
        log.retrying(self._broker, sleep)
        try:
            await asyncio.sleep(sleep.seconds)
        except asyncio.CancelledError:
            if not deadline.is_ours():
                raise
            return failures.expired(False, deadline.cut)
        return None

    def _failure(self, error: Exception, begun: bool) -> TransportFailure:
        """Say why there is no answer, in words of our own: aiohttp's often hold the signed URL."""
        broker = self._broker
        match error:
            case aiohttp.ClientConnectorCertificateError():
                what = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
                return failures.unverified(broker, what)
            case aiohttp.ClientHttpProxyError():
                return failures.refused_by_proxy(broker, error.status)
            case aiohttp.ClientConnectorError():
                return failures.unreachable(broker, _told(error.os_error))
            case aiohttp.ConnectionTimeoutError():
                return failures.unreachable(broker, "timed out")
            case aiohttp.ClientResponseError():
                return failures.garbage(broker, begun)
            case aiohttp.ServerDisconnectedError():
                return failures.cut_off(broker, begun)
            case _:
                what = error.strerror if isinstance(error, OSError) else None
                if not what or "://" in what:
                    what = type(error.__cause__ or error).__name__
                return failures.broken(broker, begun, what)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running loop; None where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _closed_in_the_end(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await session.close()


def _told(error: OSError) -> str:
    """Return what the system says of an error; asyncio puts the address in the place of that."""
    if error.errno is not None and (error.strerror or "").startswith("Connect call failed"):
        return os.strerror(error.errno)
    return error.strerror or str(error)


async def _look_at_the_sockets() -> None:
    """Let the loop notice which idle connections the broker has closed; after a blocked loop nobody has looked yet.

    One turn of the loop polls the sockets, and the next has run what a close sets off.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    """Return the body as far as it is worth reading. The connection of an answer that goes on is closed."""
    content = b""
    try:
        while len(content) < LONGEST_ANSWER and (chunk := await reply.content.read(LONGEST_ANSWER - len(content))):
            content += chunk
    finally:
        reply.release()
    return content
