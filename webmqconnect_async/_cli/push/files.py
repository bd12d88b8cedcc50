"""The two files of a run: the lines to push, and the lines that failed. This module does not interpret lines."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import stat
import threading
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import AsyncGenerator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from ..errors import Failure
from ..stdio import read_some

LONGEST_LINE = 10_000_000
"""Maximum bytes of a line, more than any broker accepts for an event. Of a longer one, only the beginning is kept."""
_BEGINNING = 1000
"""Bytes that are kept of a line that is too long."""

_CHUNK = 1 << 16

_PATIENCE = 0.1
"""Seconds to wait for the reader of a pipe before signals are looked for."""

_CONTROL = re.compile("[\\0-\\x08\\x0e-\\x1f]")
"""Control characters that do not occur in text. A ZIP archive has some before its first newline."""
_NOT_TEXT = "the input is not text in UTF-8; nothing was pushed"


class Line(NamedTuple):
    """A line of the input, without its newline."""

    number: int
    """Counted from 1."""
    text: bytes
    whole: bool = True
    """Whether `text` is the whole line, or only the beginning of one that is longer than `LONGEST_LINE`."""

    @property
    def content(self) -> bytes:
        """The text without a byte order mark and the whitespace around it."""
        return self.text.removeprefix(BOM_UTF8).strip()


class LineReader:
    """Reads lines from an open file, pipe or terminal without blocking the event loop, from its current position."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size: int | None = None
        """Bytes to read in total. `None`: not known, because this is not a regular file."""
        self.taken = 0
        """Bytes of the lines that were yielded."""
        if stat.S_ISREG((status := os.fstat(descriptor)).st_mode):
            self.size = status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR)
        self.stopped = asyncio.Event()
        """Set by `stop`."""
        self._arrived = Future[bytes]()

    async def lines(self) -> AsyncGenerator[Line]:
        """Yield each line as soon as it has arrived; raise `Failure` if the input cannot be read."""
        number, length = 1, 0
        begun: list[bytes] = []
        while chunk := await self._read():
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                self.taken += length + len(end) + 1
                yield _line(number, [*begun, end])
                number, length, begun = number + 1, 0, []
            if length <= LONGEST_LINE:
                begun.append(rest)
            length += len(rest)
        if length and not self.stopped.is_set():
            self.taken += length
            yield _line(number, begun)

    def stop(self) -> None:
        """Stop reading. Lines that have been read may still be yielded."""
        self.stopped.set()
        with suppress(InvalidStateError):  # it has a result already
            self._arrived.set_result(b"")

    async def _read(self) -> bytes:
        """Wait for input, and return the bytes that have arrived; nothing at the end of the input.

        Each read has a daemon thread of its own. A pool joins its threads at the end of the process, so Ctrl-C would
        wait until somebody types a line at the terminal.
        """
        if self.stopped.is_set():
            return b""
        arrived = self._arrived = Future()

        def read() -> None:
            with suppress(InvalidStateError):  # it was stopped or cancelled in the meantime
                try:
                    arrived.set_result(read_some(self.descriptor, _CHUNK))
                except OSError as error:
                    arrived.set_exception(Failure(f"cannot read the lines: {error.strerror}"))

        threading.Thread(target=read, daemon=True).start()
        return await asyncio.wrap_future(arrived)


def _line(number: int, parts: list[bytes]) -> Line:
    text = b"".join(parts)
    return Line(number, text) if len(text) <= LONGEST_LINE else Line(number, text[:_BEGINNING], whole=False)


def other_format(line: Line) -> str | None:
    """Return an error if the first line with content shows that the input is in another format; `None` if it is not."""
    text = line.content
    if text.startswith(b"\x1f\x8b"):  # RFC 1952, section 2.3.1
        return _not_lines("compressed by gzip", "gzip -dc")
    # JSON begins with an ASCII character, to which UTF-16 adds one NUL byte, and UTF-32 three.
    if (text.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in text[:2]) and b"\0\0" not in text[:4]:
        return _not_lines("UTF-16", "iconv -f UTF-16 -t UTF-8")
    try:
        json.loads(text.decode("utf-8", "strict" if line.whole else "ignore"))
    except json.JSONDecodeError as error:
        if _CONTROL.search(error.doc):
            return _NOT_TEXT
        if error.doc.startswith(("[", "{")) and error.pos == len(error.doc):  # it continues on the next line
            return _not_lines("one JSON document", "jq -c '.[]'" if text.startswith(b"[") else "jq -c .")
    except UnicodeDecodeError:
        return _NOT_TEXT
    except (ValueError, RecursionError):  # the error of the line says why
        pass
    return None


def _not_lines(format: str, command: str) -> str:
    return f"the input is {format}, not lines; nothing was pushed; push the output of: {command}"


class FailedFile(FileIO):
    """The file to which a line is appended immediately after each failure. It is created if it does not exist.

    It is unbuffered, so that no line is lost if the process is killed. It may be a pipe. The event loop does not run
    while it is full, so signals must be counted in their handlers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken: str | None = None
        """Why the file can no longer be written. `None`: it can."""
        self.signals = 0
        """How many signals have asked the run to end. From the second on, no reader is waited for."""
        torn = _ends_within_a_line(path)
        super().__init__(path, "a")
        if not stat.S_ISREG(os.fstat(self.fileno()).st_mode):
            os.set_blocking(self.fileno(), False)
        if torn:
            self.append(b"\n")

    def append(self, line: bytes) -> bool:
        """Append a line, and return whether that succeeded. If not, `broken` has the reason."""
        try:
            while line and self.broken is None:
                # If the disk is full, a write is incomplete, and the next one raises an error. None: the pipe is full.
                if (written := self.write(line)) is not None:
                    line = line[written:]
                elif self.signals < 2:
                    select.select([], [self], [], _PATIENCE)
                else:
                    self.broken = "nobody reads it"
        except OSError as error:
            self.broken = error.strerror
        return self.broken is None

    def is_file(self, descriptor: int) -> bool:
        """Return whether a descriptor is that of the same regular file. It is false for devices and pipes."""
        ours = os.fstat(self.fileno())
        return stat.S_ISREG(ours.st_mode) and os.path.samestat(ours, os.fstat(descriptor))


def _ends_within_a_line(path: Path) -> bool:
    """Return whether a file lacks its last newline: a run was killed, or the disk was full."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
