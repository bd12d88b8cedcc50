"""A broker that also parses the body as a form, and pushes that it cannot misinterpret.

The hub of 2012 let its framework parse each request. The content type says that the body is a form, so the framework
parsed the body as well, split it at `&` and at `;`, and each field it found there replaced that field of the query. The
model below does the same. A test shows that it does before requests of this package are sent to it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import quote_plus, unquote_to_bytes

import aiohttp
import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from webmqconnect_async import AsyncClient, AuthRejected, Client, Push, Rejected
from webmqconnect_async._core.dialects.events import Dumps
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async.signing import Credentials

_KEY, _SECRET = "app", "s3cret"
_NOW = 1318611591.0
_TIMESTAMP = "2011-10-14T16:59:51Z"
_FORM = "application/x-www-form-urlencoded"

# The model


@dataclass(frozen=True)
class _Delivery:
    """An event that the model delivers, and its receivers."""

    topic: str
    event: object
    eligible: str | None
    exclude: str | None


_Answer: TypeAlias = _Delivery | tuple[int, str]


def _fields(form: bytes) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for field in form.replace(b";", b"&").split(b"&"):
        name, equals, value = field.partition(b"=")
        if equals:
            name, value = (unquote_to_bytes(part.replace(b"+", b" ")) for part in (name, value))
            fields.setdefault(name, []).append(value)
    return fields


def _hub_of_2012(query: str, body: bytes, now: float) -> _Answer:
    """Respond to a push like the original: each field of the query is replaced by the body's field of the same name."""
    fields = _fields(query.encode()) | _fields(body)
    first = {name.decode(errors="replace"): values[0] for name, values in fields.items()}
    topic = first.get("topicuri")
    if topic is None:
        return 400, "missing query parameter 'topicuri'"
    body = first.get("body", body)
    key, timestamp, signature = (first.get(name, b"") for name in ("appkey", "timestamp", "signature"))
    if key and timestamp and signature:
        try:
            signed_at = datetime.strptime(timestamp.decode(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            return 400, f"invalid timestamp {timestamp!r}"
        if abs(now - signed_at) > 300:
            return 400, "timestamp expired"
        if key != _KEY.encode():
            return 400, f"unknown application key {key!r}"
        if signature.decode(errors="replace") != _signature(topic, key, timestamp, body):
            return 401, "invalid request signature"
    elif key or timestamp or signature:
        return 400, "either all or none of parameters 'appkey', 'signature' and 'timestamp' must be present"
    try:
        event = json.loads(body)
    except ValueError:
        return 400, "invalid JSON in request body"
    eligible, exclude = (first[name].decode() if name in first else None for name in ("eligible", "exclude"))
    return _Delivery(topic.decode(), event, eligible, exclude)


def _signature(*parts: bytes) -> str:
    return urlsafe_b64encode(hmac.new(_SECRET.encode(), b"".join(parts), hashlib.sha256).digest()).decode()


# The model behaves like the original: recorded cases, one per row


def _naive(event: object, signed: bool, topic: str = "http://shop/orders") -> tuple[str, bytes]:
    """Return the query and the body as the clients of 2012 made them: nothing in the JSON is escaped."""
    body = json.dumps(event).encode()
    query = f"topicuri={quote_plus(topic)}"
    if signed:
        signature = _signature(topic.encode(), _KEY.encode(), _TIMESTAMP.encode(), body)
        query += f"&appkey={_KEY}&timestamp={quote_plus(_TIMESTAMP)}&signature={quote_plus(signature)}"
    return query, body


_ROWS: list[tuple[str, _Answer, _Answer]] = [
    # a string inside the event, an unsigned push of it, a signed one; "…" stands for the event itself
    (
        "x&eligible=mallory&",
        _Delivery("http://shop/orders", "…", "mallory", None),
        _Delivery("http://shop/orders", "…", "mallory", None),
    ),
    (
        "x&exclude=alice&",
        _Delivery("http://shop/orders", "…", None, "alice"),
        _Delivery("http://shop/orders", "…", None, "alice"),
    ),
    ("x&eligible=", _Delivery("http://shop/orders", "…", '"}', None), _Delivery("http://shop/orders", "…", '"}', None)),
    ("x&topicuri=http://evil/&", _Delivery("http://evil/", "…", None, None), (401, "invalid request signature")),
    ("x&body=666&", _Delivery("http://shop/orders", 666, None, None), (401, "invalid request signature")),
    ("x&appkey=other&", (400, "either all or none"), (400, "unknown application key")),
    ("x&timestamp=2011-10-14T16:59:52Z&", (400, "either all or none"), (401, "invalid request signature")),
    ("x&timestamp=noon&", (400, "either all or none"), (400, "invalid timestamp")),
    ("x&signature=abc&", (400, "either all or none"), (401, "invalid request signature")),
]


def _same(answer: _Answer, expected: _Answer, event: object) -> bool:
    if isinstance(answer, _Delivery) and isinstance(expected, _Delivery):
        if expected.event == "…":
            expected = _Delivery(expected.topic, event, expected.eligible, expected.exclude)
        return answer == expected
    if isinstance(answer, tuple) and isinstance(expected, tuple):
        return answer[0] == expected[0] and answer[1].startswith(expected[1])
    return False


@pytest.mark.parametrize("separator", ["&", ";"])
@pytest.mark.parametrize(("text", "unsigned", "signed"), _ROWS, ids=[row[0] for row in _ROWS])
def test_the_model_misinterprets_pushes_like_the_original(
    text: str, unsigned: _Answer, signed: _Answer, separator: str
) -> None:
    text = text.replace("&", separator)
    event = {"link": text}
    assert _same(_hub_of_2012(*_naive(event, signed=False), _NOW), unsigned, event)
    assert _same(_hub_of_2012(*_naive(event, signed=True), _NOW), signed, event)


def test_an_event_with_a_link_is_lost() -> None:
    """An event can be lost without any attack, just because it contains a link."""
    answer = _hub_of_2012(*_naive("http://shop/?id=7&eligible=yes", signed=True), _NOW)
    assert isinstance(answer, _Delivery)
    assert answer.eligible == 'yes"'


def test_the_model_delivers_harmless_events() -> None:
    for signed in (False, True):
        answer = _hub_of_2012(*_naive({"a": "=+% b"}, signed=signed), _NOW)
        assert answer == _Delivery("http://shop/orders", {"a": "=+% b"}, None, None)


# Pushes of this package are not misinterpreted

_TEXTS = [
    *(row[0] for row in _ROWS),
    *(row[0].replace("&", ";") for row in _ROWS),
    "http://shop/?id=7&eligible=yes;exclude=no",
    "&topicuri=http%3A%2F%2Fevil&body=%22x%22",
    "\\&eligible=x",
    "\\\\;eligible=x;",
    "%26eligible%3Dmallory%26",
    "\\u0026eligible=mallory\\u0026",
    "&\neligible=x\r\n&",
    "&+eligible=x",
    "&%65ligible=x",
    "\uff06eligible=x\uff1b",
]


def _indented(event: object) -> str:
    return json.dumps(event, indent=1)


def _as_orjson(event: object) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


_DUMPS: list[Dumps | None] = [None, json.dumps, _indented, _as_orjson]


def _ours(push: Push, signed: bool, dumps: Dumps | None = None) -> _Answer:
    dialect = WebMQ(Credentials(_KEY, _SECRET) if signed else None, dumps)
    request = dialect.encode(push)(_NOW)
    return _hub_of_2012(request.query, request.body, _NOW)


@pytest.mark.parametrize("dumps", _DUMPS, ids=["own", "json", "indented", "bytes"])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_a_push_of_this_package_arrives_unchanged(signed: bool, dumps: Dumps | None) -> None:
    """A text arrives unchanged as a value, as a key, and as the whole event, with its own topic and receivers."""
    for event in (event for text in _TEXTS for event in (text, [text, text], {"link": text}, {text: {text: text}})):
        push = Push("http://shop/orders", event, eligible=["alice", "bob"], exclude=["carol"])
        assert _ours(push, signed, dumps) == _Delivery("http://shop/orders", event, "alice,bob", "carol")
        assert _ours(Push("http://shop/orders", event), signed, dumps) == _Delivery(
            "http://shop/orders", event, None, None
        )


_PIECES = ["&", ";", "=", "+", "%", "\\", '"', "%26", "\\u0026"]
_PIECES += ["topicuri", "appkey", "timestamp", "signature", "eligible", "exclude", "body"]
_HOSTILE_TEXT = st.lists(st.sampled_from(_PIECES) | st.text(st.characters(exclude_categories=["Cs"])), max_size=8).map(
    "".join
)
_EVENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _HOSTILE_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_HOSTILE_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(_EVENTS, _HOSTILE_TEXT, st.booleans(), st.sampled_from(_DUMPS))
@example("&body=1&", "&topicuri=x;", True, None)
def test_any_push_arrives_unchanged(event: object, topic: str, signed: bool, dumps: Dumps | None) -> None:
    assert _ours(Push(topic, event, eligible=[]), signed, dumps) == _Delivery(topic, event, "", None)


# The same over a socket, with both clients


@dataclass
class _Broker:
    url: str
    answers: list[_Answer]


@asynccontextmanager
async def _broker(clock: Callable[[], float]) -> AsyncIterator[_Broker]:
    answers: list[_Answer] = []

    async def push(request: web.Request) -> web.Response:
        if request.headers["Content-Type"] != _FORM:
            return web.Response(status=400, text="bad or missing content type")
        answer = _hub_of_2012(request.rel_url.raw_query_string, await request.read(), clock())
        answers.append(answer)
        return (
            web.Response(status=202)
            if isinstance(answer, _Delivery)
            else web.Response(status=answer[0], text=answer[1])
        )

    app = web.Application()
    app.router.add_post("/", push)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield _Broker(f"http://{host}:{port}", answers)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
async def test_a_broker_misinterprets_only_pushes_without_escapes(signed: bool) -> None:
    event = {"link": "http://shop/?id=7&eligible=yes;exclude=no;x"}
    expected = _Delivery("http://shop/orders", event, None, None)
    key, secret = (_KEY, _SECRET) if signed else (None, None)

    def blocking(url: str) -> None:
        with Client(url, key, secret) as client:
            client.push("http://shop/orders", event)

    async with _broker(lambda: _NOW) as broker, aiohttp.ClientSession() as session:
        query, body = _naive(event, signed)
        url = URL(f"{broker.url}/?{query}", encoded=True)
        async with session.post(url, data=body, headers={"Content-Type": _FORM}) as reply:
            assert reply.status == 202
    assert broker.answers == [_Delivery("http://shop/orders", event, "yes", "no")]

    async with _broker(lambda: datetime.now(UTC).timestamp()) as broker:
        async with AsyncClient(broker.url, key, secret) as client:
            assert (await client.push("http://shop/orders", event)).status == 202
        async with AsyncClient(broker.url, key, secret, dumps=_as_orjson) as client:
            await client.push("http://shop/orders", event)
        await asyncio.to_thread(blocking, broker.url)
    assert broker.answers == [expected] * 3


async def test_the_model_refuses_wrong_signatures() -> None:
    """The model refuses pushes, too, so its 202 responses above prove something."""
    async with _broker(lambda: datetime.now(UTC).timestamp()) as broker:
        async with AsyncClient(broker.url, _KEY, "wrong") as client:
            with pytest.raises(AuthRejected):
                await client.push("t", 1)
        async with AsyncClient(broker.url, "other", _SECRET) as client:
            with pytest.raises(AuthRejected, match="unknown application key"):
                await client.push("t", 1)
        async with AsyncClient(broker.url, dumps=lambda event: b"not JSON") as client:
            with pytest.raises(Rejected, match="invalid JSON"):
                await client.push("t", 1)
    assert [answer[0] for answer in broker.answers if isinstance(answer, tuple)] == [401, 400, 400]
