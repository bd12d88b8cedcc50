"""The log of a hub: its lines, their extra attributes, secrets that must not appear, and the rate limit."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import pytest

from webmqconnect_async import AsyncClient, NotAccepted
from webmqconnect_async.hub import Hub, HubConfig, _log
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._log import Log
from webmqconnect_async.hub._observer import Refusal
from webmqconnect_async.hub._publication import Publication
from webmqconnect_async.hub._session import Session
from webmqconnect_async.hub._wamp1.session import Wamp1Session
from webmqconnect_async.hub._wamp2.session import Wamp2Session

from .conftest import PATIENCE, HubClient, Run, said

LOGGER = "webmqconnect_async.hub"
TOPIC = "http://example.com/orders"


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)


def facts(record: logging.LogRecord) -> dict[str, object]:
    """Return the attributes that a record has in addition to those of every record."""
    usual = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
    return {name: value for name, value in vars(record).items() if name not in usual}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait for a line with this text."""
    async with asyncio.timeout(PATIENCE):
        while text not in caplog.text:  # noqa: ASYNC110  # the log sets no event
            await asyncio.sleep(0)


def opened(broker: Broker, kind: type[Session] = Wamp1Session) -> Session:
    session = broker.open(kind, drop=lambda: None, peer="192.0.2.1")
    if kind is Wamp2Session:
        session.receive('[1,"realm1",{"roles":{"subscriber":{}}}]')
    said(session)
    return session


async def test_a_push_and_its_subscribers(run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    """A line for a push has the number of receivers. A topic without subscribers, perhaps a typo, is marked."""
    hub = await run(Hub(port=0, keys={"app": "s3cret"}))
    await wire.subscriber(hub, TOPIC)
    caplog.clear()
    async with AsyncClient(hub.url, auth_key="app", auth_secret="s3cret") as client:
        await client.push(TOPIC, {"id": "ü"})
        await client.push("http://example.com/ordres", 1)
    right, wrong = caplog.records
    pattern = r"push to http://example.com/{}, ID \d+, \d+\.\d ms, key 'app'"
    assert re.fullmatch(pattern.format("orders: 11 bytes, 1 subscriber"), right.getMessage())
    assert re.fullmatch(pattern.format("ordres: 1 byte, 0 subscribers"), wrong.getMessage())
    known = facts(right)
    assert isinstance(known.pop("publication"), int)
    assert isinstance(known.pop("milliseconds"), float)
    assert known == {"event": "push", "topic": TOPIC, "bytes": 11, "receivers": 1, "key": "app"}


async def test_a_subscriber_joins_and_leaves(hub: Hub, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    peer = await wire.wamp2_subscriber(hub, "com.example.a", "com.example.b")
    await peer.socket.close()
    await logged(caplog, "left")
    joined, left = caplog.records
    assert joined.getMessage() == f"subscriber {peer.session_id} joined from 127.0.0.1: wamp.2.json"
    assert re.fullmatch(rf"subscriber {peer.session_id} left after \d+\.\d s, 2 topics", left.getMessage())
    known = facts(left)
    assert isinstance(known.pop("seconds"), float)
    assert known == {"event": "left", "session": peer.session_id, "topics": 2}


def test_a_subscriber_with_a_key(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(HubConfig(subscriber_keys={"page": "s3cret"}), (Log(),))
    session = broker.open(Wamp1Session, drop=lambda: None, peer="192.0.2.1")
    assert lines(caplog) == []  # it has not authenticated yet
    session.admit("page")
    assert lines(caplog) == [f"subscriber {session.id} joined from 192.0.2.1: wamp, key 'page'"]


def test_an_event_of_a_subscriber(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(HubConfig(allow_publish=True), (Log(),))
    author, _ = opened(broker), opened(broker).receive(json.dumps([5, TOPIC]))
    author.receive(json.dumps([7, TOPIC, "x"]))
    line = lines(caplog)[-1]
    assert re.fullmatch(rf"publication by a subscriber to {TOPIC}: 3 bytes, 1 subscriber, ID \d+", line)


CLOCK = "2011-10-14T16:59:51Z"


@pytest.mark.parametrize(
    ("options", "query", "body", "headers", "line"),
    [
        (
            *({}, "topicuri=t", b"1", {"Origin": "https://shop.example.com"}),
            "origin 'https://shop.example.com' may not push; hint: --allow-origin https://shop.example.com",
        ),
        ({}, "topicuri=t", b"1" * 5000, {}, "content length (5000) exceeds maximum (4096); hint: --max-body 8192"),
        ({"max_topic": 3}, "topicuri=abcd", b"1", {}, "topic length (4) exceeds maximum (3); hint: --max-topic 4"),
        (
            *({"keys": {"app": "s3cret"}}, "topicuri=t", b"1", {}),
            "not authorized (this hub takes signed pushes only); hint: sign it with the key that --key names",
        ),
        (
            *({"keys": {"app": "s3cret"}}, f"topicuri=t&appkey=app&timestamp={CLOCK}&signature=x", b"1", {}),
            r"timestamp expired (delta \d+ seconds); hint: compare the clocks of both machines",
        ),
        ({}, "topicuri=t", b"{", {}, "invalid JSON in request body"),
    ],
)
async def test_a_refused_push_and_its_remedy(
    run: Run,
    wire: HubClient,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, object],
    query: str,
    body: bytes,
    headers: dict[str, str],
    line: str,
) -> None:
    hub = await run(Hub(port=0, **options))  # type: ignore[arg-type]
    answer = await wire.request("POST", hub, f"/?{query}", body, **headers)
    assert answer.status >= 400
    [record] = caplog.records
    pattern = re.escape(f"push from 127.0.0.1 refused: {line}").replace(re.escape(r"\d+"), r"\d+")
    assert re.fullmatch(pattern, record.getMessage())
    assert (facts(record)["status"], facts(record)["what"]) == (answer.status, "push")


async def test_a_refused_host_and_subscribers(run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    hub = await run(Hub(port=0, max_connections=1))
    await wire.request("GET", hub, "/", Host="shop.example.com:443")
    await wire.refused(hub, Origin="https://shop.example.com")
    await wire.subscriber(hub)
    await wire.refused(hub)
    assert [line for line in lines(caplog) if "refused" in line] == [
        "request from 127.0.0.1 refused: host 'shop.example.com:443' not allowed; hint: --allow-host shop.example.com",
        "subscriber from 127.0.0.1 refused: origin 'https://shop.example.com' may not subscribe; "
        "hint: --allow-origin https://shop.example.com",
        "subscriber from 127.0.0.1 refused: the hub has its maximum number of subscribers (1); "
        "hint: --max-connections 2",
    ]


LIMITS = HubConfig(max_subscriptions=1, max_topic=20)
KEYS = HubConfig(subscriber_keys={"page": "s3cret"})
TOO_MANY = "number or size of its {0} exceeds maximum (1 {0}, 256 bytes); hint: --max-subscriptions 2"


@pytest.mark.parametrize(
    ("config", "kind", "messages", "line"),
    [
        (LIMITS, Wamp1Session, [[5, "a"], [5, "b"]], f"subscription {{}} refused: {TOO_MANY.format('topics')}"),
        (
            LIMITS,
            Wamp1Session,
            [[1, "a", "b"], [1, "b", "c"]],
            f"subscription {{}} refused: {TOO_MANY.format('prefixes')}",
        ),
        (
            *(LIMITS, Wamp1Session, [[5, "x" * 21]]),
            "subscription {} refused: topic length (21) exceeds maximum (20); hint: --max-topic 21",
        ),
        (
            *(LIMITS, Wamp1Session, [[1, "x", "x" * 20]]),
            "subscription {} refused: length of prefix and URI (21) exceeds maximum (20); hint: --max-topic 21",
        ),
        (LIMITS, Wamp1Session, [[1, "", "x"]], "subscription {} refused: a prefix is empty"),
        (
            *(LIMITS, Wamp1Session, [[7, "t", 1]]),
            "publication {} refused: subscribers of this hub may not publish; hint: --allow-publish",
        ),
        (
            *(KEYS, Wamp1Session, [[5, "t"]]),
            "subscription {} refused: it has not authenticated; "
            "hint: authenticate with the key that --subscriber-key names",
        ),
        (
            LIMITS,
            Wamp2Session,
            [[32, 1, {}, "a"], [32, 2, {}, "b"]],
            f"subscription {{}} refused: {TOO_MANY.format('topics')}",
        ),
        (
            LIMITS,
            Wamp2Session,
            [[32, 1, {"match": "prefix"}, "a"]],
            "subscription {} refused: this hub supports only exact matches of topics",
        ),
        (
            *(LIMITS, Wamp2Session, [[32, 1, {"match": "prefix"}, "a"]]),
            "subscription {} refused: this hub supports only exact matches of topics",
        ),
        (
            *(LIMITS, Wamp2Session, [[16, 1, {}, "t", [1]]]),
            "publication {} refused: subscribers of this hub may not publish; hint: --allow-publish",
        ),
        (
            *(HubConfig(allow_publish=True), Wamp2Session, [[16, 1, {}, "wamp.x", [1]]]),
            "publication {} refused: the topic is not a URI, or is reserved for the router",
        ),
        (LIMITS, Wamp2Session, [[48, 1, {}, "p"]], "request {} refused: this hub has no procedures"),
        (LIMITS, Wamp2Session, [[99]], "request {} refused: not a message that a client sends to a broker"),
        (
            *(KEYS, Wamp2Session, []),
            "{} refused: subscribers of this hub need a key (wampcra); "
            "hint: authenticate with the key that --subscriber-key names",
        ),
    ],
)
def test_the_refusals_of_a_subscriber(
    caplog: pytest.LogCaptureFixture, config: HubConfig, kind: type[Session], messages: list[list[object]], line: str
) -> None:
    """The log has each refusal of a subscriber, because WAMP v1 has no reply for most of them."""
    session = opened(Broker(config, (Log(),)), kind)
    for message in messages:
        session.receive(json.dumps(message))
    who = f"subscriber {session.id} at 192.0.2.1"
    assert [said for said in lines(caplog) if "refused" in said] == [
        line.format(who if line.startswith("{}") else f"of {who}")
    ]


def test_text_from_outside_is_escaped_and_shortened(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(HubConfig(), (Log(),))
    broker.deliver(Publication("\n\x1b[31m\u202e" + "x" * 1000, "1"), began=0.0)
    [record] = caplog.records
    topic = r"\u000a\u001b[31m\u202e" + "x" * (300 - 7) + "…"
    assert record.getMessage().startswith(f"push to {topic}: 1 byte, 0 subscribers, ID {broker.ids.newest}, ")
    assert facts(record)["topic"] == topic


async def test_no_signature_is_shown(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hub = await run(Hub(port=0, keys={"app": "s3cret"}))
    for secret in ("s3cret", "another"):
        async with AsyncClient(hub.url, auth_key="app", auth_secret=secret) as client:
            if secret == "s3cret":
                await client.push(TOPIC, 1)
            else:
                with pytest.raises(NotAccepted):
                    await client.push(TOPIC, 1)
    everything = repr([vars(record) for record in caplog.records])
    assert len(lines(caplog)) == 2
    for word in ("s3cret", "another", "signature="):
        assert word not in everything


def test_nothing_is_printed_unless_logging_is_configured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, LOGGER)
    broker = Broker(HubConfig(), (Log(),))
    broker.close(opened(broker))
    broker.deliver(Publication("t", "1"), began=0.0)
    assert lines(caplog) == []


async def test_at_most_200_lines_a_second(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of pushes leave room for warnings within the limit, and warnings have a limit, too."""
    now = 0.0
    monkeypatch.setattr(_log, "monotonic", lambda: now)
    log = Log()
    broker = Broker(HubConfig(), (log,))
    guess = Refusal("push", "wrong key or signature", peer="192.0.2.1", forged=True)
    for _ in range(300):
        broker.deliver(Publication("t", "1"), began=0.0)
    for _ in range(300):
        log.refused(guess)
    assert [record.levelname for record in caplog.records] == ["INFO"] * 150 + ["WARNING"] * 50
    now = 0.999
    log.refused(guess)
    assert len(caplog.records) == 200
    caplog.clear()
    now = 1.0
    broker.deliver(Publication("t", "1"), began=0.0)
    assert len(caplog.records) == 1


async def test_suppressed_lines_are_counted(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "monotonic", lambda: 0.0)
    monkeypatch.setattr(_log, "_SECOND", 0.01)
    broker = Broker(HubConfig(), (Log(),))
    for count in (150 + 7, 2):
        for _ in range(count):
            broker.deliver(Publication("t", "1"), began=0.0)
        await logged(caplog, "left out")
        assert [line for line in lines(caplog) if "left out" in line] == [f"{min(count, 7)} lines left out"]
        assert (caplog.records[-1].levelno, facts(caplog.records[-1])["event"]) == (logging.INFO, "left_out")
        caplog.clear()
