"""The two files of a run: the lines to push, and those that failed. Knows nothing of what a line means."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..errors import Failure

__all__ = ["LONGEST_LINE", "FailedFile", "Line", "LineReader"]

LONGEST_LINE = 10_000_000
"""Bytes of a line, more than any broker takes of an event. Of a longer one the beginning alone is kept."""
_BEGINNING = 1000

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input, without its end."""

    number: int
    """From 1."""
    text: bytes
    whole: bool = True
    """Whether that is all; otherwise it is the beginning of a line longer than LONGEST_LINE."""


class LineReader:
    """Reads lines of an open file, pipe or terminal. Reading never blocks the event loop.

    Args:
        descriptor: the file's, read from where it stands.

    Raises:
        OSError: it is not open.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size: int | None = None
        """Bytes there are to read; None where only the end will tell."""
        self.taken = 0
        """Bytes of the lines that were yielded."""
        if stat.S_ISREG((status := os.fstat(descriptor)).st_mode):
            self.size = status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR)
        self._stopped = False
        self._arrived: asyncio.Future[bytes] | None = None

    async def lines(self) -> AsyncGenerator[Line]:
        """Yield the lines as soon as they are there. Of a line too long no more is held than a whole one may have.

        Raises:
            Failure: they cannot be read.
        """
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
        if length and not self._stopped:
            self.taken += length
            yield _line(number, begun)

    def stop(self) -> None:
        """Wait for no more; lines that have been read may still come."""
        self._stopped = True
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(b"")

    async def _read(self) -> bytes:
        """Return what there is to read, at the least a byte; nothing at the end.

        In a thread of its own each time, and no thread pool's: nothing waits for it at the end of the process. Ctrl-C
        must not wait for whoever types at the terminal.
        """
        if self._stopped:
            return b""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[bytes] = loop.create_future()
        self._arrived = arrived

        def deliver(chunk: bytes, error: OSError | None) -> None:
            if arrived.done():
                return
            if error is None:
                arrived.set_result(chunk)
            else:
                arrived.set_exception(Failure(f"cannot read the lines: {error.strerror}"))

        def read() -> None:
            chunk, error = b"", None
            try:
                chunk = os.read(self.descriptor, _CHUNK)
            except OSError as failure:
                error = failure
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(deliver, chunk, error)

        threading.Thread(target=read, daemon=True).start()
        return await arrived


def _line(number: int, parts: list[bytes]) -> Line:
    if sum(map(len, parts)) > LONGEST_LINE:
        return Line(number, b"".join(parts)[:_BEGINNING], whole=False)
    return Line(number, b"".join(parts))


class FailedFile:
    """The file that gets a line for each failure, at once and behind what an earlier run has left there.

    A pipe will do as well, or a device. Whoever reads it may be slow, and that never blocks the event loop.

    Args:
        path: the file; it is made where there is none.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        if path.is_block_device():
            raise OSError(errno.EINVAL, "a disk would be written over")
        self.path = path
        self.broken: str | None = None
        """Why nothing can be written any more; None while it can."""
        self._patient = True
        self._room: asyncio.Future[None] | None = None
        torn = _ends_within_a_line(path)
        # Unbuffered: what is written has left the process, whatever becomes of that.
        self._file = path.open("ab", buffering=0)
        if not self._is_regular:
            os.set_blocking(self._file.fileno(), False)
        if torn:
            self._write(b"\n")

    @property
    def waits(self) -> bool:
        """Whether a line waits for whoever reads the pipe."""
        return self._room is not None

    async def write(self, line: bytes) -> bool:
        """Append a line, and return whether that went well; where it did not, `broken` says why and stays.

        One line at a time: it may have to wait for whoever reads a pipe.
        """
        while (line := line[self._write(line) :]) and self.broken is None:
            if self._patient:
                await self._wait_for_room()
            else:
                self.broken = "nobody reads it"
        return self.broken is None

    def wait_no_longer(self) -> None:
        """Let a pipe that has no room be broken, now and from now on."""
        self._patient = False
        self._go_on()

    def is_file(self, descriptor: int) -> bool:
        """Return whether an open file is this very one, by whatever name; devices and pipes never are."""
        ours, other = os.fstat(self._file.fileno()), os.fstat(descriptor)
        return self._is_regular and os.path.samestat(ours, other)

    def close(self) -> None:
        """Close the file. Again is fine."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _is_regular(self) -> bool:
        return stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)

    def _write(self, data: bytes) -> int:
        """Write what there is room for, and return how many bytes that was."""
        written = 0
        try:
            while self.broken is None and written < len(data):
                # None: the pipe is full. A file takes part of it, and says at the next time that the disk is full.
                if (count := self._file.write(data[written:])) is None:
                    break
                written += count
        except OSError as error:
            self.broken = error.strerror or str(error)
        return written

    def _go_on(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def _wait_for_room(self) -> None:
        loop, descriptor = asyncio.get_running_loop(), self._file.fileno()
        self._room = loop.create_future()
        loop.add_writer(descriptor, self._go_on)
        try:
            await self._room
        finally:
            loop.remove_writer(descriptor)
            self._room = None


def _ends_within_a_line(path: Path) -> bool:
    """Tell whether a run was killed, or the disk full, in the middle of a line."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
