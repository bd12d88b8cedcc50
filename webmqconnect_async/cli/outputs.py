"""The outputs of the process itself, so that no word to people costs what is done. Knows nothing of what is said."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["take_anything"]


def take_anything() -> None:
    """Let standard output and standard error take every character, and standard error never fail.

    Not at the end either: what Python cannot flush then would be the exit status 120. Standard output may fail, for
    what goes there is the work itself.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # An output that knows no "→" gets an escape for it, rather than a traceback.
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # it is the process's until its end
    elif sys.platform != "win32":  # whose consoles take text, and no bytes
        raw = _Passable(sys.stderr.fileno(), "w", closefd=False)
        encoding = sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


class _Passable(io.FileIO):
    """Passes over what cannot be written: the disk is full, the reader has left, the terminal is gone."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write what can be written, and claim that it was all."""
        with suppress(OSError):
            # None where there is no room now, of a pipe that does not block.
            if (written := super().write(data)) is not None:
                return written
        return memoryview(data).nbytes
