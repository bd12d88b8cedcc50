"""The log of `webmqconnect hub`: text and JSON, and when it is coloured."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest

from webmqconnect_async._cli.hub_log import JsonFormatter, TextFormatter, configure


def record(message: str, level: int = logging.INFO, **facts: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "webmqconnect_async.hub", "msg": message, "created": 1318611591.25})
    made.levelno, made.levelname = level, logging.getLevelName(level)
    vars(made).update(facts)
    return made


def test_text() -> None:
    line = TextFormatter(coloured=False).format(record("100 % of it", receivers=0))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    100 % of it", line)


@pytest.mark.parametrize(
    ("level", "facts", "colour"),
    [
        (logging.INFO, {"event": "push", "receivers": 1}, ""),
        (logging.INFO, {"event": "push", "receivers": 0}, "\x1b[33m"),
        (logging.INFO, {"event": "refused"}, "\x1b[33m"),
        (logging.WARNING, {}, "\x1b[33m"),
        (logging.ERROR, {}, "\x1b[31m"),
    ],
)
def test_what_needs_attention_is_coloured(level: int, facts: dict[str, object], colour: str) -> None:
    line = TextFormatter(coloured=True).format(record("message", level, **facts))
    assert re.fullmatch(rf"{re.escape(colour)}\d\d:\d\d:\d\d \w+ +message({re.escape(chr(27))}\[0m)?", line)
    assert line.endswith("\x1b[0m") == bool(colour)


def test_json() -> None:
    """A line of JSON escapes control characters, including those of other libraries' messages."""
    line = JsonFormatter().format(record("a\nline\u202e", event="push", topic="t", publication=2**53))
    assert "\u202e" not in line
    assert json.loads(line) == {
        "time": "2011-10-14T16:59:51.250Z",
        "level": "info",
        "logger": "webmqconnect_async.hub",
        "message": "a\nline\u202e",
        "event": "push",
        "topic": "t",
        "publication": 2**53,
    }


def test_json_of_the_extra_values_of_other_libraries() -> None:
    """Extra values of other libraries' records are shown, and never replace the members that each line has."""
    said = json.loads(JsonFormatter().format(record("said", time="mine", tags={1}, nothing=None)))
    assert (said["time"], said["tags"], said["nothing"]) == ("2011-10-14T16:59:51.250Z", "{1}", None)


def test_json_of_an_exception() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        line = JsonFormatter().format(record("a request failed", logging.ERROR, exc_info=sys.exc_info()))
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("RuntimeError: broken")


@pytest.mark.parametrize(
    ("form", "environment", "made", "coloured"),
    [
        ("text", {}, TextFormatter, False),  # standard error is not a terminal
        ("text", {"FORCE_COLOR": "1"}, TextFormatter, True),
        ("text", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, TextFormatter, False),
        ("json", {"FORCE_COLOR": "1"}, JsonFormatter, False),
    ],
)
def test_configure(
    monkeypatch: pytest.MonkeyPatch, form: str, environment: dict[str, str], made: type, coloured: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    root = logging.RootLogger(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    configure("error", form)
    [handler] = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr
    assert root.level == logging.ERROR
    assert type(handler.formatter) is made
    assert handler.format(record("x", logging.ERROR)).startswith("\x1b") == coloured
