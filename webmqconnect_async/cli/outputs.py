"""The standard streams of the process, prepared so that neither a closed nor a failing stream affects a push."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["closed_stream", "open_standard_streams", "take_anything"]

_STREAMS = (
    ("standard input", "/dev/stdin"),
    ("standard output", "/dev/stdout"),
    ("standard error", "/dev/stderr"),
)


def open_standard_streams() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed, on `os.devnull`.

    Call this before anything else opens a file or a socket. Python's streams remain `None` where Python has found the
    descriptor closed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # POSIX gives a new file the lowest free number. Without this, the event loop or a file of ours would get
            # the number of a standard stream: libuv (uvloop) aborts the process when it closes such a descriptor
            # (assertion in uv__close), and C libraries print their messages into it.
            os.open(os.devnull, os.O_RDWR)


def closed_stream(path: str) -> str | None:
    """Return which standard stream a path names if the process was started with it closed, otherwise `None`.

    Such a path leads to `os.devnull` now: an input without lines, or an output that loses everything.
    """
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    for descriptor, (name, device) in enumerate(_STREAMS):
        if streams[descriptor] is None and path in (device, f"/dev/fd/{descriptor}", f"/proc/self/fd/{descriptor}"):
            return name
    return None


def take_anything() -> None:
    """Make standard output and standard error accept every character, and standard error never fail.

    Standard error does not fail at exit either, where Python would end with status 120 if it cannot be flushed.
    Standard output may fail, because it carries the result of a command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Where the encoding has no "→", print an escape and not a traceback.
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # stays open until the process ends
    elif sys.platform != "win32":  # the Windows console takes text, not bytes
        raw = _Passable(sys.stderr.fileno(), "w", closefd=False)
        encoding = sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


class _Passable(io.FileIO):
    """A file that ignores errors of writing: the disk is full, the pipe has no reader, the terminal is gone."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write as much as possible, and report everything as written."""
        with suppress(OSError):
            # `None`: a non-blocking pipe is full.
            if (written := super().write(data)) is not None:
                return written
        return memoryview(data).nbytes
