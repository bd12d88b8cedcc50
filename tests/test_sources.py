"""Sources that fail, are cancelled or never end: each item that was read has an outcome, and the bulk raises an error.

A scope around a generator's `yield` cancels the task that reads the generator, even while that task waits until the
next item is needed. So that task must not push, and must not end early without an error.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeAlias

import anyio
import pytest

from webmqconnect_async import AsyncClient, ClientClosed, Outcome, SourceFailed, Stats, Unconfirmed

from .hostile import PATIENCE, Hostile, held, stall

Item: TypeAlias = tuple[str, object]
Items: TypeAlias = Iterable[Item] | AsyncIterable[Item]

every_verb = pytest.mark.parametrize("verb", ["push_many", "push_stream"])
every_concurrency = pytest.mark.parametrize("concurrency", [1, 5])


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """Fail a test that leaves a task, or an exception that was never retrieved."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(PATIENCE):
        while asyncio.all_tasks() - before - {asyncio.current_task()}:  # noqa: ASYNC110  # tasks set no event
            await asyncio.sleep(0)
    gc.collect(1)
    await asyncio.sleep(0)
    assert not complaints


def reader() -> asyncio.Task[Any]:
    """Return the task that runs the source."""
    task = asyncio.current_task()
    assert task is not None
    return task


class Trap:
    """State that a source and its test share. As a context manager it records that the source has ended.

    Args:
        until: how many items the source yields before it waits forever; None: no limit.
    """

    def __init__(self, until: int | None = None) -> None:
        self.until = until
        self.read = 0
        """How many items the source has yielded."""
        self.spring: Callable[[], object] = lambda: None
        """Triggers the event that the source is prepared for."""
        self.waits = asyncio.Event()
        """Set when the source waits forever."""
        self.left = asyncio.Event()
        """Set when the source has ended, for any reason."""

    @property
    def more(self) -> bool:
        return self.until is None or self.read < self.until

    def item(self) -> Item:
        self.read += 1
        return f"t{self.read}", self.read - 1

    async def for_ever(self) -> None:
        self.waits.set()
        await asyncio.Event().wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.left.set()


async def requests(server: Hostile, number: int) -> None:
    """Wait until `number` requests have arrived."""
    await asyncio.to_thread(server.until, lambda: len(server.requests) >= number)


async def ended(
    client: AsyncClient, verb: str, source: Items, *, order_by_topic: bool = False
) -> tuple[list[Outcome], BaseException | None]:
    """Push a bulk; return its outcomes in input order, and why the source was not read to its end."""
    if verb == "push_many":
        try:
            return await client.push_many(source, order_by_topic=order_by_topic), None
        except SourceFailed as error:
            return list(error.outcomes), error.__cause__
    outcomes: list[Outcome] = []
    failure: BaseException | None = None
    try:
        async with client.push_stream(source, order_by_topic=order_by_topic) as stream:
            async for outcome in stream:
                outcomes.append(outcome)  # noqa: PERF401  # it may raise an error
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001  # KeyboardInterrupt, too
        failure = error
    return sorted(outcomes, key=lambda outcome: outcome.index), failure


def assert_complete(outcomes: list[Outcome], trap: Trap, client: AsyncClient) -> None:
    """Check that each item that was read was pushed, and has its outcome."""
    assert [outcome.index for outcome in outcomes] == list(range(trap.read))
    assert all(outcome.ok for outcome in outcomes)
    assert [outcome.push.event for outcome in outcomes if outcome.push] == list(range(trap.read))
    assert client.stats == Stats(pushed=trap.read)


def assert_kind(failure: BaseException | None, kind: type[BaseException]) -> None:
    """Check why a source was not read to its end."""
    assert type(failure) is kind
    if kind is RuntimeError:
        assert str(failure) == "the source was cancelled"
        assert isinstance(failure.__cause__, asyncio.CancelledError)
    elif kind is ExceptionGroup:
        assert isinstance(failure, ExceptionGroup)
        assert [type(error) for error in failure.exceptions] == [ZeroDivisionError]


# Scopes around a `yield`


async def timeout(trap: Trap) -> AsyncIterator[Item]:
    async with asyncio.timeout(None) as scope:
        trap.spring = lambda: scope.reschedule(0.0)
        with trap:
            while trap.more:
                yield trap.item()
            await trap.for_ever()


async def task_group(trap: Trap) -> AsyncIterator[Item]:
    sprung = asyncio.Event()
    trap.spring = sprung.set

    async def fail() -> None:
        await sprung.wait()
        raise ZeroDivisionError

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        with trap:
            while trap.more:
                yield trap.item()
            await trap.for_ever()


async def fail_after(trap: Trap) -> AsyncIterator[Item]:
    with anyio.fail_after(None) as scope:
        trap.spring = lambda: setattr(scope, "deadline", anyio.current_time())
        with trap:
            while trap.more:
                yield trap.item()
            await trap.for_ever()


async def anyio_task_group(trap: Trap) -> AsyncIterator[Item]:
    sprung = asyncio.Event()
    trap.spring = sprung.set

    async def fail() -> None:
        await sprung.wait()
        raise ZeroDivisionError

    async with anyio.create_task_group() as group:
        group.start_soon(fail)
        with trap:
            while trap.more:
                yield trap.item()
            await trap.for_ever()


async def move_on_after(trap: Trap) -> AsyncIterator[Item]:
    with anyio.move_on_after(None) as scope:
        trap.spring = scope.cancel
        with trap:
            while trap.more:
                yield trap.item()
            await trap.for_ever()


async def cancelled(trap: Trap) -> AsyncIterator[Item]:
    trap.spring = reader().cancel
    with trap:
        while trap.more:
            yield trap.item()
        await trap.for_ever()


def plain(trap: Trap) -> Iterator[Item]:
    trap.spring = reader().cancel
    with trap:
        while True:
            yield trap.item()


def plain_fail_after(trap: Trap) -> Iterator[Item]:
    with anyio.fail_after(None) as scope:
        trap.spring = lambda: setattr(scope, "deadline", anyio.current_time())
        with trap:
            while True:
                yield trap.item()


def plain_move_on_after(trap: Trap) -> Iterator[Item]:
    with anyio.move_on_after(None) as scope:
        trap.spring = scope.cancel
        with trap:
            while True:
                yield trap.item()


ASYNC: dict[Callable[[Trap], Items], type[BaseException]] = {
    timeout: TimeoutError,
    task_group: ExceptionGroup,
    fail_after: TimeoutError,
    anyio_task_group: ExceptionGroup,
    move_on_after: RuntimeError,
    cancelled: RuntimeError,
}
PLAIN: dict[Callable[[Trap], Items], type[BaseException]] = {
    plain: RuntimeError,
    plain_fail_after: TimeoutError,
    plain_move_on_after: RuntimeError,
}


@every_verb
@every_concurrency
@pytest.mark.parametrize(("source", "kind"), (ASYNC | PLAIN).items(), ids=lambda each: each.__name__)
async def test_a_scope_ends_at_the_yield(
    verb: str, concurrency: int, source: Callable[[Trap], Items], kind: type[BaseException], server: Hostile
) -> None:
    """If a scope ends while a broker is slow, the source is cancelled at once, and no push is affected."""
    server.script(*[held()] * concurrency)
    trap = Trap()
    async with AsyncClient(server.url, concurrency=concurrency) as client:
        bulk = asyncio.create_task(ended(client, verb, source(trap), order_by_topic=concurrency == 5))
        await requests(server, concurrency)
        trap.spring()
        await trap.left.wait()
        server.release()
        outcomes, failure = await bulk
        assert trap.read == concurrency
        assert_complete(outcomes, trap, client)
        assert_kind(failure, kind)


@every_verb
@every_concurrency
@pytest.mark.parametrize(("source", "kind"), ASYNC.items(), ids=lambda each: each.__name__)
async def test_a_scope_ends_in_an_await(
    verb: str, concurrency: int, source: Callable[[Trap], Items], kind: type[BaseException], server: Hostile
) -> None:
    """A scope may end while the source awaits something itself.

    If the source then just ends, that is its normal end.
    """
    trap = Trap(until=7)
    async with AsyncClient(server.url, concurrency=concurrency) as client:
        bulk = asyncio.create_task(ended(client, verb, source(trap), order_by_topic=concurrency == 5))
        await trap.waits.wait()
        trap.spring()
        outcomes, failure = await bulk
        assert trap.read == 7
        assert_complete(outcomes, trap, client)
        if source is move_on_after:
            assert failure is None
        else:
            assert_kind(failure, kind)


@pytest.mark.parametrize("source", [timeout, plain_fail_after], ids=lambda each: each.__name__)
async def test_a_scope_ends_while_the_bulk_is_full(source: Callable[[Trap], Items], server: Hostile) -> None:
    """Jobs that wait for their topic have an outcome, too."""
    server.script(held())
    trap = Trap()
    trap.item = lambda: ("t", Trap.item(trap)[1])  # type: ignore[method-assign]
    async with AsyncClient(server.url, concurrency=2) as client:
        bulk = asyncio.create_task(ended(client, "push_many", source(trap), order_by_topic=True))
        await requests(server, 1)
        trap.spring()
        await trap.left.wait()
        server.release()
        outcomes, failure = await bulk
        assert trap.read == 1001
        assert_complete(outcomes, trap, client)
        assert_kind(failure, TimeoutError)


# Errors and cancellations by a source itself


Source: TypeAlias = Callable[[Trap, Callable[[], object]], Items]
"""A source that yields three items, calls the function, and yields the rest."""


async def generator(trap: Trap, do: Callable[[], object]) -> AsyncIterator[Item]:
    while trap.more:
        if trap.read == 3:
            do()
        yield trap.item()


def plain_generator(trap: Trap, do: Callable[[], object]) -> Iterator[Item]:
    while trap.more:
        if trap.read == 3:
            do()
        yield trap.item()


class iterator:  # noqa: N801  # listed among functions
    def __init__(self, trap: Trap, do: Callable[[], object]) -> None:
        self._trap = trap
        self._do = do

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        if self._trap.read == 3:
            self._do()
        if self._trap.more:
            return self._trap.item()
        raise StopAsyncIteration


class plain_iterator:  # noqa: N801
    def __init__(self, trap: Trap, do: Callable[[], object]) -> None:
        self._trap = trap
        self._do = do

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        if self._trap.read == 3:
            self._do()
        if self._trap.more:
            return self._trap.item()
        raise StopIteration


SOURCES: list[Source] = [generator, plain_generator, iterator, plain_iterator]
every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda each: each.__name__)

ERRORS = [
    KeyError,
    TimeoutError,
    asyncio.CancelledError,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    StopIteration,
    StopAsyncIteration,
]
THE_END = {(iterator, StopAsyncIteration), (plain_iterator, StopIteration)}
"""Exceptions that are the normal end of an iterator."""


def raised(source: Source, error: type[BaseException], verb: str) -> type[BaseException] | None:
    """Return the error of a source that raises this error."""
    if (source, error) in THE_END:
        return None
    if error is asyncio.CancelledError:
        return RuntimeError
    if error is StopIteration or (error is StopAsyncIteration and (source is generator or verb == "push_stream")):
        return RuntimeError  # Python converts it, because it would be taken for the end
    return error


@every_verb
@pytest.mark.parametrize("error", ERRORS)
@every_source
async def test_a_source_raises(verb: str, error: type[BaseException], source: Source, server: Hostile) -> None:
    """The error, KeyboardInterrupt included, is raised after the outcomes of all items that were read."""

    def fail() -> None:
        raise error("the source's")

    trap = Trap()
    server.script(*[held()] * 3)
    async with AsyncClient(server.url, concurrency=5) as client:
        bulk = asyncio.create_task(ended(client, verb, source(trap, fail)))
        await requests(server, 3)
        server.release()
        outcomes, failure = await bulk
        assert trap.read == 3
        assert_complete(outcomes, trap, client)
        expected = raised(source, error, verb)
        if expected is None:
            assert failure is None
        else:
            assert type(failure) is expected


@every_verb
@every_concurrency
@every_source
@pytest.mark.parametrize("until", [4, 1000])
async def test_a_source_cancels_its_task(
    verb: str, concurrency: int, source: Source, until: int, server: Hostile
) -> None:
    """Items that it still yields are pushed, and the error says that the source was cancelled."""
    trap = Trap(until)
    async with AsyncClient(server.url, concurrency=concurrency) as client:
        outcomes, failure = await ended(client, verb, source(trap, lambda: reader().cancel()))
        assert 4 <= trap.read <= min(until, 3 + concurrency)
        assert_complete(outcomes, trap, client)
        assert_kind(failure, RuntimeError)


# Cancellations and `close` by others


async def stubborn(trap: Trap) -> AsyncIterator[Item]:
    """Yield an item after each cancellation."""
    trap.spring = reader().cancel
    while True:
        try:
            while trap.read < 3:
                yield trap.item()
            await trap.for_ever()
        except asyncio.CancelledError:
            yield trap.item()


@every_verb
@pytest.mark.parametrize("source", [cancelled, stubborn], ids=lambda each: each.__name__)
async def test_client_closed_while_the_source_waits(
    verb: str, source: Callable[[Trap], Items], server: Hostile
) -> None:
    """If the source still yields an item, the item gets an outcome: the client was closed."""
    trap = Trap(until=3)
    client = AsyncClient(server.url, concurrency=2)
    bulk = asyncio.create_task(ended(client, verb, source(trap)))
    await trap.waits.wait()
    await client.close()
    outcomes, failure = await bulk
    assert type(failure) is ClientClosed
    assert [outcome.index for outcome in outcomes] == list(range(trap.read))
    assert [type(outcome.error) for outcome in outcomes] == [type(None)] * 3 + [ClientClosed] * (trap.read - 3)
    assert trap.read == (4 if source is stubborn else 3)


@every_verb
async def test_bulk_cancelled_while_the_source_waits(verb: str, server: Hostile) -> None:
    """The source is cancelled, too, and may clean up."""
    trap = Trap(until=3)
    async with AsyncClient(server.url, concurrency=2) as client:
        bulk = asyncio.create_task(ended(client, verb, cancelled(trap)))
        await trap.waits.wait()
        bulk.cancel()
        await asyncio.wait([bulk])
        assert bulk.cancelled()
        assert trap.left.is_set()


@every_verb
@every_concurrency
async def test_all_tasks_of_a_bulk_are_cancelled_by_other_code(verb: str, concurrency: int, server: Hostile) -> None:
    """Even if only a worker is cancelled, its push has an outcome, and the bulk an error."""
    server.script(*[stall] * concurrency)
    trap = Trap()
    async with AsyncClient(server.url, concurrency=concurrency) as client:
        bulk = asyncio.create_task(ended(client, verb, cancelled(trap)))
        await requests(server, concurrency)
        pushing = [task for task in asyncio.all_tasks() if "<locals>.work " in repr(task.get_coro())]
        assert len(pushing) == concurrency
        for task in pushing:
            task.cancel()
        outcomes, failure = await bulk
        assert str(failure) == "a task of the bulk was cancelled"
        assert [outcome.index for outcome in outcomes] == list(range(trap.read))
        assert {type(outcome.error) for outcome in outcomes} == {Unconfirmed}
        assert client.stats.in_flight == 0


class _Guarded(list[tuple[str, object]]):
    """A list whose own iterator has a timeout around its `yield`."""

    def __iter__(self) -> Iterator[tuple[str, object]]:
        self.task = asyncio.current_task()
        yield from super().__iter__()
        assert asyncio.current_task() is self.task


async def test_subclass_of_list(server: Hostile) -> None:
    """One task runs the code of a subclass, as for any source; a plain list is read by the workers."""
    async with AsyncClient(server.url) as client:
        outcomes = await client.push_many(_Guarded([("t", number) for number in range(20)]), concurrency=3)
    assert [outcome.error for outcome in outcomes] == [None] * 20


class _WithoutAiter:
    """What `async for` needs: the iterator of an async iterable may be no iterable itself."""

    def __aiter__(self) -> object:
        class Iterator:
            left = 3

            async def __anext__(self) -> Item:
                if self.left:
                    self.left -= 1
                    return "t", self.left
                raise StopAsyncIteration

        return Iterator()


async def test_iterator_that_is_no_iterable(server: Hostile) -> None:
    async with AsyncClient(server.url) as client:
        outcomes = await client.push_many(_WithoutAiter())  # type: ignore[arg-type]
    assert [outcome.error for outcome in outcomes] == [None] * 3
