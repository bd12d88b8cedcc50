"""Push the events of `push_soon` in an event loop, by tasks that exist only while there are events to push."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context

from .._core.background_queue import BackgroundQueue, webmq_error
from .._core.clock import monotonic
from .._core.settings import Settings
from .._core.values import Receipt
from ..errors import Unconfirmed, WebMQError
from .loop_state import LoopState


class AsyncQueue(BackgroundQueue):
    """The events of `push_soon` of an AsyncClient. Those that wait when a loop is closed are pushed in the next one."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.background, settings.endpoint.authority)
        self._timeout = settings.timeout
        self._state: LoopState | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._flushed = asyncio.Event()
        # An empty one: in that of a caller, pushes would see its context variables, and keep their values alive.
        self._context = Context()

    def bind(self, state: LoopState) -> None:
        """Push in the running loop from now on."""
        with self._lock:
            self._backlog.fail_in_flight(monotonic())
            self._state, self._tasks, self._timer, self._flushed = state, set(), None, asyncio.Event()
            self._wake()
        self.report()

    async def flush(self, seconds: float | None) -> bool:
        """Wait until all events have an outcome; return False after `seconds`. `None`: no limit."""
        try:
            async with asyncio.timeout(seconds):
                while self._backlog.waiting:
                    self._flushed.clear()
                    self._wake()
                    await self._flushed.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        if self._state is not None:
            with suppress(RuntimeError):  # the loop has just been closed: the next one pushes the events
                # Thread-safe even in the loop's own thread: `call_soon` in a signal handler would not wake the loop.
                self._state.loop.call_soon_threadsafe(self._start, context=self._context)

    def _wake_flushes(self) -> None:
        self._flushed.set()

    def _start(self) -> None:
        """Start a task if an event may be pushed now, and the timer if one may be pushed later."""
        state = self._state
        if state is None or not state.is_here() or state.is_shut_down:
            return
        delay = self._delay()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay == 0:
            if len(self._tasks) < self._background.concurrency:
                task = state.loop.create_task(self._work(state))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
        elif delay is not None:
            self._timer = state.loop.call_later(delay, self._start)

    async def _work(self, state: LoopState) -> None:
        """Push one event after another, as long as one may be pushed. Each task starts the next."""
        while (entry := self._take()) is not None:
            self._start()
            result: Receipt | WebMQError = Unconfirmed("the push was cancelled")
            deadline = state.deadlines.start(self._timeout)
            try:
                result = await state.run(entry.encoded, deadline, background=True)
            except Exception as error:  # noqa: BLE001  # a bug of this package must not end the task
                result = webmq_error(error)
            finally:
                deadline.stop()
                self._done(entry, result)
            if isinstance(result, WebMQError) and not result.attempts:
                await asyncio.sleep(0)  # nothing was awaited: many of these in a row would block the loop

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Start the next task; after a cancellation only later, because the loop may be shutting down."""
        self._tasks.discard(task)
        if not task.cancelled():
            self._start()
        elif self._state is not None:
            self._timer = self._state.loop.call_later(0.1, self._start)
