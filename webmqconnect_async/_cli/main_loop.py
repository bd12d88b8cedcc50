"""Run the coroutine of a command: event loop and signals."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from types import FrameType
from typing import TypeAlias, TypeVar

from .exit_status import Exit

_Result = TypeVar("_Result")
_Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None


def run(
    main: Coroutine[object, object, _Result],
    *,
    interrupted: Exit = Exit.INTERRUPTED,
    interrupt: Callable[[], None] | None = None,
    signalled: Callable[[], None] | None = None,
) -> _Result:
    """Run a command to its end and return its result.

    Ctrl-C, SIGTERM and SIGHUP call `interrupt` in the event loop. `None`: the first one cancels the command, which then
    exits with the status `interrupted`, and the second one ends the process, which may be waiting for a name server or
    for the reader of a pipe. `signalled` is called in the handler of the signal, even while the loop is blocked.
    """
    before = {number: signal.getsignal(number) for number in _interrupts()}

    async def interruptible() -> _Result:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the type checker
        for number in before:
            handle(number, interrupt or task.cancel, once=interrupt is None, at_once=signalled)
        try:
            return await main
        finally:
            for number in before:
                _set(number, signal.SIG_DFL)  # the loop is about to close, and runs no more callbacks

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(interruptible())
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(interrupted) from None
    finally:
        for number, handler in before.items():
            _set(number, handler)


def handle(
    number: int, callback: Callable[[], object], *, once: bool = False, at_once: Callable[[], None] | None = None
) -> None:
    """Call a function in the event loop for a signal. `once`: the next such signal ends the process.

    `loop.add_signal_handler` is not enough: its handlers do not run while the loop waits for the reader of a full pipe,
    nor while a uvloop that is closing waits for a name server.
    """
    loop = asyncio.get_running_loop()

    def handler(number: int, _frame: FrameType | None) -> None:
        if once:
            signal.signal(number, signal.SIG_DFL)
        if at_once is not None:
            at_once()
        loop.call_soon_threadsafe(callback)

    _set(number, handler)


def _set(number: int, handler: _Handler) -> None:
    # ValueError outside of the main thread, TypeError for a handler that was not set by Python.
    with suppress(ValueError, TypeError):
        signal.signal(number, handler)


def _interrupts() -> Iterator[signal.Signals]:
    """Yield the signals that interrupt a command. SIGHUP, sent when a terminal is closed, is not one under nohup."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
