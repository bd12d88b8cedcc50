"""The log of `webmqconnect hub` on standard error: as text, coloured on a terminal, or as lines of JSON."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from . import terminal

_YELLOW, _RED, _PLAIN = "\x1b[33m", "\x1b[31m", "\x1b[0m"

_USUAL = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
"""The attributes that every record has. All others are the facts of the hub's log."""


def configure(level: str, form: str) -> None:
    """Log to standard error, as `text` or `json`."""
    handler = logging.StreamHandler()
    output = terminal.console(stderr=True)
    coloured = output.color_system is not None and not output.no_color
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(coloured=coloured))
    logging.basicConfig(level=level.upper(), handlers=[handler])


class TextFormatter(logging.Formatter):
    """Time, level and message; coloured if they need attention: warnings, refusals, events without receivers."""

    def __init__(self, *, coloured: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S" if coloured else None)
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        text, facts = super().format(record), vars(record)
        if not self._coloured:
            return text
        if record.levelno >= logging.ERROR:
            return f"{_RED}{text}{_PLAIN}"
        attention = record.levelno >= logging.WARNING or facts.get("event") == "refused" or facts.get("receivers") == 0
        return f"{_YELLOW}{text}{_PLAIN}" if attention else text


class JsonFormatter(logging.Formatter):
    """An object with `time` (UTC), `level`, `logger`, `message`, `exception` if there is one, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, object] = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        for name, fact in vars(record).items():
            if name not in _USUAL and name not in line:
                # Records of other libraries may have attributes of any type.
                line[name] = fact if isinstance(fact, str | int | float | None) else repr(fact)
        return terminal.json_line(line)
