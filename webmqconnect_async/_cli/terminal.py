"""Output for people: escaped, coloured on a terminal and plain elsewhere. Text is never interpreted as markup.

rich is imported when something is printed, because shell completion imports this module and does not need rich.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

from .._core.escape import visible as visible  # for the other modules of the command line, too


def need_output() -> None:
    """Raise `UsageError` if standard output is closed. For commands that do nothing but print there."""
    if sys.stdout is None:
        raise click.UsageError("standard output is closed: nothing would be shown.")


def program() -> list[str]:
    """Return the words that run this command line from any folder, even where its environment is not active."""
    path = Path(sys.argv[0])
    return [str(path.absolute())] if path.stem == "webmqconnect" else [sys.executable, "-m", "webmqconnect_async"]


def console(*, stderr: bool = False) -> Console:
    """Return a console for the current `sys.stdout` or `sys.stderr`. It does not wrap lines; the terminal does."""
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)


def error(message: str, output: Console | None = None) -> None:
    """Print an error, to stderr unless an output is given."""
    from rich.text import Text

    (output or console(stderr=True)).print(Text.assemble(("error: ", "bold red"), visible(message)))


def note(message: str, output: Console | None = None) -> None:
    """Print a message that is not a result, to stderr unless an output is given."""
    (output or console(stderr=True)).print(visible(message), style="dim")


def json_line(value: object) -> str:
    """Return a value as one line of JSON without control characters, which a terminal would interpret."""
    return visible(json.dumps(value, ensure_ascii=False))


def coloured_json(value: object) -> Text:
    """Return `json_line`, coloured for a terminal."""
    from rich.highlighter import JSONHighlighter

    return JSONHighlighter()(json_line(value))


def coloured_python(code: str) -> Text:
    """Return a line of Python, coloured for a terminal."""
    from rich.syntax import Syntax

    coloured = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(visible(code))
    coloured.rstrip()
    return coloured
