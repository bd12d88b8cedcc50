"""The recipes of docs/pages/how-to/observability.md run unchanged, and keep signatures out of exported data."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yarl
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import webmqconnect_async
from webmqconnect_async import AsyncClient, NotAccepted, Retry, WebMQError

from .hostile import (
    PATIENCE,
    Hostile,
    Recorded,
    Step,
    answer,
    answer_and_close,
    drop_after_body,
    hostile,
    refusing,
    reply,
    stall,
    unreachable,
)
from .test_secrets import LONG_TOPIC, SECRET, assert_silent, secrets_of

PAGE = (Path(__file__).parents[1] / "docs/pages/how-to/observability.md").read_text("utf-8")
LOGGING, FIGURES, ATTEMPTS, _SENTRY, AROUND = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

SPANS = InMemorySpanExporter()
FIGURE_READER = InMemoryMetricReader()

Instrument = Callable[..., None]


@pytest.fixture(scope="module", autouse=True)
def providers() -> None:
    """Export to memory. A process can set each provider only once; no other test uses them."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(SPANS))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([FIGURE_READER]))


@pytest.fixture(autouse=True)
def no_spans_yet() -> None:
    SPANS.clear()


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    """Instrument aiohttp for the test."""
    instrumentor = AioHttpClientInstrumentor()
    yield instrumentor.instrument
    instrumentor.uninstrument()


def run(snippet: str, server: Hostile) -> dict[str, Any]:
    """Run a snippet of the page against a server, and return its names."""
    names: dict[str, Any] = {"__name__": "observability"}
    exec(compile(snippet.replace("http://127.0.0.1:8080", server.url), "observability.md", "exec"), names)  # noqa: S102  # ours
    return names


@pytest.fixture
def recipe(server: Hostile) -> dict[str, Any]:
    """Return the functions that the page passes to `instrument`."""
    names = run(ATTEMPTS, server)
    SPANS.clear()
    return {"url_filter": names["without_query"], "request_hook": names["without_exception"]}


def exported() -> list[str]:
    """Return all data of the spans: names, attributes, events, status."""
    return [span.to_json() for span in SPANS.get_finished_spans()]


def addresses(span: ReadableSpan) -> list[yarl.URL]:
    """Return the attributes that are URLs, whatever their names in this version of the conventions."""
    return [yarl.URL(value) for value in (span.attributes or {}).values() if isinstance(value, str) and "://" in value]


# The page


def test_the_traces_of_attempts_of_the_page(server: Hostile) -> None:
    """Each attempt has a span, which has the URL without its query."""
    run(ATTEMPTS, server)
    [span] = SPANS.get_finished_spans()
    assert addresses(span) == [yarl.URL(server.url)]
    [request] = server.requests
    signature = request.query["signature"]
    assert_silent(exported(), {signature, signature.rstrip("="), "signature=", "topicuri=", "s3cret"})


def test_the_trace_around_a_push_of_the_page(server: Hostile) -> None:
    run(AROUND, server)
    [span] = SPANS.get_finished_spans()
    attributes = {"messaging.system": "webmq", "messaging.destination.name": "http://example.com/orders"}
    assert dict(span.attributes or {}) == attributes | {"webmq.attempts": 1}
    assert_silent(exported(), {server.requests[0].query["signature"], "s3cret"})


def test_the_metrics_of_the_page(server: Hostile) -> None:
    run(FIGURES, server)
    data = FIGURE_READER.get_metrics_data()
    assert data is not None
    [scope] = [each for each in data.resource_metrics[0].scope_metrics if each.scope.name == "webmq"]
    [metric] = scope.metrics
    points = [point for point in metric.data.data_points if isinstance(point, NumberDataPoint)]
    assert metric.name == "webmq.pushes"
    assert {(point.attributes or {})["state"]: point.value for point in points} == {
        "pushed": 1,
        "failed": 0,
        "retried": 0,
        "in_flight": 0,
        "waiting": 0,
        "dropped": 0,
        "background_failed": 0,
    }


def test_the_log_configuration_of_the_page(server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    server.script(answer(reply(503, b"", "Retry-After: 0")))
    try:
        run(LOGGING, server)
    finally:
        logging.getLogger("webmqconnect_async.client").setLevel(logging.NOTSET)
    assert ["attempt 1 ended in Overloaded" in record.getMessage() for record in caplog.records] == [True]


def test_the_page_names_existing_loggers() -> None:
    sources = [path.read_text("utf-8") for path in Path(webmqconnect_async.__file__).parent.rglob("*.py")]
    used = {name for source in sources for name in re.findall(r'getLogger\("(.*?)"\)', source)}
    assert set(re.findall(r"^\| `(.*?)` \|", PAGE, re.MULTILINE)) == used


# The recipe for attempts with faults


@dataclass(frozen=True, slots=True)
class Misfortune:
    """A fault of a push.

    Args:
        steps: the script of the server; None: there is no connection.
        attempts: the number of expected spans.
        timeout: the client's.
    """

    steps: tuple[Step, ...] | None
    attempts: int = 1
    timeout: float = PATIENCE


GARBAGE = Misfortune((answer_and_close(b"nonsense\r\n\r\n"),))
NO_ANSWER_TO_CONNECTING = Misfortune(None)
MISFORTUNES = {
    "none": Misfortune(()),
    "garbage": GARBAGE,
    "no response to connecting": NO_ANSWER_TO_CONNECTING,
    "refused": Misfortune((answer(reply(401)),)),
    "redirect": Misfortune((answer(reply(302, b"", "Location: http://127.0.0.1:1/")),)),
    "cut off": Misfortune((drop_after_body,)),
    "cut off in the answer": Misfortune((answer_and_close(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\n"),)),
    "too late": Misfortune((stall,), timeout=0.2),
    "busy twice": Misfortune((answer(reply(503, b"", "Retry-After: 0")),) * 2, attempts=3),
}


async def meet(misfortune: Misfortune) -> list[Recorded]:
    """Make a push with this fault; return the requests that reached a server."""
    with ExitStack() as stack:
        server = None if misfortune.steps is None else stack.enter_context(hostile(*misfortune.steps))
        url = stack.enter_context(unreachable()) if server is None else server.url
        async with AsyncClient(
            url,
            "app",
            SECRET,
            misfortune.timeout,
            connect_timeout=0.1 if server is None else None,
            retry=Retry(attempts=misfortune.attempts, wait=0.0),
        ) as client:
            with trace.get_tracer("tests").start_as_current_span("around"), suppress(WebMQError):
                await client.push(LONG_TOPIC, 1)
        return [] if server is None else list(server.requests)


@pytest.mark.parametrize("misfortune", MISFORTUNES.values(), ids=MISFORTUNES)
async def test_no_signature_is_exported(misfortune: Misfortune, instrument: Instrument, recipe: dict[str, Any]) -> None:
    """However a push ends, each attempt has a span within that of the push, and none contains a secret."""
    instrument(**recipe)
    requests = await meet(misfortune)
    *attempts, around = SPANS.get_finished_spans()
    assert len(attempts) == misfortune.attempts
    assert all(attempt.parent == around.context for attempt in attempts)
    assert all(url.raw_query_string == "" for attempt in attempts for url in addresses(attempt))
    assert_silent(exported(), secrets_of(*requests))


async def test_an_error_of_a_push_is_exported_completely(instrument: Instrument, recipe: dict[str, Any]) -> None:
    """The error of a push contains no secret, so the span around it may record the error."""
    instrument(**recipe)
    with hostile(answer(reply(401))) as server:
        async with AsyncClient(server.url, "app", SECRET) as client:
            with pytest.raises(NotAccepted), trace.get_tracer("tests").start_as_current_span("around"):
                await client.push(LONG_TOPIC, 1)
        attempt, around = SPANS.get_finished_spans()
        assert [event.name for event in around.events] == ["exception"]
        assert attempt.status.status_code is StatusCode.ERROR
        assert_silent(exported(), secrets_of(*server.requests))


async def test_other_sessions_keep_their_exceptions(instrument: Instrument, recipe: dict[str, Any]) -> None:
    instrument(**recipe)
    with refusing() as url:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)
    [span] = SPANS.get_finished_spans()
    assert [event.name for event in span.events] == ["exception"]


# The tests above can fail: without the functions of the recipe, signatures are exported


async def test_without_the_filter_the_signature_is_an_attribute(instrument: Instrument, recipe: dict[str, Any]) -> None:
    instrument(request_hook=recipe["request_hook"])
    [request] = await meet(MISFORTUNES["none"])
    [span, _] = SPANS.get_finished_spans()
    assert request.query["signature"] in {url.query.get("signature") for url in addresses(span)}


@pytest.mark.parametrize("misfortune", [GARBAGE, NO_ANSWER_TO_CONNECTING], ids=["garbage", "no response to connecting"])
async def test_without_the_hook_the_signature_is_in_an_event(
    misfortune: Misfortune, instrument: Instrument, recipe: dict[str, Any]
) -> None:
    instrument(url_filter=recipe["url_filter"])
    await meet(misfortune)
    [span, _] = SPANS.get_finished_spans()
    assert ["signature=" in str(event.attributes) for event in span.events] == [True]


# The agent


async def test_the_agent_excludes_pushes(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that the page names, signed pushes have no spans, and other requests have."""
    [(name, value)] = re.findall(r"export (\w+)='(.*?)'", PAGE)
    monkeypatch.setenv(name, value)
    instrument()
    await meet(MISFORTUNES["none"])
    assert [span.name for span in SPANS.get_finished_spans()] == ["around"]
    with hostile() as server:
        async with aiohttp.ClientSession() as session:
            await (await session.get(server.url)).read()
    assert len(SPANS.get_finished_spans()) == 2
