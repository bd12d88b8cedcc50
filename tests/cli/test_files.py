"""The reader of lines, which yields whole, numbered lines as they arrive, and the file of failures."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from webmqconnect_async._cli.errors import Failure
from webmqconnect_async._cli.push.files import LONGEST_LINE, FailedFile, Line, LineReader

from ..processes import PATIENCE


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(writing)
    # The other end stays open: the thread of an abandoned read may start reading only now. Its descriptor must still be
    # this pipe, not that of the next test.


async def test_lines_across_reads(tmp_path: Path) -> None:
    """Lines of any length are yielded whole, numbered and with their size in bytes, wherever a read ends."""
    lines = [b"x" * length for length in (0, 1, 65534, 65535, 65536, 65537, 200_000, 0, 3)]
    file = tmp_path / "lines"
    file.write_bytes(b"\n".join(lines))
    with file.open("rb") as opened:
        reader = LineReader(opened.fileno())
        assert (reader.taken, reader.size) == (0, file.stat().st_size)
        taken = []
        async for line in reader.lines():
            assert (line.text, line.whole) == (lines[line.number - 1], True)
            taken.append(reader.taken)
    assert taken == [sum(map(len, lines[:number])) + number for number in range(1, 9)] + [reader.size]


async def test_the_size_is_that_of_the_remaining_input(tmp_path: Path) -> None:
    """The size does not include a beginning of standard input that was already read."""
    file = tmp_path / "lines"
    file.write_bytes(b"1\n2\n3\n")
    with file.open("rb", buffering=0) as opened:
        opened.read(2)
        reader = LineReader(opened.fileno())
        assert reader.size == 4
        assert [line async for line in reader.lines()] == [Line(1, b"2"), Line(2, b"3")]


async def test_unreadable_lines(tmp_path: Path) -> None:
    """A read error in the middle of a file is a failure, not the end of the file."""
    why = "cannot read the lines: Bad file descriptor"
    with (tmp_path / "lines").open("wb") as opened, pytest.raises(Failure, match=why):
        await anext(LineReader(opened.fileno()).lines())


async def test_a_pending_read_does_not_keep_the_loop_from_ending(pipe: tuple[int, int]) -> None:
    """A read that is still pending when the event loop ends is abandoned without an error."""
    reader = LineReader(pipe[0])
    assert reader.size is None
    task = asyncio.create_task(anext(reader.lines()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_stop_ends_a_pending_read(pipe: tuple[int, int]) -> None:
    """`stop` ends a wait for input. An incomplete line is not yielded, and nothing more is read."""
    reader = LineReader(pipe[0])
    os.write(pipe[1], b"first\nsec")
    async with asyncio.timeout(10), aclosing(reader.lines()) as lines:
        assert await anext(lines) == Line(1, b"first")
        waiting = asyncio.create_task(anext(lines))
        await asyncio.sleep(0)
        reader.stop()
        with pytest.raises(StopAsyncIteration):
            await waiting
        assert [line async for line in reader.lines()] == []


async def test_line_too_long(tmp_path: Path) -> None:
    """A line that is too long is yielded as its beginning, whether it ends or not.

    One of the maximum length is whole.
    """
    whole = b"x" * LONGEST_LINE
    file = tmp_path / "lines"
    file.write_bytes(b"\n".join([whole, b"12345678" * LONGEST_LINE, b"next", whole + b"y"]))
    with file.open("rb") as opened:
        reader = LineReader(opened.fileno())
        lines = [(line, reader.taken) async for line in reader.lines()]
    size = LONGEST_LINE
    assert [(line.number, line.whole, taken) for line, taken in lines] == [
        (1, True, size + 1),
        (2, False, 9 * size + 2),
        (3, True, 9 * size + 7),
        (4, False, 10 * size + 8),
    ]
    first, second, third, fourth = (line.text for line, _ in lines)
    assert (first, third) == (whole, b"next")
    assert (second, fourth) == (b"12345678" * 125, b"x" * 1000)


async def test_line_without_an_end(tmp_path: Path) -> None:
    """A line that never ends takes no more memory than one of the maximum length."""
    file = tmp_path / "lines"
    with file.open("wb") as opened:
        opened.truncate(5 * LONGEST_LINE)
    with file.open("rb") as opened:
        tracemalloc.start()
        try:
            [line] = [line async for line in LineReader(opened.fileno()).lines()]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert not line.whole
    assert peak < 3 * LONGEST_LINE


def append(path: Path, *lines: bytes) -> list[bool]:
    async def write(file: FailedFile) -> list[bool]:
        return [await file.write(line) for line in lines]

    with FailedFile(path) as file:
        return asyncio.run(write(file))


def test_failures_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    assert append(path, b"first\n") + append(path, b"second\n", b"third\n") == [True] * 3
    assert path.read_bytes() == b"first\nsecond\nthird\n"


def test_an_incomplete_last_line_is_ended_first(tmp_path: Path) -> None:
    """If an earlier run was killed in the middle of a line, the next line starts on a line of its own."""
    path = tmp_path / "failed"
    path.write_bytes(b"whole\nto")
    append(path, b"next\n")
    assert path.read_bytes() == b"whole\nto\nnext\n"


def test_nothing_is_written_after_an_error() -> None:
    """After a write has failed, no later line is written, even if there is room again."""
    assert append(Path("/dev/full"), b"line\n", b"line\n") == [False, False]
    with FailedFile(Path("/dev/full")) as file:
        asyncio.run(file.write(b"line\n"))
        assert file.broken == "No space left on device"


def test_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk neither: what is in it would be written over."""
    with pytest.raises(FileNotFoundError):
        FailedFile(tmp_path / "nowhere" / "failed")
    monkeypatch.setattr(Path, "is_block_device", lambda _: True)
    with pytest.raises(OSError, match="a disk would be overwritten"):
        FailedFile(tmp_path / "disk")
    assert not (tmp_path / "disk").exists()


LONG = b"x" * 1_000_000 + b"\n"
"""More than a pipe holds."""


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[FailedFile, int]]:
    """Open a pipe as the file of failures, and its other end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    with FailedFile(path) as file:
        yield file, reading
    with suppress(OSError):
        os.close(reading)


async def until_it_waits(file: FailedFile, writing: asyncio.Task[bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not file.waits:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)
    assert not writing.done()


async def test_whoever_reads_a_pipe_may_be_slow(fifo: tuple[FailedFile, int]) -> None:
    """The line waits, the event loop does not."""
    file, reading = fifo
    writing = asyncio.create_task(file.write(LONG))
    await until_it_waits(file, writing)
    got = b""
    while len(got) < len(LONG):
        got += await asyncio.to_thread(os.read, reading, 1 << 20)
    assert await writing
    assert got == LONG
    assert (file.broken, file.waits) == (None, False)


async def test_nobody_reads_a_pipe(fifo: tuple[FailedFile, int]) -> None:
    """It can be told to wait no longer; what there is room for is written even then."""
    file, reading = fifo
    assert await file.write(b"first\n")
    file.wait_no_longer()
    assert await file.write(b"second\n")
    assert os.read(reading, 100) == b"first\nsecond\n"
    assert not await file.write(LONG)
    assert file.broken == "nobody reads it"


async def test_nobody_reads_a_pipe_any_more(fifo: tuple[FailedFile, int]) -> None:
    file, _ = fifo
    writing = asyncio.create_task(file.write(LONG))
    await until_it_waits(file, writing)
    file.wait_no_longer()
    assert not await writing
    assert (file.broken, file.waits) == ("nobody reads it", False)


async def test_whoever_reads_a_pipe_leaves(fifo: tuple[FailedFile, int]) -> None:
    file, reading = fifo
    writing = asyncio.create_task(file.write(LONG))
    await until_it_waits(file, writing)
    os.close(reading)
    assert not await writing
    assert file.broken == "Broken pipe"


def test_the_same_file_by_another_name(tmp_path: Path) -> None:
    path, link, other = tmp_path / "lines", tmp_path / "link", tmp_path / "other"
    for each in (path, other):
        each.write_bytes(b"")
    link.hardlink_to(path)
    with path.open("rb") as lines, FailedFile(link) as linked, FailedFile(other) as different:
        assert linked.is_file(lines.fileno())
        assert not different.is_file(lines.fileno())
    with open("/dev/null", "rb") as null, FailedFile(Path("/dev/null")) as also_null:
        assert not also_null.is_file(null.fileno())
