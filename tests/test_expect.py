"""A borrowed session whose headers have `Expect: 100-continue`: the body waits for the broker's permission."""

from __future__ import annotations

import aiohttp
import pytest

from webmqconnect_async import (
    AsyncClient,
    AuthRejected,
    ConnectFailed,
    ConnectionLost,
    Receipt,
    Rejected,
    Retry,
    WebMQError,
)
from webmqconnect_async._core.dialects import DialectName

from .cases import PUBLISHED, SHORT
from .hostile import (
    ACCEPTED,
    Peer,
    Step,
    answer_unread,
    drop_after_head,
    hostile,
    reply,
    reset_after_head,
    stall_unread,
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def allowed(then: bytes | None) -> Step:
    """Allow the body with a 100, and respond after it; None closes the connection instead."""

    async def step(peer: Peer) -> None:
        await peer.head()
        await peer.send(CONTINUE)
        await peer.reader.readexactly(1)
        if then is None:
            peer.close()
        else:
            await peer.send(then)

    return step


async def pushed(step: Step, dialect: DialectName) -> Receipt | WebMQError:
    """Push with such a session, and return the outcome."""
    with hostile(step) as server:
        async with aiohttp.ClientSession(headers={"expect": "100-continue"}) as session:
            client = AsyncClient(server.url, session=session, dialect=dialect, timeout=SHORT, retry=Retry(attempts=1))
            try:
                return await client.push("com.example.t", 1)
            except WebMQError as error:
                return error
            finally:
                await client.close()


@pytest.mark.parametrize(
    ("dialect", "accepted"), [("webmq", ACCEPTED), ("crossbar", PUBLISHED)], ids=["webmq", "crossbar"]
)
async def test_a_broker_that_allows_the_body(dialect: DialectName, accepted: bytes) -> None:
    result = await pushed(allowed(accepted), dialect)
    assert isinstance(result, Receipt)
    assert type(await pushed(allowed(None), dialect)) is ConnectionLost


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (answer_unread(reply(417)), Rejected),
        (answer_unread(reply(401)), AuthRejected),
        (drop_after_head, ConnectFailed),
        (reset_after_head, ConnectFailed),
        (stall_unread, ConnectFailed),
    ],
    ids=["417", "401", "closed", "reset", "silent"],
)
async def test_a_broker_that_refuses_the_body(step: Step, error: type[WebMQError]) -> None:
    """The event has not been sent, so pushing again cannot create a duplicate. A silent broker is explained."""
    result = await pushed(step, "webmq")
    assert type(result) is error
    if step is stall_unread:
        assert "a connection, or a 100 for the session's Expect" in str(result)
