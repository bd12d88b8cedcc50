"""The hub for users' tests, as their tests use it: without an event loop, in one, in several, and as a fixture."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import freezegun
import pytest
import trio

from webmqconnect_async import (
    AsyncClient,
    AuthRejected,
    BadReply,
    Client,
    ClockRejected,
    ConnectFailed,
    Overloaded,
    Retry,
)
from webmqconnect_async.hub import Accepted, HubOptions, Identity, Refused
from webmqconnect_async.hub import Hub as ServedHub
from webmqconnect_async.testing import Hub, Pushed
from webmqconnect_async.testing._journal import Journal
from webmqconnect_async.tickets import ticket
from webmqconnect_async.typing import DialectName

from .listener import listener

pytest_plugins = ["pytester", "webmqconnect_async.testing"]

PATIENCE = 10.0
TICKET_SECRET = "0123456789abcdefghijklmnopqrstuv"
EXAMPLES = Path(__file__).parents[1] / "examples"


async def may_read(identity: Identity, topic: str) -> bool:
    """Decide, in the thread of the hub, whether a subscriber may read a topic."""
    return identity.authid == "17" and topic.endswith("orders") and threading.current_thread().name == "webmq-hub"


@pytest.fixture
def client(webmq_hub: Hub) -> Client:
    return Client(webmq_hub.url)


# Recorded pushes


def test_pushes_are_recorded_in_order(webmq_hub: Hub, client: Client) -> None:
    for number in range(20):
        client.push(f"t{number % 2}", {"n": number})
    assert webmq_hub.pushes == [Pushed(f"t{number % 2}", {"n": number}) for number in range(20)]


def test_a_recorded_push_has_all_arguments(webmq_hub: Hub, client: Client) -> None:
    client.push("http://example.com/ü", "a", eligible=["1", "2"], exclude=["2"])
    client.push("t", None, eligible=[])
    assert webmq_hub.pushes == [
        Pushed("http://example.com/ü", "a", eligible=frozenset({"1", "2"}), exclude=frozenset({"2"}), key=None),
        Pushed("t", None, eligible=frozenset(), exclude=frozenset(), key=None),
    ]


@pytest.mark.parametrize("webmq_hub_options", [{"keys": {"app": "s3cret"}}])
def test_a_recorded_push_has_its_key_and_refused_pushes_are_not_recorded(webmq_hub: Hub) -> None:
    Client(webmq_hub.url, "app", "s3cret").push("t", 1)
    with pytest.raises(AuthRejected):
        Client(webmq_hub.url, "app", "guessed").push("t", 2)
    with pytest.raises(AuthRejected):
        Client(webmq_hub.url).push("t", 3)
    assert webmq_hub.pushes == [Pushed("t", 1, key="app")]


def test_the_list_of_pushes_is_a_copy(webmq_hub: Hub, client: Client) -> None:
    before = webmq_hub.pushes
    client.push("t", 1)
    webmq_hub.pushes.clear()
    assert (before, len(webmq_hub.pushes)) == ([], 1)


def test_the_list_of_pushes_outlives_the_hub() -> None:
    with Hub() as hub:
        Client(hub.url).push("t", 1)
    assert hub.pushes == [Pushed("t", 1)]


def test_clear_removes_pushes_and_refusals(webmq_hub: Hub, client: Client) -> None:
    client.push("t", 1)
    webmq_hub.refuse_next(401)
    webmq_hub.clear()
    client.push("t", 2)
    assert webmq_hub.pushes == [webmq_hub.wait_for("t")] == [Pushed("t", 2)]


async def test_subscribers_get_pushed_events(webmq_hub: Hub) -> None:
    async with listener(webmq_hub.ws_url, "t") as session, AsyncClient(webmq_hub.url) as client:
        await client.push("t", 1)
        assert await session.next() == 1


@pytest.mark.parametrize("webmq_hub_options", [{"ticket_keys": {"users": TICKET_SECRET}, "may_subscribe": may_read}])
async def test_an_application_can_test_its_rights(webmq_hub: Hub) -> None:
    """Tickets of the application work, and so does its hook, which runs in the thread of the hub."""
    replies = []
    async with aiohttp.ClientSession() as http, http.ws_connect(webmq_hub.ws_url, protocols=("wamp.2.json",)) as page:
        await page.send_json([1, "realm1", {"authmethods": ["ticket"]}])
        await page.receive()
        await page.send_json([5, ticket(key="users", secret=TICKET_SECRET, sub="17", topics=["users/17/*"]), {}])
        await page.receive()
        for topic in ("users/17/orders", "users/17/invoices", "users/1/orders"):
            await page.send_json([32, 1, {}, topic])
            reply = json.loads((await page.receive(PATIENCE)).data)
            replies.append(reply[5:])
    assert replies == [[], [["the application refuses it"]], [["the ticket does not cover this topic"]]]


# Waiting


def test_wait_for_returns_each_push_once_and_in_order(webmq_hub: Hub, client: Client) -> None:
    for topic, event in [("a", 1), ("b", 2), ("a", 3)]:
        client.push(topic, event)
    waited = [webmq_hub.wait_for(topic, timeout=0).event for topic in ("a", "a", "b")]
    assert waited == [1, 3, 2]
    assert len(webmq_hub.pushes) == 3


def test_wait_for_waits(webmq_hub: Hub, client: Client) -> None:
    with ThreadPoolExecutor() as pool:
        waits = [pool.submit(webmq_hub.wait_for, topic, PATIENCE) for topic in ("a", "b", "a")]
        for topic, event in [("a", 1), ("a", 2), ("b", 3)]:
            client.push(topic, event)
        first, second, third = (wait.result(PATIENCE).event for wait in waits)
    assert second == 3
    assert {first, third} == {1, 2}


async def test_arrived_waits_without_blocking_the_loop(webmq_hub: Hub) -> None:
    """The oldest wait gets the first push."""
    waits = [asyncio.create_task(webmq_hub.arrived(topic, PATIENCE)) for topic in ("a", "b", "a")]
    await asyncio.sleep(0)
    assert not any(wait.done() for wait in waits)
    async with AsyncClient(webmq_hub.url) as client:
        for topic, event in [("a", 1), ("a", 2), ("b", 3), ("b", 4)]:
            await client.push(topic, event)
    assert [(await wait).event for wait in waits] == [1, 3, 2]
    assert (await webmq_hub.arrived("b", timeout=0)).event == 4


def test_the_error_of_a_wait_shows_the_pushes_that_arrived(webmq_hub: Hub, client: Client) -> None:
    with pytest.raises(TimeoutError) as nothing:
        webmq_hub.wait_for("t", timeout=0)
    said = "waited 0.0 s for a push on 't' that no wait has returned before; accepted so far: "
    assert str(nothing.value) == said + "nothing"
    for topic in ("other", "t", "other"):
        client.push(topic, 1)
    webmq_hub.wait_for("t")
    with pytest.raises(TimeoutError) as something:
        webmq_hub.wait_for("t", timeout=0.01)
    assert str(something.value) == said.replace("0.0", "0.01") + "2 on 'other', 1 on 't'"


async def test_a_wait_that_has_ended_gets_no_push(webmq_hub: Hub) -> None:
    """The wait has ended by its timeout or by a cancellation."""
    with pytest.raises(TimeoutError, match=r"waited 0\.01 s for a push on 't'"):
        await webmq_hub.arrived("t", timeout=0.01)
    wait = asyncio.create_task(webmq_hub.arrived("t", timeout=None))
    await asyncio.sleep(0)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    async with AsyncClient(webmq_hub.url) as client:
        await client.push("t", 1)
    assert (await webmq_hub.arrived("t")).event == 1


async def test_wait_for_refuses_to_block_an_event_loop(webmq_hub: Hub) -> None:
    with pytest.raises(RuntimeError, match=r"await hub\.arrived\(topic\)"):
        webmq_hub.wait_for("t")


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), ("1", TypeError), (True, TypeError)])
async def test_the_error_of_a_wrong_timeout_names_it(webmq_hub: Hub, timeout: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout must be "):
        await webmq_hub.arrived("t", timeout)  # type: ignore[arg-type]  # wrong on purpose
    with ThreadPoolExecutor() as pool, pytest.raises(error, match="timeout must be "):
        pool.submit(webmq_hub.wait_for, "t", timeout).result()  # type: ignore[arg-type]  # wrong on purpose


def test_a_hub_works_with_one_loop_after_another(webmq_hub: Hub) -> None:
    async def push(event: int) -> Pushed:
        async with AsyncClient(webmq_hub.url) as client:
            await client.push("t", event)
        return await webmq_hub.arrived("t")

    assert [asyncio.run(push(number)).event for number in range(2)] == [0, 1]


def test_waits_and_pushes_from_many_threads_lose_nothing() -> None:
    journal = Journal()

    def push(number: int) -> None:
        for each in range(100):
            journal.admit(Accepted("t", str(100 * number + each), eligible=None, exclude=frozenset(), key=None))

    def wait(_number: int) -> list[object]:
        got = []
        for _ in range(100):
            with journal.waiting("t") as future:
                got.append(future.result(PATIENCE).event)
        return got

    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(wait, number) for number in range(4)]
        list(pool.map(push, range(4)))
        got = [event for each in waits for event in each.result(PATIENCE)]
    assert sorted(map(str, got), key=int) == [str(number) for number in range(400)]


def test_the_error_under_trio_says_to_wait_in_a_thread(webmq_hub: Hub, client: Client) -> None:
    async def waiting() -> Pushed:
        said = r"trio\.to_thread\.run_sync\(hub\.wait_for, topic\)"
        with pytest.raises(RuntimeError, match=said):
            await webmq_hub.arrived("t", timeout=0)
        with pytest.raises(RuntimeError, match=said):
            webmq_hub.wait_for("t", timeout=0)
        await trio.to_thread.run_sync(client.push, "t", 1)
        return await trio.to_thread.run_sync(webmq_hub.wait_for, "t")

    assert trio.run(waiting) == Pushed("t", 1)


# Frozen time

SIGNED = pytest.mark.parametrize("webmq_hub_options", [{"keys": {"app": "s3cret"}}])


@SIGNED
@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
def test_signed_pushes_are_accepted_while_time_is_frozen(webmq_hub: Hub, dialect: DialectName) -> None:
    """Hubs and clients may be created before, during and after it; in this thread, in another, and in a loop."""
    url = f"{webmq_hub.url}/publish" if dialect == "crossbar" else webmq_hub.url

    async def push(client: AsyncClient) -> None:
        async with client:
            await client.push("t.b", 1)

    def new() -> Client:
        return Client(url, "app", "s3cret", dialect=dialect)

    before = new()
    before.push("t.b", 1)
    with freezegun.freeze_time("2024-02-29 12:00:00"):
        before.push("t.b", 1)
        within = new()
        within.push("t.b", 1)
        asyncio.run(push(AsyncClient(url, "app", "s3cret", dialect=dialect)))
        thread = threading.Thread(target=new().push, args=("t.b", 1))
        thread.start()
        assert webmq_hub.wait_for("t.b").key == "app"
        thread.join()
        with Hub(keys={"app": "s3cret"}) as inside:
            Client(inside.url, "app", "s3cret").push("t.b", 1)
    for client in (before, within):
        client.push("t.b", 1)
    assert (len(webmq_hub.pushes), len(inside.pushes)) == (7, 1)


async def test_arrived_expires_while_time_is_frozen(webmq_hub: Hub, client: Client) -> None:
    """The timers of asyncio stop, so a push ends the test if nothing else does."""
    late = threading.Timer(PATIENCE, client.push, ["t", 1])
    late.start()
    try:
        with freezegun.freeze_time("2024-02-29 12:00:00"), pytest.raises(TimeoutError, match=r"^waited 0\.01 s"):
            await webmq_hub.arrived("t", timeout=0.01)
    finally:
        late.cancel()


# Refusals on demand


def test_refuse_next_refuses_and_forwards_nothing(webmq_hub: Hub, client: Client) -> None:
    webmq_hub.refuse_next(503, retry_after=60)
    with pytest.raises(Overloaded, match="refused by the test") as caught:
        client.push("t", 1)
    assert caught.value.retry_after == 60
    client.push("t", 2)
    assert webmq_hub.pushes == [Pushed("t", 2)]


def test_a_client_retries_a_refused_push(webmq_hub: Hub) -> None:
    webmq_hub.refuse_next(503, retry_after=0, count=2)
    assert Client(webmq_hub.url, retry=Retry(attempts=3, wait=0.0)).push("t", 1).attempts == 3
    assert webmq_hub.pushes == [Pushed("t", 1)]


def test_refusals_are_used_in_order(webmq_hub: Hub, client: Client) -> None:
    webmq_hub.refuse_next(400, "timestamp expired (delta 302 seconds)")
    webmq_hub.refuse_next(500, count=2)
    with pytest.raises(ClockRejected):
        client.push("t", 1)
    for number in (2, 3):
        with pytest.raises(BadReply):
            client.push("t", number)
    client.push("t", 4)
    assert webmq_hub.pushes == [Pushed("t", 4)]


@pytest.mark.parametrize(
    "webmq_hub_options", [{"admit": lambda push: Refused(403, "no") if push.topic == "a" else None}]
)
def test_a_refusal_by_the_hub_itself_does_not_count(webmq_hub: Hub, client: Client) -> None:
    """The hub's checks and the `admit` of a test come before `refuse_next`."""
    webmq_hub.refuse_next(401, "by refuse_next")
    with pytest.raises(AuthRejected, match="no"):
        client.push("a", 1)
    with pytest.raises(AuthRejected, match="by refuse_next"):
        client.push("b", 2)
    client.push("b", 3)
    assert webmq_hub.pushes == [Pushed("b", 3)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"status": 202}, "status must be at least 400 and at most 599"),
        ({"status": 600}, "status must be at least 400 and at most 599"),
        ({"status": "503"}, "status must be an integer, not str"),
        ({"status": True}, "status must be an integer, not bool"),
        ({"status": 503, "reason": None}, "reason must be a string, not NoneType"),
        ({"status": 503, "retry_after": -1}, "retry_after must be at least 0"),
        ({"status": 503, "retry_after": 1.5}, "retry_after must be an integer, not float"),
        ({"status": 503, "count": 0}, "count must be at least 1"),
        ({"status": 503, "count": "2"}, "count must be an integer, not str"),
    ],
)
def test_the_error_of_a_wrong_refusal_names_the_argument(
    webmq_hub: Hub, client: Client, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(said)):
        webmq_hub.refuse_next(**arguments)  # type: ignore[arg-type]  # wrong on purpose
    assert client.push("t", 1).status == 202


# Start and end of a hub


def test_a_hub_that_is_down_refuses_connections_until_the_end_of_the_block(webmq_hub: Hub) -> None:
    client = Client(webmq_hub.url, retry=Retry(attempts=1))
    client.push("t", 1)
    urls = webmq_hub.url, webmq_hub.ws_url
    with webmq_hub.down():
        assert (webmq_hub.url, webmq_hub.ws_url) == urls
        with pytest.raises(ConnectFailed):
            client.push("t", 2)
    client.push("t", 3)
    assert [push.event for push in webmq_hub.pushes] == [1, 3]


def test_a_hub_is_started_again_after_an_error_in_the_block(webmq_hub: Hub, client: Client) -> None:
    with pytest.raises(RuntimeError, match="the test's"), webmq_hub.down():
        raise RuntimeError("the test's")
    assert client.push("t", 1).status == 202


def test_only_a_running_hub_can_be_taken_down(webmq_hub: Hub) -> None:
    with webmq_hub.down(), pytest.raises(RuntimeError, match="already down"), webmq_hub.down():
        pass
    with pytest.raises(RuntimeError, match="is not running"), Hub().down():
        pass


def test_the_repr_says_where_the_hub_listens() -> None:
    hub = Hub(keys={"app": "s3cret"})
    assert repr(hub) == "<Hub not running>"
    with hub:
        assert repr(hub) == f"<Hub {hub.url}>"
        with hub.down():
            assert repr(hub) == f"<Hub {hub.url} down>"
    assert repr(hub) == "<Hub not running>"


def test_a_hub_may_be_closed_while_it_is_down() -> None:
    with Hub() as hub, hub.down():
        hub.close()
    with pytest.raises(RuntimeError, match="is not running"):
        _ = hub.url


def test_a_port_that_is_in_use_after_down_raises_oserror() -> None:
    with Hub() as hub:
        away = hub.down()
        away.__enter__()
        with Hub(port=int(hub.url.rpartition(":")[2])), pytest.raises(OSError, match="address already in use"):
            away.__exit__(None, None, None)


def test_a_port_in_use_raises_oserror_and_leaves_nothing_open(webmq_hub: Hub) -> None:
    threads = threading.enumerate()
    second = Hub(port=int(webmq_hub.url.rpartition(":")[2]))
    for _ in range(2):
        with pytest.raises(OSError, match="address already in use"):
            second.start()
        assert threading.enumerate() == threads
    webmq_hub.close()
    with second:
        assert Client(second.url).push("t", 1).status == 202


def test_a_running_hub_cannot_be_started_and_a_closed_one_can() -> None:
    threads = threading.enumerate()
    hub = Hub()
    hub.close()
    for number in range(2):
        hub.start()
        with pytest.raises(RuntimeError, match="is already running"):
            hub.start()
        Client(hub.url).push("t", number)
        hub.close()
        hub.close()
        for name in ("url", "ws_url"):
            with pytest.raises(RuntimeError, match="is not running"):
                getattr(hub, name)
        assert threading.enumerate() == threads
    assert [push.event for push in hub.pushes] == [0, 1]


def test_an_error_while_closing_is_raised_by_close(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = threading.enumerate()
    close = ServedHub.close

    async def broken(served: ServedHub) -> None:
        await close(served)
        raise OSError("broken")

    monkeypatch.setattr(ServedHub, "close", broken)
    with pytest.raises(OSError, match="broken"), Hub():
        pass
    assert threading.enumerate() == threads


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": "8080"}, "port must be an integer, not str"),
        ({"max_body": 0}, "max_body must be at least 1"),
        ({"admit": 7}, "admit must be callable or None, not int"),
    ],
)
def test_the_error_of_a_wrong_option_names_it(options: dict[str, object], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(said)):
        Hub(**options)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("webmq_hub_options", [{"keys": {"app": "s3cret"}, "ticket_keys": {"users": TICKET_SECRET}}])
def test_no_secret_is_shown(webmq_hub: Hub) -> None:
    shown = repr(webmq_hub) + repr(vars(webmq_hub))
    assert "s3cret" not in shown
    assert TICKET_SECRET not in shown


# The pytest plugin


def test_importing_testing_imports_no_pytest() -> None:
    code = "import sys, webmqconnect_async.testing; print('pytest' in sys.modules)"
    done = subprocess.run(  # noqa: S603  # an interpreter of our own, on lines of our own
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def run(pytester: pytest.Pytester, *arguments: str, **files: str) -> pytest.RunResult:
    """Run a suite in a pytest of its own, in which warnings are errors."""
    pytester.makepyfile(**files)
    return pytester.runpytest_subprocess(
        "-W", "error", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function", *arguments
    )


def test_a_suite_that_opts_in_can_use_the_fixtures(pytester: pytest.Pytester) -> None:
    """Blocking tests, asynchronous ones, and loops that outlive a test work, each with the options that it sets."""
    result = run(
        pytester,
        conftest="""
            import pytest
            from webmqconnect_async.testing import Hub

            pytest_plugins = ["webmqconnect_async.testing"]

            @pytest.fixture(scope="session")
            def shared():
                with Hub() as hub:
                    yield hub
        """,
        test_blocking="""
            import pytest
            from webmqconnect_async import Client
            from webmqconnect_async.testing import Pushed

            @pytest.mark.parametrize("number", [1, 2])
            def test_a_fresh_hub(webmq_hub, number):
                Client(webmq_hub.url).push("t", number)
                assert webmq_hub.pushes == [Pushed("t", number)]

            class TestSigned:
                @pytest.fixture
                def webmq_hub_options(self):
                    return {"keys": {"app": "s3cret"}}

                def test_options(self, webmq_hub):
                    Client(webmq_hub.url, "app", "s3cret").push("t", 1)
                    assert webmq_hub.wait_for("t").key == "app"
        """,
        test_asyncio="""
            import pytest
            import pytest_asyncio
            from webmqconnect_async import AsyncClient
            from webmqconnect_async.testing import Hub

            pytestmark = pytest.mark.asyncio(loop_scope="module")

            @pytest_asyncio.fixture(scope="module", loop_scope="module")
            async def client(shared):
                async with AsyncClient(shared.url) as client:
                    yield client

            @pytest.mark.parametrize("number", [1, 2])
            async def test_a_loop_for_several_tests(client, shared, number):
                shared.clear()
                await client.push("t", number)
                assert [push.event for push in shared.pushes] == [number]

            async def test_a_hub_within_a_loop():
                with Hub() as hub:
                    async with AsyncClient(hub.url) as client:
                        await client.push("t", 1)
                        assert (await hub.arrived("t")).event == 1

            @pytest.mark.asyncio(loop_scope="function")
            async def test_a_loop_of_its_own(shared, webmq_hub):
                for hub in (shared, webmq_hub):
                    async with AsyncClient(hub.url) as client:
                        await client.push("own", 1)
                        assert (await hub.arrived("own")).event == 1
        """,
        test_anyio="""
            import pytest
            from webmqconnect_async import AsyncClient

            @pytest.fixture
            def anyio_backend():
                return "asyncio"

            @pytest.mark.anyio
            async def test_anyio(webmq_hub):
                async with AsyncClient(webmq_hub.url) as client:
                    await client.push("t", 1)
                assert (await webmq_hub.arrived("t")).event == 1
        """,
    )
    result.assert_outcomes(passed=8)


def test_a_single_module_may_opt_in(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        test_one="""
            from webmqconnect_async.testing import Hub, Pushed

            pytest_plugins = ["webmqconnect_async.testing"]

            def test_fails(webmq_hub: Hub) -> None:
                assert webmq_hub.pushes == [Pushed("t", 1)]
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *Right contains one more item: Pushed(topic='t', event=1, *"])


def test_the_fastapi_example_can_be_tested_with_the_fixtures(pytester: pytest.Pytester) -> None:
    """The handler under test is that of examples/, unchanged."""
    result = run(
        pytester,
        "-o",
        f"pythonpath={EXAMPLES / 'boards'}",
        test_app="""
            import pytest
            from fastapi.testclient import TestClient
            from fastapi_board import app
            from live import TOPIC
            from webmqconnect_async.testing import Hub, Pushed

            pytest_plugins = ["webmqconnect_async.testing"]

            @pytest.fixture
            def web(webmq_hub: Hub, monkeypatch: pytest.MonkeyPatch):
                monkeypatch.setenv("WEBMQ_ENDPOINT", webmq_hub.url)
                with TestClient(app) as web:
                    yield web

            def test_a_change_is_pushed(web: TestClient, webmq_hub: Hub) -> None:
                change = web.post("/items", json={"text": "tea"}, headers={"X-WebMQ-Session": "17"}).json()
                assert webmq_hub.wait_for(TOPIC) == Pushed(TOPIC, change, exclude=frozenset({"17"}))

            def test_a_hub_that_rejects_a_push_fails_no_request(web: TestClient, webmq_hub: Hub) -> None:
                webmq_hub.refuse_next(400)
                assert web.post("/items", json={"text": "milk"}).status_code == 201
                assert web.post("/items", json={"text": "salt"}).status_code == 201
                assert webmq_hub.wait_for(TOPIC).event["item"]["text"] == "salt"

            def test_a_hub_that_is_down_fails_no_request(web: TestClient, webmq_hub: Hub) -> None:
                with webmq_hub.down():
                    assert web.post("/items", json={"text": "sugar"}).status_code == 201
                assert web.post("/items", json={"text": "lemon"}).status_code == 201
                assert [webmq_hub.wait_for(TOPIC).event["item"]["text"] for _ in range(2)] == ["sugar", "lemon"]
        """,
    )
    result.assert_outcomes(passed=3)


def test_the_options_are_typed() -> None:
    """The return type of a project's `webmq_hub_options` is that of the hub's options."""
    options: HubOptions = {"keys": {"app": "s3cret"}, "max_body": 10}
    with Hub(**options) as hub, pytest.raises(AuthRejected):
        Client(hub.url).push("t", 1)
