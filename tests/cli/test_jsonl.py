"""Lines: what they mean, and that they come whole, numbered and at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from webmqconnect_async import Push
from webmqconnect_async.cli.failures import Failure
from webmqconnect_async.cli.jsonl import read_lines, record_push


@pytest.mark.parametrize(
    ("line", "push"),
    [
        (b'{"topic": "t", "event": null}', Push("t", None)),
        (b'{"topic": "t", "event": 1, "eligible": [], "exclude": ["a"]}', Push("t", 1, [], ["a"])),
        (' {"event": "ż", "topic": ""} '.encode(), Push("", "ż")),
    ],
)
def test_record(line: bytes, push: Push) -> None:
    assert record_push(line) == push


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"topic": "t", "event": NaN}', "not JSON: NaN"),
        (b'{"topic": "t", "event": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"topic": "t", "event": ' + b"1" * 5000 + b"}", "digits"),
        (b'{"event": 1}', "topic: missing"),
        (b"17", "not an object"),
        (b'{"topic": "t", "event": 1} {}', "not JSON: Extra data at character 28"),
    ],
)
def test_malformed_record(line: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        record_push(line)


async def test_lines_across_reads(tmp_path: Path) -> None:
    """Lines of every length come whole and numbered, wherever a read happened to end."""
    lines = [b"x" * length for length in (0, 1, 65534, 65535, 65536, 65537, 200_000, 0, 3)]
    file = tmp_path / "lines"
    file.write_bytes(b"\n".join(lines))
    with file.open("rb") as opened:
        assert [line async for line in read_lines(opened.fileno())] == list(enumerate(lines, 1))


async def test_unreadable_lines(tmp_path: Path) -> None:
    """A file that breaks off half-way is a failure, not an end."""
    why = "cannot read the lines: Bad file descriptor"
    with (tmp_path / "lines").open("wb") as opened, pytest.raises(Failure, match=why):
        await anext(read_lines(opened.fileno()))


async def test_reading_ends_with_the_loop() -> None:
    """A read that nothing came of is left behind without a word."""
    reading, writing = os.pipe()
    try:
        task = asyncio.create_task(anext(read_lines(reading)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        os.close(writing)
        os.close(reading)
