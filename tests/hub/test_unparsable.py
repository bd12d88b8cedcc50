"""Requests that aiohttp cannot parse: the hub responds with its own text, and neither quotes nor logs the request."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from webmqconnect_async import Rejected
from webmqconnect_async.explain._error_responses import advice_on
from webmqconnect_async.hub import Hub

from ..clients import DRIVERS, Both
from ..escapes import shown
from ..running import in_thread
from .raw import connected, head

SIGNATURE = "tw--HwmsaCc3uxI04FSgejT4_cmsm-BwyXTZKKFQ7Y4="
QUERY = f"topicuri=t&appkey=app&signature={SIGNATURE}"
TOO_LONG = "the request target is longer than 16384 bytes: name fewer session IDs in eligible and exclude"
MALFORMED = "the request is incomplete or malformed"


def post(path: str, query: str = QUERY, *headers: str) -> bytes:
    return head(f"POST {path}?{query} HTTP/1.1", *headers)


@pytest.mark.parametrize("path", ["/", "/publish"])
@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        pytest.param(lambda path: post(path, f"{QUERY}&exclude=" + "x" * 16384), 414, TOO_LONG, id="target"),
        pytest.param(lambda path: post(path, QUERY, f"X: {QUERY}{'x' * 8190}"), 400, None, id="header"),
        pytest.param(lambda path: post(path, QUERY, f"{SIGNATURE[:-1]}{'x' * 8190}: x"), 400, None, id="header's name"),
        pytest.param(lambda path: post(path, QUERY, *[f"X: {QUERY}"] * 65), 400, None, id="headers"),
        pytest.param(lambda path: post(path, QUERY, f"{QUERY} X"), 400, MALFORMED, id="no header"),
        pytest.param(lambda path: post(path, QUERY, f"Content-Length: {SIGNATURE}"), 400, MALFORMED, id="length"),
        pytest.param(lambda path: post(path, QUERY, f"Host: {SIGNATURE}"), 400, MALFORMED, id="two hosts"),
        pytest.param(lambda path: post(path, f"{QUERY}\0"), 400, MALFORMED, id="NUL"),
        pytest.param(lambda path: head(f"POST {path}?{QUERY} HTTP/9.x"), 400, MALFORMED, id="version"),
        pytest.param(lambda path: head(f"P({path}?{QUERY} HTTP/1.1"), 400, MALFORMED, id="method"),
        pytest.param(lambda path: head(f"POST {QUERY} HTTP/1.1"), 400, MALFORMED, id="target without a path"),
        pytest.param(lambda path: QUERY.encode() + b"\r\n\r\n", 400, MALFORMED, id="nonsense"),
        pytest.param(
            lambda path: post(path, QUERY, "Transfer-Encoding: chunked") + f"zz{QUERY}\r\n".encode(),
            400,
            MALFORMED,
            id="chunk",
        ),
    ],
)
async def test_no_part_of_the_request_is_quoted(
    hub: Hub, caplog: pytest.LogCaptureFixture, path: str, request_: object, status: int, reason: str | None
) -> None:
    assert callable(request_)
    with caplog.at_level(logging.DEBUG):
        async with connected(hub) as raw:
            await raw.send(request_(path))
            answer = (await raw.ends()).decode()
    top, _, body = answer.partition("\r\n\r\n")
    assert top.split(" ")[1] == str(status)
    assert "Content-Type: text/plain; charset=utf-8" in top
    assert body == f"{reason}\n" if reason else body.count("\n") == 1
    assert advice_on(body) is not None
    texts = [answer, *(text for record in caplog.records for text in (record.getMessage(), repr(vars(record))))]
    assert shown(texts, SIGNATURE) == []
    assert not [text for text in texts if "topicuri" in text or "xxx" in text]


async def test_the_refusal_of_a_header_that_is_too_long_has_the_limit(hub: Hub) -> None:
    for headers, said in (
        ([f"X: {'x' * 8191}"], "a header is longer than 8190 bytes"),
        ([f"Cookie: {'x' * 32769}"], "a header is longer than 32768 bytes"),
        ([f"Cookie: {'x' * 32000}"] * 2, "the headers are longer than 49152 bytes"),
        (["X: 1"] * 65, "the request has more than 64 headers"),
    ):
        async with connected(hub) as raw:
            await raw.send(post("/", QUERY, *headers))
            assert (await raw.ends()).endswith(f"\r\n\r\n{said}\n".encode())


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("argument", ["eligible", "exclude"])
def test_a_push_to_too_many_sessions_is_rejected(driver: str, argument: str) -> None:
    """The reason in the error of the client says what to do."""
    with (
        in_thread(lambda: Hub(port=0, keys={"app": "s3cret"})) as hub,
        Both(driver, hub.url, "app", "s3cret", max_request_head=None) as client,
    ):
        session_ids: dict[str, Any] = {argument: list(range(10**15, 10**15 + 1000))}
        error = client.failure("x" * 4000, **session_ids)
        assert isinstance(error, Rejected)
        assert (error.status, error.reason) == (414, TOO_LONG)
        client.push("http://example.com/t", 1)
