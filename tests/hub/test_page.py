"""The live page: how it is served, and what a user sees and does in a browser."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from tests.chromium import Page
from tests.processes import MODULE, python, webmqconnect
from webmqconnect_async.hub import Hub, create_app

from .conftest import HubClient, Run
from .pages import drawn, heard, listed, press, text, watched

SCRIPTS = ("webmq", "page", "topics", "lines", "events", "texts", "dom", "console", "live", "push", "keys")
MARKUP = '<img src=x onerror="document.title=`hacked`"><script>document.title="hacked"</script>'


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with watched() as page:
        yield page


# How the page is served


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/hub.json", "application/json; charset=utf-8"),
        *((f"/{name}.js", "text/javascript; charset=utf-8") for name in SCRIPTS),
    ],
)
async def test_the_files_of_the_page(hub: Hub, wire: HubClient, path: str, content_type: str) -> None:
    answer = await wire.request("GET", hub, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    head = await wire.request("HEAD", hub, path)
    assert (head.status, head.text, head.headers["Content-Length"]) == (200, "", str(len(answer.text.encode())))


@pytest.mark.parametrize("path", ["/", "/page.css", *(f"/{name}.js" for name in SCRIPTS if name != "webmq")])
async def test_the_page_loads_nothing_from_other_hosts(hub: Hub, wire: HubClient, path: str) -> None:
    text = (await wire.request("GET", hub, path)).text
    assert "://" not in text.replace("http://example.com/orders", "")


@pytest.mark.parametrize("keys", [{}, {"name-of-a-key": "s3cret"}])
async def test_the_page_contains_only_public_settings_of_the_hub(
    run: Run, wire: HubClient, keys: dict[str, str]
) -> None:
    hub = await run(Hub(port=0, keys=keys, subscriber_keys=keys, max_topic=7, max_subscriptions=3))
    facts = json.loads((await wire.request("GET", hub, "/hub.json")).text)
    assert facts == {
        "signed": bool(keys),
        "console": False,
        "max_body": 4096,
        "max_topic": 7,
        "max_subscriptions": 3,
    }


@pytest.mark.parametrize("path", ["/", "/webmq.js", "/hub.json"])
async def test_a_cached_file_is_not_sent_again(hub: Hub, wire: HubClient, path: str) -> None:
    first = await wire.request("GET", hub, path)
    etag = first.headers["Etag"]
    assert first.headers["Cache-Control"] == "no-cache"
    for known in (etag, f'"another", W/{etag}', "*"):
        again = await wire.request("GET", hub, path, If_None_Match=known)
        assert (again.status, again.text, again.headers["Etag"]) == (304, "", etag)
        assert again.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]
    other = await wire.request("GET", hub, path, If_None_Match='"another"')
    assert (other.status, other.text) == (200, first.text)


async def test_an_etag_depends_on_the_content(run: Run, wire: HubClient) -> None:
    hubs = [await run(Hub(port=0, max_topic=most)) for most in (1024, 7)]
    etags = [
        [(await wire.request("GET", hub, path)).headers["Etag"] for hub in hubs] for path in ("/page.js", "/hub.json")
    ]
    assert [len(set(each)) for each in etags] == [1, 2]


# What a user does


async def open_page(page: Page, url: str, *topics: str) -> None:
    """Open the page with these topics in its URL, and return when the page has subscribed to them."""
    await page.open(f"{url}/#{urlencode([('topic', topic) for topic in topics])}")
    await connected(page)


async def connected(page: Page) -> None:
    await page.until("document.getElementById('state').textContent === 'connected'")
    await heard(page)


async def subscribe(page: Page, topic: str) -> None:
    """Subscribe with the form, as a user does, and return when the subscription is in effect."""
    await page.evaluate(
        f"document.getElementById('topic').value = {json.dumps(topic)};"
        "document.querySelector('#subscribe button').click()"
    )
    await heard(page)


async def topics(page: Page) -> object:
    return await page.evaluate("[...document.querySelectorAll('#topics .topic')].map(({textContent}) => textContent)")


async def filter_by(page: Page, value: str) -> None:
    await page.evaluate(
        f"document.getElementById('filter').value = {json.dumps(value)};"
        "document.getElementById('filter').dispatchEvent(new Event('input'))"
    )
    await drawn(page)


@pytest.mark.usefixtures("chromium")
async def test_the_page_shows_events_as_text(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url)
    await subscribe(page, "http://example.com/ü")
    session_id = await text(page, "session")
    assert isinstance(session_id, str)
    assert len(session_id) == 16

    topic = "topicuri=http%3A%2F%2Fexample.com%2F%C3%BC"
    await wire.push(hub, f"{topic}&exclude={session_id}", b'"for others"')
    await wire.push(hub, f"{topic}&eligible={session_id}", json.dumps({"id": 17, "state": "paid"}).encode())
    await wire.push(hub, topic, json.dumps([MARKUP]).encode())
    assert await listed(page, 2) == [
        ["http://example.com/ü", json.dumps([MARKUP], separators=(",", ":"))],
        ["http://example.com/ü", '{"id":17,"state":"paid"}'],
    ]
    assert await page.evaluate("document.querySelectorAll('#events img, #events script').length") == 0
    assert await page.evaluate("document.title") == "WebMQ hub"
    assert await page.evaluate("/^\\d\\d:\\d\\d:\\d\\d\\.\\d{3}$/.test(document.querySelector('time').textContent)")
    assert page.problems == []


@pytest.mark.usefixtures("chromium")
async def test_markup_in_a_topic_stays_text(hub: Hub, wire: HubClient, page: Page) -> None:
    """Markup in a topic is shown as text, because anybody may have written the link with the topic."""
    await open_page(page, hub.url, MARKUP)
    await wire.push(hub, f"topicuri={quote(MARKUP)}")
    assert await listed(page, 1) == [[MARKUP, "1"]]
    assert await page.evaluate("document.querySelectorAll('main img, main script, section img').length") == 0
    assert await page.evaluate("document.title") == "WebMQ hub"
    assert page.problems == []


@pytest.mark.usefixtures("chromium")
async def test_the_content_security_policy_forbids_to_insert_markup(hub: Hub, page: Page) -> None:
    await open_page(page, hub.url)
    for mistake in ("document.body.innerHTML = '<b>'", "document.body.outerHTML = '<b>'", "document.write('<b>')"):
        caught = await page.evaluate(f"(() => {{ try {{ {mistake} }} catch (error) {{ return error.name; }} }})()")
        assert caught == "TypeError", mistake
    assert all("TrustedHTML" in problem for problem in page.problems)


EXACT = '{"id":12345678901234567890,"odd":9007199254740993,"f":1.0,"e":1E23,"zero":-0.0,"small":[0.1,-7]}'


@pytest.mark.usefixtures("chromium")
async def test_numbers_are_shown_and_copied_as_they_were_pushed(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url, "t")
    await wire.push(hub, body=EXACT.encode())
    assert await listed(page, 1) == [["t", EXACT]]
    await press(page, "Copy the event")
    await page.until("document.querySelector('#events button').textContent === 'Copied'")
    assert await page.evaluate("navigator.clipboard.readText()") == EXACT

    digits = "1" * 400
    await wire.push(hub, body=f"[{EXACT},{digits}]".encode())
    await listed(page, 2)
    await page.evaluate("document.querySelector('.more').click()")
    ((_, whole), _) = await listed(page, 2)
    for number in ("12345678901234567890", "9007199254740993", "1.0", "1E23", "-0.0"):
        assert f": {number},\n" in whole
    assert f"  {digits}\n" in whole


@pytest.mark.usefixtures("chromium")
async def test_a_browser_without_the_source_of_numbers_shows_them_as_javascript_does(
    hub: Hub, wire: HubClient, page: Page
) -> None:
    await page.before_scripts("delete JSON.rawJSON")
    await open_page(page, hub.url, "t")
    await wire.push(hub, body=b"[9007199254740993,1.0]")
    assert await listed(page, 1) == [["t", "[9007199254740992,1]"]]


UNSEEN = "-5\u202e00,1\u202c\x07\x85\u200b\u2028\u2029\U000e0041\n'\\"
ESCAPED = r"-5\u202e00,1\u202c\u0007\u0085\u200b\u2028\u2029\udb40\udc41\u000a'" + "\\"


@pytest.mark.usefixtures("chromium")
async def test_invisible_characters_of_a_topic_are_shown(hub: Hub, wire: HubClient, page: Page) -> None:
    """Invisible characters are shown as escapes.

    One that reverses the writing direction would change the number here.
    """
    await open_page(page, hub.url, UNSEEN)
    await wire.push(hub, urlencode({"topicuri": UNSEEN}))
    assert await listed(page, 1) == [[ESCAPED, "1"]]
    assert await topics(page) == [ESCAPED]
    assert await text(page, "push-topic") == ESCAPED
    for labelled in (
        "document.querySelector('#events span').title",
        "document.querySelector('#topics .quiet').ariaLabel",
    ):
        assert str(await page.evaluate(labelled)).endswith(ESCAPED)
    shown = str(await page.evaluate("document.documentElement.outerHTML"))
    assert not {each for each in UNSEEN if not each.isprintable() and each != "\n"} & set(shown)
    await press(page, f"Unsubscribe from {ESCAPED}")
    assert await topics(page) == []


@pytest.mark.usefixtures("chromium")
async def test_invisible_characters_of_an_event_are_shown_as_escapes(hub: Hub, wire: HubClient, page: Page) -> None:
    """Invisible characters of an event are shown as escapes of JSON, so the text is still equal JSON."""
    event = {UNSEEN: UNSEEN * 40}
    await open_page(page, hub.url, "t")
    await wire.push(hub, body=json.dumps(event, ensure_ascii=False).encode())
    ((_, cut),) = await listed(page, 1)
    assert cut.startswith(json.dumps(event, separators=(",", ":"))[:400] + "…")
    await page.evaluate("document.querySelector('.more').click()")
    assert await listed(page, 1) == [["t", json.dumps(event, indent=2) + "\nShow less"]]
    for value, found in (("\u202e00", 1), (r"\U202E00", 1), ("\u202d", 0)):
        await filter_by(page, value)
        assert len(await listed(page, found)) == found


@pytest.mark.usefixtures("chromium")
async def test_invisible_characters_of_a_reason_are_shown(hub: Hub, page: Page) -> None:
    await open_page(page, hub.url)
    told = await page.evaluate(r"""
        sockets[0].onclose({code: 4000, reason: "\u202egone"});
        document.getElementById("trouble").textContent
    """)
    assert told == r"Trying again: the connection ended (4000 \u202egone)."


@pytest.mark.usefixtures("chromium")
async def test_a_topic_that_the_hub_would_refuse_is_reported(run: Run, wire: HubClient, page: Page) -> None:
    hub = await run(Hub(port=0, max_topic=4, max_subscriptions=2))
    too_long = "A topic of 5 characters is too long: this hub accepts up to 4."
    too_many = "Too many topics: this hub accepts up to 2."
    await open_page(page, hub.url, "12345", "a", "a", "b", "c", "d")
    await page.until(f"document.getElementById('objections').textContent === '{too_long} {too_many}'")
    assert await topics(page) == ["a", "b"]
    await subscribe(page, "c")
    assert (await text(page, "objections"), await topics(page)) == (too_many, ["a", "b"])
    assert await page.evaluate("document.getElementById('topic').value") == "c"
    await subscribe(page, "b")
    assert await text(page, "objections") == ""
    await press(page, "Unsubscribe from a")
    await subscribe(page, "12345")
    assert (await text(page, "objections"), await topics(page)) == (too_long, ["b"])
    await subscribe(page, "\U0001f600234")  # the hub does not count UTF-16 code units either
    assert (await text(page, "objections"), await topics(page)) == ("", ["b", "\U0001f600234"])
    await wire.push(hub, urlencode({"topicuri": "\U0001f600234"}))
    await wire.push(hub, "topicuri=b", b"2")
    assert await listed(page, 2) == [["b", "2"], ["\U0001f600234", "1"]]


@pytest.mark.usefixtures("chromium")
async def test_a_topic_that_the_hub_refuses(hub: Hub, page: Page) -> None:
    """The page shows the hub's refusal of a topic, because the limits in the page may be out of date."""
    await open_page(page, hub.url)
    await page.evaluate("""
        const socket = sockets[0];
        socket.send = (text) => {
            const [, request] = JSON.parse(text);
            const refusal = [8, 32, request, {}, "wamp.error.not_authorized", ["too many"]];
            setTimeout(() => socket.onmessage({ data: JSON.stringify(refusal) }));
        };
        document.getElementById("topic").value = "t";
        document.querySelector("#subscribe button").click();
    """)
    refused = "Not subscribed to t: not_authorized: too many."
    await page.until(f"document.getElementById('objections').textContent === {json.dumps(refused)}")


@pytest.mark.usefixtures("chromium")
async def test_an_empty_topic_is_ignored(hub: Hub, page: Page) -> None:
    await open_page(page, hub.url, "", "a")
    assert await topics(page) == ["a"]
    await page.evaluate("location.hash = '#topic='")
    await page.until("document.getElementById('objections').textContent === 'A topic must not be empty.'")
    assert await topics(page) == []


@pytest.mark.usefixtures("chromium")
async def test_several_topics_can_be_removed_individually(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url)
    for topic in ("a", "b", "b"):
        await subscribe(page, topic)
    assert await page.evaluate("document.querySelectorAll('#topics li').length") == 2
    await wire.push(hub, "topicuri=a")
    await wire.push(hub, "topicuri=b", b"2")
    assert await listed(page, 2) == [["b", "2"], ["a", "1"]]

    await press(page, "Unsubscribe from a")
    await heard(page)
    await wire.push(hub, "topicuri=a", b"3")
    await wire.push(hub, "topicuri=b", b"4")
    assert await listed(page, 3) == [["b", "4"], ["b", "2"], ["a", "1"]]
    assert await page.evaluate("document.activeElement.ariaLabel") == "Unsubscribe from b"
    assert await text(page, "push-topic") == "b"

    await press(page, "Unsubscribe from b")
    assert await page.evaluate("document.activeElement.id") == "topic"
    assert await page.evaluate("location.hash") == ""


@pytest.mark.usefixtures("chromium")
async def test_a_reload_keeps_the_topics_and_the_url_changes_them(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url)
    await subscribe(page, "a&b=c")
    await subscribe(page, "d")
    await page.reload()
    await connected(page)
    await wire.push(hub, "topicuri=a%26b%3Dc")
    assert await listed(page, 1) == [["a&b=c", "1"]]

    await page.evaluate("location.hash = '#topic=d&topic=e'")
    await page.until("document.querySelectorAll('#topics li .topic')[1].textContent === 'e'")
    await heard(page)
    await wire.push(hub, "topicuri=a%26b%3Dc", b'"to nobody"')
    await wire.push(hub, "topicuri=e", b"2")
    assert await listed(page, 2) == [["e", "2"], ["a&b=c", "1"]]
    assert page.problems == []


@pytest.mark.usefixtures("chromium")
async def test_the_filter_matches_topic_and_text(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url, "orders", "stock")
    await wire.push(hub, "topicuri=orders", b'{"state": "Paid"}')
    await wire.push(hub, "topicuri=stock", b'"of orders"')
    await wire.push(hub, "topicuri=stock", b"3")
    await listed(page, 3)
    await filter_by(page, "ORDER")
    assert await listed(page, 2) == [["stock", '"of orders"'], ["orders", '{"state":"Paid"}']]
    assert str(await text(page, "counts")).startswith("2 of 3 shown, 3 events, ")  # and the rate, which varies
    await filter_by(page, "paid")
    assert await listed(page, 1) == [["orders", '{"state":"Paid"}']]
    await wire.push(hub, "topicuri=stock", b'"unpaid"')  # new events are filtered, too
    await wire.push(hub, "topicuri=stock", b"4")
    assert await listed(page, 2) == [["stock", '"unpaid"'], ["orders", '{"state":"Paid"}']]
    await filter_by(page, "none of them")
    assert await text(page, "empty") == "No event matches the filter."
    await filter_by(page, "")
    await listed(page, 5)


@pytest.mark.usefixtures("chromium")
async def test_a_pause_keeps_and_counts_new_events(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url, "t")
    await wire.push(hub, body=b"1")
    await listed(page, 1)
    await press(page, "Pause")
    await wire.push(hub, body=b"2")
    await wire.push(hub, body=b"3")
    await page.until("document.getElementById('pause').textContent === 'Resume (2 new)'")
    assert await page.evaluate("document.getElementById('pause').ariaPressed") == "true"
    assert await listed(page, 1) == [["t", "1"]]
    await press(page, "Resume (2 new)")
    assert await listed(page, 3) == [["t", "3"], ["t", "2"], ["t", "1"]]
    assert await text(page, "pause") == "Pause"
    await press(page, "Clear")
    assert await listed(page, 0) == []
    await page.until("document.getElementById('counts').textContent === '0 events, 0/s'")


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("clipboard", ["of the browser", "missing", "denied"])
async def test_events_can_be_copied(hub: Hub, wire: HubClient, page: Page, clipboard: str) -> None:
    """Events can be copied. Without https, except on this machine, a page can copy only a selection."""
    await open_page(page, hub.url, "t")
    await page.evaluate("window.read = navigator.clipboard.readText.bind(navigator.clipboard)")
    if clipboard == "missing":
        await page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    elif clipboard == "denied":
        await page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('denied'))")
    event = {"text": "x" * 1000, "number": 1.5}
    await wire.push(hub, body=json.dumps(event).encode())
    await listed(page, 1)
    for label, expected in (
        ("Copy the event", json.dumps(event, separators=(",", ":"))),
        ("Copy the session ID", await text(page, "session")),
        ("Copy the command", await text(page, "shell")),
    ):
        await press(page, label)
        await page.until(
            f"[...document.querySelectorAll('button')].find(each => each.ariaLabel === {json.dumps(label)})"
            ".textContent === 'Copied'"
        )
        assert await page.evaluate("read()") == expected
        assert await page.evaluate("document.querySelector('textarea.unseen')") is None
    assert page.problems == []


@pytest.mark.usefixtures("chromium")
async def test_a_long_event_is_shortened_and_can_be_expanded(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url, "t")
    event = {"text": "x" * 1000}
    await wire.push(hub, body=json.dumps(event).encode())
    ((_, shown),) = await listed(page, 1)
    assert shown == '{"text":"' + "x" * 391 + "…\nShow all 1,011 characters"
    await press(page, "Show all 1,011 characters")
    assert await listed(page, 1) == [["t", json.dumps(event, indent=2) + "\nShow less"]]
    assert await page.evaluate("document.querySelector('.more').ariaExpanded") == "true"
    await press(page, "Show less")
    assert await listed(page, 1) == [["t", shown]]


@pytest.mark.usefixtures("chromium")
async def test_many_events_update_the_page_once_per_frame_and_the_latest_stay(hub: Hub, page: Page) -> None:
    await open_page(page, hub.url, "t")
    changes = await page.evaluate("""new Promise(async done => {
        let changes = 0;
        new MutationObserver(records => { changes += records.length; }).observe(events, {childList: true});
        for (let number = 0; number < 3000; number += 1) deliver(number);
        const before = changes + events.children.length;
        requestAnimationFrame(() => requestAnimationFrame(() => done([before, changes, events.children.length])));
    })""")
    assert changes == [0, 1, 500]
    (latest, *_, oldest) = await listed(page, 500)
    assert (latest, oldest) == (["t", "2999"], ["t", "2500"])
    await page.evaluate("deliver(3000)")
    await page.until("events.children[0].children[2].textContent === '3000'")
    assert await page.evaluate("events.children.length") == 500
    assert str(await text(page, "counts")).startswith("3,001 events")


@pytest.mark.usefixtures("chromium")
async def test_a_pause_keeps_a_limited_number_of_events(hub: Hub, page: Page) -> None:
    """A pause of several hours keeps some 10 MB of events here, instead of 200 MB."""
    await open_page(page, hub.url, "t")
    await press(page, "Pause")
    await page.evaluate("""(() => {
        const event = JSON.stringify("x".repeat(20000));
        for (let number = 0; number < 10000; number += 1) deliver(event);
    })()""")
    await page.until("document.getElementById('pause').textContent === 'Resume (10,000 new)'")
    await page.command("HeapProfiler.collectGarbage")
    used = (await page.command("Runtime.getHeapUsage"))["usedSize"]
    assert isinstance(used, (int, float))
    assert used < 50e6
    await press(page, "Resume (10,000 new)")
    await listed(page, 500)


@pytest.mark.usefixtures("chromium")
async def test_the_rate_is_a_mean_and_events_are_announced_together(hub: Hub, page: Page) -> None:
    await page.before_scripts("""
        globalThis.seconds = 0;
        performance.now = () => seconds * 1000;
        globalThis.timers = [];
        globalThis.setInterval = (call, milliseconds) => timers.push([call, milliseconds]);
        globalThis.pass = second => {
            seconds += 1;
            timers.forEach(([call, milliseconds]) => { if (seconds * 1000 % milliseconds === 0) call(); });
        };
        globalThis.come = count => {
            for (let number = 0; number < count; number += 1) deliver(1);
        };
    """)
    await open_page(page, hub.url, "t")

    async def after(script: str) -> list[object]:
        await page.evaluate(script)
        await drawn(page)
        return [await text(page, "counts"), await text(page, "announcement")]

    assert await after("come(30); pass()") == ["30 events, 30/s", ""]
    assert await after("pass()") == ["30 events, 15/s", ""]
    assert await after("come(1); pass(); pass(); pass()") == ["31 events, 6.2/s", "31 events more"]
    assert await after("come(1); for (let n = 0; n < 5; n += 1) pass()") == ["32 events, 0.2/s", "1 event more"]
    assert await after("for (let n = 0; n < 5; n += 1) pass()") == ["32 events, 0/s", "1 event more"]


# The commands that push

ODD = '-it\'s a "topic"\\ &#%ü$HOME`x`'


async def words(command: object) -> list[str]:
    """Return the arguments that a shell makes of the line of a command."""
    programs = "".join(f"{name}() {{ printf '%s\\0' {name} \"$@\"; }}\n" for name in ("curl", "webmqconnect"))
    shell = await asyncio.create_subprocess_exec("bash", "-c", f"{programs}{command}", stdout=PIPE)
    return (await shell.communicate())[0].decode().split("\0")[:-1]


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("topic", [ODD, UNSEEN])
async def test_the_shown_commands_push(hub: Hub, wire: HubClient, page: Page, topic: str) -> None:
    await open_page(page, hub.url, "first", topic)
    assert await text(page, "push-topic") == "first"
    await page.evaluate("document.querySelectorAll('#topics .topic')[1].click()")
    async with python("-c", str(await text(page, "python"))) as process:
        ended = await process.ended()
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "")
    command, option, data, url = await words(await text(page, "shell"))
    assert (command, option) == ("curl", "-d")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # the content type of curl -d
    async with wire.session.post(URL(url, encoded=True), data=data, headers=headers) as answer:
        assert answer.status == 202
    assert await listed(page, 2) == [[ESCAPED if topic == UNSEEN else topic, '{"id":17,"state":"paid"}']] * 2
    assert page.problems == []


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("topic", [ODD, UNSEEN, "plain"])
async def test_the_shown_commands_sign_if_the_hub_requires_it(run: Run, page: Page, topic: str) -> None:
    hub = await run(Hub(port=0, keys={"app": "a-secret"}))
    await open_page(page, hub.url, topic)
    await page.until("!document.getElementById('signing').hidden")
    line = str(await text(page, "python")).replace('"KEY"', '"app"').replace('"SECRET"', '"a-secret"')
    async with python("-c", line) as process:
        ended = await process.ended()
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "")
    await listed(page, 1)
    shown = str(await text(page, "shell"))
    assert shown.startswith("WEBMQ_AUTH_SECRET=SECRET ")
    assert (shown + line).replace("\n", "").isprintable()
    name, *arguments = await words(shown)
    assert (name, "--" in arguments) == ("webmqconnect", topic.startswith("-"))
    ended = await webmqconnect(
        *(argument.replace("KEY", "app") for argument in arguments), env={"WEBMQ_AUTH_SECRET": "a-secret"}
    )
    assert (ended.status, ended.stdout + ended.stderr) == (0, "accepted\n")
    assert await listed(page, 2) == [[ESCAPED if topic == UNSEEN else topic, '{"id":17,"state":"paid"}']] * 2


@pytest.mark.usefixtures("chromium")
async def test_no_command_is_shown_that_would_push_to_another_topic(run: Run, page: Page) -> None:
    """No command is shown for a topic that a command line would change."""
    hub = await run(Hub(port=0, keys={"app": "a-secret"}))
    await open_page(page, hub.url, "a\0b")
    await page.until("!document.getElementById('signing').hidden")
    assert await text(page, "shell") == r"# No command line can hold the \u0000 in this topic."


# The connection


@pytest.mark.usefixtures("chromium")
async def test_the_page_works_below_a_path_prefix_and_reconnects_after_a_restart(wire: HubClient, page: Page) -> None:
    site = web.Application()
    site.add_subapp("/some/hub/", create_app())
    async with TestServer(site, host="127.0.0.1") as running:
        port = running.port
        await open_page(page, str(running.make_url("/some/hub")), "t")
        assert f'Client("{running.make_url("/some/hub/")}")' in str(await text(page, "python"))
        assert page.problems == []
    await page.until("document.getElementById('state').textContent === 'not connected'")
    assert await page.evaluate("document.getElementById('session-line').hidden")
    assert str(await text(page, "trouble")).startswith("Trying again: ")
    site = web.Application()
    site.add_subapp("/some/hub/", create_app())
    async with TestServer(site, host="127.0.0.1", port=port) as running:
        await connected(page)
        assert await page.evaluate("document.getElementById('trouble').hidden")
        url = running.make_url("/some/hub/").with_query(topicuri="t")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with wire.session.post(url, data=b"1", headers=headers) as answer:
            assert answer.status == 202
        assert await listed(page, 2) == [["t", "1"], ["t", ""]]
        lost = await page.evaluate("events.children[1].querySelector('.hint').textContent")
        assert lost == "Events may be missing: the connection ended, and the hub has restarted."
        assert str(await text(page, "counts")).startswith("1 event,")


@pytest.mark.usefixtures("chromium")
async def test_events_that_were_pushed_during_an_outage_are_shown(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url, "t")
    await page.evaluate("Math.random = () => 0.5; sockets[0].onclose({code: 1006, reason: ''}); undefined")
    await wire.push(hub)
    await connected(page)
    assert await listed(page, 1) == [["t", "1"]]


@pytest.mark.usefixtures("chromium")
async def test_the_page_reconnects_after_the_hub_was_killed(wire: HubClient, page: Page) -> None:
    topic = "http://example.com/orders"
    async with python(*MODULE, "hub", "--port", "0") as hub:
        url = URL((await hub.said("push to")).split()[2])
        await open_page(page, str(url).rstrip("/"), topic)
        await hub.kill()
        await page.until("document.getElementById('state').textContent === 'not connected'")
    async with python(*MODULE, "hub", "--port", str(url.port)) as hub:
        await hub.said("push to")
        await connected(page)
        assert (await webmqconnect("push", str(url), topic, '"back"')).status == 0
        assert await listed(page, 2) == [[topic, '"back"'], [topic, ""]]  # the second line: events were lost


async def sign_in(page: Page, key: str, secret: str) -> None:
    await page.evaluate(
        f"document.getElementById('key').value = {json.dumps(key)};"
        f"document.getElementById('secret').value = {json.dumps(secret)};"
        "document.querySelector('#credentials button').click()"
    )


@pytest.mark.usefixtures("chromium")
async def test_a_page_with_a_key_works_with_a_hub_without_keys(wire: HubClient, page: Page) -> None:
    async with Hub(port=0, subscriber_keys={"reader": "s3cret"}) as hub:
        port = int(hub.url.rpartition(":")[2])
        await page.open(f"{hub.url}/#topic=t")
        await page.until("!document.getElementById('credentials').hidden")
        assert await page.evaluate("document.getElementById('keyless').hidden")
        await sign_in(page, "reader", "s3cret")
        await connected(page)
    async with Hub(port=port) as hub:
        await page.until("document.getElementById('state').textContent === 'refused'")
        assert str(await text(page, "trouble")).startswith("Refused: no_matching_auth_method: ")
        assert not await page.evaluate("document.getElementById('keyless').hidden")
        assert await page.evaluate("document.activeElement.id") == "key"
        await sign_in(page, "", "")
        await connected(page)
        assert await page.evaluate("document.getElementById('credentials').hidden")
        await wire.push(hub)
        assert await listed(page, 1) == [["t", "1"]]


@pytest.mark.usefixtures("chromium")
async def test_a_page_whose_key_is_refused_for_a_while_reconnects(wire: HubClient, page: Page) -> None:
    """The page asks for another key meanwhile, and keeps the text that the user is typing."""
    async with Hub(port=0, subscriber_keys={"reader": "s3cret"}) as hub:
        port = int(hub.url.rpartition(":")[2])
        await page.open(f"{hub.url}/#topic=t")
        await page.until("!document.getElementById('credentials').hidden")
        await sign_in(page, "reader", "s3cret")
        await connected(page)
        await page.evaluate("Math.random = () => 0.1; undefined")
    async with Hub(port=port, subscriber_keys={"other": "s3cret"}):
        await page.until("document.getElementById('trouble').textContent.startsWith('Refused: authentication_failed')")
        assert await page.evaluate("document.activeElement.id") == "secret"
        await page.evaluate("document.getElementById('key').focus(); globalThis.before = sockets.length; undefined")
        await page.until("sockets.length > before && document.getElementById('state').textContent === 'refused'")
        assert await page.evaluate("document.activeElement.id") == "key"
    async with Hub(port=port, subscriber_keys={"reader": "s3cret"}) as hub:
        await connected(page)
        assert await page.evaluate("document.getElementById('credentials').hidden")
        await wire.push(hub)
        assert await listed(page, 2) == [["t", "1"], ["t", ""]]  # the second line: events were lost


@pytest.mark.usefixtures("chromium")
async def test_the_page_asks_for_a_key_if_the_hub_requires_one(run: Run, wire: HubClient, page: Page) -> None:
    hub = await run(Hub(port=0, subscriber_keys={"reader": "kept-in-memory"}))
    await page.open(f"{hub.url}/#topic=t")
    await page.until("!document.getElementById('credentials').hidden")
    assert await text(page, "state") == "refused"
    assert await page.evaluate("document.activeElement.id") == "key"
    assert await page.evaluate("document.getElementById('secret').type") == "password"
    await sign_in(page, "", "kept-in-memory")
    assert await page.evaluate("[sockets.length, document.getElementById('key').validity.valueMissing]") == [1, True]
    await sign_in(page, "reader", "wrong")
    await page.until("document.getElementById('trouble').textContent.startsWith('Refused: authentication_failed')")
    assert await text(page, "state") == "refused"
    assert await page.evaluate("document.activeElement.id") == "secret"
    await sign_in(page, "reader", "kept-in-memory")
    await connected(page)
    assert await page.evaluate("document.getElementById('credentials').hidden")
    await wire.push(hub)
    assert await listed(page, 1) == [["t", "1"]]
    kept = await page.evaluate(
        "JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, document.cookie,"
        " document.documentElement.outerHTML, document.getElementById('secret').value])"
    )
    assert "kept-in-memory" not in str(kept)
    assert page.problems == []


@pytest.mark.usefixtures("chromium")
async def test_the_page_says_that_the_hub_requires_tickets(run: Run, page: Page) -> None:
    """The page says that the hub requires tickets, and asks for a key only if the hub also has keys."""
    tickets: dict[str, str | bytes] = {"users": "0123456789abcdefghijklmnopqrstuv"}
    hub = await run(Hub(port=0, ticket_keys=tickets))
    await page.open(hub.url)
    await page.until("document.getElementById('trouble').textContent.includes('need a ticket')")
    assert await text(page, "state") == "refused"
    assert await page.evaluate("document.getElementById('credentials').hidden")
    hub = await run(Hub(port=0, ticket_keys=tickets, subscriber_keys={"reader": "s3cret"}))
    await page.open(hub.url)
    await page.until("!document.getElementById('credentials').hidden")
    await sign_in(page, "reader", "s3cret")
    await connected(page)


@pytest.mark.usefixtures("chromium")
async def test_a_page_that_cannot_sign_says_why(run: Run, page: Page) -> None:
    """The page says that signing needs WebCrypto, which browsers have only on https and on this machine."""
    hub = await run(Hub(port=0, subscriber_keys={"reader": "s3cret"}))
    await page.open(hub.url)
    await page.until("!document.getElementById('credentials').hidden")
    await page.evaluate(
        "Object.defineProperty(crypto, 'subtle', {value: undefined});"
        "document.getElementById('key').value = document.getElementById('secret').value = 'x';"
        "document.querySelector('#credentials button').click()"
    )
    assert await text(page, "trouble") == "signer needs https or localhost"


@pytest.mark.usefixtures("chromium")
async def test_a_page_of_another_port_may_subscribe_and_not_push(run: Run, wire: HubClient, page: Page) -> None:
    """The browser sends the push without a preflight request, but the hub refuses it because of its `Origin`."""

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
    async with TestServer(site, host="127.0.0.1") as running:
        await page.open(str(running.make_url("/")))
        assert await page.evaluate(push) == "opaque"
        assert await page.evaluate(connect) == "open"
    await peer.heard()


# Layout


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("dark", [False, True])
async def test_nothing_overflows_on_a_phone_in_light_and_dark(
    hub: Hub, wire: HubClient, page: Page, dark: bool
) -> None:
    await page.appear(360, 740, dark=dark)
    await open_page(page, hub.url, "x" * 900, "t")
    for body in (json.dumps("y" * 3000), json.dumps("a b " * 300), "1"):
        await wire.push(hub, "topicuri=" + "x" * 900, body.encode())
    await listed(page, 3)
    await page.evaluate(
        "document.getElementById('push').open = true; document.getElementById('credentials').hidden = false"
    )
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360  # type: ignore[operator]  # a number
    colours = await page.evaluate("""(() => {
        const { backgroundColor, color } = getComputedStyle(document.body);
        return [backgroundColor, color].map(each => Number(each.match(/\\d+/)[0]) > 127);
    })()""")
    assert colours == [not dark, dark]
    assert page.problems == []


@pytest.mark.usefixtures("chromium")
async def test_the_tab_key_reaches_all_controls_in_reading_order(hub: Hub, wire: HubClient, page: Page) -> None:
    await page.appear(1200, 800)
    await open_page(page, hub.url, "t")
    await wire.push(hub)
    await listed(page, 1)
    reached = []
    for _ in range(12):
        await page.press("Tab")
        reached.append(await focused(page))
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", reached[-1]
    assert [*reached[:-1], str(reached[-1])[12:]] == [
        *("Copy the session ID", "topic", "Subscribe", "t", "Unsubscribe from t", "Code that pushes to t"),
        *("Copy the lines of Python", "Copy the command", "filter", "pause", "clear", "t1Copy"),
    ]


async def focused(page: Page) -> object:
    return await page.evaluate(
        "(({id, ariaLabel, textContent}) => id || ariaLabel || textContent)(document.activeElement)"
    )


async def row(page: Page) -> object:
    """Return topic and event of the row that has the focus, and the focused button in it."""
    return await page.evaluate("""(() => {
        const row = document.activeElement.closest("li");
        const name = row.children[1].textContent + row.children[2].textContent;
        return row === document.activeElement ? name : `${name} ${document.activeElement.textContent}`;
    })()""")


@pytest.mark.usefixtures("chromium")
async def test_the_events_are_one_tab_stop_and_arrow_keys_move_within(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url, "t")
    for number in (b"1", b"2", b"3"):
        await wire.push(hub, body=number)
    await listed(page, 3)
    await page.evaluate("document.getElementById('clear').focus()")
    shown = []
    for key in ("Tab", "ArrowDown", "End", "ArrowDown", "Home", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown"):
        await page.press(key)
        shown.append(await row(page))
    assert shown == ["t3", "t2", "t1", "t1", "t3", "t3 Copy", "t3 Copy", "t3", "t2"]
    await page.press("Tab", shift=True)
    assert await focused(page) == "clear"
    await page.press("Tab")
    assert await row(page) == "t2"  # where it was before


@pytest.mark.usefixtures("chromium")
async def test_events_survive_a_reload(hub: Hub, wire: HubClient, page: Page) -> None:
    await open_page(page, hub.url, "t")
    await wire.push(hub, body=EXACT.encode())
    await wire.push(hub, body=b"2")
    before = await listed(page, 2)
    await page.reload()
    assert await listed(page, 2) == before == [["t", "2"], ["t", EXACT]]
    await connected(page)
    await wire.push(hub, body=b"3")
    assert await listed(page, 3) == [["t", "3"], *before]
    await press(page, "Clear")
    await page.reload()
    await connected(page)
    await drawn(page)
    assert await listed(page, 0) == []


@pytest.mark.usefixtures("chromium")
async def test_a_limited_number_of_events_survives_a_reload(hub: Hub, page: Page) -> None:
    await open_page(page, hub.url, "t")
    await page.evaluate("""(() => {
        for (let n = 0; n < 300; n += 1) deliver(n);
    })()""")
    await listed(page, 300)
    await page.reload()
    assert (await listed(page, 200))[0] == ["t", "299"]
    await connected(page)
    await page.evaluate("""(() => {
        const event = JSON.stringify("x".repeat(300000));
        for (let n = 0; n < 10; n += 1) deliver(event);
    })()""")
    await listed(page, 210)
    await page.reload()
    await listed(page, 3)
