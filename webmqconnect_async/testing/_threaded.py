"""A hub in a thread and a loop of its own. Knows what a test asks of it, and of no test framework."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Self, TypeAlias, Unpack
from urllib.parse import urlsplit

from .._core.checks import checked_count, checked_integer, checked_seconds, wrong_type
from ..hub import Accepted, HubOptions, Refused
from ..hub import Hub as ServedHub
from ._journal import Journal, Pushed

__all__ = ["Hub"]

_Admit: TypeAlias = Callable[[Accepted], Refused | None]


class Hub:
    """A hub for tests: `with Hub() as hub`, and what is pushed to `hub.url` is in `hub.pushes`.

    It serves subscribers as any hub does. Having a thread of its own, it works alike in tests with and without an event
    loop, for several loops, and for other processes. One thread starts and ends it; any may ask it the rest.

    Args:
        port: 0 takes a free one.
        options: as `webmqconnect_async.hub.Hub` takes them; an `admit` of theirs is asked first.

    Raises:
        ValueError, TypeError: naming the argument.
    """

    def __init__(self, port: int = 0, **options: Unpack[HubOptions]) -> None:
        ServedHub(port=port, **options)  # refuses what is wrong with them
        journal = Journal()
        served: HubOptions = {**options, "admit": _in_turn(options.get("admit"), journal.admit)}

        def make(port: int) -> ServedHub:
            return ServedHub(port=port, **served)

        self._make = make  # and no attribute holds the secrets
        self._port = port
        self._journal = journal
        self._thread: _LoopThread | None = None
        self._served: ServedHub | None = None
        self._addresses: tuple[str, str] | None = None

    def __repr__(self) -> str:
        if self._addresses is None:
            return "<Hub not running>"
        return f"<Hub {self.url}{'' if self._served else ' down'}>"

    @property
    def url(self) -> str:
        """Where to push: `http://127.0.0.1:43211`. It stays the same while the hub is `down`.

        Raises:
            RuntimeError: the hub does not run.
        """
        return self._running()[0]

    @property
    def ws_url(self) -> str:
        """Where to subscribe: `ws://127.0.0.1:43211/ws`."""
        return self._running()[1]

    @property
    def pushes(self) -> list[Pushed]:
        """A copy of the pushes accepted until now, in order. One whose answer has come is among them."""
        return self._journal.pushes

    def wait_for(self, topic: str, timeout: float | None = 5.0) -> Pushed:
        """Return the first push on a topic that no wait has returned before; wait for it where it has not come yet.

        It blocks its thread: where an event loop runs in that, use `arrived`.

        Args:
            topic: the very topic.
            timeout: seconds to wait for it. None waits for ever, 0 not at all.

        Raises:
            TimeoutError: it did not come; the message says what did.
            RuntimeError: an event loop runs in this thread, and what it should push could not come.
        """
        if _in_event_loop():
            raise RuntimeError("wait_for blocks the event loop that runs here: `await hub.arrived(topic)` does not")
        seconds = checked_seconds("timeout", timeout, zero=True)
        with self._journal.waiting(topic) as future:
            futures.wait([future], seconds)
        return self._settled(future, topic, seconds)

    async def arrived(self, topic: str, timeout: float | None = 5.0) -> Pushed:
        """Do what `wait_for` does, while the event loop goes on.

        Args:
            topic: the very topic.
            timeout: seconds to wait for it. None waits for ever, 0 not at all.

        Raises:
            TimeoutError: it did not come; the message says what did.
        """
        seconds = checked_seconds("timeout", timeout, zero=True)
        with self._journal.waiting(topic) as future:
            await asyncio.wait([asyncio.wrap_future(future)], timeout=seconds)
        return self._settled(future, topic, seconds)

    def refuse_next(
        self, status: int, reason: str = "refused by the test", *, retry_after: int | None = None, count: int = 1
    ) -> None:
        """Refuse the next pushes that pass the hub's checks: they are neither forwarded nor in `pushes`.

        What a client tries again counts anew. Of several calls, the first refuses first.

        Args:
            status: of the answer, 400 to 599.
            reason: the text of the answer. Of a 400 the client tells by it what was wrong.
            retry_after: whole seconds, sent as `Retry-After`; None sends none.
            count: of pushes.

        Raises:
            ValueError, TypeError: naming the argument.
        """
        checked_integer("status", status, 400, 599)
        if not isinstance(reason, str):
            raise TypeError(wrong_type("reason", "a string", reason))
        if retry_after is not None:
            checked_integer("retry_after", retry_after, 0)
        self._journal.refuse(Refused(status, reason, retry_after), checked_count("count", count))

    def clear(self) -> None:
        """Forget all pushes, and the refusals that are left. Subscribers stay, and so do waits."""
        self._journal.clear()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be away, as a broker that is restarted: connections are closed, and new ones refused, while in the `with`.

        Then it serves its old address again, with its `pushes` and without subscribers. As with any broker, a push may
        end as ConnectionLost, not ConnectFailed, where the client has had no time to see that its connection is gone:
        in an async test, when it has pushed within the last 50 ms.

        Raises:
            RuntimeError: the hub does not run, or is down already.
            OSError: when it is over, the port is taken.
        """
        port = urlsplit(self.url).port or 0
        if self._served is None:
            raise RuntimeError("the hub is down already")
        self._leave()
        try:
            yield
        finally:
            self._serve(port)

    def start(self) -> None:
        """Serve, until `close`; `with` does both.

        Raises:
            OSError: the port is taken.
            RuntimeError: it runs already.
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
        """Close all connections, free the port, end the thread. `pushes` stay readable. Again: nothing."""
        thread, self._addresses = self._thread, None
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
        if self._thread is not None:  # closed while it was down
            served = self._served = self._make(port)
            self._thread.run(served.start())
            self._addresses = served.url, served.ws_url

    def _leave(self) -> None:
        served, self._served = self._served, None
        if self._thread is not None and served is not None:
            self._thread.run(served.close())

    def _running(self) -> tuple[str, str]:
        if self._addresses is None:
            raise RuntimeError("the hub is not running: it has a URL from start() to close()")
        return self._addresses

    def _settled(self, future: futures.Future[Pushed], topic: str, seconds: float | None) -> Pushed:
        if future.cancelled():
            raise TimeoutError(
                f"waited {seconds} s for a push on {topic!r} that no wait has returned before; "
                f"accepted so far: {self._journal.summary()}"
            )
        return future.result()


class _LoopThread:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webmq-hub", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run a coroutine in the loop to its end, and raise what it raises."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _in_turn(first: _Admit | None, second: _Admit) -> _Admit:
    """Ask the one, and where that has nothing against a push, the other."""
    if first is None:
        return second

    def admit(push: Accepted) -> Refused | None:
        refused = first(push)
        return second(push) if refused is None else refused

    return admit


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
