"""Asks the application whether a subscriber may read a topic: calls `may_subscribe`, and bears whatever it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable

from .._core.escape import visible
from ._rights import Identity

__all__ = ["ask"]

_TIMEOUT = 5.0
"""Seconds for the application to answer. The subscriber's further messages wait."""

_FAILED = "may_subscribe raised an exception for topic '%s'"

logger = logging.getLogger("webmqconnect_async.hub")


def ask(
    hook: Callable[[Identity, str], bool | Awaitable[bool]], identity: Identity, topic: str
) -> bool | Coroutine[object, object, bool]:
    """Return whether the application lets a subscriber read a topic, or what to await for that.

    An exception, anything that is not a bool, and no answer in time are refusals, and are logged.
    """
    try:
        answer: object = hook(identity, topic)
    except Exception:
        logger.exception(_FAILED, visible(topic, 100))
        return False
    return _wait(answer, topic) if isawaitable(answer) else _checked(answer, topic)


async def _wait(answer: Awaitable[object], topic: str) -> bool:
    # In a task of its own: the hook may raise CancelledError, or suppress it.
    task = asyncio.ensure_future(answer)
    try:
        done, _ = await asyncio.wait([task], timeout=_TIMEOUT)
    finally:
        task.cancel()
    if not done:
        logger.error("may_subscribe took more than %.0f s for topic '%s'", _TIMEOUT, visible(topic, 100))
        return False
    try:
        return _checked(task.result(), topic)
    except (Exception, asyncio.CancelledError):
        logger.exception(_FAILED, visible(topic, 100))
        return False


def _checked(answer: object, topic: str) -> bool:
    if not isinstance(answer, bool):
        kind = type(answer).__name__
        logger.error("may_subscribe must return a bool, not %s, for topic '%s'", kind, visible(topic, 100))
    return answer is True
