"""The clocks of the clients and the hub, which also work while a test freezes time.

freezegun replaces the functions of `time` in the module `time`, and in every module that has imported them by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial


def unix_time() -> float:
    """Return the Unix time in seconds. It is frozen while `time.time` is, also for clients and hubs created before."""
    return time.time()


monotonic: Callable[[], float] = partial(time.monotonic)
"""The monotonic time in seconds, which is never frozen: freezegun does not recognize the function inside a `partial`.

freezegun returns the real time to functions called within a few frames of `threading` (its ignore list), and the frozen
time to all others. Deadlines would be compared with another clock than they were computed from.
"""


def uptime() -> float:
    """Return a monotonic time in seconds that, on Linux, also advances while the machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return monotonic() if clock is None else time.clock_gettime(clock)
