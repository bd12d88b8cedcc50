"""The reader of lines, which yields whole, numbered lines as they arrive, and the file of failures."""

from __future__ import annotations

import asyncio
import os
import select
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
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
    with FailedFile(path) as file:
        return [file.append(line) for line in lines]


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
        file.append(b"line\n")
        assert file.broken == "No space left on device"


def test_a_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FailedFile(tmp_path / "nowhere" / "failed")


def test_a_full_pipe(tmp_path: Path) -> None:
    """It is waited for, until a second signal has asked the run to end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    long = b"x" * 1_000_000 + b"\n"  # more than a pipe holds
    with FailedFile(path) as file, ThreadPoolExecutor(1) as thread:
        for signals in (0, 1):
            file.signals = signals
            appended = thread.submit(file.append, long)
            got = b""
            while len(got) < len(long):
                select.select([reading], [], [], PATIENCE)
                got += os.read(reading, 1 << 20)
            assert appended.result(PATIENCE)
            assert got == long
        file.signals = 2
        assert file.append(b"short\n")
        assert not file.append(long)
        assert file.broken == "nobody reads it"
    os.close(reading)


def test_the_reader_of_a_pipe_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with FailedFile(path) as file:
        assert file.append(b"first\n")
        assert os.read(reading, 100) == b"first\n"
        os.close(reading)
        assert not file.append(b"second\n")
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
