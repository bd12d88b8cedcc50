"""Many pushes by a few workers that draw from one source: never a task an event, never a source read far ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeAlias

from ..bulk import Bulk, Item, Job, outcome_of
from ..errors import ClientClosed, InvalidPush, WebMQError
from ..values import Outcome, Push, Receipt
from .deadlines import Interrupt

__all__ = ["PushStream", "Pushes", "Source", "run_workers", "stream"]

Pushes: TypeAlias = Iterable[Item] | AsyncIterable[Item]
"""What a bulk takes: anything to iterate over, with `for` or `async for`."""

PushOne: TypeAlias = Callable[[Push | InvalidPush], Awaitable[Receipt | WebMQError]]
Deliver: TypeAlias = Callable[[Outcome], Awaitable[None]]


_END = object()
"""What a source gives in place of an item when it has ended. A StopAsyncIteration may be the source's own failure."""


class Source:
    """A caller's iterable, from which workers draw jobs, one at a time and in order.

    Args:
        pushes: the iterable.
        bulk: numbers the items and says whose turn it is.
    """

    failure: Exception | None = None
    """Why the source was not read to its end; None where it was."""

    def __init__(self, pushes: Pushes, bulk: Bulk) -> None:
        self._async_items = aiter(pushes) if isinstance(pushes, AsyncIterable) else None
        self._items = None if isinstance(pushes, AsyncIterable) else iter(pushes)
        self._bulk = bulk
        self._reading = asyncio.Lock()
        self._room = asyncio.Event()
        self._ended = False
        self._waiting: Interrupt | None = None

    async def next(self) -> Job | None:
        """Return the next job that may run; None when the source has ended."""
        while not self._ended:
            if self._bulk.full:
                self._room.clear()
                await self._room.wait()
                continue
            try:
                item = self._next(self._items) if self._items is not None else await self._next_async()
            except Exception as error:  # noqa: BLE001  # the caller's iterable may raise anything
                self.stop(error)
            else:
                if item is _END:
                    self._ended = True
                elif (job := self._bulk.take(item)) is not None:
                    return job
        return None

    def _next(self, items: Iterator[object]) -> object:
        try:
            return next(items, _END)
        except asyncio.CancelledError as error:
            raise RuntimeError("the source was cancelled") from error

    async def _next_async(self) -> object:
        async with self._reading:
            # Whoever held the lock may have met the end, and an iterator need not say twice that it has ended.
            if self._ended or self._async_items is None:
                return _END
            self._waiting = Interrupt(asyncio.get_running_loop())
            try:
                return await anext(self._async_items, _END)
            except asyncio.CancelledError as error:
                if self._waiting.is_ours():
                    return _END
                if self._waiting.is_others():
                    raise
                # Nobody has cancelled this task: the source awaited something that was. In a task group a worker that
                # ends so would be missed by nobody, and the bulk would end early without a word.
                raise RuntimeError("the source was cancelled") from error
            finally:
                self._waiting = None

    def done(self, job: Job) -> Job | None:
        """End a job's turn; return the job whose turn comes then, if one waits."""
        following = self._bulk.done(job)
        self._room.set()
        return following

    def stop(self, failure: Exception) -> None:
        """Read no further, and wait no longer for what is being read."""
        if not self._ended:
            self._ended = True
            self.failure = failure
        if self._waiting is not None:
            self._waiting.strike()


async def run_workers(workers: int, source: Source, push: PushOne, deliver: Deliver) -> None:
    """Push everything the source gives, so many at a time, and deliver each outcome as it comes."""

    async def work() -> None:
        job = await source.next()
        while job is not None:
            result = await push(job.push)
            following = source.done(job)
            await deliver(outcome_of(job, result))
            if isinstance(result, ClientClosed):
                source.stop(result)
            elif isinstance(result, InvalidPush):
                await asyncio.sleep(0)  # it awaited nothing: a long run of such would hold the loop up
            job = following or await source.next()

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


async def stream(workers: int, source: Source, push: PushOne) -> AsyncGenerator[Outcome]:
    """Yield outcomes as they come; a consumer that takes none stops the workers, one that leaves cancels them."""
    delivered: asyncio.Queue[Outcome | None] = asyncio.Queue(workers)

    running = asyncio.create_task(run_workers(workers, source, push, delivered.put))
    # However it ends, a consumer that waits must wake up. One that finds the queue full does not wait.
    running.add_done_callback(lambda _: None if delivered.full() else delivered.put_nowait(None))
    try:
        while not (running.done() and delivered.empty()):
            if (outcome := await delivered.get()) is not None:
                yield outcome
        await running
        if source.failure is not None:
            raise source.failure
    finally:
        running.cancel()
        await asyncio.wait([running])


class PushStream(AsyncIterator[Outcome]):
    """The outcomes of `push_stream`, in the order in which they come; leaving its `async with` stops the rest."""

    def __init__(self, outcomes: AsyncGenerator[Outcome]) -> None:
        self._outcomes = outcomes

    async def __anext__(self) -> Outcome:
        return await anext(self._outcomes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._outcomes.aclose()
