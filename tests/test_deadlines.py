"""Many deadlines on one timer, in a real event loop: who is cancelled, whose cancellation it is, and what is left."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Coroutine

import pytest

from webmqconnect_async._aio.deadlines import Deadline, Deadlines, Interrupt

_SOON = 0.005
_NEVER = 3600.0


async def _forever(deadline: Deadline) -> bool:
    """Wait until cancelled and tell whether the deadline alone is the reason."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not deadline.is_ours():
            raise
        return True
    finally:
        deadline.stop()
    return False


async def _wait(deadlines: Deadlines, timeout: float | None) -> bool:
    return await _forever(deadlines.start(timeout))


async def _started(waiting: Coroutine[object, object, bool], deadlines: Deadlines) -> asyncio.Task[bool]:
    """Start a task and return it once its deadline is live."""
    before = len(deadlines.live)
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0)
    assert len(deadlines.live) == before + 1
    return task


@pytest.fixture
async def deadlines() -> Deadlines:
    return Deadlines(asyncio.get_running_loop())


async def test_a_deadline_strikes_and_takes_its_cancellation_back(deadlines: Deadlines) -> None:
    assert await _wait(deadlines, _SOON)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    # The task goes on as if nothing had been.
    await asyncio.sleep(0)


async def test_a_deadline_does_not_strike_before_its_time(deadlines: Deadlines) -> None:
    loop = asyncio.get_running_loop()
    deadline = deadlines.start(0.02)
    assert deadline.when > loop.time()
    assert await _forever(deadline)
    assert deadline.struck
    assert loop.time() >= deadline.when - 0.002


async def test_a_deadline_that_is_stopped_does_not_strike(deadlines: Deadlines) -> None:
    """The timer still stands where it stood and finds nothing to do; a later deadline is met by it."""
    stopped = deadlines.start(_SOON)
    stopped.stop()
    assert await _wait(deadlines, 2 * _SOON)
    assert not stopped.struck
    assert not deadlines.live


async def test_stopping_twice_is_fine(deadlines: Deadlines) -> None:
    deadline = deadlines.start(_SOON)
    deadline.stop()
    deadline.stop()
    assert not deadlines.live


async def test_an_earlier_deadline_started_later_strikes_first(deadlines: Deadlines) -> None:
    late = await _started(_wait(deadlines, _NEVER), deadlines)
    assert await _wait(deadlines, _SOON)
    assert not late.done()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late


async def test_deadlines_strike_in_their_order(deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)  # so that no two of them are due at once, however slow the machine

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


async def test_thousands_strike_at_once(deadlines: Deadlines) -> None:
    waiting = [asyncio.create_task(_wait(deadlines, _SOON)) for _ in range(5000)]
    assert await asyncio.gather(*waiting) == [True] * 5000
    assert not deadlines.live


async def test_somebody_else_s_cancellation_is_not_ours(deadlines: Deadlines) -> None:
    task = await _started(_wait(deadlines, _NEVER), deadlines)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not deadlines.live


@pytest.mark.parametrize("first", ["ours", "theirs"])
async def test_somebody_else_s_cancellation_wins(deadlines: Deadlines, first: str) -> None:
    """Struck and cancelled before the task ran again: the error goes on, and so does the other's count."""
    task = await _started(_wait(deadlines, _NEVER), deadlines)
    (deadline,) = deadlines.live
    if first == "ours":
        deadline.strike()
        task.cancel()
    else:
        task.cancel()
        deadline.strike()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert deadline.struck
    assert task.cancelled()
    assert task.cancelling() == 1


async def test_a_timeout_around_it_wins_too(deadlines: Deadlines) -> None:
    """`asyncio.timeout` must find its own cancellation and turn it into a TimeoutError."""

    async def push() -> None:
        deadline = deadlines.start(_NEVER)
        try:
            async with asyncio.timeout(None) as scope:
                scope.reschedule(asyncio.get_running_loop().time())
                # Both strike in one turn of the loop, before the task runs again.
                asyncio.get_running_loop().call_soon(deadline.strike)
                await _forever(deadline)
        finally:
            deadline.stop()

    task = asyncio.create_task(push())
    with pytest.raises(TimeoutError):
        await task
    assert task.cancelling() == 0


async def test_a_deadline_inside_a_timeout_is_ours_alone(deadlines: Deadlines) -> None:
    async with asyncio.timeout(_NEVER):
        assert await _wait(deadlines, _SOON)


async def test_a_task_that_is_being_cancelled_may_still_push(deadlines: Deadlines) -> None:
    """In a `finally`, say: what was cancelled before the deadline began is no reason of its own."""
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


async def _interrupted(strike: bool, cancel: int) -> tuple[bool, bool, bool, int]:
    """Interrupt a task and return what it is told: others', ours, others', and its count of cancellations."""
    told: list[tuple[bool, bool, bool, int]] = []
    interrupts: list[Interrupt] = []

    async def wait() -> None:
        interrupt = Interrupt(asyncio.get_running_loop())
        interrupts.append(interrupt)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            told.append((interrupt.is_others(), interrupt.is_ours(), interrupt.is_others(), task.cancelling()))

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    if strike:
        interrupts[0].strike()
    for _ in range(cancel):
        waiting.cancel()
    await waiting
    return told[0]


async def test_an_interrupt_tells_whose_cancellation_it_is() -> None:
    """Asked in any order: taking ours back does not hide the others'."""
    assert await _interrupted(strike=True, cancel=0) == (False, True, False, 0)
    assert await _interrupted(strike=False, cancel=1) == (True, False, True, 1)
    assert await _interrupted(strike=True, cancel=1) == (True, False, True, 1)
    assert await _interrupted(strike=True, cancel=2) == (True, False, True, 2)


async def test_asking_twice_takes_back_once(deadlines: Deadlines) -> None:
    async def wait() -> tuple[bool, bool, int]:
        deadline = deadlines.start(None)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            return deadline.is_ours(), deadline.is_ours(), task.cancelling()
        raise AssertionError

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting_deadline = next(iter(deadlines.live))
    waiting_deadline.strike()
    waiting.cancel()
    assert await waiting == (False, False, 1)


async def test_a_cancellation_of_nobody_s_is_nobody_s() -> None:
    """A CancelledError out of something awaited, which cancelled itself, counts for no task."""
    interrupt = Interrupt(asyncio.get_running_loop())
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert not interrupt.is_ours()
    assert not interrupt.is_others()


async def test_before_it_expired_no_cancellation_is_ours(deadlines: Deadlines) -> None:
    deadline = deadlines.start(_NEVER)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert not deadline.is_ours()
    assert task.uncancel() == 0
    deadline.stop()


async def test_striking_twice_cancels_once(deadlines: Deadlines) -> None:
    task = await _started(_wait(deadlines, _NEVER), deadlines)
    (deadline,) = deadlines.live
    deadline.strike()
    deadline.strike()
    assert task.cancelling() == 1
    assert await task
    assert task.cancelling() == 0


async def test_a_push_that_was_struck_may_take_its_time(deadlines: Deadlines) -> None:
    """While it tidies up, its deadline is live still: the timer strikes others and leaves it alone."""
    tidy = asyncio.Event()

    async def push() -> bool:
        deadline = deadlines.start(None)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await tidy.wait()
            return deadline.is_ours()
        finally:
            deadline.stop()
        return False

    task = asyncio.create_task(push())
    await asyncio.sleep(0)
    deadlines.limit(asyncio.get_running_loop().time())
    assert await _wait(deadlines, _SOON)
    assert await _wait(deadlines, _SOON)
    assert task.cancelling() == 1
    tidy.set()
    assert await task


async def test_no_timeout_is_struck_by_a_limit_alone(deadlines: Deadlines) -> None:
    loop = asyncio.get_running_loop()
    task = await _started(_wait(deadlines, None), deadlines)
    (deadline,) = deadlines.live
    assert deadline.when == float("inf")
    # Others come and go meanwhile.
    assert await _wait(deadlines, _SOON)
    assert not deadline.struck
    deadlines.limit(loop.time() + _SOON)
    assert await task


async def test_a_limit_only_brings_forward(deadlines: Deadlines) -> None:
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


async def test_a_limit_that_has_passed_strikes_at_once(deadlines: Deadlines) -> None:
    task = await _started(_wait(deadlines, None), deadlines)
    deadlines.limit(asyncio.get_running_loop().time() - 1)
    assert await task


async def test_a_limit_leaves_later_deadlines_alone(deadlines: Deadlines) -> None:
    deadlines.limit(asyncio.get_running_loop().time())
    deadline = deadlines.start(_NEVER)
    assert deadline.when > asyncio.get_running_loop().time() + 1
    deadline.stop()


async def test_close_strikes_all_that_is_live(deadlines: Deadlines) -> None:
    """Those without a limit, too; and again is fine."""
    tasks = [await _started(_wait(deadlines, timeout), deadlines) for timeout in (None, _NEVER, 1.0)]
    deadlines.close()
    deadlines.close()
    assert await asyncio.gather(*tasks) == [True, True, True]
    assert not deadlines.live


async def test_after_close_a_new_deadline_still_strikes(deadlines: Deadlines) -> None:
    deadlines.close()
    assert await _wait(deadlines, _SOON)


async def test_one_timer_serves_all(deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand pushes with one timeout, one after another, arm it once."""
    loop = asyncio.get_running_loop()
    armed: list[float] = []
    call_at = loop.call_at

    def counting(when: float, callback: object, *args: object, **options: object) -> asyncio.TimerHandle:
        armed.append(when)
        return call_at(when, callback, *args, **options)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(loop, "call_at", counting)
    for _ in range(1000):
        deadlines.start(_NEVER).stop()
    assert len(armed) == 1
    deadlines.close()


async def test_the_timer_is_released(deadlines: Deadlines) -> None:
    """After the last deadline nothing of the client hangs on the loop once the timer has run."""
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
    # A cancelled timer stays in the loop's heap until its time, but holds nothing any more.
    gc.collect()
    assert released() is None


async def test_a_deadline_needs_a_task(deadlines: Deadlines) -> None:
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def callback() -> None:
        with pytest.raises(RuntimeError) as caught:
            deadlines.start(_NEVER)
        said.set_result(str(caught.value))

    asyncio.get_running_loop().call_soon(callback)
    assert await said == "only a task can be interrupted"
    assert not deadlines.live
