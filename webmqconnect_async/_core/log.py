"""Client log messages. Errors that are raised are not also logged.

Messages show a broker as host and port, and errors as their own text. Neither holds a secret, a signature or a signed
URL.
"""

from __future__ import annotations

import logging

from .flow import Sleep

__all__ = ["cut", "forked", "retrying"]

_logger = logging.getLogger("webmqconnect_async.client")


def retrying(broker: str, sleep: Sleep) -> None:
    """Log that a push is going to be retried. A receipt shows this only if the retry succeeds."""
    _logger.info(
        "%s: attempt %d ended in %s, the next follows in %.3f seconds: %s",
        broker,
        sleep.attempt,
        type(sleep.error).__name__,
        sleep.seconds,
        sleep.error,
    )


def cut(broker: str, pushes: int) -> None:
    """Log that `close` has ended pushes without a response. They raise, but not where `close` was called."""
    _logger.info("%s: closing the client ended pushes that had no answer yet: %d", broker, pushes)


def forked(broker: str) -> None:
    """Log, in the child, that a fork has been noticed."""
    _logger.debug("%s: a fork has copied the client, which leaves the parent's connections alone", broker)
