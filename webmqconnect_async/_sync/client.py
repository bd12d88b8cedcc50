"""The blocking client. `flow` decides what happens to a push; this module runs it in a slot, and counts it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from types import EllipsisType
from typing import Self, Unpack, overload

from .._core.bulk import in_order
from .._core.checks import checked_seconds
from .._core.client import BaseClient
from .._core.dialects import DialectName
from .._core.settings import ClientOptions
from .._core.values import Outcome, Push, Receipt, SessionIDs, Stats
from ..errors import ClientClosed, InvalidPush, WebMQError
from .background import ThreadQueue
from .bulk_workers import Pushes, PushStream, Source, outcomes, stream
from .process_state import ProcessState, deadline_after


class Client(BaseClient):
    """Pushes events to a broker and waits for each response. Threads can share a client, and it works after a fork.

        client = Client("http://127.0.0.1:8080", auth_key="app", auth_secret="s3cret")
        client.push("http://example.com/orders", {"id": 17, "state": "paid"})

    A client need not be closed. An exception that a signal handler raises during a push, such as KeyboardInterrupt or
    the soft time limit of a task queue, passes through, and the push releases its slot. The argument names of the
    webmqconnect of 2012, `pushEndpoint`, `authKey` and `authSecret`, still work.

    Args:
        endpoint: The broker's http or https URL, without user information, query and fragment.
        auth_key: The application key. `None`: push unsigned.
        auth_secret: The secret of that key.
        timeout: Seconds for a whole push: the wait for a slot, connecting, sending, the response, retries and the
            delays between them. `None`: no limit. Resolving the broker's name cannot be interrupted and may take
            longer.
        dialect: The broker's protocol: "webmq" for a WebMQ hub, "crossbar" for the HTTP bridge of Crossbar.io, whose
            endpoint is the path of a publisher.
        pushEndpoint: `endpoint` in 2012.
        authKey: `auth_key` in 2012.
        authSecret: `auth_secret` in 2012.
        concurrency: Maximum number of pushes in flight, of all threads together. 50 by default.
        retry: When to retry a push; see `Retry`.
        connect_timeout: Seconds to connect to one address, and again for the TLS handshake. `None`, the default: only
            `timeout` applies.
        keepalive: Seconds to keep an idle connection open, 4 by default. `None`: until the broker closes it. `0`: a new
            connection per push. Choose less than the broker's own limit (nginx 75, Twisted 60, Node 5). Idle
            connections are closed during a push only: without pushes, they stay open until the next one or `close`.
        ssl: How to verify https. `None`, the default: against the system's certificates.
        headers: Sent with each push. `None`, the default: none.
        dumps: A JSON encoder to use instead of the default one, such as `webmqconnect_async.to_json`; returns str or
            bytes. TypeError, ValueError, ArithmeticError, LookupError, AttributeError and RuntimeError mean that it
            cannot encode the event. An event that it encodes with NaN or Infinity raises InvalidPush.
        max_request_head: Maximum length of a request line and its headers, in bytes without line ends. A push that
            needs more, because of its topic, `eligible` and `exclude`, raises `TooLarge` before it is sent. 16384 by
            default, the limit of Twisted. It applies to the WebMQ dialect only. `None`: no limit.
        background: How the events of `push_soon` are pushed; see `Background`.

    Raises:
        TypeError, ValueError: An argument is invalid; the message names it.
    """

    @overload
    def __init__(
        self,
        endpoint: str,
        auth_key: str | None = None,
        auth_secret: str | bytes | None = None,
        timeout: float | None = 5.0,
        *,
        dialect: DialectName = "webmq",
        authKey: str | None = None,
        authSecret: str | bytes | None = None,
        **options: Unpack[ClientOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        pushEndpoint: str,
        authKey: str | None = None,
        authSecret: str | bytes | None = None,
        timeout: float | None = 5.0,
        dialect: DialectName = "webmq",
        **options: Unpack[ClientOptions],
    ) -> None: ...
    def __init__(
        self,
        endpoint: str | None = None,
        auth_key: str | None = None,
        auth_secret: str | bytes | None = None,
        timeout: float | None = 5.0,
        *,
        dialect: DialectName = "webmq",
        pushEndpoint: str | None = None,
        authKey: str | None = None,
        authSecret: str | bytes | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        for name, new, former_name, old in (
            ("endpoint", endpoint, "pushEndpoint", pushEndpoint),
            ("auth_key", auth_key, "authKey", authKey),
            ("auth_secret", auth_secret, "authSecret", authSecret),
        ):
            if new is not None and old is not None:
                raise TypeError(f"{name} and {former_name} must not both be given: they are the same argument")
        url = endpoint if endpoint is not None else pushEndpoint
        if url is None:
            raise TypeError("endpoint must be given")
        key = auth_key if auth_key is not None else authKey
        secret = auth_secret if auth_secret is not None else authSecret
        super().__init__(url, key, secret, timeout, dialect=dialect, **options)
        self._state = ProcessState(self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stats(self) -> Stats:
        """A snapshot of the client's counts. In the child of a fork, they start at 0."""
        state = self._here()
        return Stats(*state.slots.counts, *state.background.counts)

    def push(
        self,
        topic: str,
        event: object,
        eligible: SessionIDs | None = None,
        exclude: SessionIDs | None = None,
        *,
        options: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
        timeout: float | EllipsisType | None = ...,
    ) -> Receipt:
        """Push one event to all subscribers of a topic.

        Args:
            topic: The URI that browsers subscribe to; compared byte for byte.
            event: Any JSON-serializable value, as for `Push`.
            eligible: The only sessions to receive it. `None`: all subscribers. Empty: none.
            exclude: Sessions that do not receive it. `None` or empty: no exceptions.
            options: Further options of Crossbar.io's bridge, see `Push`. A WebMQ hub has none.
            idempotency_key: Makes the hub of this package deliver a repeated push once, see `Push`.
            timeout: Seconds, instead of the client's `timeout`. `None`: no limit.

        Raises:
            ClientClosed, InvalidPush: Nothing was sent.
            TypeError, ValueError: `timeout` is invalid. Nothing was sent.
            NotAccepted: The broker has not accepted it; it is safe to push again.
            Unconfirmed: The broker may have accepted it.
        """
        self._open()
        sign, seconds = self._encode(Push(topic, event, eligible, exclude, options, idempotency_key), timeout)
        return self._here().run(sign, deadline_after(seconds))

    def push_many(
        self, pushes: Pushes, *, concurrency: int | None = None, order_by_topic: bool = False
    ) -> list[Outcome]:
        """Push all items of a source and return their outcomes, in input order.

        Args:
            pushes: An iterable of `Push` or `(topic, event)`. It is read in the calling thread only, and no further
                ahead than needed. Any other item becomes an InvalidPush outcome.
            concurrency: Maximum number of pushes of this bulk in flight. `None`: the client's. 1 starts no threads. If
                no more threads can be started, fewer pushes are in flight; without any, the calling thread pushes.
            order_by_topic: Push the events of one topic one after another, in input order, each after the outcome of
                the one before. Different topics are pushed concurrently.

        Raises:
            ClientClosed: The source was not read.
            TypeError, ValueError: An argument is invalid; the source was not read.
            SourceFailed: The source raised, or the client was closed; `.outcomes` has the outcomes so far. A
                KeyboardInterrupt or SystemExit passes through as itself.
        """
        workers, source = self._bulk(pushes, concurrency, order_by_topic)
        return in_order(list(outcomes(workers, source, self._push_one)), source.failure)

    def push_stream(
        self, pushes: Pushes, *, concurrency: int | None = None, order_by_topic: bool = False
    ) -> PushStream:
        """Push all items of a source and yield their outcomes in order of completion.

        The source is read only as fast as you take the outcomes. Leaving the loop early stops the source and waits for
        the pushes in flight; use `with` to make that happen at once.
        The arguments are those of `push_many`.

        Raises:
            ClientClosed: The source was not read.
            TypeError, ValueError: An argument is invalid; the source was not read.
            BaseException: What the source raised, or ClientClosed, after the outcomes of all items read before.
        """
        workers, source = self._bulk(pushes, concurrency, order_by_topic)
        return PushStream(stream(workers, source, self._push_one))

    def close(self, grace: float | None = 5.0) -> None:
        """Close the client, after pushing the events of `push_soon`.

        It is safe to call again, even if an exception has interrupted it. Pushes that wait for a slot raise
        ClientClosed. This waits until the events of `push_soon` were pushed, then for the pushes in flight, for at most
        `grace` seconds in total (`None`: no limit). After that, pushes in flight end as at their deadline, and events
        that wait fail.

        Raises:
            TypeError, ValueError: `grace` is invalid. Nothing was closed.
        """
        seconds = checked_seconds("grace", grace, zero=True)
        self._here().close(deadline_after(seconds))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all events of `push_soon` have an outcome; return False after `timeout`.

        Args:
            timeout: Seconds. `None`: no limit.
        """
        seconds = checked_seconds("timeout", timeout, zero=True)
        return self._here().background.flush(deadline_after(seconds))

    def _here(self) -> ProcessState:
        """Return the state of this process; after a fork, a new one."""
        if self._state.pid != os.getpid():
            inherited, self._state = self._state, ProcessState(self._settings)
            self._state.slots.closed = inherited.slots.closed
            inherited.abandon()
        return self._state

    def _open(self) -> ProcessState:
        """Return the state of this process; raise ClientClosed if the client is closed."""
        state = self._here()
        if state.slots.closed:
            raise ClientClosed("the client is closed")
        return state

    def _queue(self) -> ThreadQueue:
        state = self._open()
        state.background.start(self, partial(state.run, background=True))
        return state.background

    def _bulk(self, pushes: Pushes, concurrency: int | None, order_by_topic: bool) -> tuple[int, Source]:
        self._open()
        workers, bulk = self._plan(pushes, (Iterable,), concurrency, order_by_topic)
        return workers, Source(pushes, bulk)

    def _push_one(self, push: Push | InvalidPush) -> Receipt | WebMQError:
        if isinstance(push, InvalidPush):
            return push
        try:
            self._open()
            sign, _ = self._encode(push)
            # The timeout starts once the push has a slot: waiting for one is the backpressure on the source.
            return self._here().run(sign, None)
        except WebMQError as error:
            return error
