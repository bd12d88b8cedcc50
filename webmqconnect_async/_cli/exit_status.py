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
    Exit.DONE: "done; also: hub, listen or relay was stopped by Ctrl-C or SIGTERM",
    Exit.FAILED: "failed: a push, a line, a connection, a database, a ticket, a check of demo; the output says why",
    Exit.USAGE: "invalid arguments, options or variables; nothing was sent",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; push, relay --once and demo: also by SIGTERM or SIGHUP",
}
