"""The command line `webmqconnect`. The rest of the package does not import it.

Each command has a module with its name, or a folder with a module `command`, which declares its options. The code that
runs the command is imported when it runs, because `--version`, `--help` and shell completion do not need it.

The command line needs the extra `cli`, which has rich-click. This module and its own imports do not.
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
    # With these variables, rich and rich-click write colours into pipes and files, too. Here, piped output is data. On
    # a terminal, rich still honours NO_COLOR and TTY_COMPATIBLE=0.
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
                sys.stdout.flush()  # now, because at exit its errors could no longer be reported
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
