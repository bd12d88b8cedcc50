"""AsyncClient with responses from aioresponses, as applications use it in their tests."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest
from aioresponses import aioresponses

from webmqconnect_async import (
    AsyncClient,
    AuthRejected,
    BadReply,
    ClockRejected,
    Overloaded,
    Receipt,
    Retry,
    WebMQError,
)

from .replies import ScriptedResponse

URL = "http://broker.example:8080/"
PUSHED = f"{URL}?topicuri=t"


@pytest.fixture
def broker() -> Iterator[aioresponses]:
    with aioresponses() as scripted:
        yield scripted


async def test_an_accepted_push(broker: aioresponses) -> None:
    broker.post(PUSHED, status=202, response_class=ScriptedResponse)
    async with AsyncClient(URL) as client:
        assert await client.push("t", {"id": 1}) == Receipt(202)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, "unknown application key 'x'\n", AuthRejected),
        (400, "timestamp expired (delta 302 seconds)\n", ClockRejected),
        (500, "internal server error", BadReply),
        (302, "", BadReply),
    ],
)
async def test_refused_pushes(broker: aioresponses, status: int, body: str, error: type[WebMQError]) -> None:
    """The status and the text of the response determine the class of the error."""
    broker.post(PUSHED, status=status, body=body, response_class=ScriptedResponse)
    async with AsyncClient(URL) as client:
        with pytest.raises(error):
            await client.push("t", 1)


async def test_the_skew_of_a_refused_timestamp(broker: aioresponses) -> None:
    """The error of a refused timestamp has the difference of the clocks."""
    date = {"Date": "Thu, 01 Jan 1970 00:00:10 GMT"}
    broker.post(PUSHED, status=400, body="timestamp expired", headers=date, response_class=ScriptedResponse)
    async with AsyncClient(URL) as client:
        with pytest.raises(ClockRejected) as caught:
            await client.push("t", 1)
    assert caught.value.skew is not None
    assert caught.value.skew > 1e9


async def test_a_retried_push(broker: aioresponses) -> None:
    """After a 503 with a Retry-After and a 202, the receipt has two attempts."""
    broker.post(PUSHED, status=503, headers={"Retry-After": "0"}, response_class=ScriptedResponse)
    broker.post(PUSHED, status=202, response_class=ScriptedResponse)
    async with AsyncClient(URL, retry=Retry(wait=0.0)) as client:
        assert await client.push("t", 1) == Receipt(202, attempts=2)
        assert client.stats.retried == 1


async def test_a_push_that_is_always_refused_by_503(broker: aioresponses) -> None:
    broker.post(PUSHED, status=429, headers={"Retry-After": "60"}, response_class=ScriptedResponse)
    async with AsyncClient(URL) as client:
        with pytest.raises(Overloaded) as caught:
            await client.push("t", 1)
    assert caught.value.retry_after == 60.0
    assert caught.value.attempts == 1


@pytest.mark.parametrize(
    "raised", [aiohttp.ServerDisconnectedError(), ConnectionResetError(), aiohttp.ClientError("x")]
)
async def test_raised_before_the_body(broker: aioresponses, raised: Exception) -> None:
    """If aiohttp raises before it asks for the body, nothing was sent, and the push is retried."""
    broker.post(PUSHED, exception=raised)
    broker.post(PUSHED, status=202, response_class=ScriptedResponse)
    async with AsyncClient(URL, retry=Retry(wait=0.0)) as client:
        assert (await client.push("t", 1)).attempts == 2


async def test_bulk(broker: aioresponses) -> None:
    broker.post(PUSHED, status=202, response_class=ScriptedResponse, repeat=True)
    async with AsyncClient(URL) as client:
        assert all(each.ok for each in await client.push_many([("t", number) for number in range(100)]))
