"""The pushes that a hub has accepted, the calls that wait for one, and the refusals of the next pushes. Thread-safe."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from .._core.values import Payload
from ..hub import Accepted, Refused

_NOBODY = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that the hub accepted."""

    topic: str
    event: object
    """The decoded JSON; a `Payload` if there is not exactly one positional argument."""
    eligible: frozenset[str] | None = None
    """The only sessions to receive it; `None` for all subscribers."""
    exclude: frozenset[str] = _NOBODY
    key: str | None = None
    """The application key that signed it; `None` if it is unsigned."""


class Journal:
    """The pushes of one hub, in the order in which it accepted them.

    At most one `waiting` gets each push: the oldest that waits for its topic, or otherwise the next one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pushes: list[Pushed] = []
        self._unclaimed: list[Pushed] = []
        self._waits: list[tuple[str, Future[Pushed]]] = []
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
            if wait := next((each for each in self._waits if each[0] == push.topic), None):
                self._waits.remove(wait)
                wait[1].set_result(pushed)
            else:
                self._unclaimed.append(pushed)
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
        wait = (topic, future)
        with self._lock:
            if pushed := next((each for each in self._unclaimed if each.topic == topic), None):
                self._unclaimed.remove(pushed)
                future.set_result(pushed)
            else:
                self._waits.append(wait)
        try:
            yield future
        finally:
            with self._lock:
                if future.cancel():
                    self._waits.remove(wait)

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
