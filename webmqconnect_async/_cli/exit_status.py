"""The exit statuses of every command. They are part of the public interface: scripts rely on them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done; also: hub or listen was stopped by Ctrl-C or SIGTERM",
    Exit.FAILED: "failed: a push, a line, a connection, a ticket, or a check of demo; the output has the reason",
    Exit.USAGE: "invalid arguments, options or variables; nothing was sent",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; push and demo: also by SIGTERM or SIGHUP",
}
