"""The pushes that a hub has accepted, the calls that wait for one, and the refusals of the next pushes. Thread-safe."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from .._core.values import Payload
from ..hub import Accepted, Refused


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that the hub accepted."""

    topic: str
    event: object
    """The decoded JSON; a `Payload` if there is not exactly one positional argument."""
    eligible: frozenset[str] | None = None
    """The only sessions to receive it; `None` for all subscribers."""
    exclude: frozenset[str] = frozenset()
    key: str | None = None
    """The application key that signed it; `None` if it is unsigned."""


class Journal:
    """The pushes of one hub, in the order in which it accepted them.

    At most one `waiting` gets each push: the oldest that waits for its topic, or otherwise the next one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pushes: list[Pushed] = []
        self._unclaimed = defaultdict[str, deque[Pushed]](deque)
        self._waits = defaultdict[str, deque[Future[Pushed]]](deque)
        self._refusals: deque[Refused] = deque()

    @property
    def pushes(self) -> list[Pushed]:
        with self._lock:
            return self._pushes.copy()

    def admit(self, push: Accepted) -> Refused | None:
        """Return the next refusal if there is one; otherwise, record the push and return `None`."""
        pushed = Pushed(push.topic, _event(push), push.eligible, push.exclude, push.key)
        with self._lock:
            if self._refusals:
                return self._refusals.popleft()
            self._pushes.append(pushed)
            if waits := self._waits[push.topic]:
                waits.popleft().set_result(pushed)
            else:
                self._unclaimed[push.topic].append(pushed)
        return None

    def refuse(self, refused: Refused, count: int) -> None:
        """Refuse `count` pushes, after those of earlier calls."""
        with self._lock:
            self._refusals.extend([refused] * count)

    def clear(self) -> None:
        """Remove all pushes and refusals. Calls that wait keep waiting."""
        with self._lock:
            self._pushes.clear()
            self._unclaimed.clear()
            self._refusals.clear()

    @contextmanager
    def waiting(self, topic: str) -> Iterator[Future[Pushed]]:
        """Yield a future of the next push on a topic. It is cancelled at the end of the block if it has no result."""
        future: Future[Pushed] = Future()
        with self._lock:
            if unclaimed := self._unclaimed[topic]:
                future.set_result(unclaimed.popleft())
            else:
                self._waits[topic].append(future)
        try:
            yield future
        finally:
            with self._lock:
                if future.cancel():
                    self._waits[topic].remove(future)

    def summary(self) -> str:
        """Return how many pushes there are on each topic, as text."""
        counts = Counter(pushed.topic for pushed in self.pushes)
        return ", ".join(f"{count} on {topic!r}" for topic, count in counts.items()) or "nothing"


def _event(push: Accepted) -> object:
    """Return the event as it was passed to the client."""
    args = [json.loads(push.event)] if push.args is None else json.loads(push.args)
    if len(args) == 1 and push.kwargs is None:
        return args[0]
    return Payload(*args, **json.loads(push.kwargs or "{}"))
