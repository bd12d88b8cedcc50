"""Guarantees of both engines: that of a single hub, and that of hubs over a stream.

Each test has two hubs. Over a stream they are different ones, and one of them delivers what the other accepts. In
memory both are the same hub.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from itertools import chain, pairwise
from typing import cast
from urllib.parse import quote

import prometheus_client  # noqa: F401  # its import reads /proc, which would block the event loop
import pytest

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Accepted, Hub, HubOptions, Refused

from .conftest import PATIENCE, Answer, HubClient
from .pair import Page, Pair, Start, new_prefix, page, pairs
from .test_console import TOKEN, console
from .test_idempotency import REUSED, TOPIC, Sent, both_formats
from .test_metrics import scraped
from .test_wamp2_server import KEY, SECRET, authenticate

NOW = 1_700_000_000.0
MILLISECOND = 1 << 11
"""How much the ID of a publication grows in a millisecond."""


@pytest.fixture(params=["memory", "stream"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def start(engine: str, request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    backplane: HubOptions = {}
    if engine == "stream":
        backplane = {"backplane": request.getfixturevalue("redis_server").url, "backplane_prefix": new_prefix()}
    async with pairs(backplane) as start:
        yield start


@pytest.fixture
async def pair(start: Start) -> Pair:
    return await start(allow_publish=True)


async def published(
    wire: HubClient, hub: Hub, event: object = 1, topic: str = TOPIC, options: dict[str, object] | None = None
) -> int:
    """Push an event, which must be accepted, with the options of a PUBLISH. Return its ID."""
    body = json.dumps({"topic": topic, "args": [event], "options": options or {}}).encode()
    answer = await wire.request("POST", hub, "/publish", body, Content_Type="application/json")
    assert answer.status == 200, answer.text
    publication: int = json.loads(answer.text)["id"]
    return publication


async def events(*peers: Page, count: int = 1) -> list[object]:
    """Return the values of the next events, which must be the same for all subscribers."""
    got = [[cast(list[object], (await peer.event())[1][0])[0] for _ in range(count)] for peer in peers]
    assert all(each == got[0] for each in got)
    return got[0]


async def ids_of(hub: Hub, count: int, start: int = 0) -> list[int]:
    """Push many events with an `AsyncClient`, 50 at a time. Return their IDs in the order of the events."""
    async with AsyncClient(hub.url, concurrency=50) as client:
        receipts = await asyncio.gather(*(client.push(TOPIC, start + number) for number in range(count)))
    return sorted(receipt.id for receipt in receipts if receipt.id is not None)


# Order, and IDs


async def test_all_subscribers_get_all_events_in_the_same_order(pair: Pair, wire: HubClient) -> None:
    """Subscribers of both hubs get the events of both in the same order.

    IDs increase, and equal those of the responses.
    """
    pages = [await page(wire, hub, TOPIC) for hub in pair]
    old = [await wire.subscriber(hub, TOPIC) for hub in pair]
    ids = await asyncio.gather(ids_of(pair.first, 100), ids_of(pair.second, 100, 1000))
    first, second = [[await peer.event() for _ in range(200)] for peer in pages]
    assert first == second
    assert [number for number, _ in first] == sorted(ids[0] + ids[1])
    assert len({*ids[0], *ids[1]}) == 200
    values = [values[0][0] for _, values in first]  # type: ignore[index]
    for peer in old:
        assert [await peer.receive() for _ in range(200)] == [[8, TOPIC, value] for value in values]


async def test_successive_pushes_stay_in_order(pair: Pair, wire: HubClient) -> None:
    """Successive pushes stay in order, no matter which hub accepts each of them."""
    watching = [await page(wire, hub, TOPIC) for hub in pair]
    ids = [await published(wire, pair[number % 2], number) for number in range(20)]
    for peer in watching:
        assert [await peer.event() for _ in range(20)] == [(ids[number], [[number]]) for number in range(20)]


async def test_ids_while_the_clock_stands_still(start: Start, wire: HubClient) -> None:
    """After 2,048 IDs within a millisecond, the next one is in the following millisecond."""
    pair = await start(clock=lambda: NOW, max_queue=1 << 22)
    peer = await page(wire, pair.second, TOPIC)
    ids = sorted(chain(*await asyncio.gather(ids_of(pair.first, 2500), ids_of(pair.second, 2500))))
    lowest = int(NOW * 1000) * MILLISECOND
    assert ids == [*range(lowest + 1, lowest + 5001)]
    assert [(await peer.event())[0] for _ in range(5000)] == ids


async def test_ids_after_the_clock_was_set_back(start: Start, wire: HubClient) -> None:
    """IDs continue after the last one."""
    now = [NOW]
    pair = await start(clock=lambda: now[0])
    before = [await published(wire, hub) for hub in pair]
    now[0] -= 3600
    after = [await published(wire, hub) for hub in (*pair, *pair)]
    now[0] += 7200
    ids = [*before, *after, await published(wire, pair.first)]
    assert all(later - earlier == 1 for earlier, later in pairwise(ids[:-1]))
    assert ids[-1] == int((NOW + 3600) * 1000) * MILLISECOND


# Idempotency keys


@both_formats
async def test_a_repeated_push(sent: Sent, start: Start, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    """The response to a repeated push has the ID of the first one, and no hub delivers the event again."""
    caplog.set_level(logging.INFO, "webmqconnect_async.hub")
    pair = await start(metrics="127.0.0.1:0")
    peers = [await page(wire, hub, TOPIC) for hub in pair]
    first = await sent.push(wire, pair.first, '"a"')
    for hub in pair:
        again = await sent.push(wire, hub, '"a"')
        assert again.headers["Idempotent-Replayed"] == "true"
        assert sent.publication(again) == sent.publication(first)
    assert "Idempotent-Replayed" not in first.headers
    other = await sent.push(wire, pair.second, '"b"', event=2)
    expected = [(sent.publication(first), [[1]]), (sent.publication(other), [[2]])]
    for peer in peers:
        assert [await peer.event() for _ in range(2)] == expected
    said = f"push to {TOPIC} repeated: ID {sent.publication(first)}, not delivered again"
    assert [record.getMessage() for record in caplog.records].count(said) == 2
    repeated = [(await scraped(wire, hub))["pushes_total repeated"] for hub in {*pair}]
    assert sum(repeated) == 2


@both_formats
async def test_a_key_that_is_used_with_another_event(sent: Sent, pair: Pair, wire: HubClient) -> None:
    peer = await page(wire, pair.first, TOPIC)
    first = await sent.push(wire, pair.first, '"a"')
    for hub in pair:
        refused = await sent.push(wire, hub, '"a"', event=2)
        assert (refused.status, sent.reason(refused)) == (422, REUSED)
    assert sent.publication(await sent.push(wire, pair.second, '"a"')) == sent.publication(first)
    await sent.push(wire, pair.second, '"b"', event=3)
    assert await events(peer, count=2) == [1, 3]


async def test_the_same_push_many_times_at_once(pair: Pair, wire: HubClient) -> None:
    """Of many simultaneous pushes with the same key, one is published."""
    sent, peer = Sent("webmq"), await page(wire, pair.first, TOPIC)
    answers = await asyncio.gather(*(sent.push(wire, hub, '"a"') for hub in pair * 10))
    assert len({sent.publication(answer) for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    await published(wire, pair.second, 2)
    assert await events(peer, count=2) == [1, 2]


# Receivers


async def test_receivers_by_their_sessions(pair: Pair, wire: HubClient) -> None:
    """Session IDs select receivers at any hub and of both versions of WAMP."""
    one, two = await page(wire, pair.first, TOPIC), await page(wire, pair.second, TOPIC)
    old = await wire.subscriber(pair.second, TOPIC)
    await wire.push(pair.first, f"topicuri={TOPIC}&eligible={one.session_id},{two.session_id}")
    await wire.push(pair.first, f"topicuri={TOPIC}&exclude={two.session_id},{old.session_id}", b"2")
    await wire.push(pair.second, f"topicuri={TOPIC}&eligible={old.session_id}", b"3")
    await wire.push(pair.second, f"topicuri={TOPIC}&eligible=", b"4")
    both = f"{one.session_id},{two.session_id}"
    await wire.push(pair.second, f"topicuri={TOPIC}&eligible={both}&exclude={one.session_id}", b"5")
    await wire.push(pair.first, f"topicuri={TOPIC}", b"6")
    assert await events(one, count=3) == [1, 2, 6]
    assert await events(two, count=3) == [1, 5, 6]
    assert [await old.receive() for _ in range(2)] == [[8, TOPIC, 3], [8, TOPIC, 6]]


async def test_receivers_by_user_and_role(start: Start, wire: HubClient) -> None:
    pair = await start(subscriber_keys={KEY: SECRET, "other": SECRET})
    peers = []
    for hub, key in ((pair.first, KEY), (pair.second, KEY), (pair.second, "other")):
        peer = wire._peer(Page(await wire.session.ws_connect(hub.ws_url, protocols=("wamp.2.json",))))
        await authenticate(peer, key)
        await peer.subscribe(TOPIC)
        peers.append(peer)
    conditions: list[dict[str, object]] = [
        {"eligible_authid": [KEY]},
        {"exclude_authid": [KEY]},
        {"eligible_authrole": "anonymous"},
        {"eligible_authrole": ["anonymous", "subscriber"]},
        {"exclude_authrole": ["subscriber"]},
        {"eligible_authid": [KEY, "other"], "exclude_authid": ["other"], "exclude": 1},
        {},
    ]
    for number, options in enumerate(conditions):
        await published(wire, pair[number % 2], number, options=options)
    assert await events(*peers[:2], count=4) == [0, 3, 5, 6]
    assert await events(peers[2], count=3) == [1, 3, 6]


# Retained events, and the history


async def test_the_last_retained_event(pair: Pair, wire: HubClient) -> None:
    """Both hubs send the same last retained event."""
    watching = [await page(wire, hub, "end") for hub in pair]
    await published(wire, pair.first, 1, options={"retain": True})
    retained = await published(wire, pair.second, 2, options={"retain": True})
    await published(wire, pair.first, 3)
    await published(wire, pair.first, topic="end")
    for hub, before in zip(pair, watching, strict=True):
        await before.event()  # now the hub has all earlier events
        peer = await page(wire, hub)
        await peer.send(32, 1, {"get_retained": True}, TOPIC)
        assert (await peer.receive())[:2] == [33, 1]
        assert (await peer.receive())[2:] == [retained, {"retained": True}, [2]]


async def test_a_page_that_moves_to_the_other_hub_misses_nothing(pair: Pair, wire: HubClient) -> None:
    """A page that moves gets missed and new events, except for those that exclude it or are addressed to others."""
    before = await page(wire, pair.first, TOPIC)
    seen = await published(wire, pair.first, 0)
    assert await events(before) == [0]
    await before.socket.close()
    missed = [(await published(wire, pair[number % 2], number), [[number]]) for number in range(1, 5)]
    await published(wire, pair.first, 5, options={"exclude": [int(before.session_id)]})
    await published(wire, pair.first, 6, options={"eligible_authrole": ["subscriber"]})
    await published(wire, pair.second, 7, topic="another")
    after = await page(wire, pair.second)
    assert after.history == before.history
    assert await after.recover(TOPIC, seen, before.session_id) == missed
    later = await published(wire, pair.first, 8)
    assert await after.event() == (later, [[8]])


async def test_positions(pair: Pair, wire: HubClient) -> None:
    """WELCOME and SUBSCRIBED contain the ID of the newest event of all topics."""
    watching = await page(wire, pair.second, "another")
    newest = await published(wire, pair.first, topic="another")
    assert (await watching.event())[0] == newest
    peer = await page(wire, pair.second)
    assert peer.newest == newest
    await peer.send(32, 1, {"_newest": True}, TOPIC)
    assert (await peer.receive())[3] == {"_newest": newest}
    assert await peer.recover(TOPIC, newest) == []


async def test_an_event_for_a_former_session_makes_the_history_unavailable(pair: Pair, wire: HubClient) -> None:
    before = await page(wire, pair.first, TOPIC)
    await before.socket.close()
    await published(wire, pair.first, options={"eligible": [int(before.session_id)]})
    after = await page(wire, pair.second)
    with pytest.raises(LookupError, match=r"^an event was for a former session$"):
        await after.recover(TOPIC, before.newest, before.session_id)


async def test_the_limit_of_the_history(start: Start, wire: HubClient) -> None:
    """Each hub keeps as many events of a topic as its options say."""
    pair = await start(history=2)
    watching = await page(wire, pair.second, TOPIC)
    ids = [await published(wire, pair.first, number) for number in range(4)]
    await events(watching, count=4)
    peer = await page(wire, pair.second)
    assert await peer.recover(TOPIC, ids[1]) == [(ids[2], [[2]]), (ids[3], [[3]])]
    with pytest.raises(LookupError, match=r"^events are no longer in the history$"):
        await peer.recover(TOPIC, ids[0])


async def test_no_history(start: Start, wire: HubClient) -> None:
    """Without a history, events are delivered, and a page that asks for missed ones gets an error."""
    pair = await start(history=0)
    peer = await wire.wamp2_subscriber(pair.second, TOPIC)
    publication = await published(wire, pair.first)
    assert await peer.event() == (publication, [[1]])
    await peer.send(32, 7, {"_after": publication - 1}, TOPIC)
    assert (await peer.receive())[5] == ["the hub keeps no history"]


# Subscribers that publish


async def test_subscribers_that_publish(pair: Pair, wire: HubClient) -> None:
    """Events of subscribers reach the subscribers of both hubs.

    A publisher gets its own events only if it asks for them.
    """
    new, other = await page(wire, pair.first, TOPIC), await page(wire, pair.second, TOPIC)
    old = await wire.subscriber(pair.second, TOPIC)
    await new.send(16, 5, {"acknowledge": True}, TOPIC, ["é", 2], {"k": None})
    code, request, publication = await new.receive()
    assert (code, request) == (17, 5)
    assert await other.event() == (publication, [["é", 2], {"k": None}])
    assert await old.receive() == [8, TOPIC, {"args": ["é", 2], "kwargs": {"k": None}}]
    await old.send(7, TOPIC, [2])
    assert await events(new, other) == [[2]]
    await old.send(7, TOPIC, 3, [], [old.session_id])
    assert await old.receive() == [8, TOPIC, 3]
    await new.send(16, 6, {"exclude_me": False}, TOPIC, [4])
    assert await events(new, other) == [4]
    assert await old.receive() == [8, TOPIC, 4]


async def test_messages_after_one_that_publishes(pair: Pair, wire: HubClient) -> None:
    """Messages that follow a PUBLISH are processed after it."""
    new, old = await page(wire, pair.first), await wire.subscriber(pair.first)
    for number in range(5):
        await new.send(16, number, {"acknowledge": True}, TOPIC, [number])
    await new.send(66, 1, 0)
    answers = [(await new.receive())[:2] for _ in range(6)]
    assert answers == [*([17, number] for number in range(5)), [8, 66]]
    peer = await page(wire, pair.second, TOPIC)
    for number in range(5):
        await old.send(7, TOPIC, number)
    await old.heard()
    assert await events(peer, count=5) == [*range(5)]


async def test_a_subscriber_that_disconnects_after_it_has_published(pair: Pair, wire: HubClient) -> None:
    new, watching = await page(wire, pair.first), await page(wire, pair.second, TOPIC)
    await new.send(16, 1, {}, TOPIC, [1])
    await new.send(6, {}, "wamp.close.close_realm")
    assert (await new.receive())[0] == 6
    assert await events(watching) == [1]


# Observers, and rules


async def test_the_console(start: Start, wire: HubClient) -> None:
    """The console pushes to the subscribers of both hubs, and shows the pushes that each of them accepts."""
    pair = await start(console_token=TOKEN, admit=refuse_typos)
    peers = [await page(wire, hub, TOPIC) for hub in pair]
    async with console(wire, pair.first) as one, console(wire, pair.second) as two:
        said = await one.push('"x"', topicuri=TOPIC)
        assert said == {"topic": TOPIC, "receivers": 1 if pair.first is not pair.second else 2}
        assert await events(*peers) == ["x"]
        for watching in (one, two):
            [[_, topic, text, *_]] = (await watching.next("events"))["events"]
            assert (topic, text) == (TOPIC, '"x"')
        refused = await one.push("1", topicuri="typo")
        assert (refused["status"], refused["reason"]) == (403, "a typo")


def refuse_typos(push: Accepted) -> Refused | None:
    return Refused(403, "a typo") if push.topic == "typo" else None


async def test_admit(start: Start, wire: HubClient) -> None:
    """The hub that gets the push asks the application once."""
    asked: list[str] = []

    def admit(push: Accepted) -> Refused | None:
        asked.append(push.event)
        return Refused(403, "even") if push.event == "2" else None

    pair = await start(admit=admit)
    peer = await page(wire, pair.second, TOPIC)
    sent = Sent("webmq")
    answers: list[Answer] = [await sent.push(wire, pair.first, f'"{each}"', event=each) for each in (1, 2, 3)]
    assert [(answer.status, answer.text) for answer in answers] == [(202, ""), (403, "even\n"), (202, "")]
    assert await events(peer, count=2) == [1, 3]
    assert asked == ["1", "2", "3"]


async def test_metrics(start: Start, engine: str, wire: HubClient) -> None:
    """Each hub counts the pushes that it accepts, and all deliveries to its own subscribers."""
    pair = await start(metrics="127.0.0.1:0", allow_publish=True)
    peers = [await page(wire, hub, TOPIC) for hub in pair]
    for number in range(3):
        await published(wire, pair.first, number)
    await peers[0].send(16, 1, {"acknowledge": True, "exclude_me": False}, TOPIC, [3])
    assert [(await peer.receive())[0] for peer in peers[:1] for _ in range(5)].count(36) == 4
    assert await events(peers[1], count=4) == [0, 1, 2, 3]
    first, second = [await scraped(wire, hub) for hub in pair]
    assert first["pushes_total accepted"] == first["push_to_queue_seconds_count"] == 3
    assert first["publications_total"] == 1
    if engine == "memory":
        assert first["deliveries_total"] == 8
        assert "backplane_up" not in first
    else:
        assert (first["deliveries_total"], first["forwarded_total"], first["backplane_up"]) == (4, 0, 1)
        assert (second["deliveries_total"], second["forwarded_total"], second["backplane_up"]) == (4, 4, 1)
        assert second["pushes_total accepted"] == second["publications_total"] == 0


async def test_log(start: Start, engine: str, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    """Each event is logged in one line, and in another one at each other hub."""
    pair = await start(allow_publish=True)
    peers = [await page(wire, hub, TOPIC) for hub in pair]
    caplog.set_level(logging.INFO, "webmqconnect_async.hub")
    pushed = await published(wire, pair.first, 12)
    await peers[0].send(16, 1, {"acknowledge": True}, TOPIC, [345])
    await events(peers[1], count=2)
    answers = [await peers[0].receive() for _ in range(2)]
    publication = next(answer[2] for answer in answers if answer[0] == 17)
    lines = [record.getMessage().partition(" ms")[0].rpartition(", ")[0] for record in caplog.records]
    if engine == "memory":
        assert lines == [
            f"push to {TOPIC}: 2 bytes, 2 subscribers, ID {pushed}",
            f"publication by a subscriber to {TOPIC}: 3 bytes, 1 subscriber",
        ]
        return
    assert sorted(record.getMessage().partition(" ms")[0] for record in caplog.records)[:2] == [
        f"event of another hub to {TOPIC}: 2 bytes, 1 subscriber, ID {pushed}",
        f"event of another hub to {TOPIC}: 3 bytes, 1 subscriber, ID {publication}",
    ]
    assert sorted(lines)[2:] == [
        f"publication by a subscriber to {TOPIC}: 3 bytes, 0 subscribers",
        f"push to {TOPIC}: 2 bytes, 1 subscriber, ID {pushed}",
    ]
    facts = [vars(record) for record in caplog.records if vars(record)["event"] == "forwarded"]
    assert [(each["topic"], each["receivers"]) for each in facts] == [(TOPIC, 1)] * 2


# Texts and sizes


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        ("http://example.com/a b?c=d#é", '"\\ud800"'),
        ("\N{PILE OF POO}\r\n\0", '{"\N{PILE OF POO}": "\\u0000\\udfff"}'),
        ("-", "12345678901234567890.10"),
        ("p o t e s a k r h", '"o p t e 0-0"'),
    ],
)
async def test_odd_texts(pair: Pair, wire: HubClient, topic: str, body: str) -> None:
    """All subscribers receive the text unchanged."""
    peers = [await wire.subscriber(hub, topic) for hub in pair]
    await wire.push(pair.first, f"topicuri={quote(topic, safe='')}", body.encode())
    for peer in peers:
        text = (await peer.socket.receive(timeout=PATIENCE)).data
        assert json.loads(text)[:2] == [8, topic]
        assert text.endswith(f",{body}]")


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]


async def test_the_largest_events(start: Start, wire: HubClient) -> None:
    """Several events of 1 MiB at a time are delivered; a larger one is refused."""
    size = 1 << 20
    pair = await start(max_body=size, max_queue=1 << 24, history_bytes=1 << 26)
    before, peer = await page(wire, pair.second), await page(wire, pair.second, TOPIC)
    bodies = [b'"%s"' % (letter * (size - 2)) for letter in (b"a", b"b", b"c", b"d")]
    target = f"/?topicuri={TOPIC}"
    answers = await asyncio.gather(*(wire.request("POST", pair.first, target, chunks(body)) for body in bodies))
    assert [answer.status for answer in answers] == [202] * 4
    assert (await wire.request("POST", pair.first, target, chunks(b'"%s"' % (b"x" * (size - 1))))).status == 400
    got = [await peer.event() for _ in bodies]
    assert sorted(json.dumps(values).encode() for _, values in got) == [b"[[%s]]" % body for body in bodies]
    assert await before.recover(TOPIC, before.newest) == got
