"""The clocks of the clients and the hub, for tests that freeze time, such as with freezegun.

Such a test replaces the functions of `time` while it runs, in every module that has imported them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

__all__ = ["monotonic", "unix_time"]


def unix_time() -> float:
    """Return the Unix time in seconds. It is frozen with `time.time`, for client and hub alike, whenever they began."""
    return time.time()


monotonic: Callable[[], float] = partial(time.monotonic)
"""The monotonic time in seconds, which is never frozen.

freezegun leaves the real clock to callers near the start of a thread. Deadlines would be compared with another clock.
"""
