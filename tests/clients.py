"""A common interface to both clients, for tests that apply to both."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from webmqconnect_async import AsyncClient, Client, Outcome, Push, Receipt, Stats, WebMQError

if sys.platform != "win32":
    import uvloop

T = TypeVar("T")

DRIVERS = ("async", "sync")
"""AsyncClient and Client."""
TRANSPORTS = ("async", "uvloop", "posting", "sync")
"""The ways in which requests are sent. "uvloop": an AsyncClient in a loop of uvloop. "posting": an AsyncClient that
sends with `session.post`, as it does if its session has trace configurations."""
METHODS = ("push", "push_many", "push_stream")


class Both:
    """An AsyncClient or a Client, with blocking methods.

    The loop of an AsyncClient runs only during a method. Between two calls it is blocked, as by a `time.sleep`.

    Args:
        driver: One of `TRANSPORTS`.
        endpoint: The broker's URL.
        args: The other arguments of the client.
        kwargs: Those by name.
    """

    def __init__(self, driver: str, endpoint: str, *args: Any, **kwargs: Any) -> None:
        self._runner: asyncio.Runner | None = None
        self.client: AsyncClient | Client
        if driver == "sync":
            self.client = Client(endpoint, *args, **kwargs)
            return
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop if driver == "uvloop" else None)
        self.client = AsyncClient(endpoint, *args, **kwargs)
        if driver == "posting":
            self._run(only_post(self.client))

    def push(self, *args: Any, **kwargs: Any) -> Receipt:
        if isinstance(self.client, Client):
            return self.client.push(*args, **kwargs)
        return self._run(self.client.push(*args, **kwargs))

    def push_many(self, pushes: Iterable[Push | tuple[str, object]], **kwargs: Any) -> list[Outcome]:
        if isinstance(self.client, Client):
            return self.client.push_many(pushes, **kwargs)
        return self._run(self.client.push_many(pushes, **kwargs))

    def push_stream(self, pushes: Iterable[Push | tuple[str, object]], **kwargs: Any) -> list[Outcome]:
        if isinstance(self.client, Client):
            return list(self.client.push_stream(pushes, **kwargs))
        return self._run(_drained(self.client, pushes, **kwargs))

    def count_stream(self, pushes: Iterable[Push | tuple[str, object]], **kwargs: Any) -> int:
        """Push a stream without keeping any outcome, and return how many events were accepted."""
        if isinstance(self.client, Client):
            return sum(outcome.ok for outcome in self.client.push_stream(pushes, **kwargs))
        return self._run(_counted(self.client, pushes, **kwargs))

    def push_soon(self, *args: Any, **kwargs: Any) -> bool:
        if isinstance(self.client, Client):
            return self.client.push_soon(*args, **kwargs)
        return self._run(_soon(self.client, *args, **kwargs))

    def flush(self, timeout: float = 10.0) -> bool:
        if isinstance(self.client, Client):
            return self.client.flush(timeout)
        return self._run(self.client.flush(timeout))

    def ended(self, method: str, topic: str, event: object) -> Receipt | WebMQError:
        """Push by one of `METHODS`, and return the receipt or the error."""
        if method == "push":
            try:
                return self.push(topic, event)
            except WebMQError as error:
                return error
        # The length of an iterator is unknown, so the bulk starts the maximum number of workers.
        [outcome] = (
            self.push_many(iter([(topic, event)])) if method == "push_many" else self.push_stream([(topic, event)])
        )
        return outcome.receipt if outcome.ok else outcome.error

    def failure(self, event: object = 1, topic: str = "http://example.com/t", **kwargs: Any) -> WebMQError:
        """Push and return the error."""
        try:
            receipt = self.push(topic, event, **kwargs)
        except WebMQError as error:
            return error
        raise AssertionError(f"the push was accepted: {receipt}")

    @property
    def stats(self) -> Stats:
        return self.client.stats

    def close(self, **kwargs: Any) -> None:
        if isinstance(self.client, Client):
            self.client.close(**kwargs)
        else:
            self._run(self.client.close(**kwargs))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if self._runner is not None:
            self._runner.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._runner is not None
        return self._runner.run(coroutine)


async def _soon(client: AsyncClient, *args: Any, **kwargs: Any) -> bool:
    return client.push_soon(*args, **kwargs)


async def only_post(client: AsyncClient) -> None:
    """Make a client send with `session.post` in this event loop."""
    client._here()._pool = None


async def _drained(client: AsyncClient, pushes: Iterable[Push | tuple[str, object]], **kwargs: Any) -> list[Outcome]:
    async with client.push_stream(pushes, **kwargs) as outcomes:
        return [outcome async for outcome in outcomes]


async def _counted(client: AsyncClient, pushes: Iterable[Push | tuple[str, object]], **kwargs: Any) -> int:
    accepted = 0
    async with client.push_stream(pushes, **kwargs) as outcomes:
        async for outcome in outcomes:
            accepted += outcome.ok
    return accepted
