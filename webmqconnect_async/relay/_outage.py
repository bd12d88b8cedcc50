"""Logs that the broker or the database cannot be used, once per minute, and when it can be used again."""

from __future__ import annotations

import logging

from .._core.clock import monotonic

_LOG_INTERVAL = 60.0
"""Seconds between two warnings of one outage."""

logger = logging.getLogger("webmqconnect_async.relay")


class Outage:
    """Logs that an outage `began`, with its latest error, and that it `ended`. Both are messages."""

    def __init__(self, began: str, ended: str) -> None:
        self._began = began
        self._ended = ended
        self._failures = 0
        self._next_log = 0.0

    def failed(self, error: Exception) -> int:
        """Record a failure, and return the number of failures in this outage."""
        now = monotonic()
        if not self._failures or now >= self._next_log:
            self._next_log = now + _LOG_INTERVAL
            logger.warning("%s: %s", self._began, error)
        self._failures += 1
        return self._failures

    def recovered(self) -> None:
        """Record a success, which ends the outage if there is one."""
        if self._failures:
            self._failures = 0
            logger.info("%s", self._ended)
