"""The command line `webmqconnect`. The package never imports it.

Each command has a module of its name, and some have helpers: `push` files, jsonl, lines, pace and progress; `listen`
and `demo` subscriber, wamp, wamp1 and wamp2; `explain` comparison, curl, refusals, report and stamps.

It stands on rich-click, which an extra installs: this module alone does without.
"""

from __future__ import annotations

import sys

from .exits import Exit
from .outputs import take_anything

__all__ = ["main"]

_EXTRA = frozenset({"rich_click", "click", "rich"})


def main() -> int:
    """Run the command line; return 2 where what it stands on is not installed, otherwise exit from within."""
    try:
        from click import Abort

        from .app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        print("error: the command line is an extra: pip install 'webmqconnect-async[cli]'", file=sys.stderr)
        return Exit.USAGE
    take_anything()
    try:
        app(prog_name="webmqconnect")
    except SystemExit as ended:
        # Click makes an Abort of Ctrl-C, and of that the status 1.
        if isinstance(ended.__context__, Abort):
            raise SystemExit(Exit.INTERRUPTED) from None
        raise
    return Exit.DONE
