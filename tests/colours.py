"""Both clients behind one face, for tests that hold for either: the colour is an argument."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from webmqconnect_async import AsyncClient, Client, Outcome, Push, Receipt, Stats, WebMQError

T = TypeVar("T")

COLOURS = ("async", "sync")


class Both:
    """A client of one colour, with blocking verbs.

    The asynchronous one has a loop that runs only during a verb: between two it is blocked, as by a `time.sleep`.
    """

    def __init__(self, colour: str, endpoint: str, *args: Any, **kwargs: Any) -> None:
        self._runner = asyncio.Runner() if colour == "async" else None
        self.client: AsyncClient | Client = (AsyncClient if colour == "async" else Client)(endpoint, *args, **kwargs)

    def push(self, *args: Any, **kwargs: Any) -> Receipt:
        if isinstance(self.client, Client):
            return self.client.push(*args, **kwargs)
        return self._run(self.client.push(*args, **kwargs))

    def push_many(self, pushes: Iterable[Push | tuple[str, object]], **kwargs: Any) -> list[Outcome]:
        if isinstance(self.client, Client):
            return self.client.push_many(pushes, **kwargs)
        return self._run(self.client.push_many(pushes, **kwargs))

    def failure(self, event: object = 1, **kwargs: Any) -> WebMQError:
        """Push and return the error."""
        try:
            receipt = self.push("http://example.com/t", event, **kwargs)
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

    def _run(self, verb: Coroutine[Any, Any, T]) -> T:
        assert self._runner is not None
        return self._runner.run(verb)
