"""Signal handlers that run at every point at which CPython runs them.

CPython runs the Python-level handler of a signal in the main thread, between two instructions: on entry to a function,
at a backward jump, and after a call. A function that CPython calls before each instruction trips the signal before one
of these; CPython then runs the handler at the next point at which it would run any.
"""

from __future__ import annotations

import _thread
import _weakrefset
import dis
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from types import CodeType, FrameType
from typing import Any

_CHECKS = {
    opcode
    for name, opcode in dis.opmap.items()
    if name == "RESUME" or name.startswith("CALL") or "JUMP_BACKWARD" in name
}
"""The instructions at which, or after which, CPython runs handlers."""


def at_every_point(handler: Callable[[], object], step: int = 1) -> Iterator[Interruption]:
    """Yield interruptions, each one step later, until one comes after the end of its call.

    Args:
        handler: what the signal's handler does. It is not called in finalizers, where CPython drops what it raises.
        step: the number of points from one interruption to the next.
    """
    for number in count(step=step):
        interruption = Interruption(number, handler)
        yield interruption
        if not interruption.tripped:
            return


_FINALIZERS = {(_weakrefset.__file__, "_remove"), (weakref.__file__, "remove"), (weakref.__file__, "__call__")}
"""Functions that CPython calls when an object is collected, by file and name."""


class Interruption:
    """Runs a call, and a signal handler at one point of it.

    Args:
        number: the point, from 0.
        handler: what the signal's handler does.
    """

    def __init__(self, number: int, handler: Callable[[], object]) -> None:
        self._left = number
        self._handler = handler
        self.tripped = False
        """Whether the call had that many points."""

    def run(self, call: Callable[[], object]) -> None:
        """Run the call. Exceptions of the call or of the handler are not caught."""
        previous = signal.signal(signal.SIGUSR1, self._handle)
        try:
            _step_through(self._step)
            call()
        finally:
            try:
                _step_through(None)
            finally:
                signal.signal(signal.SIGUSR1, previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not _in_finalizer(frame):
            self._handler()

    def _step(self, code: CodeType, offset: int) -> None:
        if self.tripped or code.co_filename == __file__ or code.co_code[offset] not in _CHECKS:
            return
        if self._left:
            self._left -= 1
            return
        self.tripped = True
        _step_through(None)
        # After a call, CPython would run the handler in this function, but not after a step of an iterator.
        for _ in map(_thread.interrupt_main, (signal.SIGUSR1,)):
            break


def _step_through(step: Callable[[CodeType, int], None] | None) -> None:
    """Call a function before each instruction of the main thread from now on. `None`: stop calling it."""
    if sys.version_info >= (3, 12):
        # Tracing by instructions does not work there in every release.
        monitoring = sys.monitoring
        instruction = monitoring.events.INSTRUCTION
        main = threading.main_thread().ident

        def instructed(code: CodeType, offset: int) -> None:
            if threading.get_ident() == main and step is not None:
                step(code, offset)

        if monitoring.get_tool(monitoring.DEBUGGER_ID) is None:
            monitoring.use_tool_id(monitoring.DEBUGGER_ID, __name__)
        monitoring.set_events(monitoring.DEBUGGER_ID, 0)
        monitoring.register_callback(monitoring.DEBUGGER_ID, instruction, instructed)
        monitoring.set_events(monitoring.DEBUGGER_ID, 0 if step is None else instruction)
    else:

        def traced(frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
            frame.f_trace_lines = False
            frame.f_trace_opcodes = True
            if event == "opcode" and step is not None:
                step(frame.f_code, frame.f_lasti)
            return traced

        sys.settrace(None if step is None else traced)


def _in_finalizer(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or (code.co_filename, code.co_name) in _FINALIZERS:
            return True
        frame = frame.f_back
    return False
