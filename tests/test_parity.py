"""Both clients with the same hostile server: a case has the same outcome with each client and each method."""

from __future__ import annotations

import dataclasses
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate
from typing import TypeAlias

import pytest

from webmqconnect_async import BadReply, ClientClosed, ClockRejected, TooLarge

from .answers import ANSWERS
from .cases import MEGABYTES, TOPIC, Case, End, Place, end_of, in_clear
from .clients import DRIVERS, METHODS, TRANSPORTS, Both
from .faults import FAULTS
from .hostile import (
    PATIENCE,
    Peer,
    accept_and_drop_unread,
    answer,
    drop_unread,
    hostile,
    reply,
    serving,
    trusting,
)

CASES = ANSWERS + FAULTS
Way: TypeAlias = tuple[str, str]
"""A client and a method."""
WAYS: list[Way] = [(transport, method) for transport in TRANSPORTS for method in METHODS]


# Without cases that depend on unread bytes in the kernel: with TLS, the order of events differs.
OVER_TLS = [
    case for case in CASES if case.staging is in_clear and not {drop_unread, accept_and_drop_unread} & {*case.script}
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def ways(case: Case) -> list[Way]:
    """Return the ways in which a case is run: all, except for one case that a bug of uvloop 0.23 affects.

    If a connection is reset in the TLS handshake, uvloop leaves a socket object whose descriptor it has closed. When
    that is garbage-collected, the descriptor is closed again, and with it another connection. It happens with any
    client.
    """
    return [way for way in WAYS if way[0] != "uvloop" or case.name != "TLS: reset in the handshake"]


@every_case
def test_case_in_every_way(case: Case) -> None:
    """The push ends as the table says, after as many attempts and requests, each way with a server of its own.

    A fault affects each way at another point, so it is tested with all of them. A response is judged before the methods
    differ: each transport uses another method for it, and others for the next response.
    """
    tried = ways(case) if case in FAULTS else WAYS[CASES.index(case) % len(TRANSPORTS) :: len(TRANSPORTS)]
    with ThreadPoolExecutor(6) as threads:
        ends = threads.map(lambda way: end_of(case, *way), tried)
        assert dict(zip(tried, ends, strict=True)) == dict.fromkeys(tried, case.end)


@pytest.fixture(scope="module")
def ends(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[dict[Way, End]]]]:
    """Run the selected cases with each transport, and the methods in turn.

    Several run at once, because many of them wait.
    """

    def run(case: Case) -> dict[Way, End]:
        number = CASES.index(case)
        sample = ways(case)[number % len(METHODS) :: len(METHODS)]
        return {way: end_of(case, *way) for way in sample if way[0] in DRIVERS}

    tests = [each for each in request.session.items if isinstance(each, pytest.Function)]
    selected = [each.callspec.params["case"] for each in tests if each.function is test_case]
    with ThreadPoolExecutor(4) as threads:
        yield {case.name: threads.submit(run, case) for case in selected if isinstance(case, Case)}
        threads.shutdown(cancel_futures=True)


@every_case
def test_case(case: Case, ends: dict[str, Future[dict[Way, End]]]) -> None:
    """A sample of the ways, which includes both clients, has the outcome of the table."""
    by_way = ends[case.name].result()
    assert {transport for transport, _ in by_way} == {*DRIVERS}
    assert by_way == dict.fromkeys(by_way, case.end)


@pytest.mark.parametrize("extent", ["every"])
@pytest.mark.parametrize(
    ("version", "case"),
    [
        *((ssl.TLSVersion.TLSv1_2, case) for case in OVER_TLS if case in FAULTS),
        *((ssl.TLSVersion.TLSv1_3, case) for case in OVER_TLS),
    ],
    ids=lambda value: value.name,
)
def test_case_over_tls(case: Case, version: ssl.TLSVersion, extent: str) -> None:
    """Each transport has the same outcome over TLS. TLS affects how a connection begins and ends, not responses."""

    @contextmanager
    def over_tls(case: Case) -> Iterator[Place]:
        context = serving()
        context.minimum_version = context.maximum_version = version
        with hostile(*case.script, tls=context, accepted=case.accepted) as server:
            yield Place(server.url, server)

    secured = dataclasses.replace(case, staging=over_tls)
    with ThreadPoolExecutor(len(TRANSPORTS)) as threads:
        ends = threads.map(lambda transport: end_of(secured, transport, "push"), TRANSPORTS)
        assert dict(zip(TRANSPORTS, ends, strict=True)) == dict.fromkeys(TRANSPORTS, case.end)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_connection_with_an_early_response_is_not_reused(transport: str, tls: bool) -> None:
    """A part of the event is still unsent, so the connection is not used for another push."""

    async def early(peer: Peer) -> None:
        await peer.head()
        peer.pause()
        await peer.send(reply(413))
        await peer.server.released.wait()

    with (
        hostile(early, tls=tls) as server,
        Both(transport, server.url, timeout=PATIENCE, ssl=trusting() if tls else None) as client,
    ):
        assert type(client.failure(MEGABYTES)) is TooLarge
        client.push(TOPIC, 1)
        assert server.connections == 2
        server.drop_all(reset=True)


def test_the_names_of_cases_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(driver: str, method: str, status: int) -> None:
    """Redirects are not followed: nothing reaches the other server, and the error shows its URL without the query."""
    with hostile() as other:
        target = f"http://user:pass@127.0.0.1:{other.port}/x?topicuri=t&signature=s"
        with (
            hostile(answer(reply(status, b"", f"Location: {target}"))) as server,
            Both(driver, server.url, "app", "s3cret") as client,
        ):
            error = client.ended(method, TOPIC, 1)
            assert type(error) is BadReply
            assert error.attempts == 1
            assert f"http://127.0.0.1:{other.port}/x," in str(error)
            assert "signature" not in str(error)
            assert "pass" not in str(error)
            assert len(server.requests) == 1
        assert other.connections == 0


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        ("webmq", b"timestamp expired (delta 302 seconds)"),
        ("crossbar", b'{"error":"Request expired, too old timestamp."}'),
    ],
)
@pytest.mark.parametrize("sent", [0.0, 784111777.0, 4102444800.0])
def test_skew(driver: str, dialect: str, said: bytes, sent: float) -> None:
    """The error of a refused timestamp has the difference of the clocks, for any time of the broker."""
    date = f"Date: {formatdate(sent, usegmt=True)}"
    with (
        hostile(answer(reply(400, said, date))) as server,
        Both(driver, server.url, "app", "s3cret", dialect=dialect) as client,
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
    "push_soon": lambda client, _: client.push_soon(TOPIC, 1),
    "push_soon of an event that cannot be encoded": lambda client, _: client.push_soon(TOPIC, float("nan")),
    "push_many": lambda client, source: client.push_many(source),
    "push_many of nothing": lambda client, _: client.push_many([]),
    "push_many with an invalid concurrency": lambda client, source: client.push_many(source, concurrency=0),
    "push_stream": lambda client, source: client.push_stream(source),
    "push_stream of nothing": lambda client, _: client.push_stream([]),
    "push_stream with an invalid concurrency": lambda client, source: client.push_stream(source, concurrency=0),
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("used", [False, True], ids=["never used", "used"])
@pytest.mark.parametrize("case", AFTER_CLOSE)
def test_after_close(driver: str, used: bool, case: str) -> None:
    """A closed client raises ClientClosed before it checks arguments, encodes an event or reads a source."""
    source = _Source()
    with hostile() as server, Both(driver, server.url) as client:
        if used:
            client.push(TOPIC, 0)
        client.close()
        with pytest.raises(ClientClosed):
            AFTER_CLOSE[case](client, source)
        client.close()
        assert not source.read
        assert len(server.requests) == used


@pytest.mark.parametrize("driver", DRIVERS)
def test_arguments_are_checked_before_the_event_is_encoded(driver: str) -> None:
    with hostile() as server, Both(driver, server.url) as client:
        with pytest.raises(ValueError, match="timeout"):
            client.push(TOPIC, float("nan"), timeout=-1)
        assert client.stats.failed == 0
