"""What the clients log: only what nobody is told in another way. An error is raised, and not logged as well.

Brokers are named by host and port, errors by their own texts, which hold no secret, signature or signed URL. When a
record is due is the drivers' business.
"""

from __future__ import annotations

import logging

from .flow import Sleep

__all__ = ["cut", "forked", "retrying"]

_logger = logging.getLogger("webmqconnect_async.client")


def retrying(broker: str, sleep: Sleep) -> None:
    """Log that a push is to be tried again: a receipt only says so when all has gone well."""
    _logger.info(
        "%s: attempt %d ended in %s, the next follows in %.3f seconds: %s",
        broker,
        sleep.attempt,
        type(sleep.error).__name__,
        sleep.seconds,
        sleep.error,
    )


def cut(broker: str, pushes: int) -> None:
    """Log that a close has ended pushes that had no answer; each raises, but not where the client is closed."""
    _logger.info("%s: closing the client ended pushes that had no answer yet: %d", broker, pushes)


def forked(broker: str) -> None:
    """Log that a fork was noticed, in the child."""
    _logger.debug("%s: a fork has copied the client, which leaves the parent's connections alone", broker)
