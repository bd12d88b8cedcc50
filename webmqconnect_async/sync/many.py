"""Many pushes by a few threads. The source, the bookkeeping and the outcomes stay in the caller's thread."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeAlias

from ..bulk import Bulk, Item, Job, outcome_of
from ..errors import ClientClosed, InvalidPush, WebMQError
from ..values import Outcome, Push, Receipt

__all__ = ["PushStream", "Pushes", "collect", "outcomes"]

Pushes: TypeAlias = Iterable[Item]
"""What a bulk takes: anything to iterate over with `for`."""

PushOne: TypeAlias = Callable[[Push | InvalidPush], Receipt | WebMQError]


def outcomes(workers: int, pushes: Pushes, bulk: Bulk, push: PushOne) -> Generator[Outcome, None, Exception | None]:
    """Yield outcomes as they come, with so many pushes in flight at the most.

    Returns:
        Why the source was not read to its end; None where it was.
    """
    crew = _Inline(push) if workers == 1 else _Crew(workers, push)
    items = iter(pushes)
    failure: Exception | None = None
    reading = True
    try:
        while True:
            if reading and crew.has_room and not bulk.full and not crew.has_result:
                try:
                    taken = bulk.take(next(items))
                except StopIteration:
                    reading = False
                except Exception as error:  # noqa: BLE001  # the caller's iterable may raise anything
                    reading, failure = False, error
                else:
                    if taken is not None:
                        crew.run(taken)
            elif crew.busy:
                job, result = crew.wait()
                if reading and isinstance(result, ClientClosed):
                    reading, failure = False, result
                if (following := bulk.done(job)) is not None:
                    crew.run(following)
                yield outcome_of(job, result)
            elif not reading:
                return failure
    finally:
        crew.dismiss()


def collect(stream: Generator[Outcome, None, Exception | None]) -> tuple[list[Outcome], Exception | None]:
    """Return all outcomes, and why the source was not read to its end."""
    done: list[Outcome] = []
    while True:
        try:
            done.append(next(stream))
        except StopIteration as end:
            return done, end.value


class PushStream(Iterator[Outcome]):
    """The outcomes of `push_stream`, in the order in which they come; leaving its `with` stops the rest."""

    def __init__(self, stream: Generator[Outcome, None, Exception | None]) -> None:
        self._stream = stream

    def __next__(self) -> Outcome:
        try:
            return next(self._stream)
        except StopIteration as end:
            failure: Exception | None = end.value
        if failure is not None:
            raise failure
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()


class _Inline:
    """A crew of none: the caller's thread pushes."""

    def __init__(self, push: PushOne) -> None:
        self._push = push
        self._results: deque[tuple[Job, Receipt | WebMQError]] = deque()

    @property
    def has_room(self) -> bool:
        return not self._results

    @property
    def has_result(self) -> bool:
        return bool(self._results)

    @property
    def busy(self) -> int:
        return len(self._results)

    def run(self, job: Job) -> None:
        self._results.append((job, self._push(job.push)))

    def wait(self) -> tuple[Job, Receipt | WebMQError]:
        return self._results.popleft()

    def dismiss(self) -> None:
        pass


class _Crew:
    """Threads that push, as many as there is work for. Only the caller's thread calls these methods."""

    def __init__(self, size: int, push: PushOne) -> None:
        self._size = size
        self._push = push
        self._threads: list[threading.Thread] = []
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Job, Receipt | WebMQError | BaseException]] = queue.SimpleQueue()
        self.busy = 0

    @property
    def has_room(self) -> bool:
        return self.busy < self._size

    @property
    def has_result(self) -> bool:
        return not self._results.empty()

    def run(self, job: Job) -> None:
        self.busy += 1
        self._jobs.put(job)
        if len(self._threads) < self.busy:
            thread = threading.Thread(target=self._work, name="webmqconnect-push", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wait(self) -> tuple[Job, Receipt | WebMQError]:
        job, result = self._results.get()
        self.busy -= 1
        if isinstance(result, Receipt | WebMQError):
            return job, result
        raise result

    def dismiss(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._results.put((job, self._push(job.push)))
            except BaseException as error:  # noqa: BLE001  # it is raised in the caller's thread
                self._results.put((job, error))
