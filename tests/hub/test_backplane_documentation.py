"""The reference of the backplane says what the hubs do."""

from __future__ import annotations

import logging
import re

import pytest
from redis import Redis

from webmqconnect_async.hub import Hub, _metrics  # which is not to be imported in the event loop
from webmqconnect_async.hub._engine import appender, stream
from webmqconnect_async.hub._engine.entries import fields_of
from webmqconnect_async.hub._engine.scripts import keys_of
from webmqconnect_async.hub._publication import Publication, Receivers

from ..redis_server import running
from ..snippets import PAGES
from .conftest import HubClient

REFERENCE = (PAGES / "reference" / "backplane.md").read_text()
PAGE = (PAGES / "how-to" / "several-hubs.md").read_text()


def rows(title: str) -> list[list[str]]:
    """Return the first cells of a section's table, each as the names that it has in backticks."""
    section = REFERENCE.partition(f"\n## {title}")[2].partition("\n## ")[0]
    return [re.findall("`(.+?)`", cell) for cell in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)]


def test_the_names_of_the_keys() -> None:
    assert [name.removesuffix("…") for (name,) in rows("Keys")] == list(keys_of("webmq"))


def test_troubleshooting_quotes_the_responses() -> None:
    page = (PAGES / "how-to" / "troubleshooting.md").read_text()
    for refused in (appender.NOT_ADDED, appender.NOT_KNOWN):
        assert f"| {refused.status} | `{refused.reason}` |" in page


def test_the_fields_of_an_entry() -> None:
    publication = Publication("t", "1", args="[1]", kwargs="{}", retain=True)
    publication.authid = Receivers(frozenset({"17"}), frozenset())
    names = [name for row in rows("Entries") for name in row]
    assert names == ["o", "p", "h", *(name.decode() for name in fields_of(publication)[::2])]


@pytest.mark.usefixtures("redis")
async def test_what_redis_is_said_to_hold(wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    """The keys and the fields are those of a real server, and so are the members of the log and the metrics."""
    caplog.set_level(logging.INFO, "webmqconnect_async.hub")
    with running() as server:
        async with (
            Hub(port=0, backplane=server.url) as one,
            Hub(port=0, backplane=server.url, metrics="127.0.0.1:0") as two,
        ):
            peer = await wire.subscriber(two, "t")
            answer = await wire.request("POST", one, Idempotency_Key='"1"')
            assert answer.status == 202
            assert (await peer.receive())[:2] == [8, "t"]
            assert two.metrics_url is not None
            async with wire.session.get(two.metrics_url) as response:
                metrics = await response.text()
        with Redis.from_url(server.url, decode_responses=True) as client:
            keys = {re.sub(r"(:key:).+", r"\1…", str(key)) for key in client.scan_iter()}
            first, second = client.xrange("webmq:events")
    assert keys == {name for (name,) in rows("Keys")} - {"webmq:nothing"}
    assert list(first[1]) == ["o", "h"]
    assert list(second[1]) == ["o", "p", "t", "e"]
    assert answer.headers["WebMQ-Publication"] == str(publication_id(second[0]))
    for (name,) in rows("Metrics"):
        assert name.startswith(_metrics._PREFIX)
        assert re.search(rf"^{name} 1.0$", metrics, re.MULTILINE)
    (record,) = [each for each in caplog.records if getattr(each, "event", "") == "forwarded"]
    members = re.findall(r"^\| `forwarded` \| info \| (.+?) \|", REFERENCE, re.MULTILINE)[0]
    assert [name for name in re.findall("`(.+?)`", members) if not hasattr(record, name)] == []


def publication_id(entry: str) -> int:
    milliseconds, counter = map(int, entry.split("-"))
    return milliseconds << 11 | counter


def test_how_many_events_the_stream_keeps() -> None:
    kept = Hub().config.history_bytes // stream._BYTES_PER_ENTRY
    assert f"the last {kept:,} events" in PAGE
    assert f"a {stream._BYTES_PER_ENTRY}th of that number of bytes" in PAGE
    assert f"at\nleast {stream._LEAST_ENTRIES:,} events" in PAGE
