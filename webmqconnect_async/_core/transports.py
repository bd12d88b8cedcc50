"""Closing a connection of asyncio at once, for the clients and the hub."""

from __future__ import annotations

import asyncio
from contextlib import suppress


def abort(transport: asyncio.Transport) -> None:
    """Close a transport at once, without sending buffered data. Safe to call again."""
    # AttributeError: raised by early releases of CPython 3.11 if TLS has ended. RuntimeError: the loop is closed.
    with suppress(AttributeError, RuntimeError):
        transport.abort()
