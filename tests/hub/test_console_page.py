"""The console on the hub's page, in a browser: what a user with the token sees and can do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.chromium import Page
from webmqconnect_async.hub import Hub, create_app

from .conftest import HubClient, Run
from .pages import drawn, listed, press, text, watched

TOKEN = "token+of/the=console"  # characters of base64
ORDERS = "http://example.com/orders"
MARKUP = '<img src=x onerror="document.title=`hacked`">'

pytestmark = pytest.mark.usefixtures("chromium")


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with watched() as page:
        yield page


@pytest.fixture
async def hub(run: Run) -> Hub:
    return await run(Hub(port=0, console_token=TOKEN))


async def open_console(page: Page, hub: Hub, *topics: str, token: str = TOKEN) -> None:
    """Open the link that the hub prints, and return when both connections are open."""
    await page.open(f"{hub.url}/#{urlencode([('console', token), *(('topic', topic) for topic in topics)])}")
    await opened(page)


async def opened(page: Page) -> None:
    await page.until("document.body.dataset.console === 'open'")
    await page.until("document.getElementById('state').textContent === 'connected'")
    await page.until("document.getElementById('live-total').textContent !== ''")


async def rows(page: Page, name: str) -> list[list[str]]:
    """Return the texts of all cells of a table."""
    cells = f"[...document.getElementById('{name}').rows].map(row => [...row.cells].map(cell => cell.textContent))"
    found = await page.evaluate(cells)
    assert isinstance(found, list)
    return found


async def fill(page: Page, **values: str) -> None:
    """Type into fields of the push form."""
    for name, value in values.items():
        await page.evaluate(f"""(() => {{
            const field = document.getElementById('push-{name}');
            field.value = {json.dumps(value)};
            field.dispatchEvent(new Event('input', {{bubbles: true}}));
        }})()""")


async def push(page: Page, **values: str) -> str:
    """Fill the form, press its button, and return the text that it shows."""
    await fill(page, **values)
    await press(page, "Push")
    await page.until("document.getElementById('push-result').textContent !== ''")
    return str(await text(page, "push-result"))


# The token


async def test_the_link_opens_the_console_and_the_token_is_removed_from_the_url(hub: Hub, page: Page) -> None:
    await open_console(page, hub, "a&b", "c")
    assert await page.evaluate("location.href") == f"{hub.url}/#topic=a%26b&topic=c"
    assert await page.evaluate("[...document.querySelectorAll('#topics .topic')].map(each => each.textContent)") == [
        "a&b",
        "c",
    ]
    kept = await page.evaluate(
        "JSON.stringify([document.documentElement.outerHTML, {...localStorage}, document.cookie, history.state,"
        " performance.getEntriesByType('resource').map(({name}) => name), sockets.map(each => each.url),"
        " [...document.querySelectorAll('input')].map(({value}) => value)])"
    )
    assert TOKEN not in str(kept)
    await page.reload()
    await opened(page)
    assert page.problems == []


async def test_without_topics_the_url_is_that_of_the_page(hub: Hub, page: Page) -> None:
    await open_console(page, hub)
    assert await page.evaluate("location.href") == f"{hub.url}/"
    assert await text(page, "empty") == "No event yet. All events of this hub appear here."


async def test_a_wrong_token_is_reported_and_another_one_can_be_entered(hub: Hub, page: Page) -> None:
    await page.open(f"{hub.url}/#console=wrong")
    await page.until("!document.getElementById('door-trouble').hidden")
    assert str(await text(page, "door-trouble")).startswith("The hub does not accept the token of the console.")
    assert await page.evaluate("[document.getElementById('views').hidden, sessionStorage.length]") == [True, 0]
    await page.until("!document.getElementById('door').hidden")
    await page.evaluate(
        f"document.getElementById('console-token').value = '{TOKEN}';"
        "document.querySelector('#door-form button').click()"
    )
    await opened(page)
    assert await page.evaluate(
        "['door', 'door-trouble', 'views'].map(name => document.getElementById(name).hidden)"
    ) == [True, True, False]
    assert await page.evaluate("document.getElementById('console-token').value") == ""
    assert page.problems == []


async def test_the_console_works_below_a_path_prefix(page: Page) -> None:
    site = web.Application()
    site.add_subapp("/some/hub/", create_app(console_token=TOKEN))
    async with TestServer(site, host="127.0.0.1") as running:
        await page.open(f"{running.make_url('/some/hub/')}#console={TOKEN}")
        await opened(page)
        assert await page.evaluate("location.pathname + location.hash") == "/some/hub/"
        assert await page.evaluate("Object.keys(sessionStorage)") == ["webmq.console:/some/hub/"]


async def test_a_hub_without_a_console_is_reported(run: Run, page: Page) -> None:
    """The page reports that the hub has no console, and no longer tries to connect to it."""
    hub = await run(Hub(port=0))
    await page.before_scripts("Math.random = () => 0")  # until the hub has refused it, it reconnects at once
    await page.open(f"{hub.url}/#console={TOKEN}")
    await page.until(
        "document.getElementById('door-trouble').textContent === 'This hub was started without a console.'"
    )
    assert await page.evaluate("[document.getElementById('door').hidden, sessionStorage.length]") == [True, 0]
    attempts = "sockets.filter(({url}) => url.endsWith('/console')).length"
    tried = await page.evaluate(attempts)
    await page.evaluate("fetch('hub.json').then(facts => facts.json()).then(() => undefined)")
    assert await page.evaluate(attempts) == tried


async def test_the_page_of_a_hub_without_a_console_does_not_mention_it(run: Run, page: Page) -> None:
    hub = await run(Hub(port=0))
    await page.open(hub.url)
    await page.until("document.getElementById('state').textContent === 'connected'")
    await page.evaluate("fetch('hub.json').then(facts => facts.json()).then(() => undefined)")
    await drawn(page)
    assert await page.evaluate(
        "['door', 'views', 'pusher', 'everything'].every(name => document.getElementById(name).hidden)"
    )


async def test_the_console_reconnects_after_a_restart_unless_the_token_is_new(page: Page) -> None:
    async with Hub(port=0, console_token=TOKEN) as hub:
        port = int(hub.url.rpartition(":")[2])
        await open_console(page, hub)
    await page.until("document.body.dataset.console === 'away'")
    assert await page.evaluate("document.getElementById('push-button').disabled")
    async with Hub(port=port, console_token=TOKEN):
        await opened(page)
        assert not await page.evaluate("document.getElementById('push-button').disabled")
    async with Hub(port=port, console_token="another-token-of-it"):
        await page.until("!document.getElementById('door-trouble').hidden")
        assert await page.evaluate("document.body.dataset.console") is None
        assert await page.evaluate("sessionStorage.getItem('webmq.console:/')") is None


async def test_the_console_reconnects_if_the_hub_is_silent(hub: Hub, page: Page) -> None:
    await page.before_scripts("""
        const timer = setTimeout;
        globalThis.setTimeout = (call, wait, ...more) => timer(call, wait === 10000 ? 50 : wait, ...more);
    """)
    await page.open(f"{hub.url}/#console={TOKEN}")
    await page.until("sockets.filter(({url}) => url.endsWith('/console')).length > 1")


# What the console shows


async def test_all_events_are_shown_with_their_receivers(hub: Hub, wire: HubClient, page: Page) -> None:
    await wire.subscriber(hub, ORDERS)
    await open_console(page, hub, "mine")
    await page.until("document.getElementById('live-rows').rows.length === 2")
    await wire.push(hub, urlencode({"topicuri": ORDERS}), b'{"id": 12345678901234567890}')
    await wire.push(hub, "topicuri=mine", b"2")
    await wire.push(hub, "topicuri=http://example.com/order", b"3")
    assert await listed(page, 3) == [
        ["http://example.com/order", "3"],
        ["mine", "2"],
        [ORDERS, '{"id":12345678901234567890}'],
    ]
    notes = "[...document.querySelectorAll('#events small')].map(each => each.textContent)"
    assert await page.evaluate(notes) == ["nobody", "1 subscriber", "1 subscriber"]
    assert await page.evaluate("document.querySelector('#events .hint').textContent") == f"Did you mean {ORDERS}?"

    await press(page, "All topics")
    await wire.push(hub, urlencode({"topicuri": ORDERS}), b"4")
    await wire.push(hub, "topicuri=mine", b"5")
    assert (await listed(page, 4))[0] == ["mine", "5"]
    assert page.problems == []


async def test_the_list_of_topics_follows_events_and_subscriptions(hub: Hub, wire: HubClient, page: Page) -> None:
    peer = await wire.subscriber(hub, ORDERS)
    await open_console(page, hub)
    await press(page, "Topics 1")
    await page.until("document.getElementById('live-rows').rows.length === 1")
    assert await rows(page, "live-rows") == [[ORDERS, "1", "0", "", ""]]
    await wire.push(hub, "topicuri=http://example.com/Orders", b'"x"')
    await page.until("document.getElementById('live-rows').rows.length === 2")
    (typo, live) = await rows(page, "live-rows")
    assert (typo[:2], typo[4]) == (["http://example.com/Orders", "0"], f"Did you mean {ORDERS}?")
    assert typo[3].endswith('  "x"')
    assert live[0] == ORDERS
    await peer.socket.close()
    await page.until("document.getElementById('live-rows').rows.length === 1")

    await page.evaluate("document.querySelector('#live-rows button').click()")
    assert (
        await page.evaluate("['filter', 'push-to'].map(name => document.getElementById(name).value)")
        == ["http://example.com/Orders"] * 2
    )
    assert not await page.evaluate("document.getElementById('events-view').hidden")


async def test_subscribers_are_listed(run: Run, wire: HubClient, page: Page) -> None:
    hub = await run(Hub(port=0, console_token=TOKEN))
    peer = await wire.wamp2_subscriber(hub, *"abcde")
    await open_console(page, hub)
    await page.until("document.getElementById('subscriber-rows').textContent.includes('this page')")
    found = {row[0]: row[1:] for row in await rows(page, "subscriber-rows")}
    key, topics, queued, _since, address = found[peer.session_id]
    assert (key, queued, address) == ("anonymous", "0 B", "127.0.0.1, wamp.2.json")
    assert topics.endswith("\n2 more")
    assert found[str(await text(page, "session"))][0] == "anonymous, this page"
    await page.until("document.getElementById('subscribers-total').textContent === '2'")


async def test_refusals_are_shown_with_a_remedy(run: Run, wire: HubClient, page: Page) -> None:
    hub = await run(Hub(port=0, keys={"app": "s3cret"}, console_token=TOKEN))
    await open_console(page, hub)
    for _ in range(3):
        await wire.refused(hub, Origin="https://shop.example.com")
    await wire.request("POST", hub, "/?topicuri=t")
    await page.until("document.getElementById('refusal-rows').children.length === 2")
    found = await page.evaluate(
        "[...document.getElementById('refusal-rows').children]"
        ".map(row => [...row.querySelectorAll('strong, p, small')].map(each => each.textContent))"
    )
    assert isinstance(found, list)
    assert found[0][:2] == ["Push 401", "not authorized (this hub takes signed pushes only)"]
    assert found[1] == [
        "Subscriber 403",
        "origin 'https://shop.example.com' may not subscribe",
        "3 times",
        "Allow it with --allow-origin https://shop.example.comCopy",
    ]
    await page.until("document.getElementById('refusals-total').textContent === '4'")
    await press(page, "Refusals 4")
    await page.evaluate("document.querySelector('#refusal-rows li:last-child button').click()")
    await page.until("document.querySelector('#refusal-rows li:last-child button').textContent === 'Copied'")
    assert await page.evaluate("navigator.clipboard.readText()") == "--allow-origin https://shop.example.com"
    assert page.problems == []


async def test_markup_and_control_characters_are_shown_as_text(hub: Hub, wire: HubClient, page: Page) -> None:
    odd = f"{MARKUP}\u202e"
    await wire.subscriber(hub, odd)
    await open_console(page, hub)
    await wire.push(hub, urlencode({"topicuri": odd}), json.dumps(odd, ensure_ascii=False).encode())
    await wire.request("GET", hub, "/", Host=f"{MARKUP}.example")
    await listed(page, 1)
    await page.until("document.getElementById('refusal-rows').children.length === 1")
    await page.until("document.querySelector('#live-rows .last').textContent !== ''")
    assert await page.evaluate("document.querySelectorAll('img').length") == 0
    assert await page.evaluate("document.title") == "WebMQ hub"
    shown = await page.evaluate("document.querySelector('main').innerHTML")
    assert "\u202e" not in str(shown)
    assert "\\u202e" in str(shown)
    assert page.problems == []


async def test_too_many_events_are_sampled_and_the_page_says_so(hub: Hub, wire: HubClient, page: Page) -> None:
    """Up to 10,000 events a minute are all shown; of more, the page shows a sample and says so."""
    publisher = await wire.subscriber(hub)
    await open_console(page, hub)
    await publish_all(page, 166)
    await page.until("document.getElementById('counts').textContent.startsWith('166 events')")
    assert "sample" not in str(await text(page, "counts"))
    await publish_all(page, 500, at_once=True)
    await page.until("document.getElementById('counts').textContent.startsWith('666 events')")
    assert str(await text(page, "counts")).endswith(", a sample is shown")
    assert await page.evaluate("document.getElementById('events').children.length < 500")
    await publisher.heard()


async def publish_all(page: Page, count: int, *, at_once: bool = False) -> None:
    """Give the page the messages of the hub for this many events, within a second or all at once."""
    per_tick = count if at_once else -(-count // 10)
    while count > 0:
        events = min(count, per_tick)
        count -= events
        rows = [[0, "t", str(number), 0, 0, None] for number in range(min(events, 50))]
        message = {"events": rows, "skipped": events - len(rows)}
        await page.evaluate(
            "sockets.find(({url}) => url.endsWith('/console'))"
            f".onmessage({{data: {json.dumps(json.dumps(message))}}})"
        )


# The push form


async def test_the_push_form_shows_the_receivers(hub: Hub, wire: HubClient, page: Page) -> None:
    first, _ = [await wire.subscriber(hub, ORDERS) for _ in range(2)]
    await open_console(page, hub)
    await page.until("document.getElementById('live-rows').rows.length === 1")
    assert await push(page, to=ORDERS, event='{"n":\n1.0}') == "Received by 2 subscribers."
    assert await push(page, exclude=first.session_id) == "Received by 1 subscriber."
    assert await push(page, exclude="", eligible=first.session_id) == "Received by 1 subscriber."
    said = "Accepted, but no subscriber received it."
    assert await push(page, eligible="1") == said
    assert await push(page, eligible="", to="http://example.com/order") == f"{said} Did you mean {ORDERS}?"
    assert await first.receive() == [8, ORDERS, {"n": 1.0}]
    await first.receive()
    await first.heard()
    assert page.problems == []


async def test_the_event_is_checked_while_the_user_types(hub: Hub, page: Page) -> None:
    await open_console(page, hub)

    async def checked(event: str) -> list[object]:
        await fill(page, event=event)
        found = await page.evaluate(
            "[document.getElementById('push-check').textContent, document.getElementById('push-button').disabled,"
            " document.getElementById('push-event').ariaInvalid]"
        )
        assert isinstance(found, list)
        return found

    await page.until("document.getElementById('push-check').textContent.includes('4,096')")
    assert await checked('"ü"') == ["Valid JSON, 4 of 4,096 bytes", False, "false"]
    for wrong in ("{", "NaN", "", "'x'"):
        said, *more = await checked(wrong)
        assert str(said).startswith("Not JSON yet: ")
        assert more == [True, "true"]
    too_long = "Too long: 4,097 bytes; this hub accepts up to 4,096."
    assert await checked(json.dumps("x" * 4095)) == [too_long, True, "true"]


async def test_a_refused_push_of_the_form_shows_the_reason(run: Run, page: Page) -> None:
    hub = await run(Hub(port=0, console_token=TOKEN, max_topic=4))
    await open_console(page, hub)
    assert (await push(page, to="12345")).startswith("Refused (400): topic length (5) exceeds maximum (4).")
    await page.until("document.getElementById('refusals-total').textContent === '1'")


# Layout


@pytest.mark.parametrize("dark", [False, True])
async def test_nothing_overflows_on_a_phone(hub: Hub, wire: HubClient, page: Page, dark: bool) -> None:
    await page.appear(360, 740, dark=dark, phone=True)
    await wire.subscriber(hub, "x" * 900)
    await open_console(page, hub)
    for topic in ("x" * 900, "x" * 899):
        await wire.push(hub, f"topicuri={topic}", json.dumps("y" * 3000).encode())
    await wire.refused(hub, Origin=f"https://{'z' * 300}.example")
    await page.evaluate("document.getElementById('pusher').open = true")
    await push(page, to="x" * 899, event=json.dumps("y" * 3000))
    await listed(page, 3)
    await page.until("document.getElementById('live-rows').rows.length === 2")
    for name in ("events", "live", "subscribers", "refusals"):
        await page.evaluate(f"document.querySelector('[data-view={name}]').click()")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360, name
    assert page.problems == []


async def test_a_table_is_one_tab_stop_and_keeps_its_focused_row(hub: Hub, wire: HubClient, page: Page) -> None:
    await page.appear(1200, 800)
    await wire.subscriber(hub, "b", "c", "d")
    await open_console(page, hub)
    await press(page, "Topics 3")
    await page.until("document.getElementById('live-rows').rows.length === 3")
    await page.evaluate("document.querySelector('[data-view=refusals]').focus()")
    focused = "document.activeElement.closest('tr')?.key ?? document.activeElement.id"
    reached = []
    for key in ("Tab", "ArrowDown", "End", "Home", "ArrowDown"):
        await page.press(key)
        reached.append(await page.evaluate(focused))
    assert reached == ["b", "c", "d", "b", "c"]
    await page.press("ArrowRight")
    assert await page.evaluate("document.activeElement.ariaLabel") == "Show the events of c"
    await wire.push(hub, "topicuri=a")  # a row is inserted before it
    await page.until("document.getElementById('live-rows').rows.length === 4")
    assert await page.evaluate(focused) == "c"
    await page.press("Tab", shift=True)
    assert await page.evaluate("document.activeElement.dataset.view") == "refusals"
