"""Asks the application whether a subscriber may read a topic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable

from .._core.escape import visible
from ._rights import Identity

_TIMEOUT = 5.0  # seconds for the hook to decide, while the subscriber's further messages wait
_CLEANUP = 0.5  # seconds for the hook to end after it was cancelled


class Application:
    """Asks the application about the subscriptions of one session.

    `failed` is called if the hook `may_subscribe` fails, with a text for the log, and with the exception or `None`.
    """

    __slots__ = ("_failed", "_hook", "_running")

    def __init__(
        self,
        hook: Callable[[Identity, str], bool | Awaitable[bool]],
        failed: Callable[[str, BaseException | None], None],
    ) -> None:
        self._hook = hook
        self._failed = failed
        self._running: asyncio.Future[object] | None = None

    def ask(self, identity: Identity, topic: str) -> bool | Coroutine[object, object, bool]:
        """Return whether the application lets the subscriber read a topic, or a coroutine that returns it.

        A hook that raises an exception, returns anything but a bool, or takes too long has failed. That is logged, and
        the subscription is refused.
        """
        if self._running is not None and not self._running.done():  # otherwise a client could start any number of calls
            return self._refuse("is still running for an earlier topic, so it was not called", topic)
        try:
            result: object = self._hook(identity, topic)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # it is logged
            return self._refuse(f"raised {type(error).__name__}", topic, error)
        return self._wait(result, topic) if isawaitable(result) else self._checked(result, topic)

    async def _wait(self, result: Awaitable[object], topic: str) -> bool:
        # In a task of its own: the hook may raise CancelledError, or suppress it. A future of the application is not
        # cancelled, because others may wait for it, too.
        self._running = asyncio.ensure_future(result)
        running = asyncio.shield(self._running) if self._running is result else self._running
        running.add_done_callback(_retrieve)
        try:
            done, _ = await asyncio.wait([running], timeout=_TIMEOUT)
        finally:
            running.cancel()
        if not done:
            await asyncio.wait([running], timeout=_CLEANUP)
            return self._refuse(f"took more than {_TIMEOUT:.0f} s", topic)
        try:
            return self._checked(running.result(), topic)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # it is logged
            return self._refuse(f"raised {type(error).__name__}", topic, error)

    def _checked(self, result: object, topic: str) -> bool:
        if not isinstance(result, bool):
            return self._refuse(f"must return a bool, not {type(result).__name__},", topic)
        return result

    def _refuse(self, problem: str, topic: str, error: BaseException | None = None) -> bool:
        self._failed(f"may_subscribe {problem} for topic '{visible(topic, 100)}'", error)
        return False


def _retrieve(future: asyncio.Future[object]) -> None:
    """Keep asyncio from logging an exception that is raised after the timeout."""
    if not future.cancelled():
        future.exception()
