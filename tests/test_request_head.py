"""A request head that a broker based on Twisted would refuse is refused by the client, before anything is sent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from webmqconnect_async import Push, TooLarge, WebMQError
from webmqconnect_async._core.dialects import DialectName

from .cases import PUBLISHED
from .clients import DRIVERS, Both
from .hostile import Hostile, Recorded, hostile

TOPIC = "http://example.com/ä b"
LIMIT = 16384
both_drivers = pytest.mark.parametrize("driver", DRIVERS)
signed = pytest.mark.parametrize("credentials", [("app é", "s3cret"), (None, None)], ids=["signed", "unsigned"])


def counted(request: Recorded) -> int:
    """Return the bytes that Twisted counts: of the request line and the header lines, without line ends."""
    return sum(map(len, request.head.split(b"\r\n")))


def session_ids(number: int) -> list[str]:
    return [f"{each:016}" for each in range(number)]


def fitting(error: WebMQError) -> int:
    """Return how many session IDs fit, according to the error."""
    assert isinstance(error, TooLarge)
    match = re.search(r"(\d+) fit into", str(error))
    assert match
    return int(match[1])


@signed
@both_drivers
def test_a_head_at_the_limit_is_sent_and_one_byte_more_is_not(
    driver: str, credentials: tuple[str | None, str | None], server: Hostile
) -> None:
    """The count is exact, with the client's own headers and a body of any length."""
    with Both(driver, server.url, *credentials, headers={"X-Origin": "shop"}) as client:
        for event in (1, "x" * 98):
            client.push(TOPIC, event)
            fill = LIMIT - counted(server.requests[-1]) - len("&eligible=")
            client.push(TOPIC, event, eligible=["x" * fill])
            sent = len(server.requests)
            with pytest.raises(TooLarge) as caught:
                client.push(TOPIC, event, eligible=["x" * (fill + 1)])
            assert str(caught.value) == (
                f"eligible: 1 session IDs make a request head of {LIMIT + 1} bytes; "
                f"0 fit into the {LIMIT} of max_request_head"
            )
            assert (caught.value.attempts, caught.value.status, caught.value.retryable) == (0, 0, False)
            assert len(server.requests) == sent


@signed
@both_drivers
@pytest.mark.parametrize("names", [["eligible"], ["exclude"], ["eligible", "exclude"]], ids=" and ".join)
def test_the_error_says_how_many_session_ids_fit(
    driver: str, names: list[str], credentials: tuple[str | None, str | None], server: Hostile
) -> None:
    """That many session IDs are accepted, and one more is refused."""
    with Both(driver, server.url, *credentials) as client:
        number = 2000 // len(names)
        lists: dict[str, Any] = {name: session_ids(number) for name in names}
        error = client.failure(**lists)
        assert isinstance(error, TooLarge)
        assert str(error).startswith(f"{' and '.join(names)}: {' and '.join([str(number)] * len(names))} session IDs ")
        assert server.requests == []
        fit = fitting(error)
        first, last = session_ids(fit)[: fit // 2], session_ids(fit)[fit // 2 :]
        for more in (0, 1):
            parts = [session_ids(fit + more)] if len(names) == 1 else [first, last + ["1" * 16] * more]
            lists = dict(zip(names, parts, strict=True))
            [pushed] = client.push_many([Push("http://example.com/t", 1, **lists)])
            assert isinstance(pushed.error, TooLarge) is bool(more)


@both_drivers
def test_ids_of_any_lengths(driver: str, server: Hostile) -> None:
    """Any selection of as many session IDs as the error says fits, because it assumes the longest ones."""
    with Both(driver, server.url) as client:
        mixed: list[str | int] = [*range(3000), *("é" * 20 for _ in range(200))]
        error = client.failure(eligible=mixed)
        client.push("t", 1, eligible=mixed[-fitting(error) :])
        client.push("t", 1, eligible=mixed[: fitting(error)])


@both_drivers
def test_a_long_topic(driver: str, server: Hostile) -> None:
    """The error names the topic if it is too long by itself, with its length in bytes before encoding."""
    with Both(driver, server.url, "app", "s3cret") as client:
        for exclude in (None, ["1"]):
            error = client.failure(topic="é" * 4000, exclude=exclude)
            assert str(error).startswith("topic: 8000 bytes make a request head of ")
            fit = fitting(error) // 2
            assert len(server.requests) == (0 if exclude is None else 1)
            client.push("é" * fit, 1)
            assert isinstance(client.failure(topic="é" * (fit + 1)), TooLarge)


@both_drivers
def test_a_head_that_is_too_long_is_an_outcome_of_a_bulk(driver: str, server: Hostile) -> None:
    pushes = [Push("t", 1), Push("t", 2, eligible=session_ids(1000)), Push("t", 3)]
    with Both(driver, server.url) as client:
        for outcomes in (client.push_many(pushes), client.push_stream(pushes, concurrency=1)):
            assert [type(outcome.error) for outcome in outcomes] == [type(None), TooLarge, type(None)]
        assert client.stats.pushed == 4
    assert len(server.requests) == 4


@both_drivers
def test_another_limit_or_none(driver: str, server: Hostile) -> None:
    """The limit can be changed: a proxy may accept less than Twisted, and another broker more."""
    with Both(driver, server.url, max_request_head=None) as client:
        client.push("t", 1, eligible=session_ids(2000))
    with Both(driver, server.url, max_request_head=8192) as client:
        assert isinstance(client.failure(eligible=session_ids(500)), TooLarge)
        client.push("t", 1, eligible=session_ids(400))


@both_drivers
def test_the_crossbar_dialect_has_the_receivers_in_the_body(driver: str) -> None:
    with hostile(accepted=PUBLISHED) as server, Both(driver, server.url, dialect="crossbar") as client:
        client.push("com.example.t", 1, eligible=[str(each + 1) for each in range(5000)])


@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
@both_drivers
@pytest.mark.parametrize(("value", "error"), [("1", TypeError), (True, TypeError), (1.0, TypeError), (0, ValueError)])
def test_an_invalid_limit(driver: str, value: object, error: type[Exception], dialect: DialectName) -> None:
    with pytest.raises(error, match="max_request_head"):
        Both(driver, "http://127.0.0.1", dialect=dialect, max_request_head=value)


@both_drivers
def test_headers_that_leave_no_room(driver: str) -> None:
    """The constructor refuses headers with which every push would fail."""
    with pytest.raises(ValueError, match=r"max_request_head: 16384 bytes are too few; a head has 1\d{4} before it has"):
        Both(driver, "http://127.0.0.1", headers={"X": "y" * 16300})


def test_the_count_is_that_of_twisted() -> None:
    """A literal head of 16,384 bytes shows that the count of these tests is right."""
    head = b"POST /?x HTTP/1.1\r\nHost: h\r\nX: " + b"y" * (LIMIT - 17 - 7 - 3)
    assert counted(Recorded(head)) == LIMIT
