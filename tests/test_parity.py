"""Both clients against one hostile server: the same case ends alike in either, by every verb."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from email.utils import formatdate
from typing import TypeAlias

import pytest

from webmqconnect_async import BadReply, ClientClosed, ClockRejected

from .answers import ANSWERS
from .cases import TOPIC, Case, End, end_of
from .colours import COLOURS, VERBS, Both
from .faults import FAULTS
from .hostile import answer, hostile, reply

CASES = ANSWERS + FAULTS
Way: TypeAlias = tuple[str, str]
"""A client and a verb."""
WAYS: list[Way] = [(colour, verb) for colour in COLOURS for verb in VERBS]


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@every_case
def test_case_by_every_way(case: Case) -> None:
    """The push ends as the table says, after as many attempts and requests, each way at a server of its own."""
    with ThreadPoolExecutor(len(WAYS)) as threads:
        ends = threads.map(lambda way: end_of(case, *way), WAYS)
        assert dict(zip(WAYS, ends, strict=True)) == dict.fromkeys(WAYS, case.end)


@pytest.fixture(scope="module")
def ends(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[dict[Way, End]]]]:
    """Run the selected cases by either client, and the verbs in turn. Several cases run at once: many of them wait."""

    def run(case: Case) -> dict[Way, End]:
        return {way: end_of(case, *way) for way in WAYS[CASES.index(case) % len(VERBS) :: len(VERBS)]}

    tests = [each for each in request.session.items if isinstance(each, pytest.Function)]
    selected = [each.callspec.params["case"] for each in tests if each.function is test_case]
    with ThreadPoolExecutor(4) as threads:
        yield {case.name: threads.submit(run, case) for case in selected if isinstance(case, Case)}
        threads.shutdown(cancel_futures=True)


@every_case
def test_case(case: Case, ends: dict[str, Future[dict[Way, End]]]) -> None:
    """So does a sample of the ways."""
    by_way = ends[case.name].result()
    assert len(by_way) == len(COLOURS)
    assert by_way == dict.fromkeys(by_way, case.end)


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(colour: str, verb: str, status: int) -> None:
    """No redirect is followed: nothing reaches the other server, and its URL is told without the query."""
    with hostile() as other:
        target = f"http://user:pass@127.0.0.1:{other.port}/x?topicuri=t&signature=s"
        with (
            hostile(answer(reply(status, b"", f"Location: {target}"))) as server,
            Both(colour, server.url, "app", "s3cret") as client,
        ):
            error = client.ended(verb, TOPIC, 1)
            assert type(error) is BadReply
            assert error.attempts == 1
            assert f"http://127.0.0.1:{other.port}/x," in str(error)
            assert "signature" not in str(error)
            assert "pass" not in str(error)
            assert len(server.requests) == 1
        assert other.connections == 0


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        ("webmq", b"timestamp expired (delta 302 seconds)"),
        ("crossbar", b'{"error":"Request expired, too old timestamp."}'),
    ],
)
@pytest.mark.parametrize("sent", [0.0, 784111777.0, 4102444800.0])
def test_skew(colour: str, dialect: str, said: bytes, sent: float) -> None:
    """A refused timestamp tells by how much the clocks differ, whatever the broker's says."""
    date = f"Date: {formatdate(sent, usegmt=True)}"
    with (
        hostile(answer(reply(400, said, date))) as server,
        Both(colour, server.url, "app", "s3cret", dialect=dialect) as client,
    ):
        before = time.time()
        error = client.failure()
        assert type(error) is ClockRejected
        assert error.skew is not None
        assert before - sent <= error.skew <= time.time() - sent


# After close


class _Source:
    """An iterable that records whether it was read."""

    read = False

    def __iter__(self) -> Iterator[tuple[str, object]]:
        self.read = True
        return iter([(TOPIC, 1)])


AFTER_CLOSE: dict[str, Callable[[Both, _Source], object]] = {
    "push": lambda client, _: client.push(TOPIC, 1),
    "push of an event that cannot be encoded": lambda client, _: client.push(TOPIC, float("nan")),
    "push with an invalid timeout": lambda client, _: client.push(TOPIC, 1, timeout=-1),
    "push_many": lambda client, source: client.push_many(source),
    "push_many of nothing": lambda client, _: client.push_many([]),
    "push_many with an invalid concurrency": lambda client, source: client.push_many(source, concurrency=0),
    "push_stream": lambda client, source: client.push_stream(source),
    "push_stream of nothing": lambda client, _: client.push_stream([]),
    "push_stream with an invalid concurrency": lambda client, source: client.push_stream(source, concurrency=0),
}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("used", [False, True], ids=["never used", "used"])
@pytest.mark.parametrize("case", AFTER_CLOSE)
def test_after_close(colour: str, used: bool, case: str) -> None:
    """A closed client says so before it checks arguments, encodes an event or reads a source."""
    source = _Source()
    with hostile() as server, Both(colour, server.url) as client:
        if used:
            client.push(TOPIC, 0)
        client.close()
        with pytest.raises(ClientClosed):
            AFTER_CLOSE[case](client, source)
        client.close()
        assert not source.read
        assert len(server.requests) == used


@pytest.mark.parametrize("colour", COLOURS)
def test_arguments_are_checked_before_the_event_is_encoded(colour: str) -> None:
    with hostile() as server, Both(colour, server.url) as client:
        with pytest.raises(ValueError, match="timeout"):
            client.push(TOPIC, float("nan"), timeout=-1)
        assert client.stats.failed == 0
