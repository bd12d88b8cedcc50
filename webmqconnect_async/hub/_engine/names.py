"""The names of the keys in Redis. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Names(NamedTuple):
    """The names of the keys that the hubs of one application share."""

    stream: str
    history: str
    """The ID of the history: what the stream has had since it was created, or since events were lost."""
    server: str
    """The run of the server in which the history was last found to be whole."""
    key: str
    """How the names of idempotency keys begin."""
    nothing: str
    """A name that no key has."""


def names_of(prefix: str) -> Names:
    """Return the names that begin with a prefix."""
    return Names(f"{prefix}:events", f"{prefix}:history", f"{prefix}:server", f"{prefix}:key:", f"{prefix}:nothing")
