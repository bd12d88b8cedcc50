"""What error reporters send of an exception: the local variables of each frame, also of its causes and contexts.

Sentry walks dicts, lists and tuples; rich, structlog, stackprinter, loguru and `traceback` show reprs; some of them
expand dataclasses and attrs classes, or show the attributes of objects. This walker does all of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from webmqconnect_async import SourceFailed

_TESTS = str(Path(__file__).parent)


def walked(error: BaseException) -> list[str]:
    """Return every text that can be found, except in frames of the tests, which contain the texts to search for."""
    texts: list[str] = []
    for each in chain(error):
        texts += found(each.args)
        texts += found(vars(each))
        for frame, _ in walk_tb(each.__traceback__):
            if not frame.f_code.co_filename.startswith(_TESTS):
                texts += in_frame(frame)
    return texts


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all to which it refers: causes, contexts, members of groups, errors of outcomes."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        if isinstance(each, SourceFailed):
            waiting += [outcome.error for outcome in each.outcomes]


def in_frame(frame: FrameType) -> list[str]:
    return [text for value in frame.f_locals.values() for text in found(value)]


def found(value: object, attributes: bool = True, within: frozenset[int] = frozenset()) -> list[str]:
    """Return the texts of a value: its own if it is text, bytes or a container; otherwise its repr and attributes."""
    if id(value) in within or len(within) > 20:
        return []
    deeper = within | {id(value)}
    match value:
        case str():
            return [value]
        case bytes() | bytearray():
            return [bytes(value).decode("latin-1")]
        case memoryview():
            with suppress(ValueError):  # a released memoryview
                return [value.tobytes().decode("latin-1")]
            return []
        case partial():
            parts: list[object] = [value.func, value.args, value.keywords]
        case Mapping():
            parts = [*value.keys(), *value.values()]
        case Collection():
            parts = [*value]
        case _:
            parts = [getattr(value, name, None) for name in _fields(value)]
            if attributes:
                parts += vars(value).values() if hasattr(value, "__dict__") else []
    texts = [] if isinstance(value, Collection) else [_shown(value)]
    # Only one level of attributes: with more, everything is reachable.
    further = attributes and (isinstance(value, Collection | partial) or bool(_fields(value)))
    return texts + [text for part in parts for text in found(part, further, deeper)]


def _shown(value: object) -> str:
    try:
        return repr(value)
    except AttributeError:  # an object that is not initialized yet
        return ""


def _fields(value: object) -> list[str]:
    """Return the names of the fields of a dataclass or an attrs class."""
    if isinstance(value, type):
        return []
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    return [each.name for each in getattr(value, "__attrs_attrs__", ())]
