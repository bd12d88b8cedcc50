"""The benchmarks do what they claim: a hub accepts the pushes of every peer, and the sink responds like a hub.

No test measures time. Peers that are not installed are skipped: `benchmarks/run.py` has a venv for them.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from functools import partial
from importlib.util import find_spec

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from benchmarks import capacity, clusters, floods, history, hub_load, listeners, load, memory, processes, push_soon
from benchmarks.load import KEY, SECRET, TOPIC, Load, Refused
from benchmarks.measure import ASYNC, BLOCKING
from benchmarks.plan import Plan
from benchmarks.results import Results
from benchmarks.sections import SECTIONS
from benchmarks.sink import ACCEPTED, CENTRIFUGO, Sink
from conftest import needed
from webmqconnect_async import AuthRejected
from webmqconnect_async.hub import Hub
from webmqconnect_async.subscriber import Subscriber

SIGNING = sorted((ASYNC.keys() | BLOCKING.keys()) - {"cent"})
REQUEST = b"POST /?a=b HTTP/1.1\r\nHost: x\r\ncontent-length: 9\r\n\r\nx\r\n\r\nPOST"


def peer_needed(client: str) -> None:
    """Skip the test if it needs the package of a peer that is not installed; with CI=true, fail."""
    package = client.removeprefix("push_many, ")
    there = package not in ("cent", "httpx", "orjson", "pyreqwest", "requests", "urllib3") or find_spec(package)
    needed(package, there, "pip install --group benchmarks")


async def push(client: str, url: str, events: int) -> None:
    """Push with a client of the benchmarks."""
    if client in BLOCKING:
        await asyncio.to_thread(_push_blocking, client, url, events)
    else:
        async with ASYNC[client](Load(url, concurrency=2)) as run:
            await run(events)


def _push_blocking(client: str, url: str, events: int) -> None:
    with BLOCKING[client](Load(url)) as run:
        run(events)


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("client", SIGNING)
async def test_the_pushes_of_a_peer_are_accepted_by_a_hub_that_requires_signatures(client: str) -> None:
    peer_needed(client)
    async with (
        asyncio.timeout(20),
        Hub(port=0, keys={KEY: SECRET}) as hub,
        Subscriber(hub.ws_url) as subscriber,
        subscriber.subscribe(TOPIC) as events,
    ):
        await push(client, hub.url, 3)
        for _ in range(3):
            assert (await anext(events)).value == Load("").event


@pytest.mark.parametrize("client", SIGNING)
async def test_a_peer_raises_when_a_push_was_refused(client: str) -> None:
    """A peer raises when a push is refused: a refusal is faster than a delivery, so its rate would mean nothing."""
    peer_needed(client)
    async with Hub(port=0, keys={KEY: "another"}) as hub:
        with pytest.raises((Refused, AuthRejected, ExceptionGroup)) as raised:
            await push(client, hub.url, 1)
    error = raised.value
    assert isinstance(error.exceptions[0] if isinstance(error, ExceptionGroup) else error, Refused | AuthRejected)


async def test_a_single_hub_is_measured_without_a_second_node() -> None:
    async with Hub(port=0, keys={KEY: SECRET}) as hub:
        figures = await clusters.measured(clusters.Place(f"{hub.url}/publish", SECRET, hub.ws_url), 20)
    assert figures.near.rate > 0
    assert figures.near.ms > 0
    assert figures.far is None


async def test_a_cluster_is_measured_at_both_nodes() -> None:
    """A cluster is measured with a subscriber at each of two nodes. One hub is both nodes here."""
    async with Hub(port=0, keys={KEY: SECRET}) as hub:
        place = clusters.Place(f"{hub.url}/publish", SECRET, hub.ws_url, hub.ws_url)
        figures = await clusters.measured(place, 20)
    for reached in (figures.near, figures.far):
        assert reached is not None
        assert min(reached.rate, reached.ms) > 0


def test_the_ways_to_grow_are_compared_by_medians() -> None:
    rounds = [
        clusters.Figures(clusters.Reached(rate, ms), clusters.Reached(rate / 2, 10 * ms))
        for rate, ms in ((1000.0, 3.0), (3000.0, 1.0), (2000.0, 2.0))
    ]
    alone = clusters.Figures(clusters.Reached(5000, 0.5), None)
    table = clusters.rendered({"a cluster": clusters.middle(rounds), "alone": clusters.middle([alone])})
    assert [line.split() for line in table.splitlines()[2:]] == [
        ["a", "cluster", "2,000", "2.0", "1,000", "20.0"],
        ["alone", "5,000", "0.5"],
    ]


async def test_cent_publishes_to_the_sink(sink: str) -> None:
    peer_needed("cent")
    await push("cent", sink, 3)


def test_the_event_has_the_size_that_was_asked_for() -> None:
    for size in (100, load.EVENT_BYTES, 4096):
        assert len(json.dumps(Load("", body=size).event, separators=(",", ":"))) == size


async def _said(url: str, *pieces: bytes, answers: int) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    said = await asyncio.wait_for(reader.readexactly(answers), 10)
    writer.write_eof()
    said += await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return said


async def test_the_sink_responds_once_to_each_pipelined_request(sink: str) -> None:
    assert await _said(sink, REQUEST * 3, answers=3 * len(ACCEPTED)) == ACCEPTED * 3


def test_the_sink_accepts_requests_that_arrive_in_pieces() -> None:
    """The sink responds to requests that are split at any byte, even where the body looks like the end of a head."""
    said: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            said.append(bytes(data))

    stream = REQUEST * 2
    for at in range(1, len(stream)):
        said.clear()
        protocol = Sink()
        protocol.connection_made(Transport())
        protocol.data_received(stream[:at])
        assert b"".join(said) == ACCEPTED * (at // len(REQUEST)), at
        protocol.data_received(stream[at:])
        assert b"".join(said) == ACCEPTED * 2, at


async def test_the_sink_can_delay_responses_and_responds_to_cent_like_centrifugo() -> None:
    server = await asyncio.get_running_loop().create_server(partial(Sink, 0.001), "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        request = b"POST /api/publish HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
        assert await _said(url, request, REQUEST, answers=len(CENTRIFUGO + ACCEPTED)) == CENTRIFUGO + ACCEPTED


async def test_pipelining_measures_a_rate(sink: str) -> None:
    assert await asyncio.to_thread(capacity.by_pipelining, sink, "/?a=b", b"{}", 0.01) > 0


@pytest.mark.parametrize("keys", [None, {KEY: SECRET}], ids=["unsigned", "signed"])
async def test_listeners_count_the_events_of_requests_like_those_of_wrk(keys: dict[str, str] | None) -> None:
    subscribed, done = asyncio.Event(), asyncio.Event()
    body = load.bridge_body()
    async with Hub(port=0, keys=keys) as hub, aiohttp.ClientSession() as session, asyncio.timeout(10):
        endpoint = f"{hub.url}/publish"
        listening = asyncio.create_task(listeners.listen(endpoint, hub.ws_url, 3, subscribed, done))
        await subscribed.wait()
        url = f"{endpoint}?{load.bridge_query(body)}" if keys else endpoint
        for _ in range(5):
            async with session.post(
                URL(url, encoded=True), data=body, headers={"Content-Type": "application/json"}
            ) as answer:
                assert (await answer.json())["id"]
        done.set()
        assert await listening == [5, 5, 5]


async def test_listeners_fail_when_pushes_are_refused() -> None:
    """Listeners fail when pushes are refused, because wrk would not notice a response that might be a 200."""
    async with Hub(port=0, keys={KEY: "another"}) as hub:
        with pytest.raises(AuthRejected):
            await listeners.listen(f"{hub.url}/publish", hub.ws_url, 0, asyncio.Event(), asyncio.Event())


def test_the_comparison_with_crossbar_io_is_skipped_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.twins.crossbar.installed", lambda: False)
    results = Results("", {}, rounds=1)
    SECTIONS["crossbar"](Plan(results, quick=True))
    (reason,) = results.skipped
    assert "python3 brokers/crossbar.py" in reason
    assert results.rows == []


async def test_all_subscribers_of_the_hub_load_receive_all_events() -> None:
    async with Hub(port=0) as hub:
        figures = await hub_load.fan(hub.url, os.getpid(), 3, 5)
    assert figures["pushes"] > 0
    assert figures["deliveries"] > 0


@pytest.mark.skipif(not processes.has_proc(), reason="needs /proc")
async def test_memory_is_sampled_while_a_relay_runs(sink: str) -> None:
    found = await memory.relay(Load(sink, concurrency=2), 40)
    assert isinstance(found["samples"], list)
    assert found["samples"][-1][0] == 40


async def test_memory_is_sampled_while_a_stream_is_pushed(sink: str) -> None:
    found = await memory.stream(Load(sink, concurrency=2), 40)
    assert isinstance(found["samples"], list)
    assert [events for events, _ in found["samples"]] == list(range(2, 41, 2))
    assert (await memory.outcomes(Load(sink, concurrency=2), 20)).keys() == {"bytes"}


def test_a_history_is_measured() -> None:
    """The benchmark of the history runs and prints its rows; the figures are not checked."""
    returned = history.returning(3)
    assert returned.seconds > 0
    assert returned.latencies
    found = history.costs(rounds=1, subscribers=1, pushes=50)
    assert {kind: len(figures) for kind, figures in found.items()} == {"hub": 1, "forgetful": 1}


@pytest.mark.parametrize("flood", floods.FLOODS)
def test_a_flood_is_measured(flood: str) -> None:
    """The benchmark of a flood runs and prints its row; the figures are not checked."""
    name, peers, *figures = floods.measure(flood, 2, 0.5).split()
    assert (name, peers, len(figures)) == (flood, "2", 5)
    assert float(figures[0]) > 0


def test_what_push_soon_costs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a line for each client, and its exit status says whether both reach the goal."""
    monkeypatch.setattr(push_soon, "ROUNDS", 1)
    monkeypatch.setattr(push_soon, "CALLS", 10)
    monkeypatch.setattr(push_soon, "GOAL", 0.0)
    with pytest.raises(SystemExit) as ended:
        push_soon.main()
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["AsyncClient.push_soon", "Client.push_soon"]
