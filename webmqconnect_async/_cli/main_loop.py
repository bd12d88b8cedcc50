"""From a command's coroutine to the exit status of the process: event loop, signals, errors."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from ..errors import WebMQError
from . import terminal
from .errors import Failure, described
from .exit_status import Exit

__all__ = ["reported", "run"]

_Result = TypeVar("_Result")


def run(
    main: Coroutine[object, object, _Result],
    *,
    interrupted: Exit = Exit.INTERRUPTED,
    interrupt: Callable[[], None] | None = None,
) -> _Result:
    """Run a command to its end and return its result.

    Args:
        main: the command. An error of the package, or a Failure, is shown as one line and exits 1.
        interrupted: the exit status after Ctrl-C, SIGTERM or SIGHUP have cancelled the command.
        interrupt: what they do in place of that, called in the event loop; None for nothing else.
    """
    with reported():
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                return runner.run(_interruptible(main, interrupt))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise SystemExit(interrupted) from None


@contextmanager
def reported() -> Iterator[None]:
    """Show an error of the package, or a Failure, as one line, and exit 1."""
    try:
        yield
    except Failure as failure:
        terminal.error(str(failure))
    except WebMQError as error:
        terminal.error(described(error))
    else:
        return
    raise SystemExit(Exit.FAILED)


async def _interruptible(main: Coroutine[object, object, _Result], interrupt: Callable[[], None] | None) -> _Result:
    """Let Ctrl-C, SIGTERM and SIGHUP interrupt or else cancel, so that everything is closed on the way out."""
    task = asyncio.current_task()

    def handle() -> None:
        if interrupt is not None:
            interrupt()
        elif task is not None:
            task.cancel()

    for number in _interrupts():
        # Windows has no such handlers, and no thread but the main one; there the runner has Ctrl-C cancel.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(number, handle)
    return await main


def _interrupts() -> Iterator[signal.Signals]:
    """Yield the signals that interrupt: the terminal's end among them, unless nohup has us outlive it."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
