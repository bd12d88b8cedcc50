"""The live page: what is served, and what a browser makes of it."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.chromium import Page, chromium
from webmqconnect_async.hub import Hub, create_app

from .conftest import Run, Wire

MARKUP = '<img src=x onerror="document.title=`hacked`"><script>document.title="hacked"</script>'


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
    ],
)
async def test_what_the_page_is_made_of(hub: Hub, wire: Wire, path: str, content_type: str) -> None:
    answer = await wire.request("GET", hub, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert "http" not in answer.text.replace("http://example.com/orders", "").replace("https:", "")  # no foreign host
    head = await wire.request("HEAD", hub, path)
    assert (head.status, head.text, head.headers["Content-Length"]) == (200, "", str(len(answer.text.encode())))


async def subscribe(page: Page, topic: str) -> None:
    """Subscribe as a person would, and return when the hub knows."""
    await page.until("document.getElementById('state').textContent === 'open'")
    await page.evaluate(
        f"document.getElementById('topic').value = {json.dumps(topic)};"
        "document.querySelector('#subscribe button').click()"
    )
    assert await page.evaluate("document.getElementById('topics').textContent") == topic
    await heard(page)


async def heard(page: Page) -> None:
    """Return when the hub has done what the page has sent: it answers in order."""
    ping = json.dumps([2, "ping", "http://api.wamp.ws/procedure#ping"])
    answer = await page.evaluate(
        f"new Promise(done => {{ socket.addEventListener('message', answer => done(answer.data), {{once: true}});"
        f" socket.send({json.dumps(ping)}); }})"
    )
    assert answer == '[3,"ping",null]'


async def rows(page: Page) -> object:
    """Return the topic and the text of each event shown, the latest first."""
    return await page.evaluate(
        "[...document.getElementById('events').rows].map(row => [...row.cells].slice(1).map(cell => cell.textContent))"
    )


@pytest.mark.chromium
async def test_the_page_shows_events_as_text(run: Run, wire: Wire) -> None:
    hub = await run(Hub(port=0))
    async with chromium() as page:
        await page.open(hub.url)
        await subscribe(page, "http://example.com/ü")
        session_id = await page.evaluate("document.getElementById('session').textContent")
        assert isinstance(session_id, str)
        assert len(session_id) == 16

        topic = "topicuri=http%3A%2F%2Fexample.com%2F%C3%BC"
        await wire.push(hub, f"{topic}&exclude={session_id}", b'"for others"')
        await wire.push(hub, f"{topic}&eligible={session_id}", json.dumps({"id": 17, "state": "paid"}).encode())
        await wire.push(hub, topic, json.dumps([MARKUP]).encode())
        await page.until("document.getElementById('events').rows.length === 2")
        assert await rows(page) == [
            ["http://example.com/ü", json.dumps([MARKUP], separators=(",", ":"))],
            ["http://example.com/ü", '{"id":17,"state":"paid"}'],
        ]
        assert await page.evaluate("document.querySelectorAll('#events img, #events script').length") == 0
        assert await page.evaluate("document.title") == "WebMQ hub"
        assert page.problems == []


@pytest.mark.chromium
async def test_the_page_works_below_a_prefix_and_comes_back_after_a_restart(wire: Wire) -> None:
    async with chromium() as page:
        site = web.Application()
        site.add_subapp("/some/hub/", create_app())
        async with TestServer(site, host="127.0.0.1") as running:
            port = running.port
            await page.open(str(running.make_url("/some/hub/")))
            await subscribe(page, "t")
        await page.until("document.getElementById('state').textContent === 'closed'")
        site = web.Application()
        site.add_subapp("/some/hub/", create_app())
        async with TestServer(site, host="127.0.0.1", port=port) as running:
            await page.until("document.getElementById('state').textContent === 'open'")
            await heard(page)
            url = running.make_url("/some/hub/").with_query(topicuri="t")
            async with wire.session.post(
                url, data=b"1", headers={"Content-Type": "application/x-www-form-urlencoded"}
            ) as answer:
                assert answer.status == 202
            await page.until("document.getElementById('events').rows.length === 1")
            assert await rows(page) == [["t", "1"]]


@pytest.mark.chromium
async def test_a_page_of_another_port_may_subscribe_and_not_push(run: Run, wire: Wire) -> None:
    """The browser sends the push, which needs no preflight, and gets an answer: its Origin keeps the event out."""

    async def empty(_request: web.Request) -> web.Response:
        return web.Response(text="<title>another site</title>", content_type="text/html")

    hub = await run(Hub(port=0))
    peer = await wire.subscriber(hub, "t")
    site = web.Application()
    site.router.add_get("/", empty)
    push = f"""fetch({json.dumps(hub.url + "/?topicuri=t")}, {{method: 'POST', mode: 'no-cors', body: '"forged"',
        headers: {{'Content-Type': 'application/x-www-form-urlencoded'}}}}).then(answer => answer.type)"""
    connect = f"""new Promise(done => {{ const socket = new WebSocket({json.dumps(hub.ws_url)}, 'wamp');
        socket.onopen = () => done('open'); socket.onerror = () => done('error'); }})"""
    async with TestServer(site, host="127.0.0.1") as running, chromium() as page:
        await page.open(str(running.make_url("/")))
        assert await page.evaluate(push) == "opaque"
        assert await page.evaluate(connect) == "open"
    await peer.heard()
