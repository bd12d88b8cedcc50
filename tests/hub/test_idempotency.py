"""Pushes with an `Idempotency-Key`: what a hub delivers and refuses, and how long it remembers keys."""

from __future__ import annotations

import json
import logging
import tracemalloc
from itertools import count

import pytest

from webmqconnect_async import AsyncClient, Push, Rejected
from webmqconnect_async._core.dialects import DialectName
from webmqconnect_async.hub import Accepted, Hub, Refused, _idempotency
from webmqconnect_async.hub._idempotency import Fingerprint, IdempotencyKeys, fingerprint_of
from webmqconnect_async.hub._publication import Receivers

from .conftest import Answer, HubClient, Run, exchange
from .test_metrics import scraped

TOPIC = "com.example.t"
PAGE = "https://shop.example.com"
REUSED = "Idempotency-Key was used with another event or other receivers"


class Sent:
    """A push format: target, headers and body of the same event."""

    def __init__(self, dialect: DialectName) -> None:
        self.dialect = dialect
        self.status = 202 if dialect == "webmq" else 200

    async def push(
        self, wire: HubClient, hub: Hub, key: str, event: int = 1, topic: str = TOPIC, **headers: str
    ) -> Answer:
        headers = {"Idempotency-Key": key} | headers
        if self.dialect == "webmq":
            return await wire.request("POST", hub, f"/?topicuri={topic}", str(event).encode(), **headers)
        body = json.dumps({"topic": topic, "args": [event]}).encode()
        return await wire.request("POST", hub, "/publish", body, Content_Type="application/json", **headers)

    def publication(self, answer: Answer) -> int:
        assert answer.status == self.status
        return int(answer.headers["WebMQ-Publication"] if self.dialect == "webmq" else json.loads(answer.text)["id"])

    def reason(self, answer: Answer) -> str:
        return answer.text.rstrip() if self.dialect == "webmq" else str(json.loads(answer.text)["error"])


both_formats = pytest.mark.parametrize("sent", [Sent("webmq"), Sent("crossbar")], ids=lambda sent: sent.dialect)


@both_formats
async def test_a_repeated_push_is_delivered_once(sent: Sent, hub: Hub, wire: HubClient) -> None:
    """The response has the ID of the first publication and says so; another key or topic is another push."""
    peer = await wire.wamp2_subscriber(hub, TOPIC, f"{TOPIC}.other")
    first = await sent.push(wire, hub, '"a"')
    assert "Idempotent-Replayed" not in first.headers
    for _ in range(2):
        again = await sent.push(wire, hub, '"a"')
        assert again.headers["Idempotent-Replayed"] == "true"
        assert sent.publication(again) == sent.publication(first)
    others = [await sent.push(wire, hub, '"b"'), await sent.push(wire, hub, '"a"', topic=f"{TOPIC}.other")]
    expected = [sent.publication(answer) for answer in (first, *others)]
    assert [(await peer.event())[0] for _ in expected] == expected
    await peer.heard()


async def test_a_push_without_a_key_and_one_of_the_other_format(hub: Hub, wire: HubClient) -> None:
    """Without the header, nothing is remembered, and the response has no additional header."""
    webmq, crossbar = Sent("webmq"), Sent("crossbar")
    await webmq.push(wire, hub, '"a"')
    plain = [await wire.request("POST", hub, f"/?topicuri={TOPIC}", b"1") for _ in range(2)]
    assert len({webmq.publication(answer) for answer in plain}) == 2
    assert {tuple(answer.headers) for answer in plain} == {("Content-Length", "Server", "Date", "WebMQ-Publication")}
    # The arguments for subscribers of WAMP v2 make it another event.
    assert (await crossbar.push(wire, hub, '"a"')).status == 422


@both_formats
async def test_a_key_that_is_used_again(
    sent: Sent, hub: Hub, wire: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that is used again with another event is refused, and the log has a remedy."""
    caplog.set_level(logging.INFO, "webmqconnect_async.hub")
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    first = await sent.push(wire, hub, '"a"')
    refused = await sent.push(wire, hub, '"a"', event=2)
    assert (refused.status, sent.reason(refused)) == (422, REUSED)
    assert sent.publication(await sent.push(wire, hub, '"a"')) == sent.publication(first)
    assert await peer.event() == (sent.publication(first), [[1]])
    await peer.heard()
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.endswith(f"{REUSED}; hint: use a new idempotency key for each event") for line in lines)
    assert any("repeated: ID" in line for line in lines)


@both_formats
@pytest.mark.parametrize("value", ["a", '""', '"a', '"a b"', r'"\""', '"ä"', '"a", "b"', '"a";p=1', f'"{"x" * 256}"'])
async def test_a_malformed_header(value: str, sent: Sent, hub: Hub, wire: HubClient) -> None:
    answer = await sent.push(wire, hub, value)
    assert (answer.status, sent.reason(answer)) == (400, "header Idempotency-Key is malformed")


async def test_a_header_that_is_given_twice(hub: Hub) -> None:
    """A repeated header is refused, even with the same key."""
    head = b"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
    keys = b'Idempotency-Key: "a"\r\nidempotency-key: "a"\r\n'
    response = await exchange(hub, b"POST /?topicuri=t HTTP/1.1\r\n" + head + keys + b"Content-Length: 1\r\n\r\n1")
    assert response.startswith(b"HTTP/1.1 400 ")
    assert response.endswith(b"header Idempotency-Key given twice\n")


@both_formats
async def test_a_push_that_is_refused_is_not_remembered(sent: Sent, run: Run, wire: HubClient) -> None:
    """The application is asked until it accepts the push, and not about repetitions of an accepted one."""
    asked: list[str] = []

    def admit(push: Accepted) -> Refused | None:
        asked.append(push.event)
        return Refused(403, "no") if len(asked) == 1 else None

    hub = await run(Hub(port=0, admit=admit))
    assert [(await sent.push(wire, hub, '"a"')).status for _ in range(4)] == [403, *[sent.status] * 3]
    assert asked == ["1", "1"]


@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
async def test_both_clients_of_two_applications(dialect: DialectName, run: Run) -> None:
    """Signatures and times do not matter. The same key of another application is another push."""
    hub = await run(Hub(port=0, keys={"a": "s3cret", "b": "s3cret"}))
    url = hub.url if dialect == "webmq" else f"{hub.url}/publish"
    push = Push(TOPIC, {"x": "&"}, eligible=["1", "2"], exclude=["3"], idempotency_key="k")
    async with (
        AsyncClient(url, "a", "s3cret", dialect=dialect) as one,
        AsyncClient(url, "b", "s3cret", dialect=dialect) as other,
    ):
        receipts = [outcome.receipt for outcome in await one.push_many([push] * 3, concurrency=1)]
        foreign = await other.push(TOPIC, 2, idempotency_key="k")
        with pytest.raises(Rejected, match="answered 422: Idempotency-Key was used") as caught:
            await one.push(TOPIC, {"x": "&"}, eligible=["1"], idempotency_key="k")
    assert [receipt is not None and receipt.repeated for receipt in receipts] == [False, True, True]
    assert len({receipt and receipt.id for receipt in receipts}) == 1
    assert not foreign.repeated
    assert (caught.value.status, caught.value.retryable) == (422, False)


async def test_a_forged_push_reveals_nothing(run: Run, wire: HubClient) -> None:
    """The signature is checked before the key, so a forged push does not reveal whether a key was used."""
    hub = await run(Hub(port=0, keys={"app": "s3cret"}, clock=lambda: 1318611591.0))
    query = "topicuri=t&appkey=app&timestamp=2011-10-14T16%3A59%3A51Z&signature=x"
    for key in ('"a"', "malformed"):
        answer = await wire.request("POST", hub, f"/?{query}", Idempotency_Key=key)
        assert (answer.status, answer.text) == (401, "invalid request signature\n")


async def test_a_page_of_another_origin(run: Run, wire: HubClient) -> None:
    """A page of another origin may send the header, and read that of the response."""
    hub = await run(Hub(port=0, allow_origins=[PAGE]))
    preflight = await wire.request("OPTIONS", hub, "/publish", b"", Origin=PAGE)
    assert preflight.headers["Access-Control-Allow-Headers"] == "Content-Type, Idempotency-Key"
    sent = Sent("crossbar")
    answers = [await sent.push(wire, hub, '"a"', Origin=PAGE) for _ in range(2)]
    for answer in answers:
        assert answer.headers["Access-Control-Expose-Headers"] == "WebMQ-Publication, Idempotent-Replayed"
    assert answers[1].headers["Idempotent-Replayed"] == "true"


async def test_repeated_pushes_are_counted(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, metrics="127.0.0.1:0"))
    for event in (1, 1, 1, 2):
        await Sent("webmq").push(wire, hub, '"a"', event)
    samples = await scraped(wire, hub)
    results = ("accepted", "repeated", "refused")
    assert [samples[f"pushes_total {result}"] for result in results] == [1, 2, 1]
    assert samples["push_to_queue_seconds_count"] == 1


# What is stored


def fingerprint(push: Accepted, *values: str) -> Fingerprint:
    made = fingerprint_of(push, values or ['"k"'])
    assert isinstance(made, Fingerprint)
    return made


def ids(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_which_differences_make_another_push() -> None:
    """Application, topic and key identify a push. Its content is the event and the options that select receivers."""
    pushes = [
        Accepted("t", "1"),
        Accepted("t", "2"),
        Accepted("t", "1", ids()),
        Accepted("t", "1", ids("1")),
        Accepted("t", "1", ids("1", "2")),
        Accepted("t", "1", exclude=ids("1")),
        Accepted("t", "1", args="[1]"),
        Accepted("t", "1", args="[1]", kwargs='{"a":1}'),
        Accepted("t", "1", authid=Receivers(ids("1"))),
        Accepted("t", "1", authid=Receivers(None, ids("1"))),
        Accepted("t", "1", authrole=Receivers(ids("1"))),
        Accepted("t", "1", retain=True),
    ]
    prints = [fingerprint(push) for push in pushes]
    assert len({each.content for each in prints}) == len(pushes)
    assert len({each.name for each in prints}) == 1
    names = [
        fingerprint(Accepted("t", "1")),
        fingerprint(Accepted("u", "1")),
        fingerprint(Accepted("t", "1", key="app")),
        fingerprint(Accepted("t", "1", key="")),
        fingerprint(Accepted("t", "1"), '"l"'),
        fingerprint(Accepted('t", "k', "1"), '"l"'),
    ]
    assert len({each.name for each in names}) == len(names)
    many = [str(each) for each in range(1000)]
    assert fingerprint(Accepted("t", "1", ids(*many))) == fingerprint(Accepted("t", "1", ids(*reversed(many))))
    assert fingerprint(Accepted("t\ud800", "1")).name != names[0].name


def test_a_key_is_forgotten_after_300_seconds() -> None:
    """The time runs from the first push, no matter how often it is repeated."""
    keys = IdempotencyKeys()
    first, second = fingerprint(Accepted("t", "1")), fingerprint(Accepted("t", "1"), '"l"')
    keys.add(first, 7, 1000.0)
    keys.add(second, 8, 1001.0)
    assert [keys.find(first, now) for now in (1000.0, 1299.0, 1299.9, 1300.0)] == [7, 7, 7, None]
    assert keys.find(second, 1300.0) == 8
    changed = keys.find(fingerprint(Accepted("t", "2"), '"l"'), 1300.0)
    assert isinstance(changed, Refused)
    assert changed.status == 422
    assert keys.find(fingerprint(Accepted("t", "2"), '"l"'), 1301.0) is None


def test_the_oldest_key_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_idempotency, "_MAX_KEYS", 3)
    keys = IdempotencyKeys()
    prints = [fingerprint(Accepted("t", "1"), f'"{number}"') for number in range(5)]
    for number, each in enumerate(prints):
        keys.add(each, number, 0.0)
    assert [keys.find(each, 0.0) for each in prints] == [None, None, 2, 3, 4]


def test_the_limit_of_keys_limits_the_memory() -> None:
    """A key takes about 400 bytes regardless of its length, its topic and the event: 100,000 keys take 40 MB."""
    number, ids = 300, count(2**52)
    keys = IdempotencyKeys()
    assert _idempotency._MAX_KEYS == 100_000
    event = "x" * 4096
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for each in range(number):
            push = Accepted(f"{each:0256}", event)
            keys.add(fingerprint(push, f'"{each:0255}"'), next(ids), float(each))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < number * 450
