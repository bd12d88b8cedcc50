"""Many deadlines on one timer, in a real event loop: which tasks they cancel, and what is left afterwards."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import Coroutine

import pytest

from webmqconnect_async._aio.deadlines import Deadline, Deadlines, Expired

_SOON = 0.005
_NEVER = 3600.0


async def _until(deadline: Deadline) -> bool:
    """Wait forever; return True once the deadline has expired."""
    try:
        await deadline.wait(asyncio.Event().wait())
    except Expired:
        return True
    finally:
        deadline.stop()
    return False


async def _wait(deadlines: Deadlines, timeout: float | None) -> bool:
    return await _until(deadlines.start(timeout))


async def _started(waiting: Coroutine[object, object, bool], deadlines: Deadlines) -> asyncio.Task[bool]:
    """Start a task, and return it once its deadline has started."""
    before = len(deadlines.live)
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0)
    assert len(deadlines.live) == before + 1
    return task


@pytest.fixture
async def deadlines() -> Deadlines:
    return Deadlines(asyncio.get_running_loop())


async def test_a_deadline_expires_and_its_cancellation_is_undone(deadlines: Deadlines) -> None:
    assert await _wait(deadlines, _SOON)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    # The task continues as if it had not been cancelled.
    await asyncio.sleep(0)


async def test_a_deadline_does_not_expire_early(deadlines: Deadlines) -> None:
    loop = asyncio.get_running_loop()
    deadline = deadlines.start(0.02)
    assert deadline.when > loop.time()
    assert await _until(deadline)
    assert deadline.expired
    assert loop.time() >= deadline.when - 0.002


async def test_a_stopped_deadline_does_not_expire(deadlines: Deadlines) -> None:
    """The timer stays as it is, fires without an effect, and is then set for the later deadline."""
    stopped = deadlines.start(_SOON)
    stopped.stop()
    assert await _wait(deadlines, 2 * _SOON)
    assert not stopped.expired
    assert not deadlines.live


async def test_a_deadline_may_be_stopped_twice(deadlines: Deadlines) -> None:
    deadline = deadlines.start(_SOON)
    deadline.stop()
    deadline.stop()
    assert not deadlines.live


async def test_an_earlier_deadline_started_later_expires_first(deadlines: Deadlines) -> None:
    late = await _started(_wait(deadlines, _NEVER), deadlines)
    assert await _wait(deadlines, _SOON)
    assert not late.done()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late


async def test_deadlines_expire_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)  # so that no two of them are due at once, however slow the machine
    deadlines = Deadlines(loop)  # after that: it keeps the loop's clock

    async def wait(number: int, timeout: float) -> None:
        assert await _wait(deadlines, timeout)
        order.append(number)

    timeouts = [0.05, 0.01, 0.03, 0.07, 0.02]
    waiting = [asyncio.create_task(wait(number, timeout)) for number, timeout in enumerate(timeouts)]
    while len(order) < len(timeouts):
        await asyncio.sleep(0)
        now += 0.001
    await asyncio.gather(*waiting)
    assert order == [1, 4, 2, 0, 3]


async def test_thousands_of_deadlines_expire_at_once(deadlines: Deadlines) -> None:
    waiting = [asyncio.create_task(_wait(deadlines, _SOON)) for _ in range(5000)]
    assert await asyncio.gather(*waiting) == [True] * 5000
    assert not deadlines.live


async def test_a_cancellation_by_another_caller_is_not_undone(deadlines: Deadlines) -> None:
    task = await _started(_wait(deadlines, _NEVER), deadlines)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not deadlines.live


@pytest.mark.parametrize("first", ["ours", "theirs"])
async def test_a_cancellation_by_another_caller_takes_precedence(deadlines: Deadlines, first: str) -> None:
    """If the deadline passes, and the task is cancelled before it runs again, CancelledError is raised."""
    task = await _started(_wait(deadlines, _NEVER), deadlines)
    (deadline,) = deadlines.live
    if first == "ours":
        deadline.expire()
        task.cancel()
    else:
        task.cancel()
        deadline.expire()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert deadline.expired
    assert task.cancelled()
    assert task.cancelling() == 1


async def test_an_enclosing_timeout_takes_precedence(deadlines: Deadlines) -> None:
    """An enclosing `asyncio.timeout` must find its own cancellation and turn it into a TimeoutError."""

    async def push() -> None:
        deadline = deadlines.start(_NEVER)
        try:
            async with asyncio.timeout(None) as scope:
                scope.reschedule(asyncio.get_running_loop().time())
                # Both expire in one iteration of the loop, before the task runs again.
                asyncio.get_running_loop().call_soon(deadline.expire)
                await _until(deadline)
        finally:
            deadline.stop()

    task = asyncio.create_task(push())
    with pytest.raises(TimeoutError):
        await task
    assert task.cancelling() == 0


async def test_a_deadline_within_a_longer_timeout_does_not_affect_it(deadlines: Deadlines) -> None:
    async with asyncio.timeout(_NEVER):
        assert await _wait(deadlines, _SOON)


async def test_a_task_that_is_being_cancelled_may_still_push(deadlines: Deadlines) -> None:
    """A task may push in a `finally`: a cancellation from before the deadline does not end the wait."""
    pushed: list[bool] = []

    async def tidy_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            pushed.append(await _wait(deadlines, _SOON))

    task = asyncio.create_task(tidy_up())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pushed == [True]
    assert task.cancelling() == 1


async def test_expiring_twice_cancels_once(deadlines: Deadlines) -> None:
    task = await _started(_wait(deadlines, _NEVER), deadlines)
    (deadline,) = deadlines.live
    deadline.expire()
    deadline.expire()
    assert await task
    assert task.cancelling() == 0


async def test_wait_after_expiry_ends_at_once(deadlines: Deadlines) -> None:
    """A deadline may expire between two waits of its push."""
    deadline = deadlines.start(_NEVER)
    deadline.expire()
    assert await _until(deadline)
    assert not await deadline.sleep(_NEVER)


async def test_a_timeout_error_of_the_awaited_call_is_not_caught(deadlines: Deadlines) -> None:
    """A TimeoutError that the deadline has not caused, such as one of the connector, is not caught."""

    async def connect() -> None:
        raise TimeoutError("sock_connect")

    deadline = deadlines.start(_NEVER)
    with pytest.raises(TimeoutError, match="sock_connect"):
        await deadline.wait(connect())
    assert deadline.on_expiry is None
    deadline.stop()


async def test_a_push_may_clean_up_after_its_deadline(deadlines: Deadlines) -> None:
    """While a push cleans up after its deadline, the timer expires other deadlines, and not this one again."""
    clean = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await clean.wait()

    async def push() -> bool:
        deadline = deadlines.start(None)
        try:
            await deadline.wait(work())
        except Expired:
            return True
        finally:
            deadline.stop()
        return False

    task = asyncio.create_task(push())
    await asyncio.sleep(0)
    deadlines.limit(asyncio.get_running_loop().time())
    assert await _wait(deadlines, _SOON)
    assert await _wait(deadlines, _SOON)
    assert task.cancelling() == 1
    clean.set()
    assert await task


async def test_at_most_a_batch_of_deadlines_expires_per_iteration(deadlines: Deadlines) -> None:
    """Thousands of deadlines that are due together do not block the loop for long."""
    live = [deadlines.start(None) for _ in range(1200)]
    deadlines.limit(asyncio.get_running_loop().time() + _SOON)
    counts = []
    while not live[-1].expired:
        await asyncio.sleep(0)
        counts.append(sum(deadline.expired for deadline in live))
    assert [count for count, _ in itertools.groupby(counts) if count] == [500, 1000, 1200]
    deadlines.close()


def test_uvloop_timer_of_less_than_half_a_millisecond() -> None:
    """A deadline works even if uvloop returns a Handle without `when`, as for timers below half a millisecond."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> list[bool]:
        deadlines = Deadlines(asyncio.get_running_loop())
        return await asyncio.gather(*(_wait(deadlines, timeout) for timeout in (0.0001, 0.01, 0.0002)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == [True, True, True]


async def test_a_wait_without_a_timeout_ends_at_the_limit(deadlines: Deadlines) -> None:
    loop = asyncio.get_running_loop()
    task = await _started(_wait(deadlines, None), deadlines)
    (deadline,) = deadlines.live
    assert deadline.when == float("inf")
    # Others start and end meanwhile.
    assert await _wait(deadlines, _SOON)
    assert not deadline.expired
    deadlines.limit(loop.time() + _SOON)
    assert await task


async def test_a_limit_only_makes_deadlines_earlier(deadlines: Deadlines) -> None:
    loop = asyncio.get_running_loop()
    near = await _started(_wait(deadlines, _SOON), deadlines)
    far = await _started(_wait(deadlines, _NEVER), deadlines)
    near_deadline, far_deadline = deadlines.live
    nearest, limit = near_deadline.when, loop.time() + 0.03
    for at in (limit, loop.time() + _NEVER):
        deadlines.limit(at)
        assert (near_deadline.when, far_deadline.when) == (nearest, limit)
    assert await near
    assert await far


async def test_a_limit_in_the_past_expires_at_once(deadlines: Deadlines) -> None:
    task = await _started(_wait(deadlines, None), deadlines)
    deadlines.limit(asyncio.get_running_loop().time() - 1)
    assert await task


async def test_a_limit_does_not_affect_deadlines_that_start_later(deadlines: Deadlines) -> None:
    deadlines.limit(asyncio.get_running_loop().time())
    deadline = deadlines.start(_NEVER)
    assert deadline.when > asyncio.get_running_loop().time() + 1
    deadline.stop()


async def test_close_expires_all_running_deadlines(deadlines: Deadlines) -> None:
    """`close` also expires deadlines without a limit. It may be called again."""
    tasks = [await _started(_wait(deadlines, timeout), deadlines) for timeout in (None, _NEVER, 1.0)]
    deadlines.close()
    deadlines.close()
    assert await asyncio.gather(*tasks) == [True, True, True]
    assert not deadlines.live


async def test_a_deadline_that_starts_after_close_expires(deadlines: Deadlines) -> None:
    deadlines.close()
    assert await _wait(deadlines, _SOON)


async def test_consecutive_pushes_share_a_timer(deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand consecutive pushes with the same timeout set one timer once."""
    loop = asyncio.get_running_loop()
    armed: list[float] = []
    call_at = loop.call_at

    def counting(when: float, callback: object, *args: object, **options: object) -> asyncio.TimerHandle:
        armed.append(when)
        return call_at(when, callback, *args, **options)  # type: ignore[arg-type]  # forwarded unchanged

    monkeypatch.setattr(loop, "call_at", counting)
    for _ in range(1000):
        deadlines.start(_NEVER).stop()
    assert len(armed) == 1
    deadlines.close()


async def test_the_timer_is_released(deadlines: Deadlines) -> None:
    """After the last deadline, the loop refers to no object of the client once the timer has fired."""
    other = Deadlines(asyncio.get_running_loop())
    other.start(_SOON).stop()
    released = weakref.ref(other)
    del other
    gc.collect()
    assert released() is not None
    assert await _wait(deadlines, 4 * _SOON)
    gc.collect()
    assert released() is None


async def test_close_releases_the_timer_at_once() -> None:
    other = Deadlines(asyncio.get_running_loop())
    other.start(_NEVER).stop()
    other.close()
    released = weakref.ref(other)
    del other
    # A cancelled timer stays in the loop's heap until its time, but refers to nothing any more.
    gc.collect()
    assert released() is None
