"""The two to-do boards, as their pages speak to them: the same over HTTP, the same over the broker."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from yarl import URL

from tests.examples.boards import TOPIC, Board, named, running
from tests.examples.serving import EXAMPLES
from tests.running import away
from webmqconnect_async.testing import Hub, Pushed

from ..listener import listener

PATIENCE = 20.0


# Over HTTP


async def test_items_are_added_ticked_and_deleted(board: Board) -> None:
    """Each change is the next version, and the list is what they add up to."""
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


async def test_what_is_malformed_is_refused(board: Board) -> None:
    """The list stays as it is. JSON under another name is none: any page may post that, unasked."""
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


async def test_the_board_is_bounded(board: Board) -> None:
    first, *_ = [await board.add(f"{number}") for number in range(100)]
    assert await board.ask("POST", "items", {"text": "more"}) == (409, {"detail": "there are 100 items already"})
    await board.change("DELETE", f"items/{first['id']}")
    await board.add("more")


async def test_half_a_character_does_no_harm(board: Board) -> None:
    """JSON can say it; neither the next list nor the push breaks over it."""
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


async def test_the_others_are_told_and_the_author_is_not(board: Board) -> None:
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


async def test_nobody_else_pushes_to_the_hub_that_comes_along(board: Board) -> None:
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


async def test_the_broker_may_be_of_the_other_dialect(name: str, hub: Hub) -> None:
    """A session ID that the dialect does not know excludes nobody, instead of stopping the push."""
    env = named(hub) | {"WEBMQ_ENDPOINT": f"{hub.url}/publish", "WEBMQ_DIALECT": "crossbar"}
    async with running(name, **env) as board:
        assert await board.ws_url() == hub.ws_url
        for session, excluded in (("17", {"17"}), ("0123456789-_abcd", set())):
            change = await board.add("tea", session=session)
            pushed = await asyncio.to_thread(hub.wait_for, TOPIC, PATIENCE)
            assert pushed == Pushed(TOPIC, change, exclude=frozenset(excluded), key="app")


async def test_pages_may_take_another_way_to_the_hub(name: str) -> None:
    async with running(name, WEBMQ_WS_URL="wss://hub.example.com/ws") as board:
        assert await board.ws_url() == "wss://hub.example.com/ws"


async def test_a_broker_that_is_away_breaks_nothing(name: str, hub: Hub) -> None:
    """Changes are made, the log has the reason, and pages receive the changes once the broker is back, in order."""
    async with running(name, **named(hub)) as board:
        async with away(hub):
            changes = [await board.add("tea"), await board.add("milk")]
            line = await board.site.process.complained("cannot connect")
        assert "s3cret" not in line
        assert "signature" not in line
        assert await board.texts() == ["tea", "milk"]
        changes.append(await board.add("bread"))
        assert [(await hub.arrived(TOPIC, PATIENCE)).event for _ in changes] == changes


async def test_an_event_that_cannot_be_pushed_is_a_bug_that_is_seen(name: str, hub: Hub) -> None:
    """The log has its traceback, and the board goes on."""
    env = named(hub) | {"WEBMQ_ENDPOINT": f"{hub.url}/publish", "WEBMQ_DIALECT": "crossbar"}
    async with running(name, **env) as board:
        json = {"text": "\0 begins with NUL, which this dialect refuses"}
        # uvicorn closes the connection after this response, and the next request could meet that.
        url, headers = f"{board.site.url}/items", {"Connection": "close"}
        async with board.http.post(url, json=json, headers=headers) as response:
            assert response.status == 500
        await board.site.process.complained("InvalidPush: ")
        change = await board.add("tea")
        assert (await asyncio.to_thread(hub.wait_for, TOPIC, PATIENCE)).event == change


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
async def test_it_ends_at_once_and_begins_anew(name: str, number: int) -> None:
    """It also ends while a page is connected. After a restart, no version and no ID is used again."""
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
    """It is read in a minute or two."""
    assert len(path.read_text().splitlines()) < 100
