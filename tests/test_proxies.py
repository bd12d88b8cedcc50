"""A proxy of a borrowed session that refuses to connect to the broker: the error has the proxy's status."""

from __future__ import annotations

import aiohttp
import pytest

from webmqconnect_async import AsyncClient, ConnectFailed, Retry

from .hostile import Hostile, answer, drop_after_head, hostile, reply

BROKER = "https://broker.example:8443/push"


async def refused(proxy: Hostile) -> ConnectFailed:
    """Push through a proxy, and return the error."""
    async with aiohttp.ClientSession(proxy=f"http://someone:pr0xy-pass@127.0.0.1:{proxy.port}") as session:
        client = AsyncClient(BROKER, "app", "s3cret", session=session, retry=Retry(wait=0.0))
        with pytest.raises(ConnectFailed) as caught:
            await client.push("http://example.com/t", 1)
        await client.close()
    return caught.value


@pytest.mark.parametrize(
    ("status", "attempts"),
    [(407, 1), (403, 1), (404, 1), (302, 1), (202, 1), (502, 3), (503, 3), (504, 3), (500, 3), (429, 3), (408, 3)],
)
async def test_a_proxy_refuses(status: int, attempts: int) -> None:
    """Only a transient refusal is retried. Nothing has reached the broker, and no URL is shown."""
    with hostile(*[answer(reply(status, b"no", "X: https://broker.example/?signature=x"))] * 3) as proxy:
        error = await refused(proxy)
        assert str(error) == f"the proxy answered {status} instead of connecting to broker.example:8443"
        assert (error.attempts, error.retryable, error.transient) == (attempts, attempts > 1, attempts > 1)
        assert [request.line for request in proxy.requests] == ["CONNECT broker.example:8443 HTTP/1.1"] * attempts


async def test_a_proxy_closes() -> None:
    """The broker has not received the request, so it is safe to push again."""
    with hostile(*[drop_after_head] * 3) as proxy:
        error = await refused(proxy)
    assert (error.attempts, error.retryable) == (3, True)
