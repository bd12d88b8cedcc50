"""Bugs of other clients of this kind, tested with both clients of this package, unless another test covers them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient, InvalidPush
from webmqconnect_async._core.dialects import DialectName

from .cases import PUBLISHED
from .clients import DRIVERS, Both
from .hostile import ACCEPTED, Hostile, Recorded, answer, hostile, refusing, reply
from .scripts import run_script

both_drivers = pytest.mark.parametrize("driver", DRIVERS)

SECRET = "s3cret"


async def test_broker_closes_while_the_loop_is_blocked(server: Hostile) -> None:
    """The next push of the task that blocked the loop finds the connection closed, and opens another one."""
    async with AsyncClient(server.url) as client:
        for number in range(10):
            assert (await client.push("t", number)).attempts == 1
            server.drop_all()
            time.sleep(0.06)  # noqa: ASYNC251  # the test blocks the loop
        assert server.connections == len(server.requests) == 10


PREFORK = """
def prefork(push, end):
    push("preloaded")
    children = []
    for number in range(2):
        child = os.fork()
        if not child:
            push(f"worker {number}")
            push(f"worker {number}")
            end()
            sys.exit(0)
        children.append(child)
    for child in children:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    push("master")
    end()
"""


PRELOADED = """
client = Client(url, ssl=trust)
prefork(lambda event: client.push('sync', event), client.close)

client = AsyncClient(url, ssl=trust)
runner = asyncio.Runner()

def push(event):
    global runner, home
    if os.getpid() != home:
        runner, home = asyncio.Runner(), os.getpid()
    runner.run(client.push("async", event))

def end():
    runner.run(client.close())
    runner.close()

home = os.getpid()
prefork(push, end)
"""


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_preloaded_application(tls: bool, tmp_path: Path) -> None:
    """A client that has pushed before its workers are forked, as under `gunicorn --preload`, works in all of them."""
    with hostile(tls=tls) as server:
        printed = run_script(PRELOADED, server.url, tmp_path, prelude=PREFORK)
        assert printed.split() == ["0", "0"] * 2
        for driver in DRIVERS:
            requests = [each for each in server.requests if each.query["topicuri"] == driver]
            events = sorted(json.loads(each.body) for each in requests)
            assert events == ["master", "preloaded", "worker 0", "worker 0", "worker 1", "worker 1"]
        # The connection of the main process still works.
        assert server.connections == 2 * 3


def test_no_thread_is_started(server: Hostile, tmp_path: Path) -> None:
    """Under uWSGI without threads, the blocking client can push, also a bulk with a concurrency of 1."""
    printed = run_script(
        """
        def start(thread):
            raise AssertionError("a thread is started")

        threading.Thread.start = start
        with Client(url) as client:
            print(client.push("t", 1).status)
            print(sum(outcome.ok for outcome in client.push_many([("t", 1)] * 20, concurrency=1)))
            with client.push_stream([("t", 1)] * 20, concurrency=1) as outcomes:
                print(next(outcomes).ok)
        """,
        server.url,
        tmp_path,
    )
    assert printed.split() == ["202", "20", "True"]


class Event(list[int]):
    """An event to which weak references are possible."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # required by WeakSet


@both_drivers
@pytest.mark.parametrize("order_by_topic", [False, True])
def test_a_stream_keeps_only_events_in_flight(driver: str, order_by_topic: bool, server: Hostile) -> None:
    """For any number of events, only those in flight and those that wait for the consumer are in memory."""
    alive: weakref.WeakSet[Event] = weakref.WeakSet()
    most = 0

    def source() -> Iterator[tuple[str, object]]:
        nonlocal most
        for number in range(1000):
            event = Event([number])
            alive.add(event)
            most = max(most, len(alive))
            yield str(number % 100), event
            del event

    with Both(driver, server.url, concurrency=10) as client:
        assert client.count_stream(source(), order_by_topic=order_by_topic) == 1000
    assert most <= 4 * 10


@both_drivers
def test_a_client_is_isolated_from_the_environment(
    driver: str, server: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client uses no proxy from the environment, no netrc, and no cookie of an earlier response."""
    server.script(answer(reply(202, b"", "Set-Cookie: c=1; Path=/")))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with refusing() as dead:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, dead)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with Both(driver, server.url) as client:
            client.push("t", 1)
            client.push("t", 2)
    for sent in server.requests:
        assert sent.line.startswith("POST /push?")
        assert {sent.header(name) for name in ("Cookie", "Authorization", "Proxy-Authorization")} == {None}


def _signed_webmq(sent: Recorded, topic: str) -> bytes:
    query = sent.query
    assert query["topicuri"] == topic
    return b"".join([topic.encode(), query["appkey"].encode(), query["timestamp"].encode(), sent.body])


def _signed_bridge(sent: Recorded, topic: str) -> bytes:
    query = sent.query
    assert json.loads(sent.body)["topic"] == topic
    return "".join(query[name] for name in ("key", "timestamp", "seq", "nonce")).encode() + sent.body


@both_drivers
@pytest.mark.parametrize(
    ("dialect", "accepted", "signed", "topics"),
    [
        (
            "webmq",
            ACCEPTED,
            _signed_webmq,
            [*"#+&%~; \r\n\0=?/", "%2B", "%zz", "a+b c", "http://example.com/ä#ö?x=1&y;z"],
        ),
        ("crossbar", PUBLISHED, _signed_bridge, [*"+&%~;\0=?/", "%2B", "%zz", "a+b", "http://example/ä?x=1&y;z"]),
    ],
    ids=["webmq", "crossbar"],
)
def test_a_topic_arrives_byte_for_byte(
    driver: str,
    dialect: DialectName,
    accepted: bytes,
    signed: Callable[[Recorded, str], bytes],
    topics: list[str],
) -> None:
    """The bytes on the socket are the signed bytes: no library escapes the query again."""
    with hostile(accepted=accepted) as server, Both(driver, server.url, "app", SECRET, dialect=dialect) as client:
        for topic in topics:
            client.push(topic, "&eligible=mallory;")
            sent = server.requests[-1]
            expected = hmac.digest(SECRET.encode(), signed(sent, topic), hashlib.sha256)
            assert base64.urlsafe_b64decode(sent.query["signature"]) == expected
            assert b"&" not in sent.body or dialect == "crossbar"


def _circle() -> list[object]:
    circle: list[object] = []
    circle.append(circle)
    return circle


@both_drivers
@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
@pytest.mark.parametrize(
    "event",
    [float("nan"), float("inf"), "\ud800", {"\udfff": 1}, _circle(), object(), {1, 2}, b"bytes", {(1, 2): 3}],
    ids=repr,
)
def test_an_event_without_a_json_form_is_not_sent(
    driver: str, dialect: DialectName, event: object, server: Hostile
) -> None:
    with Both(driver, server.url, dialect=dialect) as client:
        error = client.failure(event)
        assert type(error) is InvalidPush
        assert error.attempts == 0
        assert client.stats.failed == 0
    assert server.connections == 0
