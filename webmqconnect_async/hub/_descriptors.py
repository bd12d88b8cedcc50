"""The limit of open files: it is raised for a hub that needs more, and reaching it is logged once per outage."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from asyncio.events import _Context

_OTHERS = 32  # descriptors for what else the process may open, such as files and further listening sockets
_OUTAGE = 5.0  # seconds without a failed attempt after which an outage is over; asyncio tries again after one second

logger = logging.getLogger("webmqconnect_async.hub")


def available(connections: int) -> int:
    """Raise the soft limit of open files to what these connections need. Return how many of them are possible."""
    if sys.platform == "win32":
        return connections
    with socket.socket() as lowest_free:
        others = lowest_free.fileno() + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + others
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    with suppress(OSError, ValueError):  # macOS refuses more than OPEN_MAX, even below the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        soft = needed
    return min(connections, max(1, soft - others))


class Outages:
    """An exception handler of an event loop that logs one line per outage when there are no descriptors left.

    asyncio calls the handler for each connection that it cannot accept, a hundred times per second, and the default one
    logs a traceback. uvloop does not call it: it closes these connections.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before = loop.get_exception_handler()
        self._over = 0.0  # when an outage is over
        loop.set_exception_handler(self._handle)

    def close(self) -> None:
        if self._loop.get_exception_handler() == self._handle:
            self._loop.set_exception_handler(self._before)

    def _handle(self, loop: asyncio.AbstractEventLoop, context: _Context) -> None:
        # The message of asyncio.selector_events for EMFILE, ENFILE, ENOBUFS and ENOMEM.
        if context.get("message") == "socket.accept() out of system resource":
            if loop.time() > self._over:
                logger.error("the hub cannot accept connections: %s", context.get("exception"))
            self._over = loop.time() + _OUTAGE
        elif self._before is not None:
            self._before(loop, context)
        else:
            loop.default_exception_handler(context)
