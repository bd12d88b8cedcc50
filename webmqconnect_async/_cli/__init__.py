"""The command line `webmqconnect`, which the rest of the package does not import.

Each command has a module with its name. Some commands have more: `push` has files, jsonl, lines, pace and progress;
`listen` and `demo` have subscriber, wamp, wamp1 and wamp2; `explain` has comparison, curl, refusals, report and stamps.

The command line needs rich-click, which is an extra. This module and what it imports at once do without.
"""

from __future__ import annotations

import sys

from .exit_status import Exit
from .stdio import flushed, open_standard_streams, take_anything

__all__ = ["main"]

_EXTRA = frozenset({"rich_click", "click", "rich"})


def main() -> int:
    """Run the command line, which exits by `SystemExit`; return 2 if its extra is not installed."""
    open_standard_streams()
    take_anything()
    try:
        from click import Abort

        from .app import app
        from .main_loop import reported
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        print("error: the command line is an extra: pip install 'webmqconnect-async[cli]'", file=sys.stderr)
        return Exit.USAGE
    try:
        with reported(), flushed():
            app(prog_name="webmqconnect")
    except BrokenPipeError:
        return Exit.FAILED
    except SystemExit as ended:
        # Click turns Ctrl-C into Abort, and Abort into exit status 1.
        if isinstance(ended.__context__, Abort):
            raise SystemExit(Exit.INTERRUPTED) from None
        raise
    return Exit.DONE
