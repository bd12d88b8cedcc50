"""From a command's coroutine to the exit status of the process: event loop, signals, errors."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from ..errors import WebMQError
from . import terminal
from .failures import Failure, described

__all__ = ["run"]

_Result = TypeVar("_Result")


def run(main: Coroutine[object, object, _Result], *, interrupted: int = 130) -> _Result:
    """Run a command to its end and return its result.

    Args:
        main: the command. An error of the package, or a Failure, is shown as one line and exits 1.
        interrupted: the exit status after Ctrl-C or SIGTERM, which cancel the command.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_terminable(main))
    except Failure as failure:
        terminal.error(str(failure))
    except WebMQError as error:
        terminal.error(described(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(interrupted) from None
    raise SystemExit(1)


async def _terminable(main: Coroutine[object, object, _Result]) -> _Result:
    """Let SIGTERM do what the runner has Ctrl-C do: cancel, so that everything is closed on the way out."""
    task = asyncio.current_task()
    if task is not None:
        # Windows has no such handlers, and no thread but the main one.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await main


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
