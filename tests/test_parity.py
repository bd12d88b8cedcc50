"""Both clients against one hostile server: the same case ends alike in either, by every verb."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest

from webmqconnect_async import BadReply, ClockRejected

from .answers import ANSWERS
from .cases import TOPIC, Case, end_of
from .colours import COLOURS, VERBS, Both
from .faults import FAULTS
from .hostile import answer, hostile, reply

CASES = ANSWERS + FAULTS
WAYS = [(colour, verb) for colour in COLOURS for verb in VERBS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, extent: str) -> None:
    """The push ends as the table says, after as many attempts and requests, each way at a server of its own."""
    # A sample: either client, and each verb for every third case.
    ways = WAYS if extent == "every" else WAYS[CASES.index(case) % len(VERBS) :: len(VERBS)]
    with ThreadPoolExecutor(len(ways)) as threads:
        ends = threads.map(lambda way: end_of(case, *way), ways)
        assert dict(zip(ways, ends, strict=True)) == dict.fromkeys(ways, case.end)


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
