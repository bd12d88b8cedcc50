"""The IDs of publications."""

from __future__ import annotations

import random

__all__ = ["new_publication_id"]


def new_publication_id() -> int:
    """Return a random ID from 1 to 2^53, as the WAMP specification requires."""
    return 1 + random.getrandbits(53)  # it need not be unpredictable, so it need not come from the operating system
