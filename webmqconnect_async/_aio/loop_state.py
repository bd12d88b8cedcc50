"""The state of an AsyncClient in one event loop: its session, slots and deadlines. It also drives each flow.

`flow` decides whether to retry, and `dialects` what a response means.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from weakref import WeakSet

import aiohttp

from .._core import log
from .._core.clock import unix_time
from .._core.dialects import Signer
from .._core.flow import Clock, PushFlow, Retry
from .._core.settings import Settings
from .._core.transport_failures import WithoutFrames
from .._core.values import Receipt
from ..errors import ClientClosed, QueueTimeout, WebMQError, WrongLoop
from .connection_pool import ConnectionPool
from .deadlines import Deadline, Deadlines, Expired
from .posting import Posting
from .session import ConnectionOpener, is_intercepted, open_session
from .slots import Slots

_states: WeakSet[LoopState] = WeakSet()
"""All states of this process."""


class Counts:
    """The counts of a client, over all its loops."""

    pushed = failed = retried = 0


class LoopState:
    """The state of an AsyncClient in the running event loop, with the borrowed session or one of its own."""

    def __init__(self, settings: Settings, counts: Counts, borrowed: aiohttp.ClientSession | None) -> None:
        self._settings = settings
        self._counts = counts
        self.loop = asyncio.get_running_loop()
        self.inherited = False
        """Whether a fork has copied it from the parent, which owns the connections."""
        _states.add(self)
        self.clock = Clock(unix_time, self.loop.time)
        self.slots = Slots(settings.concurrency)
        self.deadlines = Deadlines(self.loop)
        self.closing = False
        self.in_flight = 0
        self.drained = asyncio.Event()
        """Set when a push ends while the client is closing."""
        self.queue: set[Deadline] = set()
        """The deadlines of single pushes that wait for a slot."""
        self._broker = settings.endpoint.authority
        self.session = borrowed or open_session(settings)
        self._posting = Posting(self.session, settings, borrowed=borrowed is not None)
        self._pool: ConnectionPool | None = None
        self._guard: AsyncGenerator[None] | None = None
        why_posting = "the session is borrowed"
        if borrowed is None:
            why_posting = self._open_pool(settings)
            self._guard = _close_at_shutdown(self.session, self._pool)
            # Started, an asynchronous generator is closed by `loop.shutdown_asyncgens`, which `asyncio.run` calls: that
            # closes the session if the client was not closed. The first step awaits nothing.
            with suppress(StopIteration):
                self._guard.asend(None).send(None)
        log.path(self._broker, why_posting)

    @property
    def path(self) -> str:
        """How requests are currently sent: "direct" or "session.post"."""
        return "session.post" if self._sender() is self._posting else "direct"

    @property
    def is_shut_down(self) -> bool:
        """Whether the loop has closed the session, with its asynchronous generators."""
        return self._guard is not None and self.session.closed

    async def take_slot(self, deadline: Deadline) -> None:
        """Wait for a slot until the deadline, or until the client is closed. Count a push that gets none as failed."""
        self.queue.add(deadline)
        taken = False
        try:
            await deadline.wait(self.slots.wait())
            taken = True
        except Expired:
            if self.closing:
                raise ClientClosed("the client was closed while the push waited for a slot") from None
            size = self._settings.concurrency
            raise QueueTimeout(f"none of the {size} slots came free before the deadline") from None
        finally:
            self._counts.failed += not taken
            self.queue.discard(deadline)

    async def run(
        self, sign: Signer, deadline: Deadline, retry: Retry | None = None, *, background: bool = False
    ) -> Receipt:
        """Drive an encoded push that has a slot, and count it.

        A `background` push is one of `push_soon`: it may start while the client closes, and does not count in `failed`.
        """
        settings, counts = self._settings, self._counts
        pushed, attempts = False, 0
        self.in_flight += 1
        try:
            if self.closing and not background:
                raise ClientClosed("the client is closed")
            flow = PushFlow(sign, settings.dialect, retry or settings.retry, self.clock, random.random, deadline.when)
            receipt = await self.drive(flow, deadline, background=background)
            pushed, attempts = True, receipt.attempts
            return receipt
        except WebMQError as error:
            attempts = error.attempts
            raise
        finally:
            if pushed:
                counts.pushed += 1
            elif not background:
                counts.failed += 1
            if attempts > 1:
                counts.retried += attempts - 1
            self.in_flight -= 1
            if self.closing:
                self.drained.set()

    async def drive(self, flow: PushFlow, deadline: Deadline, *, background: bool) -> Receipt:
        with WithoutFrames():
            while True:
                step = flow.receive(await self._sender().exchange(flow.request(), deadline))
                if isinstance(step, Receipt):
                    return step
                if not background:  # its queue has log messages of its own
                    log.retrying(self._broker, step)
                seconds = step.seconds
                del step  # otherwise its error, raised below, would refer to itself by this frame in its traceback
                if not await deadline.sleep(seconds):
                    raise flow.error()

    async def close(self) -> None:
        """End the pushes in flight, and close the session unless it is borrowed."""
        self.deadlines.close()
        if cut := self.deadlines.cut_off:
            log.cut(self._broker, cut)
            self.deadlines.cut_off = 0
        if self._guard is not None:
            await _close(self.session, self._pool)
            # The session is closed already, so this does not wait, and concurrent calls cannot fail.
            await self._guard.aclose()

    def is_here(self) -> bool:
        """Whether this is the loop, and the process, that the state belongs to."""
        return self.loop is asyncio.get_running_loop() and not self.inherited

    def leave(self) -> None:
        """Release the resources of a closed loop, or of the process before a fork; raise WrongLoop if it is neither."""
        if self._guard is None:
            raise WrongLoop("the borrowed session belongs to another event loop")
        if self.inherited:
            log.forked(self._broker)
            return
        if not self.loop.is_closed():
            raise WrongLoop("the client is in use in another event loop, which is still open: create a client per loop")
        if not self.session.closed:
            if self._pool is not None:
                self._pool.close()
            # In a closed loop, aiohttp waits for nothing: the first step completes the coroutine.
            with suppress(StopIteration):
                self.session.close().send(None)

    def _sender(self) -> ConnectionPool | Posting:
        # Checked for each request, because test doubles replace the method temporarily.
        return self._posting if self._pool is None or is_intercepted() else self._pool

    def _open_pool(self, settings: Settings) -> str:
        """Prepare sending directly. Return why requests are posted instead; empty if they are not."""
        if self.session.trace_configs:
            return "the session has trace configurations"
        try:
            self._pool = ConnectionPool(ConnectionOpener(self.session, settings), settings)
        except Exception as error:  # noqa: BLE001  # an unknown release of aiohttp may raise anything
            log.unknown_aiohttp(self._broker, aiohttp.__version__, error)
            return "this release of aiohttp is not known"
        return "ClientSession._request is replaced" if is_intercepted() else ""


def running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _close(session: aiohttp.ClientSession, pool: ConnectionPool | None) -> None:
    if pool is not None:
        pool.close()
        await pool.wait_closed()
    await session.close()


async def _close_at_shutdown(session: aiohttp.ClientSession, pool: ConnectionPool | None) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await _close(session, pool)


def _keep_inherited() -> None:
    """Mark the states that a fork has copied, and keep them alive until the process ends.

    Closing them would write to the parent's connections (TLS close_notify), and remove them from the epoll instance
    that parent and child share. The additional reference keeps CPython from finalizing them when the interpreter exits.
    """
    for state in _states:
        state.inherited = True
        if sys.implementation.name == "cpython":
            from ctypes import py_object, pythonapi

            pythonapi.Py_IncRef(py_object(state))


if hasattr(os, "register_at_fork"):  # Windows does not have it
    os.register_at_fork(after_in_child=_keep_inherited)
