"""A hub with a thread and an event loop of its own, for tests in any framework."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from typing import Self, Unpack
from urllib.parse import urlsplit

from .._core.checks import checked_count, checked_integer, checked_seconds, wrong_type
from ..hub import Accepted, HubOptions, Refused
from ..hub import Hub as ServedHub
from ._journal import Journal, Pushed

_IN_TRIO = "this is trio's event loop; wait in a thread: `await trio.to_thread.run_sync(hub.wait_for, topic)`"


class Hub:
    """A hub for tests: `with Hub() as hub`. The pushes to `hub.url` are in `hub.pushes`.

    It serves subscribers like any other hub. Because it runs in a thread of its own, it works in tests with or without
    an event loop, and other loops and processes can use it. Start and close it in the same thread; all other methods
    may be called from any thread.

    Args:
        port: the TCP port. 0 chooses a free one.
        options: those of `webmqconnect_async.hub.Hub`. `admit` is called before a push is recorded or refused by
            `refuse_next`. `admit` and `may_subscribe` run in the hub's thread.

    Raises:
        ValueError, TypeError: an argument is invalid; the message names it.
    """

    def __init__(self, port: int = 0, **options: Unpack[HubOptions]) -> None:
        ServedHub(port=port, **options)  # only to raise its errors now
        journal, first = Journal(), options.get("admit")

        def admit(push: Accepted) -> Refused | None:
            refused = None if first is None else first(push)
            return journal.admit(push) if refused is None else refused

        served: HubOptions = {**options, "admit": admit}

        def make(port: int) -> ServedHub:
            return ServedHub(port=port, **served)

        self._make = make  # a function, so that no attribute contains the secrets
        self._port = port
        self._journal = journal
        self._thread: _LoopThread | None = None
        self._served: ServedHub | None = None
        self._url: str | None = None

    def __repr__(self) -> str:
        if self._url is None:
            return "<Hub not running>"
        return f"<Hub {self._url}{'' if self._served else ' down'}>"

    @property
    def url(self) -> str:
        """The URL to push to, such as `http://127.0.0.1:43211`. It stays the same while the hub is `down`.

        Raises:
            RuntimeError: the hub is not running.
        """
        if self._url is None:
            raise RuntimeError("the hub is not running: it has a URL from start() to close()")
        return self._url

    @property
    def ws_url(self) -> str:
        """The URL to subscribe at, such as `ws://127.0.0.1:43211/ws`."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    @property
    def pushes(self) -> list[Pushed]:
        """A copy of the list of pushes accepted so far, in order. A push is in it before its response is sent."""
        return self._journal.pushes

    def wait_for(self, topic: str, timeout: float | None = 5.0) -> Pushed:
        """Return the first push to a topic that no earlier call has returned. Wait if there is none yet.

        This blocks the thread. Where an event loop is running, use `arrived`.

        Args:
            topic: the exact topic.
            timeout: seconds to wait. `None` waits forever, 0 not at all.

        Raises:
            TimeoutError: no such push arrived in time. The message lists the others.
            RuntimeError: an event loop is running in this thread, which this would block.
        """
        if _in_trio():
            raise RuntimeError(_IN_TRIO)
        if _in_asyncio():
            raise RuntimeError("wait_for would block the running event loop; use `await hub.arrived(topic)`")
        seconds = checked_seconds("timeout", timeout, zero=True)
        with self._journal.waiting(topic) as future:
            futures.wait([future], seconds)
        return self._settled(future, topic, seconds)

    async def arrived(self, topic: str, timeout: float | None = 5.0) -> Pushed:
        """Do what `wait_for` does, without blocking the event loop, which must be that of asyncio.

        With trio, call `wait_for` in a thread: `await trio.to_thread.run_sync(hub.wait_for, topic)`.

        Args:
            topic: the exact topic.
            timeout: seconds to wait. `None` waits forever, 0 not at all.

        Raises:
            TimeoutError: no such push arrived in time. The message lists the others.
            RuntimeError: asyncio's event loop is not running.
        """
        if _in_trio():
            raise RuntimeError(_IN_TRIO)
        seconds = checked_seconds("timeout", timeout, zero=True)
        with self._journal.waiting(topic) as future:
            # A thread waits, because asyncio's timers stop while a test freezes time. It is not of the loop's default
            # executor, whose threads may all be in use. It ends at the latest when `waiting` cancels the future.
            thread = futures.ThreadPoolExecutor(1)
            waited = asyncio.wrap_future(thread.submit(future.result, seconds))
            thread.shutdown(wait=False)
            with suppress(TimeoutError):
                await waited
        return self._settled(future, topic, seconds)

    def refuse_next(
        self, status: int, reason: str = "refused by the test", *, retry_after: int | None = None, count: int = 1
    ) -> None:
        """Refuse the next pushes that pass the hub's checks. They are neither delivered nor in `pushes`.

        Each attempt of a client counts as a push. Refusals of several calls are used in the order of the calls.

        Args:
            status: the HTTP status, 400 to 599.
            reason: the text of the response. For a 400, it decides the class of the client's error.
            retry_after: whole seconds, sent as `Retry-After`. `None` sends no such header.
            count: the number of pushes to refuse.

        Raises:
            ValueError, TypeError: an argument is invalid; the message names it.
        """
        checked_integer("status", status, 400, 599)
        if not isinstance(reason, str):
            raise TypeError(wrong_type("reason", "a string", reason))
        if retry_after is not None:
            checked_integer("retry_after", retry_after, 0)
        self._journal.refuse(Refused(status, reason, retry_after), checked_count("count", count))

    def clear(self) -> None:
        """Discard all pushes and the remaining refusals. Subscribers stay connected, and waits continue."""
        self._journal.clear()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Stop serving within the `with` block, like a broker that restarts: close and refuse connections.

        After the block, the hub serves the same address again, with its `pushes` and without subscribers. As with any
        broker, a push may raise ConnectionLost instead of ConnectFailed if the client has not noticed yet that its
        connection was closed: in an async test, if it has pushed within the last 50 ms.

        Raises:
            RuntimeError: the hub is not running, or it is already down.
            OSError: at the end of the block, the port is in use.
        """
        port = urlsplit(self.url).port or 0
        if self._served is None:
            raise RuntimeError("the hub is already down")
        self._leave()
        try:
            yield
        finally:
            self._serve(port)

    def start(self) -> None:
        """Serve until `close`. A `with` block does both.

        Raises:
            OSError: the port is in use.
            RuntimeError: the hub is already running.
        """
        if self._thread is not None:
            raise RuntimeError("the hub is already running")
        self._thread = _LoopThread()
        try:
            self._serve(self._port)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections, free the port, and end the thread. `pushes` can still be read. Safe to call again."""
        thread, self._url = self._thread, None
        if thread is not None:
            try:
                self._leave()
            finally:
                self._thread = None
                thread.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _serve(self, port: int) -> None:
        if self._thread is not None:  # unless it was closed while it was down
            served = self._served = self._make(port)
            self._thread.run(served.start())
            self._url = served.url

    def _leave(self) -> None:
        served, self._served = self._served, None
        if self._thread is not None and served is not None:
            self._thread.run(served.close())

    def _settled(self, future: futures.Future[Pushed], topic: str, seconds: float | None) -> Pushed:
        if future.cancelled():
            raise TimeoutError(
                f"waited {seconds} s for a push on {topic!r} that no wait has returned before; "
                f"accepted so far: {self._journal.summary()}"
            )
        return future.result()


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webmq-hub", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run a coroutine in the loop until it completes, and raise the exception that it raises."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    try:
        return trio is not None and trio.lowlevel.current_trio_token() is not None
    except RuntimeError:
        return False


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
