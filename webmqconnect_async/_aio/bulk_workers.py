"""Bulk pushes: a fixed number of workers push the items that one task reads, without a task per push."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Self, TypeAlias

from .._core.bulk import outcome_of
from .._core.values import Outcome, Push, Receipt
from ..errors import ClientClosed, InvalidPush, Unconfirmed, WebMQError
from .slots import Slots
from .source import Source

PushOne: TypeAlias = Callable[[Push | InvalidPush], Awaitable[Receipt | WebMQError]]
Deliver: TypeAlias = Callable[[Outcome], object]


async def run_workers(workers: int, source: Source, push: PushOne, deliver: Deliver, room: Slots | None = None) -> None:
    """Push all items of a source, and deliver each outcome, in order of completion.

    Each worker takes one slot of `room` per outcome, which the consumer releases. `None`: no limit.
    """

    async def work() -> None:
        job = source.next_at_hand() or await source.next()
        while job is not None:
            try:
                result = await push(job.push)
            except asyncio.CancelledError as error:
                source.worker_cancelled(error)
                result = Unconfirmed("the push was cancelled")
            following = source.done(job)
            deliver(outcome_of(job, result))
            try:
                if room is not None and not room.take():
                    await room.wait()
                if isinstance(result, WebMQError) and not result.attempts:
                    await asyncio.sleep(0)  # nothing was awaited: many of these in a row would block the loop
            except asyncio.CancelledError as error:
                source.worker_cancelled(error)
            if isinstance(result, ClientClosed):
                source.stop(result)
            job = following or source.next_at_hand() or await source.next()

    async with asyncio.TaskGroup() as group:
        source.start(group)
        for _ in range(workers):
            group.create_task(work()).add_done_callback(source.worker_done)


async def stream(workers: int, source: Source, push: PushOne) -> AsyncGenerator[Outcome]:
    """Yield outcomes in order of completion. A slow consumer slows the workers; closing the generator cancels them."""
    delivered: asyncio.Queue[Outcome | None] = asyncio.Queue()
    room = Slots(workers)
    running = asyncio.create_task(run_workers(workers, source, push, delivered.put_nowait, room))
    running.add_done_callback(lambda _: delivered.put_nowait(None))
    try:
        # get_nowait() saves a coroutine if the queue is not empty.
        while (outcome := await delivered.get() if delivered.empty() else delivered.get_nowait()) is not None:
            room.release()
            yield outcome
        await running
        if source.failure is not None:
            raise source.failure
    finally:
        running.cancel()
        await asyncio.wait([running])


class AsyncPushStream(AsyncIterator[Outcome]):
    """The outcomes of `AsyncClient.push_stream`, as they come. Leaving its `async with` block stops the rest."""

    def __init__(self, outcomes: AsyncGenerator[Outcome]) -> None:
        self._outcomes = outcomes

    async def __anext__(self) -> Outcome:
        return await anext(self._outcomes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._outcomes.aclose()
