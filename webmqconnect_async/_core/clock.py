"""The clocks of the clients and the hub, which also work while a test freezes time.

freezegun replaces the functions of `time` in every module that has imported them by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial


def unix_time() -> float:
    """Return the Unix time in seconds, frozen if `time.time` is, also for clients and hubs from before that."""
    return time.time()


monotonic: Callable[[], float] = partial(time.monotonic)
"""The monotonic time in seconds, which is never frozen.

freezegun returns the real time to callers near the start of a thread. Deadlines would be compared with another clock.
"""


def uptime() -> float:
    """Return seconds that also pass while the machine is suspended, where the system counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return monotonic() if clock is None else time.clock_gettime(clock)
