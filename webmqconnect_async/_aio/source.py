"""The source of a bulk: the caller's iterable, which one task reads, the reader.

The reader reads an item only while a worker waits for one. No other task runs the source's code, because an
`asyncio.timeout`, a TaskGroup or an anyio scope around a `yield` cancels the task that entered it, even while the
generator is suspended: a worker that is cancelled like that would lose its push. Workers read a list or a tuple
themselves, which saves an iteration of the event loop per push.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from functools import partial
from typing import TypeAlias

from .._core.bulk import Bulk, Item, Job

AsyncPushes: TypeAlias = Iterable[Item] | AsyncIterable[Item]
"""The source of a bulk of `AsyncClient`: an iterable or async iterable of `Push` or `(topic, event)`."""

_END = object()
"""Marks the end of a source. StopAsyncIteration would be ambiguous: a plain iterator may raise it as an error."""


class Source:
    """A caller's iterable, which workers read as jobs, one at a time and in order."""

    failure: BaseException | None = None
    """Why the source was not read to its end; `None` if it was."""

    def __init__(self, pushes: AsyncPushes, bulk: Bulk) -> None:
        self._at_hand: Iterator[Item] | None = None
        """The iterator of a list or tuple, which workers read themselves. A subclass may run the caller's code."""
        if isinstance(pushes, list | tuple) and type(pushes) in (list, tuple):
            self._at_hand = iter(pushes)
        items: AsyncPushes = self._at_hand or pushes
        self._items: object
        if isinstance(items, AsyncIterable):
            # Its iterator may be no AsyncIterator: `async for` needs only its `__anext__`.
            self._items = iterator = aiter(items)
            self._next = partial(_anext, iterator)
        else:
            self._items = plain = iter(items)
            self._next = partial(_next, plain)
        self._bulk = bulk
        self._loop = asyncio.get_running_loop()
        self._idle = 0
        """Number of workers that wait for a job."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        """Futures of those that wait for longer than one iteration of the loop."""
        self._ready: deque[Job] = deque()
        """Jobs that no worker has taken yet."""
        self._reader: asyncio.Task[None] | None = None
        self._call: asyncio.Future[None] | None = None
        """The future that the reader waits for while no worker waits for a job."""
        self._parent: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._ended = False
        """Whether the reader must not read further."""
        self._finished = False
        """Whether the reader has ended, so that no more jobs will come."""

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the reader, in the group that the running task has entered."""
        self._parent = asyncio.current_task()
        self._cancelling = self._parent.cancelling() if self._parent is not None else 0
        self._reader = group.create_task(self._read())
        # A callback, not the end of `_read`: a task that is cancelled before its first step never runs.
        self._reader.add_done_callback(self._finish)

    def next_at_hand(self) -> Job | None:
        """Return the next job if it can be read without waiting; `None` otherwise."""
        if self._at_hand is None or self._ready:
            return None
        while not self._ended and not self._bulk.full:
            item = next(self._at_hand, _END)
            if item is _END:
                self._end(None)
            elif (job := self._bulk.take(item)) is not None:
                return job
        return None

    async def next(self) -> Job | None:
        """Return the next job; `None` if there are no more."""
        self._idle += 1
        try:
            self._call_reader()
            while not self._ready and not self._finished:
                try:
                    # The reader runs before this task continues. That is enough if the source does not have to wait.
                    await asyncio.sleep(0)
                    if not self._ready and not self._finished:
                        waiter = self._loop.create_future()
                        self._waiting.append(waiter)
                        await waiter
                except asyncio.CancelledError as error:
                    self.worker_cancelled(error)
            return self._ready.popleft() if self._ready else None
        finally:
            self._idle -= 1

    def done(self, job: Job) -> Job | None:
        """Record that a job has ended. Return the next job of its topic, if one waits."""
        following = self._bulk.done(job)
        if following is not None:
            self._call_reader()  # the bulk may have been full
        return following

    def stop(self, failure: BaseException) -> None:
        """Stop reading, and cancel the source if it is waiting for something."""
        if self._ended or self._loop.is_closed():  # asyncio cannot cancel a task whose loop is closed
            return
        self._end(failure)
        # If the bulk was cancelled, so was the reader: a second cancellation would interrupt the source's cleanup. A
        # source that closes the client itself must be able to finish that.
        if self._bulk_cancelled:
            self._call_reader()
        elif self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()

    def worker_cancelled(self, error: asyncio.CancelledError) -> None:
        """Raise the error if the bulk is being cancelled. Stop reading if only a worker was cancelled.

        That worker continues, so that its push has an outcome. A TaskGroup does not report a cancelled child: the bulk
        would end early, without that outcome and without an error.
        """
        if self._bulk_cancelled:
            raise error
        failure = RuntimeError("a task of the bulk was cancelled")
        failure.__cause__ = error
        self.stop(failure)

    def worker_done(self, worker: asyncio.Task[None]) -> None:
        """Stop reading if a worker was cancelled before its first step, when it could not catch the cancellation."""
        if worker.cancelled():
            self.stop(RuntimeError("a task of the bulk was cancelled"))

    @property
    def _bulk_cancelled(self) -> bool:
        """Whether the task that runs the bulk has been cancelled, by its caller or by its TaskGroup."""
        return self._parent is not None and self._parent.cancelling() > self._cancelling

    async def _read(self) -> None:
        """Read while workers wait for jobs, until the source or the bulk ends."""
        cancelled: asyncio.CancelledError | None = None
        ahead = False
        while not self._ended:
            if self._idle > len(self._ready) and not self._bulk.full:
                ahead = False
            elif cancelled is not None and not ahead:
                # A cancellation between two items is meant for the source, and is raised at its `yield`. If the source
                # then yields an item, only that one is read ahead: an anyio scope cancels its task in each iteration of
                # the loop until the scope is left.
                ahead = True
            else:
                self._call = self._loop.create_future()
                try:
                    await self._call
                except asyncio.CancelledError as error:
                    if self._bulk_cancelled:
                        break
                    cancelled = error
                continue
            try:
                item = await self._next(cancelled)
            except BaseException as error:  # noqa: BLE001  # also a KeyboardInterrupt, which would stop the loop here
                self._end(error)
            else:
                if item is _END:
                    self._end(cancelled)
                elif (job := self._bulk.take(item)) is not None:
                    self._ready.append(job)
                    if self._waiting:
                        self._wake_worker()
                cancelled = None
        if isinstance(self._items, AsyncGenerator):
            # In this task: a scope around its `yield` must be left in the task that entered it. A plain iterator is not
            # closed, like that of a `for` loop: its owner may continue to read it.
            try:
                await self._items.aclose()
            except BaseException as error:  # noqa: BLE001  # the caller's code may raise anything
                self._end(error)

    def _end(self, failure: BaseException | None) -> None:
        """Stop reading. The first failure is kept."""
        self._ended = True
        if self.failure is None:
            self.failure = failure
            if isinstance(failure, asyncio.CancelledError):
                self.failure = RuntimeError("the source was cancelled")
                self.failure.__cause__ = failure

    def _call_reader(self) -> None:
        if self._call is not None and not self._call.done():
            self._call.set_result(None)

    def _wake_worker(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _finish(self, reader: asyncio.Task[None]) -> None:
        # Cancelled before its first step, or by the source during its last one.
        self._end(asyncio.CancelledError() if reader.cancelled() else None)
        self._finished = True
        while self._waiting:
            self._wake_worker()


async def _next(items: Iterator[object], cancelled: asyncio.CancelledError | None) -> object:
    """Return the next item, or _END. `cancelled` is raised where the source is suspended, if it is a generator."""
    try:
        if cancelled is None:
            return next(items)
        if isinstance(items, Generator):
            return items.throw(cancelled)
    except StopIteration:
        return _END
    raise cancelled


async def _anext(items: AsyncIterator[object], cancelled: asyncio.CancelledError | None) -> object:
    try:
        if cancelled is None:
            return await anext(items)
        if isinstance(items, AsyncGenerator):
            return await items.athrow(cancelled)
    except StopAsyncIteration:
        return _END
    raise cancelled
