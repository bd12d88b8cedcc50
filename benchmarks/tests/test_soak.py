"""The soak of the clients: a short run, the faults of the proxy, and the detection of broken guarantees."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest

from benchmarks.load import KEY, SECRET
from benchmarks.soaking import __main__ as command
from benchmarks.soaking import course
from benchmarks.soaking.plan import Fault, Mode, Plan
from benchmarks.soaking.proxy import Proxy
from benchmarks.soaking.reports import Entry, Kind, Report, Reporter, Sample, read_reports, read_samples
from benchmarks.soaking.steadiness import steadiness
from benchmarks.soaking.verdict import judged
from webmqconnect_async import (
    AsyncClient,
    BadReply,
    Client,
    ConnectFailed,
    ConnectionLost,
    InvalidPush,
    Overloaded,
    Receipt,
    ReplyTimeout,
    Retry,
    Unconfirmed,
    WebMQError,
)
from webmqconnect_async.hub import Accepted, Hub

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")

MB = 1 << 20

Ending: TypeAlias = Receipt | WebMQError

TOPIC = "http://example.com/t"


@linux
@pytest.mark.parametrize("mode", Mode)
async def test_a_short_run_breaks_no_guarantee(mode: Mode) -> None:
    outcome = await course.run(Plan(mode, 400, seed=1, kills=1, rate=0.25))
    # A run this short is all warm-up, so memory may grow.
    assert set(outcome.failures) <= set(outcome.steady.failures)
    assert outcome.kills == 1
    assert sum(outcome.verdict.endings.values()) == 400
    assert outcome.verdict.endings["accepted: Receipt"] > 200
    assert set(outcome.faults) & set(Fault)
    assert (mode is Mode.AT_LEAST_ONCE) == (outcome.verdict.duplicates > 0)


@linux
async def test_producers_that_warn_and_leave_resources_open_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def produce(plan: Plan, url: str, folder: Path) -> tuple[str, str]:
        (folder / "reports").write_text("0\taccepted\tReceipt\t1\n1\tacc")
        return "", "Unclosed client session"

    monkeypatch.setattr(course, "_produce", produce)
    outcome = await course.run(Plan(Mode.DEFAULT, 3, seed=1, kills=1))
    assert {
        "the producers did not come to their end",
        "the producers said: Unclosed client session",
        "the hub was killed 0 times in place of 1",
        "2 pushes ended without a word to their callers: 1, 2",
        "1 pushes were reported accepted and are not in the journal: 0",
        "a third of the run has no sample",
    } <= set(outcome.failures)


# The verdict on a journal and reports


def report(number: int, kind: Kind = Kind.ACCEPTED, attempts: int = 1) -> Report:
    return Report(number, kind, "Receipt" if kind is Kind.ACCEPTED else "Error", attempts)


def failures(
    reports: Iterable[Report],
    journal: Iterable[int],
    mode: Mode = Mode.DEFAULT,
    stats: Mapping[str, int] | None = None,
) -> list[str]:
    """Return the broken guarantees of a run with three pushes. By default, the stats agree with the reports."""
    told = list(reports)
    pushed = sum(each.kind is Kind.ACCEPTED for each in told)
    retried = sum(each.attempts - 1 for each in told)
    agreeing = {"pushed": pushed, "failed": len(told) - pushed, "retried": retried, "in_flight": 0}
    entries = [Entry(number, TOPIC) for number in journal]
    return list(judged(Plan(mode, 3, 1), told, entries, agreeing if stats is None else stats).failures)


def test_a_run_that_keeps_all_guarantees_has_no_failures() -> None:
    reports = [report(0), report(1, Kind.UNCONFIRMED), report(2, Kind.NOT_ACCEPTED, attempts=3)]
    assert failures(reports, [0]) == []
    assert failures(reports, [1, 0]) == []


ALL = [report(0), report(1), report(2)]


@pytest.mark.parametrize(
    ("reports", "journal", "said"),
    [
        (ALL, [0, 1, 1, 2], "1 pushes are in the journal more often than they may: 1"),
        (ALL, [0, 2], "1 pushes were reported accepted and are not in the journal: 1"),
        ([report(0), report(2)], [0, 2], "1 pushes ended without a word to their callers: 1"),
        (
            [report(0), report(1, Kind.NOT_ACCEPTED), report(2)],
            [0, 1, 2],
            "1 pushes were reported NotAccepted and are in the journal: 1",
        ),
        ([*ALL, report(3)], [0, 1, 2, 3], "1 pushes were reported, but never pushed: 3"),
        (ALL, [0, 1, 2, 9], "1 pushes are in the journal, but were never pushed: 9"),
        (
            [report(0), report(1, Kind.WRONG), report(2)],
            [0, 2],
            "1 pushes ended in an error that no push of a soak may end in: 1",
        ),
    ],
    ids=["duplicate", "lost", "not reported", "NotAccepted", "unknown report", "unknown entry", "wrong error"],
)
def test_a_broken_guarantee_is_found_and_names_its_push(reports: list[Report], journal: list[int], said: str) -> None:
    assert said in failures(reports, journal)


def test_a_push_that_is_reported_twice_is_found() -> None:
    stats = {"pushed": 3, "failed": 0, "retried": 0, "in_flight": 0}
    reported_twice = "1 pushes were reported more than once: 1"
    assert failures([*ALL, report(1)], [0, 1, 2], stats=stats) == [reported_twice]


def test_at_least_once_allows_as_many_copies_as_attempts() -> None:
    reports = [report(0), report(1, attempts=2), report(2)]
    assert failures(reports, [0, 1, 1, 2], Mode.AT_LEAST_ONCE) == []
    more = "1 pushes are in the journal more often than they may: 1"
    assert failures(reports, [0, 1, 1, 1, 2], Mode.AT_LEAST_ONCE) == [more]
    assert failures(reports, [0, 1, 1, 2]) == [more]


def test_a_push_behind_a_later_one_is_found_in_ordered_mode() -> None:
    late = "1 pushes are in the journal behind a later push of their topic, and were not Unconfirmed: 1"
    assert failures(ALL, [0, 2, 1], Mode.ORDERED) == [late]
    assert failures(ALL, [0, 2, 1]) == []
    assert failures([report(0), report(1, Kind.UNCONFIRMED), report(2)], [0, 2, 1], Mode.ORDERED) == []
    # An Unconfirmed push explains only its own position.
    assert failures([report(0), report(1), report(2, Kind.UNCONFIRMED)], [0, 2, 1], Mode.ORDERED) == [late]


def test_pushes_of_different_topics_need_no_order() -> None:
    journal = [Entry(2, TOPIC), Entry(0, f"{TOPIC}/a"), Entry(1, f"{TOPIC}/a")]
    stats = {"pushed": 3, "failed": 0, "retried": 0, "in_flight": 0}
    assert judged(Plan(Mode.ORDERED, 3, 1), ALL, journal, stats).failures == []


@pytest.mark.parametrize("name", ["pushed", "failed", "retried", "in_flight"])
def test_stats_that_contradict_the_reports_are_found(name: str) -> None:
    stats = {"pushed": 3, "failed": 0, "retried": 0, "in_flight": 0}
    stats[name] += 1
    (said,) = failures(ALL, [0, 1, 2], stats=stats)
    assert name in said


def test_a_failure_names_at_most_ten_pushes() -> None:
    verdict = judged(Plan(Mode.DEFAULT, 100, 1), [], [], {"pushed": 0, "failed": 0, "retried": 0, "in_flight": 0})
    assert verdict.failures == ["100 pushes ended without a word to their callers: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."]


def test_unconfirmed_pushes_are_counted_by_whether_the_hub_accepted_them() -> None:
    reports = [report(number, Kind.UNCONFIRMED) for number in range(3)]
    stats = {"pushed": 0, "failed": 3, "retried": 0, "in_flight": 0}
    verdict = judged(Plan(Mode.ORDERED, 3, 1), reports, [Entry(2, TOPIC), Entry(1, TOPIC)], stats)
    assert (verdict.taken, verdict.not_taken, verdict.out_of_order) == (2, 1, 1)


@linux
def test_reports_and_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    ends: list[Ending] = [Receipt(202, attempts=2), Overloaded(), ReplyTimeout(), InvalidPush()]
    reporter = Reporter(tmp_path, every=2)
    for number, end in enumerate(ends):
        reporter.report(number, end)
    reporter.close()
    assert list(read_reports(tmp_path / "reports")) == [
        Report(0, Kind.ACCEPTED, "Receipt", 2),
        Report(1, Kind.NOT_ACCEPTED, "Overloaded", 0),
        Report(2, Kind.UNCONFIRMED, "ReplyTimeout", 0),
        Report(3, Kind.WRONG, "InvalidPush", 0),
    ]
    samples = list(read_samples(tmp_path / "samples"))
    assert [sample.done for sample in samples] == [2, 4]
    assert all(sample.memory > MB and sample.descriptors > 3 for sample in samples)


# The steadiness of samples

STEADY = [Sample(done, (20 if done < 30 else 40) * MB, 50) for done in range(90)]


def test_memory_may_grow_while_a_run_warms_up() -> None:
    found = steadiness(STEADY, most=50)
    assert found.failures == []
    assert found.memory == [20 * MB, 40 * MB, 40 * MB]
    assert found.descriptors == [50, 50, 50]


def test_memory_and_files_that_grow_later_are_found() -> None:
    growing = [replace(each, memory=each.memory + each.done * 100_000) for each in STEADY]
    assert "memory grew" in "".join(steadiness(growing, most=50).failures)
    leaking = [replace(each, descriptors=each.done) for each in STEADY]
    assert "open files grew" in "".join(steadiness(leaking, most=90).failures)


def test_more_files_than_pushes_in_flight_need_are_found() -> None:
    assert steadiness(STEADY, most=49).failures == ["50 files were open, where 49 are what so many pushes may need"]


def test_a_run_that_ended_early_is_not_called_steady() -> None:
    assert steadiness([], most=50).failures
    assert steadiness(STEADY[-1:], most=50).failures


# The faults of the proxy


@dataclass(frozen=True, slots=True)
class Forced(Plan):
    """A plan in which only push 0 meets a fault."""

    fault: Fault | None = None

    def drawn(self, number: int, time: int) -> tuple[Fault | None, Random]:
        return (self.fault if number == 0 else None), self.dice(number, time)


@dataclass(slots=True)
class Course:
    """A proxy with a hub behind it, in the test's event loop, and one client."""

    proxy: Proxy
    push: Callable[[int], Awaitable[Ending]]
    taken: list[int]


@asynccontextmanager
async def through(fault: Fault | None, colour: str, hub_is_up: bool = True) -> AsyncIterator[Course]:
    taken: list[int] = []

    def admit(push: Accepted) -> None:
        taken.append(json.loads(push.event)["number"])

    plan = Forced(Mode.DEFAULT, 2, 1, fault=fault)
    async with Hub(port=0, keys={KEY: SECRET}, admit=admit) as hub, Proxy(plan) as proxy:
        proxy.hub = int(hub.url.rpartition(":")[2]) if hub_is_up else None
        with Client(proxy.url, KEY, SECRET, 0.5, retry=Retry(attempts=1)) as blocking:
            async with AsyncClient(proxy.url, KEY, SECRET, 0.5, retry=Retry(attempts=1)) as client:

                async def push(number: int) -> Ending:
                    try:
                        if colour == "sync":
                            return await asyncio.to_thread(blocking.push, TOPIC, {"number": number})
                        return await client.push(TOPIC, {"number": number})
                    except WebMQError as error:
                        return error

                yield Course(proxy, push, taken)
        assert await proxy.left(10) == 0
        assert proxy.complaints == []


@pytest.mark.parametrize("colour", ["async", "sync"])
@pytest.mark.parametrize(
    ("fault", "ending", "copies"),
    [
        (Fault.REQUEST_LOST, ConnectionLost, 0),
        (Fault.ANSWER_LOST, ConnectionLost, 1),
        (Fault.CUT, Unconfirmed, 1),
        (Fault.STALLED, ReplyTimeout, 0),
        (Fault.MUTE, ReplyTimeout, 1),
        (Fault.LATE, ReplyTimeout, 1),
        (Fault.TRICKLED, Receipt, 1),
        (Fault.IDLE_CLOSED, Receipt, 1),
        (Fault.UNAVAILABLE, Overloaded, 0),
        (Fault.TOO_MANY, Overloaded, 0),
        (Fault.BAD_GATEWAY, BadReply, 1),
        (None, Receipt, 1),
    ],
)
async def test_each_fault_has_its_effect(fault: Fault | None, ending: type[Ending], copies: int, colour: str) -> None:
    async with through(fault, colour) as course:
        assert isinstance(await course.push(0), ending)
        assert isinstance(await course.push(1), Receipt)
    assert course.taken.count(0) == copies
    assert course.taken.count(1) == 1
    assert course.proxy.faults == Counter([fault] if fault else [])


@pytest.mark.parametrize("colour", ["async", "sync"])
async def test_the_proxy_refuses_connections_temporarily(colour: str) -> None:
    async with through(Fault.REFUSED, colour) as course:
        with course.proxy.refusing():
            assert isinstance(await course.push(0), ConnectFailed)
        assert isinstance(await course.push(0), Receipt)
        # It refuses connections as soon as the response has been sent.
        assert isinstance(await course.push(1), ConnectFailed | ConnectionLost)
    assert course.taken == [0]


@pytest.mark.parametrize("colour", ["async", "sync"])
async def test_a_hub_that_is_down_accepts_no_push(colour: str) -> None:
    async with through(None, colour, hub_is_up=False) as course:
        endings = [await course.push(number) for number in range(20)]
    assert {type(ending) for ending in endings} == {BadReply, ConnectionLost, Overloaded}
    assert course.taken == []
    assert sum(course.proxy.faults.values()) == 20


def test_the_same_seed_gives_a_push_the_same_faults() -> None:
    def faults(seed: int) -> list[Fault | None]:
        return [Plan(Mode.DEFAULT, 1000, seed, rate=0.5).drawn(number, 1)[0] for number in range(1000)]

    assert faults(1) == faults(1) != faults(2)
    assert set(faults(1)) == {None, *Fault}


def test_the_hub_dies_in_each_part_of_a_run() -> None:
    first, *others = kills = Plan(Mode.DEFAULT, 1000, 1).kills_at()
    assert len(kills) == 5
    assert first > 0
    assert kills == sorted(kills)
    assert others[-1] < 900


# The command line


def run_as(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str, failures: list[str]) -> tuple[int, Path]:
    """Run the command with a run that has these failures; return its exit status and its file."""

    async def run(plan: Plan) -> course.Outcome:
        stats = {"pushed": 0, "failed": 0, "retried": 0, "in_flight": 0}
        verdict = judged(replace(plan, pushes=0), [], [], stats)
        return course.Outcome(plan, 1.0, 5, 7, {Fault.CUT: 3}, verdict, steadiness(STEADY, 50), failures)

    monkeypatch.setattr(course, "run", run)
    out = tmp_path / "soak.json"
    monkeypatch.setattr(command, "RESULTS", out)
    monkeypatch.setattr("sys.argv", ["soak.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return int(ended.value.code or 0), out


def test_the_command_prints_broken_guarantees_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = run_as(monkeypatch, tmp_path, "--seed", "7", failures=["1 pushes were lost: 17"])
    assert status == 1
    assert "default: 1 pushes were lost: 17" in capsys.readouterr().out


def test_the_command_saves_a_full_run_of_each_mode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run_as(monkeypatch, tmp_path, "--seed", "7", failures=[])
    assert status == 0
    assert "ordered: every promise was kept" in capsys.readouterr().out
    assert run_as(monkeypatch, tmp_path, "--seed", "8", "--mode", "ordered", failures=[])[0] == 0
    kept = json.loads(out.read_text())
    assert {mode: run["plan"]["seed"] for mode, run in kept.items()} == {"default": 7, "at-least-once": 7, "ordered": 8}
    assert kept["default"]["faults"] == {"dropped in mid-answer": 3}
    assert "aiohttp" in kept["default"]["packages"]


def test_the_command_does_not_save_a_run_that_is_too_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    status, out = run_as(monkeypatch, tmp_path, "--pushes", "100", failures=[])
    assert status == 0
    assert not out.exists()
