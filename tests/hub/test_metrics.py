"""The metrics of a hub, as prometheus_client's own parser reads them."""

from __future__ import annotations

import asyncio
import errno
import sys

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client.parser import text_string_to_metric_families

from webmqconnect_async.hub import Hub, _exposition, _metrics, create_app

from .conftest import HubClient, Run

PREFIX = "webmqconnect_hub_"


async def scraped(wire: HubClient, hub: Hub) -> dict[str, float]:
    """Return the samples of a hub by name and labels, without the prefix."""
    url = hub.metrics_url
    assert url is not None
    async with wire.session.get(url) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    return {
        sample.name.removeprefix(PREFIX) + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
async def watched(run: Run) -> Hub:
    return await run(Hub(port=0, metrics="127.0.0.1:0", max_subscriptions=1))


async def test_connections_pushes_and_refusals_are_counted(watched: Hub, wire: HubClient) -> None:
    first, second = await wire.subscriber(watched, "t"), await wire.wamp2_subscriber(watched, "t")
    stranger = await wire.stranger(watched)  # a connection that has not sent HELLO
    for _ in range(3):
        await wire.push(watched)
    await wire.push(watched, "topicuri=typo")
    await wire.request("POST", watched, body=b"{")
    await wire.request("GET", watched, "/", Host="shop.example.com")
    await wire.refused(watched, Origin="https://shop.example.com")
    await first.send(5, "one too many")
    await first.send(7, "t", "not allowed")
    for _ in range(3):
        await first.receive()
    await first.heard()
    samples = await scraped(wire, watched)
    expected = {
        "subscribers": 2,
        "topics": 1,
        "queued_bytes": 0,
        "pushes_total accepted": 4,
        "pushes_total refused": 1,
        "publications_total": 0,
        "deliveries_total": 6,
        "refusals_total request": 1,
        "refusals_total push": 1,
        "refusals_total subscriber": 1,
        "refusals_total subscription": 1,
        "refusals_total publication": 1,
        "drops_total slow": 0,
        "drops_total flood": 0,
        "failed_authentications_total push": 0,
        "push_to_queue_seconds_count": 4,
        "push_to_queue_seconds_bucket +Inf": 4,
    }
    assert {name: samples.get(name) for name in expected} == expected
    assert samples["connections"] >= 4
    assert samples["push_to_queue_seconds_sum"] > 0
    buckets = [value for name, value in samples.items() if "_bucket" in name]
    assert buckets == sorted(buckets)
    await asyncio.gather(*(peer.socket.close() for peer in (first, second, stranger)))


async def test_wrong_signatures_and_publications_of_subscribers_are_counted(run: Run, wire: HubClient) -> None:
    options = {"keys": {"app": "s3cret"}, "clock": lambda: 1318611591.0, "allow_publish": True}
    hub = await run(Hub(port=0, metrics="127.0.0.1:0", **options))  # type: ignore[arg-type]
    query = "topicuri=t&appkey=app&timestamp=2011-10-14T16%3A59%3A51Z&signature=x"
    assert (await wire.request("POST", hub, f"/?{query}")).status == 401
    peer = await wire.subscriber(hub)
    await peer.send(7, "t", 1)
    await peer.heard()
    samples = await scraped(wire, hub)
    assert samples["failed_authentications_total push"] == samples["pushes_total refused"] == 1
    assert (samples["publications_total"], samples["pushes_total accepted"]) == (1, 0)


async def test_the_metrics_of_the_process(watched: Hub, wire: HubClient) -> None:
    assert "process_cpu_seconds_total" in await scraped(wire, watched)


async def test_no_label_contains_text_of_a_client(watched: Hub, wire: HubClient) -> None:
    before = await scraped(wire, watched)
    peer = await wire.subscriber(watched, "a-strangers-topic")
    await wire.push(watched, "topicuri=a-strangers-topic")
    await wire.request("POST", watched, Origin="https://a-stranger.example.com")
    assert (await scraped(wire, watched)).keys() == before.keys()
    await peer.socket.close()


async def test_the_port_of_the_hub_does_not_serve_metrics(watched: Hub, wire: HubClient) -> None:
    assert (await wire.request("GET", watched, "/metrics")).status == 404


async def test_another_host_is_refused(watched: Hub, wire: HubClient) -> None:
    """Another `Host` is refused, because a page whose name resolves to this machine could read the metrics."""
    url = watched.metrics_url
    assert url is not None
    async with wire.session.get(url, headers={"Host": "evil.example.com"}) as response:
        assert response.status == 403


async def test_a_hub_without_metrics(hub: Hub) -> None:
    assert hub.metrics_url is None


async def test_a_port_in_use(hub: Hub) -> None:
    address = hub.url.removeprefix("http://")
    another = Hub(port=0, metrics=address)
    with pytest.raises(OSError, match=address) as caught:
        await another.start()
    assert (caught.value.errno, caught.value.filename) == (errno.EADDRINUSE, address)
    assert repr(another) == "<Hub not running>"


async def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for module in (_exposition, _metrics):
        monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'webmqconnect-async\[metrics\]'"):
        await Hub(port=0, metrics="127.0.0.1:0").start()


async def test_a_mounted_hub_serves_metrics(wire: HubClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted hub serves its metrics, too, except for the connections, which are those of the other server."""
    made: list[_metrics.Metrics] = []

    class Kept(_metrics.Metrics):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(_metrics, "Metrics", Kept)
    site = web.Application()
    site.add_subapp("/hub/", create_app(metrics="127.0.0.1:0"))
    async with TestServer(site, host="127.0.0.1"):
        url = "http://{}:{}/metrics".format(*made[0].address)
        async with wire.session.get(url) as response:
            names = {family.name for family in text_string_to_metric_families(await response.text())}
    assert f"{PREFIX}subscribers" in names
    assert f"{PREFIX}connections" not in names
