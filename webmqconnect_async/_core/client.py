"""What both clients have in common: their constructor, `push_soon`, and the checks before a push, in one order.

It checks first whether the client is closed, then the arguments, then encodes; only after that a push waits for a slot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import EllipsisType
from typing import Self, Unpack

from .background_queue import BackgroundQueue
from .bulk import Bulk, worker_count
from .checks import checked_seconds
from .dialects import DialectName, Signer
from .environment import Environment
from .settings import ClientOptions, Settings
from .values import Push, SessionIDs


class BaseClient(ABC):
    """The part of a client that does no I/O."""

    def __init__(
        self,
        endpoint: str,
        auth_key: str | None,
        auth_secret: str | bytes | None,
        timeout: float | None,
        *,
        dialect: DialectName,
        **options: Unpack[ClientOptions],
    ) -> None:
        # Checked here because the TypeError of Settings would name a class that the caller has not called.
        if unknown := options.keys() - ClientOptions.__optional_keys__:
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {min(unknown)!r}")
        self._settings = Settings(endpoint, auth_key, auth_secret, timeout, dialect, **options)

    @classmethod
    def from_env(cls, *, timeout: float | None = 5.0, **options: Unpack[ClientOptions]) -> Self:
        """Return a client configured by `WEBMQ_ENDPOINT`, `WEBMQ_AUTH_KEY`, `WEBMQ_AUTH_SECRET` and `WEBMQ_DIALECT`.

        The secret may be in a file instead, named by `WEBMQ_AUTH_SECRET_FILE`. Only the endpoint is required. Without
        key and secret, pushes are unsigned; without a dialect, it is "webmq". An empty variable counts as unset.

        Args:
            timeout: As for the class.
            options: The other arguments of the class, by name.

        Raises:
            TypeError, ValueError: A variable is missing or invalid, or an argument is invalid; the message names it.
        """
        env = Environment.read()
        return cls(env.endpoint, env.auth_key, env.auth_secret, timeout, dialect=env.dialect, **options)

    def push_soon(
        self,
        topic: str,
        event: object,
        eligible: SessionIDs | None = None,
        exclude: SessionIDs | None = None,
        *,
        options: Mapping[str, object] | None = None,
    ) -> bool:
        """Push one event in the background. This never waits; it is not a coroutine in either client.

        The events of one topic are pushed in order. An event that the broker has not accepted, but may accept later, is
        retried. After any other error, the event has failed and the next one of the topic follows. `stats` counts the
        events that failed, and `Background` describes how they are reported.

        An AsyncClient pushes in its event loop: that of its `async with`, or of its first call. After that, any thread
        may call this. A Client pushes in a thread of its own, which the first call starts; the child of a fork starts
        with no events. Close the client, or events that wait are lost. A Client that is not closed pushes them at exit,
        for at most 5 seconds.

        Args:
            topic: As for `push`.
            event: As for `push`. It is encoded at once.
            eligible: As for `push`.
            exclude: As for `push`.
            options: As for `push`.

        Returns:
            Whether the event was queued. False if it would exceed a limit of `Background`.

        Raises:
            ClientClosed, WrongLoop, InvalidPush, TooLarge: The event was not queued.
            RuntimeError: This process cannot start threads, which a Client needs.
        """
        queue = self._queue()
        push = Push(topic, event, eligible, exclude, options)
        return queue.add(push, self._settings.dialect.encode(push))

    @abstractmethod
    def _queue(self) -> BackgroundQueue:
        """Return the queue of `push_soon`, with its task or thread ready; raise ClientClosed or WrongLoop."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._settings.endpoint} auth_key={self._settings.auth_key!r}>"

    def _encode(self, push: Push, timeout: float | EllipsisType | None = ...) -> tuple[Signer, float | None]:
        """Return an encoded push and its timeout in seconds; `...` stands for the client's own."""
        seconds = self._settings.timeout if isinstance(timeout, EllipsisType) else checked_seconds("timeout", timeout)
        return self._settings.dialect.encode(push), seconds

    def _plan(
        self, pushes: object, kinds: tuple[type, ...], concurrency: int | None, order_by_topic: bool
    ) -> tuple[int, Bulk]:
        return worker_count(pushes, kinds, concurrency, self._settings.concurrency), Bulk(order_by_topic)
