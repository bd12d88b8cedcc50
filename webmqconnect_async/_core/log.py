"""Client log messages. Errors that are raised are not also logged.

Messages show a broker as host and port, and errors as their own text. Neither holds a secret, a signature or a signed
URL.
"""

from __future__ import annotations

import logging

from .flow import Sleep

_logger = logging.getLogger("webmqconnect_async.client")


def retrying(broker: str, sleep: Sleep) -> None:
    """Log that a push will be retried. Otherwise only the `attempts` of a receipt would show it."""
    text = "%s: attempt %d ended in %s, the next follows in %.3f seconds: %s"
    _logger.info(text, broker, sleep.attempt, type(sleep.error).__name__, sleep.seconds, sleep.error)


def cut(broker: str, pushes: int) -> None:
    """Log that `close` has ended pushes without a response. The errors are raised by the pushes, not by `close`."""
    _logger.info("%s: closing the client ended pushes that had no response yet: %d", broker, pushes)


def forked(broker: str) -> None:
    _logger.debug("%s: a fork has copied the client, which does not use the parent's connections", broker)


def background(broker: str, warning: bool, line: str) -> None:
    _logger.log(logging.WARNING if warning else logging.INFO, "%s: %s", broker, line)


def on_failure_raised(broker: str) -> None:
    _logger.exception("%s: on_failure raised an exception", broker)


def path(broker: str, why_posting: str) -> None:
    if why_posting:
        _logger.debug("%s: requests are sent by session.post, because %s", broker, why_posting)
    else:
        _logger.debug("%s: requests are sent directly over connections of the session's connector", broker)


def unknown_aiohttp(broker: str, version: str, error: Exception) -> None:
    text = "%s: aiohttp %s is not known to webmqconnect_async, which sends by session.post and is slower: %s"
    _logger.warning(text, broker, version, error)
