"""The standard streams of the process, prepared so that neither a closed nor a failing stream affects a push."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

from .errors import Failure

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STREAMS = (("standard input", "/dev/stdin"), ("standard output", "/dev/stdout"), ("standard error", "/dev/stderr"))


def open_standard_streams() -> None:
    """Open closed standard descriptors on `os.devnull`, before anything else opens a file or a socket.

    Python's own streams remain `None`.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # POSIX gives a new file the lowest free descriptor. Without this, the event loop or a file of ours would
            # get that of a standard stream. libuv (uvloop) aborts the process when it closes such a descriptor
            # (assertion in uv__close), and C libraries print their messages into it.
            os.open(os.devnull, os.O_RDWR)


def closed_stream(path: str) -> str | None:
    """Return the standard stream that a path names, if the process was started with it closed; otherwise `None`.

    Such a path now leads to `os.devnull`: the input would be empty, or the output would be lost.
    """
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    for descriptor, (name, device) in enumerate(_STREAMS):
        if streams[descriptor] is None and path in (device, f"/dev/fd/{descriptor}", f"/proc/self/fd/{descriptor}"):
            return name
    return None


def read_some(descriptor: int, size: int) -> bytes:
    """Wait for input, and return the bytes that have arrived; nothing at the end.

    A standard stream is non-blocking if a process that shares it, such as Node.js or ssh, has set the flag. It relies
    on the flag, so this function does not change it.
    """
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            select.select([descriptor], [], [])


def accept_all_characters() -> None:
    """Make standard output and standard error accept every character, and wait if they are non-blocking.

    Errors of standard error are ignored, also at exit, where Python would end with status 120 if it cannot be flushed.
    Those of standard output raise `Failure`, because it has the result of a command.
    """
    if sys.platform == "win32":  # the console takes text, not bytes
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
    else:
        if sys.stdout is not None:
            sys.stdout = _text(sys.stdout, lossy=False)
        if sys.stderr is not None:
            sys.stderr = _text(sys.stderr, lossy=True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # stays open until the process ends


def _text(stream: TextIO, *, lossy: bool) -> io.TextIOWrapper:
    """Return a stream that writes to the same descriptor through an `_Output`."""
    raw = io.BufferedWriter(_Output(stream.fileno(), lossy=lossy))
    by_line = stream is sys.stderr or stream.isatty()
    # Where the encoding does not have a character such as "→", print an escape instead of a traceback.
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=by_line)


class _Output(io.FileIO):
    """A file that waits for the reader of a full pipe, even if the file is non-blocking.

    With `lossy`, it ignores errors: the disk is full, the pipe has no reader, the terminal is gone. Otherwise, the
    first error ends the command, and what comes after that is dropped.
    """

    def __init__(self, descriptor: int, *, lossy: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._lossy = lossy
        self._lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        if self._lost:
            return memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
            return written
        except OSError as error:
            if self._lossy:
                return memoryview(data).nbytes
            self._lost = True
            # A reader such as `head` may close the pipe early: no message is needed. Click expects this error, too.
            if isinstance(error, BrokenPipeError):
                raise
            raise Failure(f"cannot write to standard output: {error.strerror}") from None
