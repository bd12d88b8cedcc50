"""Pushes with an idempotency key, with both clients: the header, the receipt, and keys that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from aioresponses import aioresponses

from webmqconnect_async import AsyncClient, InvalidPush, Push, Receipt, Retry, TooLarge
from webmqconnect_async._core.dialects import DialectName
from webmqconnect_async._core.idempotency import checked_key, key_of

from .cases import PUBLISHED, TOPIC
from .clients import DRIVERS, TRANSPORTS, Both
from .hostile import ACCEPTED, Hostile, answer, hostile, reply
from .replies import ScriptedResponse
from .test_request_head import LIMIT, counted

KEY = "!#$%&'()*+,-./0:;<=>?@A[]^_`a{|}~"
REPLAYED = reply(202, b"", "Idempotent-Replayed: true", "WebMQ-Publication: 77")

every_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@every_transport
@pytest.mark.parametrize(("dialect", "accepted"), [("webmq", ACCEPTED), ("crossbar", PUBLISHED)])
@pytest.mark.parametrize("signed", [("app", "s3cret"), (None, None)], ids=["signed", "unsigned"])
def test_the_header_of_a_push_with_a_key(
    transport: str, dialect: DialectName, accepted: bytes, signed: tuple[Any, Any]
) -> None:
    """The header has the key in quotes, in each attempt and after other headers. Without a key there is none."""
    overloaded = answer(reply(503, b"", "Retry-After: 0"))
    with (
        hostile(overloaded, accepted=accepted) as server,
        Both(transport, server.url, *signed, dialect=dialect, headers={"X-A": "b"}, retry=Retry(wait=0.0)) as client,
    ):
        receipt = client.push(TOPIC, 1, idempotency_key=KEY)
        assert (receipt.attempts, receipt.repeated) == (2, False)
        client.push(TOPIC, 1)
        client.push_many([Push(TOPIC, 1, idempotency_key="2"), (TOPIC, 2)], order_by_topic=True)
        heads = [request.head for request in server.requests]
        lines = [[line for line in head.split(b"\r\n") if b"dempoten" in line] for head in heads]
    line = b'Idempotency-Key: "%b"' % KEY.encode()
    assert lines == [[line], [line], [], [b'Idempotency-Key: "2"'], []]
    assert all(b"\r\nX-A: b\r\n" in head for head in heads)


@every_transport
@pytest.mark.parametrize(
    ("dialect", "response", "receipt"),
    [
        ("webmq", REPLAYED, Receipt(202, 77, repeated=True)),
        ("webmq", reply(202, b"", "Idempotent-Replayed: true"), Receipt(202, repeated=True)),
        ("webmq", reply(202, b"", "Idempotent-Replayed: false"), Receipt(202)),
        ("crossbar", reply(200, b'{"id": 77}', "idempotent-replayed: true"), Receipt(200, 77, repeated=True)),
    ],
)
def test_the_receipt_of_a_repeated_push(
    transport: str, dialect: DialectName, response: bytes, receipt: Receipt
) -> None:
    """The receipt says that the push was repeated. That of a push without a key never does."""
    with hostile(accepted=response) as server, Both(transport, server.url, dialect=dialect) as client:
        assert [client.push(TOPIC, 1, idempotency_key="a") for _ in range(2)] == [receipt] * 2
        assert client.push(TOPIC, 1).repeated is False


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
def test_an_invalid_key_is_refused(driver: str, dialect: DialectName, server: Hostile) -> None:
    """The error names the argument; in a bulk it is an outcome. Nothing is sent."""
    wrong: list[Any] = ["", "x" * 256, 'a"', "a\\", "a b", "a\r\nHost: evil", "a\n", "\x7f", "ä", "\ud800", b"a", 17]
    with Both(driver, server.url, dialect=dialect) as client:
        for key in wrong:
            with pytest.raises(InvalidPush, match=r"^idempotency_key must be "):
                client.push(TOPIC, 1, idempotency_key=key)
        outcomes = client.push_many([Push(TOPIC, 1, idempotency_key=key) for key in wrong])
    assert {type(outcome.error) for outcome in outcomes} == {InvalidPush}
    assert server.requests == []


def test_the_text_of_an_instance_of_a_subclass_of_str_is_sent() -> None:
    """A subclass that formats itself differently cannot add a header."""

    class Odd(str):
        __slots__ = ()

        def __str__(self) -> str:
            return '"\r\nHost: evil'

        def __format__(self, spec: str) -> str:
            return str(self)

    assert f"{checked_key(Odd('a'))}" == "a"


@pytest.mark.parametrize("transport", ["async", "sync"])
def test_the_header_counts_as_a_part_of_the_request_head(transport: str, server: Hostile) -> None:
    """A head at the limit is sent, and one with one byte more is refused."""
    with Both(transport, server.url, "app", "s3cret") as client:
        client.push(TOPIC, 1, idempotency_key=KEY)
        fill = LIMIT - counted(server.requests[-1]) - len("&eligible=")
        client.push(TOPIC, 1, eligible=["x" * fill], idempotency_key=KEY)
        assert counted(server.requests[-1]) == LIMIT
        with pytest.raises(TooLarge, match=f"a request head of {LIMIT + 1} bytes"):
            client.push(TOPIC, 1, eligible=["x" * fill], idempotency_key=KEY + "x")


async def test_test_doubles_see_the_header() -> None:
    """A session that is patched by aioresponses gets the header like others."""
    url = "http://broker.example:8080/"
    with aioresponses() as broker:
        broker.post(f"{url}?topicuri=t", status=202, response_class=ScriptedResponse, repeat=True)
        async with AsyncClient(url) as client:
            await client.push("t", 1, idempotency_key="a")
            await client.push("t", 1)
        [calls] = broker.requests.values()
    assert [call.kwargs["headers"].get("Idempotency-Key") for call in calls] == ['"a"', None]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (f'"{KEY}"', KEY),
        ('"a"', "a"),
        ('"' + "x" * 255 + '"', "x" * 255),
        *((value, None) for value in ("", '"', '""', "a", '"a', 'a"', '"a"b"', r'"a\""', '"a b"', '"a";p', '"ä"')),
        ('"' + "x" * 256 + '"', None),
    ],
)
def test_the_value_of_the_header(value: str, key: str | None) -> None:
    """The value is a key in quotes, and anything else is malformed."""
    assert key_of(value) == key
