"""What is written to people: escaped, coloured on a terminal and plain elsewhere. Text is never taken for markup."""

from __future__ import annotations

import json

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.syntax import Syntax
from rich.text import Text

__all__ = ["coloured_json", "coloured_python", "console", "error", "json_line", "note", "visible"]

_coloured = JSONHighlighter()


def console(*, stderr: bool = False) -> Console:
    """Return what writes to the process's present output; lines are left to the terminal to wrap."""
    return Console(stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)


def error(message: str, output: Console | None = None) -> None:
    """Say what went wrong, on stderr unless an output is given."""
    (output or console(stderr=True)).print(Text.assemble(("error: ", "bold red"), visible(message)))


def note(message: str, output: Console | None = None) -> None:
    """Say what is no result, on stderr unless an output is given."""
    (output or console(stderr=True)).print(Text(visible(message), "dim"))


def json_line(value: object) -> str:
    """Return a JSON value in one line that a terminal shows and does not obey."""
    return visible(json.dumps(value, ensure_ascii=False))


def coloured_json(value: object) -> Text:
    """Return `json_line`, coloured for a terminal."""
    return _coloured(json_line(value))


def coloured_python(code: str) -> Text:
    """Return a line of Python, coloured for a terminal."""
    coloured = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(visible(code))
    coloured.rstrip()
    return coloured


def visible(text: str) -> str:
    r"""Return the text with everything unprintable as `\uXXXX`: control characters, but also what reverses a line.

    In JSON such characters stand inside strings alone, and so it remains the same JSON.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
