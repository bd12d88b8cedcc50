"""The blocking client. It opens and closes, counts and bounds; how a push goes is the flow's business."""

from __future__ import annotations

import os
import random
import ssl as ssl_module
import time
from collections.abc import Generator, Iterable, Mapping
from math import inf
from types import EllipsisType, TracebackType
from typing import Self, Unpack

from ..bulk import Bulk, bulk_workers, in_order
from ..checks import checked_seconds
from ..dialects import DialectName, Signer
from ..dialects.events import Dumps
from ..environment import Environment
from ..errors import InvalidPush, WebMQError
from ..flow import Retry, push_flow
from ..settings import Options, Settings
from ..values import Outcome, Push, Receipt, SessionIDs, Stats
from .many import Pushes, PushStream, collect, outcomes
from .wire import Wire

__all__ = ["Client"]


class Client:
    """Pushes events to a broker and waits for each answer. Threads may share one; a fork may too.

        client = Client("http://127.0.0.1:8080", auth_key="app", auth_secret="s3cret")
        client.push("http://example.com/orders", {"id": 17, "state": "paid"})

    It need not be closed. It also takes the argument names of the webmqconnect of 2012: `pushEndpoint`, `authKey` and
    `authSecret`.

    Args:
        endpoint: the broker's http or https URL, without user information, query and fragment.
        auth_key: the application key; None pushes unsigned.
        auth_secret: the secret of that key.
        timeout: seconds for a whole push: the wait for a slot, connecting, sending, the answer, retries and pauses;
            None for no limit. Resolving the broker's name cannot be interrupted and may take longer.
        dialect: the broker's wire: "webmq" for a WebMQ hub, "crossbar" for Crossbar.io's HTTP bridge, whose endpoint is
            the path of a publisher.
        concurrency: pushes in flight at the most, of all threads together.
        retry: when a push is tried again.
        connect_timeout: seconds to connect to one address; None shares what is left of `timeout` among them.
        keepalive: seconds an idle connection is kept; None for as long as the broker keeps it, 0 for one connection a
            push. Keep it below the broker's own limit (nginx 75, Twisted 60, Node 5).
        ssl: how to verify https; None verifies against the system's certificates.
        headers: sent with each push.
        dumps: a JSON encoder in place of the standard library's, returning text or bytes.
        pushEndpoint: `endpoint` in 2012.
        authKey: `auth_key` in 2012.
        authSecret: `auth_secret` in 2012.

    Raises:
        TypeError, ValueError: an argument cannot be used; the message names it.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        auth_key: str | None = None,
        auth_secret: str | bytes | None = None,
        timeout: float | None = 5.0,
        *,
        dialect: DialectName = "webmq",
        concurrency: int = 50,
        retry: Retry = Retry(),  # noqa: B008  # frozen
        connect_timeout: float | None = None,
        keepalive: float | None = 4.0,
        ssl: ssl_module.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        dumps: Dumps | None = None,
        pushEndpoint: str | None = None,  # noqa: N803  # its name in 2012, and so the next two
        authKey: str | None = None,  # noqa: N803
        authSecret: str | bytes | None = None,  # noqa: N803
    ) -> None:
        for name, new, old in (
            ("endpoint", endpoint, pushEndpoint),
            ("auth_key", auth_key, authKey),
            ("auth_secret", auth_secret, authSecret),
        ):
            if new is not None and old is not None:
                raise TypeError(f"{name}: given by its name of 2012, too")
        url = endpoint if endpoint is not None else pushEndpoint
        if url is None:
            raise TypeError("endpoint: a URL is needed")
        self._settings = Settings.check(
            endpoint=url,
            auth_key=auth_key if auth_key is not None else authKey,
            auth_secret=auth_secret if auth_secret is not None else authSecret,
            timeout=timeout,
            dialect=dialect,
            concurrency=concurrency,
            retry=retry,
            connect_timeout=connect_timeout,
            keepalive=keepalive,
            ssl=ssl,
            headers=headers,
            dumps=dumps,
        )
        self._wire = Wire(self._settings)

    @classmethod
    def from_env(cls, **options: Unpack[Options]) -> Self:
        """Return a client of what `WEBMQ_ENDPOINT`, `WEBMQ_AUTH_KEY`, `WEBMQ_AUTH_SECRET` and `WEBMQ_DIALECT` say.

        The secret may be in a file instead, named by `WEBMQ_AUTH_SECRET_FILE`. All but the endpoint may be unset, which
        an empty variable is, too: without key and secret pushes are unsigned, and the dialect is "webmq".

        Args:
            options: the other arguments of the class, by name.

        Raises:
            TypeError, ValueError: a variable is missing, or one of them or an argument cannot be used; the message
                names it.
        """
        env = Environment.read()
        return cls(env.endpoint, env.auth_key, env.auth_secret, dialect=env.dialect, **options)

    def __repr__(self) -> str:
        return f"<Client {self._settings.endpoint} auth_key={self._settings.auth_key!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def stats(self) -> Stats:
        """A snapshot of what this client has done so far; in the child of a fork, since the fork."""
        return self._here().slots.stats

    def push(
        self,
        topic: str,
        event: object,
        eligible: SessionIDs | None = None,
        exclude: SessionIDs | None = None,
        *,
        options: Mapping[str, object] | None = None,
        timeout: float | EllipsisType | None = ...,
    ) -> Receipt:
        """Push one event to everybody who is subscribed to a topic.

        Args:
            topic: the URI that browsers subscribe to; compared byte for byte.
            event: whatever JSON can say.
            eligible: the only sessions to get it; None for every subscriber, an empty list for nobody.
            exclude: sessions that do not get it; None or empty for no exception.
            options: what else Crossbar.io's bridge understands, as `Push` says; a WebMQ hub understands nothing else.
            timeout: seconds in place of the client's; None for no limit.

        Raises:
            InvalidPush, ClientClosed: refused here; nothing was sent.
            NotAccepted: the broker has not taken it: it is safe to push again.
            Unconfirmed: the broker may have taken it.
        """
        sign = self._settings.dialect.encode(Push(topic, event, eligible, exclude, options))
        seconds = self._settings.timeout if isinstance(timeout, EllipsisType) else checked_seconds("timeout", timeout)
        wire = self._here()
        deadline = _deadline(seconds)
        wire.slots.acquire(deadline)
        return self._run(wire, sign, deadline)

    def push_many(
        self, pushes: Pushes, *, concurrency: int | None = None, order_by_topic: bool = False
    ) -> list[Outcome]:
        """Push everything that a source gives and return what became of each, in input order.

        Args:
            pushes: an iterable of `Push` or `(topic, event)`, read in the calling thread alone and no further ahead
                than needed. What is neither becomes an InvalidPush outcome.
            concurrency: pushes of this bulk in flight at the most; None for as many as the client may have. 1 starts
                no thread.
            order_by_topic: pushes on one topic go one after another, in input order, each after the one before it has
                an outcome; different topics go side by side.

        Raises:
            TypeError, ValueError: a wrong argument; the source was not read.
            SourceFailed: the source raised half-way, or the client was closed; `.outcomes` holds what was done.
        """
        return in_order(*collect(self._outcomes(pushes, concurrency, order_by_topic)))

    def push_stream(
        self, pushes: Pushes, *, concurrency: int | None = None, order_by_topic: bool = False
    ) -> PushStream:
        """Push everything that a source gives and yield what becomes of each, as it comes.

        A consumer that is slow slows the source down. One that leaves early stops the source and waits for the pushes
        in flight; `with` makes that happen at once.

        Args:
            pushes: as for `push_many`.
            concurrency: as for `push_many`.
            order_by_topic: as for `push_many`.

        Raises:
            TypeError, ValueError: a wrong argument; the source was not read.
            Exception: what the source raised, after the outcomes of everything that was read before; ClientClosed
                likewise.
        """
        return PushStream(self._outcomes(pushes, concurrency, order_by_topic))

    def close(self, grace: float | None = 5.0) -> None:
        """Close the client. Again is fine.

        Pushes that wait for a slot end as ClientClosed. Those in flight have until their deadline, or `grace` seconds
        if that is sooner, None for no limit; what has no answer then ends as it would at its deadline.
        """
        seconds = checked_seconds("grace", grace, zero=True)
        self._here().close(_deadline(seconds))

    def _here(self) -> Wire:
        """Return this process's wire."""
        if self._wire.pid != os.getpid():
            inherited, self._wire = self._wire, Wire(self._settings)
            self._wire.slots.closed = inherited.slots.closed
            inherited.abandon()
        return self._wire

    def _outcomes(
        self, pushes: Pushes, concurrency: int | None, order_by_topic: bool
    ) -> Generator[Outcome, None, Exception | None]:
        """Check a bulk's arguments and start it."""
        workers = bulk_workers(pushes, concurrency, self._settings.concurrency)
        if not isinstance(pushes, Iterable):
            raise TypeError(f"pushes: an iterable of pushes is needed, not {type(pushes).__name__}")
        return outcomes(workers, pushes, Bulk(order_by_topic), self._push_one)

    def _push_one(self, push: Push | InvalidPush) -> Receipt | WebMQError:
        """Push one of many: its clock starts once it has a slot, for the wait is backpressure, not lateness."""
        if isinstance(push, InvalidPush):
            return push
        try:
            sign = self._settings.dialect.encode(push)
            wire = self._here()
            wire.slots.acquire(inf)
            return self._run(wire, sign, _deadline(self._settings.timeout))
        except WebMQError as error:
            return error

    def _run(self, wire: Wire, sign: Signer, deadline: float) -> Receipt:
        """Drive an encoded push that has a slot, give the slot back, and count the push."""
        settings = self._settings
        receipt, attempts = None, 0
        try:
            flow = push_flow(sign, settings.dialect, settings.retry, wire.clock, random.random, deadline)
            receipt = wire.drive(flow, deadline)
        except WebMQError as error:
            attempts = error.attempts
            raise
        else:
            attempts = receipt.attempts
            return receipt
        finally:
            wire.slots.release(pushed=receipt is not None, retried=max(0, attempts - 1))


def _deadline(seconds: float | None) -> float:
    return inf if seconds is None else time.monotonic() + seconds
