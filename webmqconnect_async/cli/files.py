"""The two files of a run: the lines to push, and those that failed. Knows nothing of what a line means."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Self

from .failures import Failure

__all__ = ["FailedFile", "LineReader"]

_CHUNK = 1 << 16


class LineReader:
    """Reads lines of an open file, pipe or terminal. Reading never blocks the event loop.

    Args:
        descriptor: the file's, read from where it stands.
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

    async def lines(self) -> AsyncGenerator[tuple[int, bytes]]:
        """Yield the lines with their numbers from 1, as soon as they are there.

        Raises:
            Failure: they cannot be read.
        """
        number = 0
        begun: list[bytes] = []
        while chunk := await self._read():
            first, *others = chunk.split(b"\n")
            begun.append(first)
            for following in others:
                number += 1
                line = b"".join(begun)
                self.taken += len(line) + 1
                yield number, line
                begun = [following]
        if (last := b"".join(begun)) and not self._stopped:
            self.taken += len(last)
            yield number + 1, last

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


class FailedFile:
    """The file that gets a line for each failure, at once and behind what an earlier run has left there.

    Args:
        path: the file; it is made where there is none.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken: str | None = None
        """Why nothing can be written any more; None while it can."""
        torn = _ends_within_a_line(path)
        # Unbuffered: what is written has left the process, whatever becomes of that.
        self._file = path.open("ab", buffering=0)
        if torn:
            self.write(b"\n")

    def write(self, line: bytes) -> bool:
        """Append a line, and return whether that went well; where it did not, `broken` says why and stays."""
        try:
            while self.broken is None and line:
                line = line[self._file.write(line) :]
        except OSError as error:
            self.broken = error.strerror or str(error)
        return self.broken is None

    def is_file(self, descriptor: int) -> bool:
        """Return whether an open file is this very one, by whatever name; devices and pipes never are."""
        ours, other = os.fstat(self._file.fileno()), os.fstat(descriptor)
        return stat.S_ISREG(ours.st_mode) and os.path.samestat(ours, other)

    def close(self) -> None:
        """Close the file. Again is fine."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ends_within_a_line(path: Path) -> bool:
    """Tell whether a run was killed, or the disk full, in the middle of a line."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
