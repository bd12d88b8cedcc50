"""The benchmarks measure what they say: every peer's push is one that a hub accepts, and the sink answers like one.

Nothing is timed here. Peers whose packages are not installed are skipped: `benchmarks/run.py` has a venv for them.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from xml.etree import ElementTree

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from benchmarks import capacity, chart, clusters, hub_load, listeners, load, memory, processes, report
from benchmarks.goals import Cell, Measured, Ratio, Results, Row, Sample, compared, summed_up
from benchmarks.load import KEY, SECRET, TOPIC, Load, Refused
from benchmarks.measure import ASYNC, BLOCKING
from benchmarks.plan import Plan
from benchmarks.sections import SECTIONS
from benchmarks.sink import ACCEPTED, CENTRIFUGO, Sink
from conftest import needed
from webmqconnect_async import AuthRejected
from webmqconnect_async._subscriber import subscriber
from webmqconnect_async.hub import Hub

SIGNING = sorted((ASYNC.keys() | BLOCKING.keys()) - {"cent"})
REQUEST = b"POST /?a=b HTTP/1.1\r\nHost: x\r\ncontent-length: 9\r\n\r\nx\r\n\r\nPOST"


def peer_needed(client: str) -> None:
    """Skip the test if it needs the package of a peer that is not installed; with CI=true, fail."""
    there = client not in ("cent", "httpx", "requests", "urllib3") or find_spec(client)
    needed(client, there, "pip install --group benchmarks")


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
async def test_a_peers_pushes_reach_a_subscriber_of_a_hub_that_takes_signed_ones_alone(client: str) -> None:
    peer_needed(client)
    async with Hub(port=0, keys={KEY: SECRET}) as hub, subscriber(hub.ws_url, TOPIC) as session, asyncio.timeout(20):
        await push(client, hub.url, 3)
        for _ in range(3):
            assert (await session.next_event()).payload == Load("").event


@pytest.mark.parametrize("client", SIGNING)
async def test_a_peer_raises_when_a_push_was_refused(client: str) -> None:
    """A refusal is answered faster than an event is delivered: such a rate would be worth nothing."""
    peer_needed(client)
    async with Hub(port=0, keys={KEY: "another"}) as hub:
        with pytest.raises((Refused, AuthRejected, ExceptionGroup)) as raised:
            await push(client, hub.url, 1)
    error = raised.value
    assert isinstance(error.exceptions[0] if isinstance(error, ExceptionGroup) else error, Refused | AuthRejected)


async def test_the_ways_to_grow_begin_with_a_hub() -> None:
    """Of which there is one: nothing is measured across nodes."""
    async with Hub(port=0, keys={KEY: SECRET}) as hub:
        figures = await clusters.measured(clusters.Place(f"{hub.url}/publish", SECRET, hub.ws_url), 20)
    assert figures.near.rate > 0
    assert figures.near.ms > 0
    assert figures.far is None


async def test_a_cluster_is_measured_at_both_nodes() -> None:
    """Here a hub stands for both of them."""
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


def test_the_event_has_as_many_bytes_as_it_says() -> None:
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


async def test_the_sink_answers_each_of_pipelined_requests_once(sink: str) -> None:
    assert await _said(sink, REQUEST * 3, answers=3 * len(ACCEPTED)) == ACCEPTED * 3


def test_the_sink_takes_requests_in_pieces() -> None:
    """Cut anywhere, also where the body looks like the end of a head."""
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


async def test_the_sink_answers_late_when_told_and_like_centrifugo_where_cent_asks() -> None:
    server = await asyncio.get_running_loop().create_server(partial(Sink, 0.001), "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        request = b"POST /api/publish HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
        assert await _said(url, request, REQUEST, answers=len(CENTRIFUGO + ACCEPTED)) == CENTRIFUGO + ACCEPTED


async def test_pipelining_finds_out_what_a_server_takes(sink: str) -> None:
    assert await asyncio.to_thread(capacity.by_pipelining, sink, "/?a=b", b"{}", 0.01) > 0


@pytest.mark.parametrize("keys", [None, {KEY: SECRET}], ids=["unsigned", "signed"])
async def test_listeners_count_what_is_published_as_by_wrk(keys: dict[str, str] | None) -> None:
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


async def test_listeners_say_when_pushes_are_refused() -> None:
    """The answer might be a 200: wrk would not notice."""
    async with Hub(port=0, keys={KEY: "another"}) as hub:
        with pytest.raises(AuthRejected):
            await listeners.listen(f"{hub.url}/publish", hub.ws_url, 0, asyncio.Event(), asyncio.Event())


def test_the_comparison_with_crossbar_io_is_skipped_without_it(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.twins.crossbar.installed", lambda: False)
    SECTIONS["crossbar"](Plan(results, quick=True), "")
    (reason,) = results.skipped
    assert "python3 brokers/crossbar.py" in reason
    assert results.rows == []


async def test_all_subscribers_of_the_hubs_load_get_everything() -> None:
    async with Hub(port=0) as hub:
        figures = await hub_load.fan(hub.url, os.getpid(), 3, 5)
    assert figures["pushes"] > 0
    assert figures["deliveries"] > 0


@pytest.mark.skipif(not processes.has_proc(), reason="needs /proc")
async def test_memory_is_sampled_along_a_stream(sink: str) -> None:
    found = await memory.stream(Load(sink, concurrency=2), 40)
    assert isinstance(found["samples"], list)
    assert [events for events, _ in found["samples"]] == list(range(2, 41, 2))
    assert (await memory.outcomes(Load(sink, concurrency=2), 20)).keys() == {"bytes"}


class Pretending(Plan):
    """A plan that measures nothing: each cell makes a push a second, the package's own two."""

    def measure(self, url: str, cell: Cell) -> Sample:
        assert cell.client in ASYNC.keys() | BLOCKING.keys()
        return Sample(cell.events, cell.events / (2 if "push" in cell.client else 1), 0.0)


@pytest.fixture
def results() -> Results:
    return Results("python3 benchmarks/run.py", {"machine": "one <core>"}, rounds=2)


def test_sections_compare_clients_that_there_are(results: Results) -> None:
    plan = Pretending(results, quick=False)
    for name in ("bulk", "single", "sync", "grow"):
        SECTIONS[name](plan, "")
    assert {row.value for row in results.rows} == {1.0, 2.0}
    assert len({row.title for row in results.rows}) == len(results.rows) == 25
    assert {measured.cell.client for measured in results.measured} == ASYNC.keys() | BLOCKING.keys()
    assert max(measured.cell.events for measured in results.growth) == 1_000_000


def test_a_ratio_is_the_median_of_each_rounds_own() -> None:
    """Round two was slow for both: the ratio of the medians would say 4.5."""
    ours, peer = Cell("push_many"), Cell("cent")
    samples = {
        cell: [Sample(1, 1 / rate, 0.0) for rate in rates] for cell, rates in ((ours, (6, 3, 9)), (peer, (2, 1, 1)))
    }
    row = compared(Ratio("", ours, peer, 3.0, 9.0), samples)
    assert [row.value, row.low, row.high] == pytest.approx([3, 3, 9])
    assert row.verdict == "met"


@pytest.mark.parametrize(
    ("value", "less_is_better", "verdict"),
    [
        (1.0, False, "missed"),
        (1.2, False, "met"),
        (1.5, False, "stretch"),
        (1.5, True, "missed"),
        (1.2, True, "met"),
        (0.5, True, "stretch"),
    ],
)
def test_a_row_says_what_it_reached(value: float, less_is_better: bool, verdict: str) -> None:
    goal, stretch = (1.2, 1.0) if less_is_better else (1.2, 1.5)
    row = Row("", value, value, value, goal, stretch, less_is_better=less_is_better)
    assert row.verdict == verdict
    assert replace(row, goal=None).verdict == "measured"


def _filled(results: Results) -> Results:
    for client, rate, delay in (("aiohttp, naive", 10_000, 0.0), ("push_many", 13_000, 0.0), ("push_many", 4700, 0.02)):
        results.measured.append(summed_up(Cell(client, 100, delay=delay), [Sample(6000, 6000 / rate, 0.6)] * 2))
    results.rows.append(Row("push_many against naive aiohttp", 1.3, 1.2, 1.4, 1.3, 1.5, "x"))
    results.memory.append((50_000, 41.5))
    results.skipped.append("hub: wrk is not installed")
    results.sink, results.sink_by = 100_000.0, "wrk"
    return results


def test_the_tables_show_everything(results: Results) -> None:
    text = report.rendered(_filled(results))
    for shown in (
        "one <core>",
        "13,000",
        "1.30x",
        "(1.20 to 1.40)",
        ">= 1.5",
        "met",
        "7.7 times what the fastest client sends (push_many)",
        "push_many, answered after 20 ms",
        "50,000",
        "41.50",
        "not measured: hub: wrk is not installed",
    ):
        assert shown in text
    assert report.rendered(results).count("\n\n") > report.rendered(Results("", {}, 1)).count("\n\n")


def test_the_chart_is_drawn_and_told_in_words(results: Results) -> None:
    svg = chart.drawn(_filled(results))
    root = ElementTree.fromstring(svg)  # noqa: S314  # our own
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert root.get("role") == "img"
    described = root.findtext("svg:desc", namespaces=names)
    assert described is not None
    assert "push_many 13,000, aiohttp, naive 10,000" in described
    bars = root.findall("svg:rect", names)
    assert [bar.get("class") for bar in bars] == ["ours", "peer"]
    assert float(bars[0].get("width", 0)) == pytest.approx(1.3 * float(bars[1].get("width", 0)), abs=0.1)
    assert "13,000 (1.30x)" in svg
    assert "prefers-color-scheme: dark" in svg


def test_a_chart_of_nothing_says_so() -> None:
    assert "Nothing was measured" in chart.drawn(Results("", {}, 1))


def test_a_cells_figures_are_those_of_its_rounds() -> None:
    measured = summed_up(Cell("push_many"), [Sample(100, 1.0, 0.01), Sample(100, 2.0, 0.03), Sample(100, 4.0, 0.02)])
    assert measured == Measured(Cell("push_many", events=100), 50.0, 25.0, 100.0, measured.cpu)
    assert measured.cpu == pytest.approx(200)
