"""Both to-do boards behave alike towards their pages, over HTTP and over the broker."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from yarl import URL

from tests.examples.boards import TOPIC, Board, named, running
from tests.examples.serving import EXAMPLES
from tests.running import stopped
from webmqconnect_async.testing import Hub, Pushed

from ..listener import listener

PATIENCE = 20.0


# Over HTTP


async def test_items_are_added_ticked_and_deleted(board: Board) -> None:
    """Each change is the next version, and the list is the result of all changes."""
    before = await board.listing()
    version = before["version"]
    assert before["items"] == {}
    assert isinstance(version, int)
    tea, milk = await board.add(" tea "), await board.add("milk")
    assert tea == {"version": version + 1, "id": tea["id"], "item": {"id": tea["id"], "text": "tea", "done": False}}
    assert milk["id"] != tea["id"]
    path = f"items/{tea['id']}"
    ticked = await board.change("PATCH", path, {"done": True})
    assert ticked == {"version": version + 3, "id": tea["id"], "item": {"id": tea["id"], "text": "tea", "done": True}}
    assert await board.change("PATCH", path, {"done": False}) == tea | {"version": version + 4}
    assert await board.change("DELETE", path) == {"version": version + 5, "id": tea["id"], "item": None}
    assert await board.listing() == before | {"version": version + 5, "items": {str(milk["id"]): milk["item"]}}


async def test_malformed_requests_are_refused(board: Board) -> None:
    """A malformed request leaves the list unchanged. So does JSON with another type, which any page may post."""
    tea = await board.add("tea")
    item = f"items/{tea['id']}"
    before = await board.listing()
    json = {"Content-Type": "application/json"}
    for method, path, data, headers, statuses in (
        ("POST", "items", '{"text": "milk"}', {"Content-Type": "text/plain"}, {415, 422}),
        ("POST", "items", b'{"text": "milk"}', {}, {415, 422}),
        ("POST", "items", "text=milk", {"Content-Type": "application/x-www-form-urlencoded"}, {415, 422}),
        ("POST", "items", "", json, {422}),
        ("POST", "items", '{"text": ', json, {422}),
        ("POST", "items", "[1]", json, {422}),
        ("POST", "items", '{"name": "milk"}', json, {422}),
        ("POST", "items", '{"text": 7}', json, {422}),
        ("POST", "items", '{"text": " "}', json, {422}),
        ("POST", "items", f'{{"text": "{"x" * 201}"}}', json, {422}),
        ("PATCH", item, '{"done": "yes"}', json, {422}),
        ("PATCH", item, '{"done": true}', {"Content-Type": "text/plain"}, {415, 422}),
        ("PATCH", "items/7", '{"done": true}', json, {404}),
        ("DELETE", "items/7", "", {}, {404}),
        ("DELETE", f"items/{'7' * 5000}", "", {}, {404, 405, 422}),
        ("DELETE", "items/tea", "", {}, {404, 405, 422}),
        ("DELETE", "items", "", {}, {405}),
    ):
        request = board.http.request(
            method, f"{board.site.url}/{path}", data=data, headers=headers, skip_auto_headers=["Content-Type"]
        )
        async with request as answer:
            assert answer.status in statuses, (method, path[:20], data, await answer.text())
    assert await board.listing() == before


async def test_the_number_of_items_is_limited(board: Board) -> None:
    first, *_ = [await board.add(f"{number}") for number in range(100)]
    assert await board.ask("POST", "items", {"text": "more"}) == (409, {"detail": "there are 100 items already"})
    await board.change("DELETE", f"items/{first['id']}")
    await board.add("more")


async def test_a_lone_surrogate_does_no_harm(board: Board) -> None:
    """A lone surrogate, which JSON can contain, breaks neither the next list nor the push."""
    await board.add("\ud800 tea")
    assert await board.texts() == ["? tea"]


async def test_the_sources_are_not_served(board: Board) -> None:
    for path in ("store.py", "../store.py", "%2e%2e/store.py", "webmq/../../server.py", "webmq/%2e%2e/server.py"):
        async with board.http.get(URL(f"{board.site.url}/{path}", encoded=True)) as answer:
            assert answer.status in (403, 404), path
    for path in ("", "board.js", "board.css", "webmq/webmq.min.js"):
        async with board.http.get(f"{board.site.url}/{path}") as answer:
            assert answer.status == 200
            assert await answer.text()


# Over the broker


async def test_a_change_is_pushed_to_all_pages_but_that_of_its_author(board: Board) -> None:
    url = await board.ws_url()
    async with listener(url, TOPIC) as ada, listener(url, TOPIC) as bob:
        of_ada = await board.add("tea & cake", session=ada.session_id)
        assert await bob.next() == of_ada
        of_bob = await board.change("PATCH", f"items/{of_ada['id']}", {"done": True}, session=bob.session_id)
        assert await ada.next() == of_bob
        for unknown in (None, "", "1,2", "x" * 50, "\xe9"):
            of_somebody = await board.add("milk", session=unknown)
            assert [await ada.next(), await bob.next()] == [of_somebody] * 2
        gone = await board.change("DELETE", f"items/{of_ada['id']}", session=ada.session_id)
        assert await bob.next() == gone


async def test_only_the_board_may_push_to_its_embedded_hub(board: Board) -> None:
    push = (await board.ws_url()).removesuffix("ws").replace("ws", "http", 1)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with board.http.post(push, params={"topicuri": TOPIC}, data=b"{}", headers=form) as answer:
        assert answer.status == 401, await answer.text()


async def test_the_broker_that_the_environment_names_is_used(name: str, hub: Hub) -> None:
    async with running(name, **named(hub)) as board:
        change = await board.add("tea", session="0123456789-_abcd")
        pushed = await asyncio.to_thread(hub.wait_for, TOPIC, PATIENCE)
        assert pushed == Pushed(TOPIC, change, exclude=frozenset({"0123456789-_abcd"}), key="app")
        assert await board.ws_url() == hub.ws_url


async def test_the_broker_may_use_the_other_dialect(name: str, hub: Hub) -> None:
    """A session ID that is invalid in the dialect excludes no page, and does not prevent the push."""
    env = named(hub) | {"WEBMQ_ENDPOINT": f"{hub.url}/publish", "WEBMQ_DIALECT": "crossbar"}
    async with running(name, **env) as board:
        assert await board.ws_url() == hub.ws_url
        for session, excluded in (("17", {"17"}), ("0123456789-_abcd", set())):
            change = await board.add("tea", session=session)
            pushed = await asyncio.to_thread(hub.wait_for, TOPIC, PATIENCE)
            assert pushed == Pushed(TOPIC, change, exclude=frozenset(excluded), key="app")


async def test_pages_may_use_another_url_for_the_hub(name: str) -> None:
    async with running(name, WEBMQ_WS_URL="wss://hub.example.com/ws") as board:
        assert await board.ws_url() == "wss://hub.example.com/ws"


async def test_an_outage_of_the_broker_only_delays_events(name: str, hub: Hub) -> None:
    """While the broker is down, changes are made and the log has the reason. Pages receive them later, in order."""
    async with running(name, **named(hub)) as board:
        async with stopped(hub):
            changes = [await board.add("tea"), await board.add("milk")]
            line = await board.site.process.complained("cannot connect")
        assert "s3cret" not in line
        assert "signature" not in line
        assert await board.texts() == ["tea", "milk"]
        changes.append(await board.add("bread"))
        assert [(await hub.arrived(TOPIC, PATIENCE)).event for _ in changes] == changes


async def test_an_event_that_cannot_be_pushed_is_logged(name: str, hub: Hub) -> None:
    """If an event cannot be pushed, the log has a traceback, and the board continues to work."""
    env = named(hub) | {"WEBMQ_ENDPOINT": f"{hub.url}/publish", "WEBMQ_DIALECT": "crossbar"}
    async with running(name, **env) as board:
        json = {"text": "\0 begins with NUL, which this dialect refuses"}
        # uvicorn closes the connection after this response, which might affect the next request.
        url, headers = f"{board.site.url}/items", {"Connection": "close"}
        async with board.http.post(url, json=json, headers=headers) as response:
            assert response.status == 500
        await board.site.process.complained("InvalidPush: ")
        change = await board.add("tea")
        assert (await asyncio.to_thread(hub.wait_for, TOPIC, PATIENCE)).event == change


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
async def test_a_signal_ends_the_board_and_it_can_be_restarted(name: str, number: int) -> None:
    """A signal ends the board even while a page is connected. After a restart, versions and IDs are not used again."""
    async with running(name) as board:
        before = await board.add("tea")
        async with listener(await board.ws_url(), TOPIC):
            ended = await board.site.process.stopped(number)
        assert ended.status in (0, -number)
        assert "Traceback" not in ended.stdout + ended.stderr
        port = board.site.port
    async with running(name, PORT=port) as board:
        after = await board.add("milk")
        assert board.site.port == port
        assert int(str(after["version"])) > int(str(before["version"]))
        assert int(str(after["id"])) > int(str(before["id"]))


@pytest.mark.parametrize("path", sorted((EXAMPLES / "boards").glob("*.py")), ids=lambda path: path.name)
def test_a_board_is_short(path: Path) -> None:
    """The source of a board can be read in a minute or two."""
    assert len(path.read_text().splitlines()) < 100
