"""What both clients have in common: their constructor, `push_soon`, and the checks before a push, in one order.

A client that is closed says so first. Then it checks arguments, then it encodes, and only then it waits for a slot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import EllipsisType
from typing import Self, Unpack

from .background_queue import BackgroundQueue
from .bulk import Bulk, worker_count
from .checks import checked_seconds, wrong_type
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
        # Otherwise the TypeError would name a class that the caller has not called.
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
        """Push one event in the background. It never waits, and is a plain function of both clients.

        The events of one topic are pushed in order. One that the broker has not accepted, but may accept later, is
        tried again; any other error ends it, and the next event of the topic follows. `stats` counts the events that
        failed, and `Background` says how they are reported.

        An AsyncClient pushes in its event loop: that of its `async with`, or of its first call. From then on, any
        thread may call this. A Client pushes in a thread of its own, which the first call starts; the child of a fork
        starts with no events. Close the client, or its events are lost: only those of a Client are also pushed at exit,
        for at most 5 seconds.

        Args:
            topic: As for `push`.
            event: As for `push`. It is encoded at once.
            eligible: As for `push`.
            exclude: As for `push`.
            options: As for `push`.

        Returns:
            Whether the event is going to be pushed. False if there is no room for it: see `Background`.

        Raises:
            ClientClosed, WrongLoop, InvalidPush, TooLarge: The event is not going to be pushed.
            RuntimeError: This process cannot start threads, which a Client needs.
        """
        queue = self._queue()
        push = Push(topic, event, eligible, exclude, options)
        return queue.add(push, self._settings.dialect.encode(push))

    @abstractmethod
    def _queue(self) -> BackgroundQueue:
        """Return the queue of `push_soon`, which is going to be emptied; raise ClientClosed or WrongLoop."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._settings.endpoint} auth_key={self._settings.auth_key!r}>"

    def _encode(self, push: Push, timeout: float | EllipsisType | None = ...) -> tuple[Signer, float | None]:
        """Return an encoded push and its timeout in seconds; `...` stands for the client's own."""
        seconds = self._settings.timeout if isinstance(timeout, EllipsisType) else checked_seconds("timeout", timeout)
        return self._settings.dialect.encode(push), seconds

    def _plan(
        self, pushes: object, kinds: tuple[type, ...], concurrency: int | None, order_by_topic: bool
    ) -> tuple[int, Bulk]:
        """Return the number of workers of a bulk, and its bookkeeping.

        Args:
            pushes: The source.
            kinds: The classes that the client can read a source of.
            concurrency: As for `push_many`.
            order_by_topic: As for `push_many`.
        """
        workers = worker_count(pushes, concurrency, self._settings.concurrency)
        if not isinstance(pushes, kinds):
            raise TypeError(wrong_type("pushes", "an iterable of pushes", pushes))
        return workers, Bulk(order_by_topic)
