"""The names of the keys in Redis. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Names(NamedTuple):
    """The names of the keys that the hubs of one application share."""

    stream: str
    history: str
    """The key with the ID of the history. A new history begins when the stream is created, or events are lost."""
    server: str
    """The key with the run of the server in which a hub last confirmed that the history is complete."""
    key: str
    """The prefix of the keys for idempotency keys."""
    nothing: str
    """A key that never exists, to check permissions with."""


def names_of(prefix: str) -> Names:
    """Return the names that begin with a prefix."""
    return Names(f"{prefix}:events", f"{prefix}:history", f"{prefix}:server", f"{prefix}:key:", f"{prefix}:nothing")
