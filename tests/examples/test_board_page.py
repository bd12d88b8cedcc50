"""The page of both boards in a real browser: what a user sees, and what it does when the network fails."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from tests.chromium import Page, chromium
from tests.examples.boards import Board, named, running
from tests.running import stopped
from webmqconnect_async.testing import Hub

pytestmark = [pytest.mark.usefixtures("chromium"), pytest.mark.timeout(120)]

MARKUP = '<img src=x onerror="document.title=`hacked`"> & &amp; <b>bold</b>'
SPIED_ON = """
globalThis.sockets = [];
globalThis.events = [];
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.push(this);
    this.addEventListener("message", ({data}) => {
      const [type, , , , args] = JSON.parse(data);
      if (type === 36) events.push(args[0]);
    });
  }
};
globalThis.gate = null;  // a promise that answers wait for before the page gets them
globalThis.held = 0;
globalThis.lists = 0;  // how often the page has loaded the list
globalThis.read = (row) => (row.querySelector("input").checked ? "+" : "") + row.querySelector("span").textContent;
const real = fetch;
globalThis.fetch = async (...args) => {
  const answer = await real(...args);
  if (gate) held++;
  await gate;
  if (args[1].method === "GET") lists++;
  return answer;
};
"""


class Person:
    """A user of the page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def open(self, board: Board) -> None:
        await self.page.before_scripts(SPIED_ON)
        await self.page.open(f"{board.site.url}/")
        await self.live()

    async def live(self) -> None:
        await self.page.until("document.getElementById('state').textContent === 'Live' && lists > 1")
        await self.page.evaluate("loaded")

    async def add(self, text: str) -> None:
        await self.page.evaluate(
            f"document.getElementById('text').value = {json.dumps(text)}; document.querySelector('form button').click()"
        )

    async def tick(self, text: str) -> None:
        await self._row(text, "querySelector('input').click()")

    async def delete(self, text: str) -> None:
        await self._row(text, "querySelector('button').click()")

    async def sees(self, *items: str) -> None:
        """Return once the page shows exactly these items, where a done item begins with `+`."""
        wanted = json.dumps(json.dumps(items, separators=(",", ":"), ensure_ascii=False))
        await self.page.until(f"JSON.stringify([...document.querySelectorAll('#items li')].map(read)) === {wanted}")

    async def reads(self, where: str, text: str) -> None:
        await self.page.until(f"document.getElementById('{where}').textContent.includes({json.dumps(text)})")

    async def session(self) -> str:
        return str(await self.page.evaluate("mq.sessionId"))

    async def events(self) -> object:
        """Return the versions that have arrived over the WebSocket."""
        return await self.page.evaluate("events.map((event) => event.version)")

    async def _row(self, text: str, then: str) -> None:
        row = f"[...document.querySelectorAll('#items li')].find((li) => li.innerText.startsWith({json.dumps(text)}))"
        await self.page.evaluate(f"{row}.{then}")


@asynccontextmanager
async def two_people() -> AsyncIterator[tuple[Person, Person]]:
    async with chromium() as first, first.another() as second:
        yield Person(first), Person(second)


@pytest.fixture
async def people() -> AsyncIterator[tuple[Person, Person]]:
    async with two_people() as people:
        yield people


async def test_each_user_sees_the_changes_of_the_other(board: Board, people: tuple[Person, Person]) -> None:
    """Each user sees the changes of the other. A page receives no event for its own changes."""
    ada, bob = people
    await ada.open(board)
    await bob.open(board)
    await ada.sees()
    await ada.add("tea")
    await bob.sees("tea")
    await ada.sees("tea")
    await bob.reads("news", "Added: tea")
    await bob.add(MARKUP)
    await ada.sees("tea", MARKUP)
    await ada.tick("tea")
    await bob.sees("+tea", MARKUP)
    await bob.reads("count", "1 of 2 done")
    await bob.delete("tea")
    await ada.sees(MARKUP)
    await ada.reads("news", "Deleted: tea")
    await bob.sees(MARKUP)
    version = (await board.listing())["version"]
    assert isinstance(version, int)
    assert await ada.events() == [version - 2, version]
    assert await bob.events() == [version - 3, version - 1]
    for person in people:
        assert await person.page.evaluate("[document.title, document.images.length]") == ["Shared to-do board", 0]
        assert await person.page.evaluate("document.getElementById('trouble').textContent") == ""
        assert person.page.problems == []


async def test_an_event_that_arrives_before_the_list_is_not_undone(board: Board) -> None:
    async with chromium() as page:
        ada = Person(page)
        await ada.open(board)
        await page.evaluate("gate = new Promise((done) => { globalThis.release = done; }); load(); null")
        await page.until("held === 1")
        await board.add("tea")
        await page.until("events.length === 1")
        await page.evaluate("gate = null; release(); loaded")
        await ada.sees("tea")
        assert await page.evaluate("version") == (await board.listing())["version"]


async def test_the_page_reloads_the_list_after_a_missed_event(board: Board) -> None:
    """The next event shows the gap, and the page reloads the list. Events that overtake each other do no harm."""
    async with chromium() as page:
        ada = Person(page)
        await ada.open(board)
        await board.add("missed", session=await ada.session())
        await board.add("tea")
        await ada.sees("missed", "tea")
        await page.evaluate("learn({...events.at(-1), version: version - 1, item: null}, true)")
        await ada.sees("missed", "tea")


async def test_a_page_without_a_session_tolerates_events_of_its_own_changes(board: Board) -> None:
    async with chromium() as page:
        ada = Person(page)
        await ada.open(board)
        await page.evaluate("mq.sessionId = null")
        await ada.add("tea")
        await page.until("events.length === 1")
        await ada.sees("tea")
        assert await page.evaluate("version") == (await board.listing())["version"]


async def test_a_refused_change_is_reported_and_undone(board: Board) -> None:
    async with chromium() as page:
        ada = Person(page)
        await ada.open(board)
        tea = await board.add("tea")
        await ada.sees("tea")
        await board.change("DELETE", f"items/{tea['id']}", session=await ada.session())
        await ada.tick("tea")
        await ada.reads("trouble", "somebody has deleted it")
        await ada.sees()
        await ada.add("milk")
        await ada.sees("milk")
        assert await page.evaluate("document.getElementById('trouble').textContent") == ""
        assert await page.evaluate("document.getElementById('text').value") == ""


async def test_the_page_can_be_used_with_the_keyboard(board: Board) -> None:
    """Enter adds an item and keeps the focus. After the last item is deleted, the input for a new one has the focus."""
    async with chromium() as page:
        ada = Person(page)
        await ada.open(board)
        await page.evaluate("document.getElementById('text').focus()")
        await page.command("Input.insertText", text="tea")
        for kind in ("keyDown", "keyUp"):
            await page.command("Input.dispatchKeyEvent", type=kind, key="Enter", text="\r", windowsVirtualKeyCode=13)
        await ada.sees("tea")
        assert await page.evaluate("document.activeElement.id") == "text"
        await page.evaluate("document.querySelector('#items button').focus()")
        await ada.delete("tea")
        await ada.sees()
        assert await page.evaluate("document.activeElement.id") == "text"
        assert await page.evaluate("document.getElementById('none').hidden") is False


async def test_the_pages_catch_up_after_an_outage_of_the_broker(
    name: str, hub: Hub, people: tuple[Person, Person]
) -> None:
    ada, bob = people
    async with running(name, **named(hub)) as board:
        await ada.open(board)
        await bob.open(board)
        async with stopped(hub):
            await bob.page.until("document.getElementById('state').textContent !== 'Live'")
            await ada.add("tea")
            await ada.sees("tea")
        await bob.live()
        await bob.sees("tea")


async def test_the_pages_catch_up_after_a_restart_of_the_server(name: str) -> None:
    """After a restart, which loses the hub's history, the pages are notified of the loss and reload the list."""
    async with chromium() as page:
        ada = Person(page)
        async with running(name) as board:
            ports = {"PORT": board.site.port, "HUB_PORT": str(URL(await board.ws_url()).port)}
            await ada.open(board)
            await ada.add("tea")
            await ada.sees("tea")
        await page.until("document.getElementById('state').textContent !== 'Live'")
        await ada.add("coffee")
        await ada.reads("trouble", "The server does not answer.")
        async with running(name, **ports) as board:
            await ada.live()
            await ada.sees()
            await board.add("milk")
            await ada.sees("milk")
            await ada.reads("news", "Added: milk")
            assert await page.evaluate("document.getElementById('trouble').textContent") == ""
