"""JSON from arguments and lines, and the pushes it stands for. Reading a file never blocks the event loop."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import NoReturn

from ..values import Push, SessionIDs
from .failures import Failure

__all__ = ["event_of", "event_push", "read_lines", "record_push"]

_CHUNK = 1 << 16
_NEEDED = frozenset({"topic", "event"})
_KNOWN = _NEEDED | {"eligible", "exclude"}


def event_of(argument: str) -> object:
    """Return the event that an argument means: JSON, or a plain string where it is none."""
    try:
        return _decoded(argument)
    except ValueError:
        return argument


def event_push(line: bytes, topic: str, eligible: SessionIDs | None, exclude: SessionIDs | None) -> Push:
    """Return the push of a line that is an event; raise ValueError where it is not JSON."""
    return Push(topic, _decoded(_text(line)), eligible, exclude)


def record_push(line: bytes) -> Push:
    """Return the push of a line `{"topic": …, "event": …}`, with `eligible` and `exclude` where they are given.

    Raises:
        ValueError: it is not JSON, not an object, or its fields are not those: a mistyped `eligible` that was passed
            over would reach everybody.
    """
    match _decoded(_text(line)):
        case dict() as record:
            if missing := sorted(_NEEDED - record.keys()):
                raise ValueError(f"{missing[0]}: missing")
            if unknown := sorted(record.keys() - _KNOWN):
                raise ValueError(f"{unknown[0]}: no such field; there are topic, event, eligible and exclude")
            return Push(**record)
    raise ValueError('not an object like {"topic": "…", "event": …}')


async def read_lines(descriptor: int) -> AsyncGenerator[tuple[int, bytes]]:
    """Yield the lines of an open file, pipe or terminal with their numbers from 1, as soon as they are there."""
    number = 0
    begun: list[bytes] = []
    while chunk := await _read(descriptor):
        first, *others = chunk.split(b"\n")
        begun.append(first)
        for line in others:
            number += 1
            yield number, b"".join(begun)
            begun = [line]
    if last := b"".join(begun):
        yield number + 1, last


async def _read(descriptor: int) -> bytes:
    """Return what there is to read, at the least a byte; nothing at the end.

    In a thread of its own each time, and no thread pool's: nothing waits for it at the end of the process. Ctrl-C must
    not wait for whoever types at the terminal.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()

    def deliver(chunk: bytes, error: OSError | None) -> None:
        if arrived.cancelled():
            return
        if error is None:
            arrived.set_result(chunk)
        else:
            arrived.set_exception(Failure(f"cannot read the lines: {error.strerror}"))

    def read() -> None:
        chunk, error = b"", None
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError as failure:
            error = failure
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(deliver, chunk, error)

    threading.Thread(target=read, daemon=True).start()
    return await arrived


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from None


def _decoded(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON: {name}")
