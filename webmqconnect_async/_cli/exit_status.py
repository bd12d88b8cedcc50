"""The exit statuses of every command. They are stable: scripts stand on them."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["MEANINGS", "Exit"]


class Exit(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done; hub and listen: ended by Ctrl-C or SIGTERM, too",
    Exit.FAILED: "failed: a push or a line of it, a connection, what demo checks; standard error says why",
    Exit.USAGE: "wrong arguments, options or variables; nothing was begun",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; push and demo: by SIGTERM or SIGHUP, too",
}
