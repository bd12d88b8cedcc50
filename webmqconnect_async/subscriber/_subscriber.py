"""A subscriber: connects to a broker, subscribes to topics, and does both again when the connection has ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ssl import SSLContext
from typing import Literal

import aiohttp

from .._aio.resolver import DaemonResolver
from .._core.backoff import ceiling
from .._core.transport_failures import WithoutFrames
from ..signing import Credentials
from ._errors import SubscriberError
from ._handshake import NewTicket, connect, new_ticket, socket_url
from ._session import Session
from ._subscription import Backpressure, Inbox, OnLost, Subscription
from ._topics import Topics

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
"""Seconds: the maximum of the first backoff before a reconnection, and of all."""
_STEADY = 10.0  # seconds that a connection must last for the backoff to start over
_KEEP_ALIVE = 10.0
"""Seconds between pongs while nothing is read. A hub waits 15 s for any frame after a ping."""


class Subscriber:
    """Receives the events of topics from a WebMQ hub or Crossbar.io. `async with` connects it.

    When the connection ends, it connects and subscribes again, with backoff and jitter. After `Subscription.ready`,
    each subscription gets every event of its topics once and in order, or `on_lost` is called. A hub sends missed
    events from its history. Crossbar.io and the hubs of 2012 keep no history: there, `on_lost` is called after each
    outage.

    The iterator calls `on_lost` after it has returned the events before the loss, and before it returns those after it.
    By then, the broker has confirmed the topic again: an application that now loads its state misses nothing, though
    some of the events that follow may already be part of that state. If it is a coroutine function, it is awaited, and
    called again if it is cancelled. Any other exception that `on_lost` raises leaves the iterator, which can be used
    again after that.

    `on_lost` is also called if the broker refuses a topic that it had confirmed before. The subscriber tries to
    subscribe to it again on the next connection.

    While the buffer of a subscription is full, nothing is read from the connection, for any subscription. A broker
    disconnects a subscriber that reads nothing for too long, which is an outage like any other.

    Args:
        url: the URL of the WebSocket, such as `ws://127.0.0.1:8080/ws`, or a hub's URL for pushes, such as
            `http://127.0.0.1:8080`.
        credentials: to authenticate with. `None`: as anonymous, unless there is a ticket.
        realm: the realm of WAMP v2; a hub ignores it. `realm1` is that of Crossbar.io's examples.
        on_lost: called with a topic of which events were lost, and the reason as text.
        on_state: called with "open" and the session ID for each connection, and with "closed" and the reason when one
            has ended or an attempt to reconnect has failed.
        reconnect: whether to reconnect. If not, iterators raise `SubscriberError` when the connection has ended.
        buffer: maximum number of events that wait to be read, per subscription.
        ssl: how to verify wss. `None`: against the system's certificates.
        ticket: a function that returns a ticket to authenticate with, instead of credentials. It is called before each
            connection, and may be a coroutine function. If it raises an exception, `async with` raises it; later,
            `on_state` gets the message, and the function is called again.

    Raises:
        TypeError: the ticket is not a function.
        ValueError: the URL is invalid, the buffer is less than 1, or there are both credentials and a ticket.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        realm: str = "realm1",
        *,
        on_lost: OnLost | None = None,
        on_state: Callable[[Literal["open", "closed"], str], object] | None = None,
        reconnect: bool = True,
        buffer: int = 1000,
        ssl: SSLContext | None = None,
        ticket: NewTicket | None = None,
    ) -> None:
        address = socket_url(url)
        if buffer < 1:
            raise ValueError("buffer must be at least 1")
        if not (ticket is None or callable(ticket)):
            del ticket  # error reporters show the local variables of a traceback's frames
            raise TypeError("ticket must be a function that returns the ticket, or None")
        if ticket is not None and credentials is not None:
            raise ValueError("ticket must not be given with credentials")
        # A function: error reporters show attributes, and the query of a URL may contain a secret.
        self._connect: Callable[[Callable[[], str] | None], Awaitable[Session]] = lambda token: connect(
            self._http, address, credentials, realm, ssl, self._topics, token
        )
        self._ticket = ticket
        self._on_lost, self._on_state = on_lost, on_state
        self._reconnect = reconnect
        self._backpressure = Backpressure(buffer)
        self._changed = asyncio.Event()  # set if there may be a topic to subscribe to or to unsubscribe from
        self._topics = Topics(self._changed.set)
        self._session: Session | None = None
        self._end: SubscriberError | None = SubscriberError("the subscriber is not connected: use 'async with'")

    @property
    def session_id(self) -> str | None:
        """The session ID, for `eligible` and `exclude` of a push. `None` while the subscriber is not connected.

        Each connection has another one.
        """
        return None if self._session is None else self._session.id

    async def __aenter__(self) -> Subscriber:
        """Connect.

        Raises:
            SubscriberError: the connection failed, or the broker refused the subscriber. There are subclasses.
            Exception: what the function `ticket` raised.
        """
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=DaemonResolver()))
        try:
            self._session = await self._open(await new_ticket(self._ticket))
        except BaseException:
            await self._http.close()
            raise
        self._end = None
        self._task = asyncio.create_task(self._run(self._session))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close the connection and all subscriptions. Iterations end."""
        self._task.cancel()
        try:
            await asyncio.wait([self._task])
        finally:
            self._stop(None)
            if self._session is not None:  # the task was cancelled before it had begun
                await self._session.close()
                self._session = None
            await self._http.close()
        if not self._task.cancelled():
            self._task.result()  # raises if there is a bug

    def subscribe(self, *topics: str) -> Subscription:
        """Subscribe to topics. Return an async iterator over their events, in order of arrival.

        You can iterate over it at once, or use it with `async with`, which waits for the confirmation and unsubscribes
        at the end.

        Args:
            topics: at least one. Crossbar.io accepts WAMP URIs only, such as `com.example.orders`.

        Raises:
            TypeError: there is no topic, or one is not a string.
            SubscriberError: the subscriber is closed, or its connection has ended and it does not reconnect.
        """
        if not topics or not all(isinstance(topic, str) for topic in topics):
            raise TypeError("topics must be strings, and at least one")
        if self._end is not None:
            raise self._end._copy()
        inbox = Inbox(tuple(dict.fromkeys(topics)), self._backpressure, {*topics})
        self._topics.add(inbox)
        return Subscription(inbox, self._topics.remove, self._on_lost)

    def _stop(self, error: SubscriberError | None) -> None:
        self._end = error or SubscriberError("the subscriber is closed")
        self._topics.close(error)

    async def _open(self, ticket: Callable[[], str] | None) -> Session:
        try:
            # The frames below contain the response to the challenge, or the ticket.
            with WithoutFrames("connecting a subscriber"):
                return await self._connect(ticket)
        except SubscriberError as error:
            failure = error._copy()
        raise failure

    async def _run(self, session: Session) -> None:
        """Use one connection after another."""
        loop = asyncio.get_running_loop()
        attempts, wait = 0, 0.0
        try:
            while True:
                opened = loop.time()
                why = await self._serve(session)
                # If the broker accepts connections and closes them soon, the backoff continues to grow.
                if loop.time() - opened >= max(_STEADY, wait):
                    attempts = 0
                self._report("closed", why)
                if not self._reconnect:
                    self._stop(SubscriberError(why))
                    return
                while self._session is None:
                    # Full jitter: the subscribers of a restarted hub do not all come back at once.
                    attempts += 1
                    wait = random.random() * ceiling(_FIRST_WAIT, attempts, _LONGEST_WAIT)  # noqa: S311
                    await asyncio.sleep(wait)
                    try:
                        ticket = await new_ticket(self._ticket)
                    except Exception as error:  # noqa: BLE001  # the application's
                        self._report("closed", f"no ticket: {str(error) or type(error).__name__}")
                        continue
                    try:
                        session = self._session = await self._open(ticket)
                    except SubscriberError as error:
                        self._report("closed", str(error))
        except Exception:
            self._stop(SubscriberError("the subscriber has failed"))
            raise

    async def _serve(self, session: Session) -> str:
        """Subscribe and receive until the connection has ended. Return the reason."""
        self._report("open", session.id)
        why = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                requests = tasks.create_task(self._request(session))
                try:
                    while True:
                        while self._backpressure.blocked:
                            if not await self._backpressure.wait(_KEEP_ALIVE):
                                await session.keep_alive()
                        await session.receive()
                except SubscriberError as error:
                    why = str(error)
                requests.cancel()
        finally:
            self._session = None
            self._topics.disconnected()
            await session.close()
        return why

    async def _request(self, session: Session) -> None:
        """Subscribe to one topic after another, and unsubscribe from those that are no longer needed."""
        # If the connection has ended, `_serve` notices it, after it has read what arrived before.
        with suppress(SubscriberError):
            while True:
                if self._topics.ended:
                    await session.unsubscribe(self._topics.ended.pop(0))
                elif (topic := self._topics.next()) is not None:
                    await session.subscribe(topic)
                else:
                    self._changed.clear()
                    await self._changed.wait()

    def _report(self, state: Literal["open", "closed"], detail: str) -> None:
        if self._on_state is not None:
            asyncio.get_running_loop().call_soon(self._on_state, state, detail)
