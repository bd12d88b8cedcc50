"""The command line `webmqconnect`. The rest of the package does not import it.

Each command has a module with its name, or a folder with a module `command`, that declares its options. What runs the
command is imported when it runs: `--version`, `--help` and the completion of a shell do not need it.

The command line needs rich-click, which is an extra. This module, and what it imports at once, does not.
"""

from __future__ import annotations

import os
import sys

from .errors import Failure
from .exit_status import Exit
from .stdio import accept_all_characters, open_standard_streams

_EXTRA = frozenset({"rich_click", "click", "rich"})


def main() -> int:
    """Run the command line, which exits by `SystemExit`; return 2 if its extra is not installed."""
    # rich and rich-click write colours into pipes and files for these. Here, output that is piped is data. rich still
    # honours NO_COLOR and TTY_COMPATIBLE=0 on a terminal.
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
        os.environ.pop(name, None)
    if os.environ.get("TTY_COMPATIBLE") != "0":
        os.environ.pop("TTY_COMPATIBLE", None)
    open_standard_streams()
    accept_all_characters()
    try:
        from click import Abort

        from .app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        print("error: the command line is an extra: pip install 'webmqconnect-async[cli]'", file=sys.stderr)
        return Exit.USAGE
    try:
        try:
            app(prog_name="webmqconnect")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # while its errors can still be reported
    except Failure as failure:  # standard output cannot be written
        from . import terminal

        terminal.error(str(failure))
        return Exit.FAILED
    except BrokenPipeError:
        return Exit.FAILED
    except SystemExit as exit_:
        # Click turns Ctrl-C into Abort, and Abort into exit status 1.
        if isinstance(exit_.__context__, Abort):
            raise SystemExit(Exit.INTERRUPTED) from None
        raise
    return Exit.DONE
