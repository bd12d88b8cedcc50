"""Bulks of the blocking client while threads cannot be started: no outcome is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webmqconnect_async import Client, Outcome, Stats

from .hostile import ACCEPTED, Hostile, Peer, bodies, hostile
from .scripts import run_script

LIMITS = ("can't start new thread", "can't create new thread at interpreter shutdown")
"""The messages of CPython when a thread cannot be started."""
METHODS = ("push_many", "push_stream")


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, BaseException], list[threading.Thread]]]:
    """Return a function that limits how many threads of bulks can start. It returns the list of started threads."""
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def limit_to(number: int, error: BaseException) -> list[threading.Thread]:
        def limited(thread: threading.Thread) -> None:
            if thread.name.startswith("webmqconnect-push"):
                if len(started) == number:
                    raise error
                started.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)
        return started

    yield limit_to
    assert not [thread for thread in started if thread.is_alive()]


def push(client: Client, method: str, number: int, *, order_by_topic: bool = False) -> list[Outcome]:
    items = ((f"topic {each % 7}", each) for each in range(number))
    if method == "push_many":
        return client.push_many(items, order_by_topic=order_by_topic)
    return list(client.push_stream(items, order_by_topic=order_by_topic))


@pytest.mark.parametrize("order_by_topic", [False, True], ids=["any order", "ordered"])
@pytest.mark.parametrize("said", LIMITS)
@pytest.mark.parametrize("number", [0, 1, 5])
@pytest.mark.parametrize("method", METHODS)
def test_few_threads(
    method: str,
    number: int,
    said: str,
    order_by_topic: bool,
    limit: Callable[[int, BaseException], list[threading.Thread]],
    server: Hostile,
) -> None:
    """The bulk continues with the threads that it has, or in the caller's thread if it has none."""
    started = limit(number, RuntimeError(said))
    with Client(server.url) as client:
        outcomes = push(client, method, 100, order_by_topic=order_by_topic)
        assert all(outcome.ok for outcome in outcomes)
        assert sorted(outcome.index for outcome in outcomes) == list(range(100))
        assert client.stats == Stats(pushed=100)
    assert len(started) == number
    assert sorted(int(body) for body in bodies(server)) == list(range(100))
    if order_by_topic:
        for topic in {request.query["topicuri"] for request in server.requests}:
            events = [int(request.body) for request in server.requests if request.query["topicuri"] == topic]
            assert events == sorted(events)
    assert server.connections <= max(1, number)


def test_the_existing_threads_push_concurrently(
    limit: Callable[[int, BaseException], list[threading.Thread]],
) -> None:
    """Five threads have five pushes in flight, and the source is read only as far ahead as for five."""
    limit(5, RuntimeError(LIMITS[0]))
    read: list[int] = []
    ahead: list[int] = []

    async def when_five_have_come(peer: Peer) -> None:
        await peer.request()
        await peer.server.released.wait()
        ahead.append(len(read))
        await peer.send(ACCEPTED)

    def source() -> Iterator[tuple[str, object]]:
        for number in range(50):
            read.append(number)
            yield "t", number

    with hostile(*[when_five_have_come] * 5) as server, Client(server.url) as client:
        server.release_at(5)
        assert len(client.push_many(source())) == 50
    assert max(ahead) <= 5 + 5


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("release unlocked lock")], ids=repr)
def test_interrupted_start(
    error: BaseException,
    method: str,
    number: int,
    limit: Callable[[int, BaseException], list[threading.Thread]],
    server: Hostile,
) -> None:
    """Ctrl-C while a thread is being started is raised after the pushes in flight have ended."""
    limit(number, error)
    with Client(server.url) as client:
        with pytest.raises(type(error)) as caught:
            push(client, method, 300)
        assert caught.value is error
        assert client.stats == Stats(pushed=len(server.requests))
        assert number <= len(server.requests) < 300
        assert client.push("t", 1).status == 202


@pytest.mark.parametrize(
    "when",
    [
        "atexit.register(push)",
        "threading._register_atexit(push)",
        "threading.Thread(target=lambda: (threading.main_thread().join(), push())).start()",
        "import weakref; weakref.finalize(client, push)",
    ],
    ids=["atexit", "threading's atexit", "after the main thread", "finalizer"],
)
def test_interpreter_shutdown(when: str, server: Hostile, tmp_path: Path) -> None:
    """CPython 3.12 and later cannot start threads during the shutdown of the interpreter."""
    printed = run_script(
        f"""
        import atexit
        client = Client(url)

        def push():
            for method in (client.push_many, client.push_stream):
                outcomes = list(method((str(number % 7), number) for number in range(200)))
                print(len(outcomes), all(outcome.ok for outcome in outcomes))

        {when}
        """,
        server.url,
        tmp_path,
    )
    assert printed.split() == ["200", "True"] * 2
    assert sorted(int(body) for body in bodies(server)) == sorted([*range(200)] * 2)
