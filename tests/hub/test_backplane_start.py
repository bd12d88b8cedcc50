"""The start of a hub: it reads the stream, or says why it cannot. Also pages that are ahead of their hub."""

from __future__ import annotations

import asyncio
import traceback
from functools import partial
from pathlib import Path

import pytest
import trustme

from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._engine import stream

from ..cli.conftest import invoke_here
from ..redis_server import RedisServer, free_port, running
from ..tcp_proxy import TcpProxy
from .conftest import HubClient, Run
from .outages import Shared, accepted, backplane, engine_of, quicken, until
from .pair import new_prefix, page
from .test_idempotency import TOPIC

PASSWORD = "qK7-Zx93_pL0sVb7m"


@pytest.fixture
def shared(redis_server: RedisServer) -> Shared:
    """Return the options of hubs on a server that this test does not break."""
    return backplane(redis_server, new_prefix())


# Servers that cannot be used


async def refused(caplog: pytest.LogCaptureFixture, **options: object) -> str:
    """Return why a hub does not start, after a search for the password in everything that is shown."""
    hub = Hub(port=0, **options)  # type: ignore[arg-type]
    try:
        with pytest.raises(ConnectionError) as caught:
            await hub.start()
    finally:
        await hub.close()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    hidden = shown.replace(f"'backplane': '{options['backplane']}'", "")  # the argument that the test itself has passed
    assert PASSWORD not in "".join(line for line in hidden.splitlines() if "    options = " not in line)
    assert not any(record.exc_info for record in caplog.records)
    assert PASSWORD not in caplog.text
    assert hub._handlers is None
    return str(caught.value)


async def test_a_refused_connection(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    said = await refused(caplog, backplane=f"redis://:{PASSWORD}@127.0.0.1:{port}/0")
    assert said == f"the backplane 127.0.0.1:{port} cannot be used: Connection refused"


@pytest.mark.parametrize("host", ["no.such.host.invalid", pytest.param("a" * 64 + ".example", id="long")])
async def test_a_host_that_cannot_be_resolved(caplog: pytest.LogCaptureFixture, host: str) -> None:
    said = await refused(caplog, backplane=f"redis://:{PASSWORD}@{host}:1/0")
    assert said.startswith(f"the backplane {host}:1 cannot be used: ")
    assert "should not happen" not in said


async def test_a_server_that_does_not_respond(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicken(monkeypatch, timeout=0.05)
    async with TcpProxy(redis_server.port) as proxy:
        proxy.stall()
        said = await refused(caplog, **backplane(proxy))
        assert said.startswith(f"the backplane 127.0.0.1:{proxy.port} cannot be used: no response within ")


async def test_a_server_of_another_protocol(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """A server of another protocol, such as a hub, is reported as not being Redis."""
    other = await run(Hub(port=0))
    said = await refused(caplog, backplane=other.url.replace("http", "redis"))
    assert said.startswith(f"the backplane {other.url.removeprefix('http://')} cannot be used: ")
    assert "should not happen" not in said


@pytest.mark.parametrize("user", ["", "nobody"])
async def test_a_wrong_password(redis: None, caplog: pytest.LogCaptureFixture, user: str) -> None:
    with running(password="another") as server:
        said = await refused(caplog, backplane=f"redis://{user}:{PASSWORD}@127.0.0.1:{server.port}")
        reason = "WRONGPASS invalid username-password pair or user is disabled"
        assert said == f"the backplane 127.0.0.1:{server.port} cannot be used: {reason}"
        said = await refused(caplog, backplane=f"redis://127.0.0.1:{server.port}")
        assert said == f"the backplane 127.0.0.1:{server.port} cannot be used: NOAUTH Authentication required"


async def test_a_password(redis: None, run: Run, wire: HubClient) -> None:
    with running(password=PASSWORD) as server:
        hub = await run(Hub(port=0, backplane=f"redis://:{PASSWORD}@127.0.0.1:{server.port}"))
        await accepted(wire, hub, 1, TOPIC)
        await hub.close()


RIGHTS = (
    "info",
    "time",
    "mget",
    "get",
    "set",
    "eval",
    "evalsha",
    "script|load",
    "xread",
    "xrange",
    "xrevrange",
    "xadd",
    "del",
)
LATER = ("evalsha", "script|load", "xread", "xadd")


@pytest.mark.parametrize(
    ("first", "missing"), [*((True, right) for right in RIGHTS), *((False, right) for right in LATER)]
)
async def test_a_missing_right(redis: None, caplog: pytest.LogCaptureFixture, first: bool, missing: str) -> None:
    """A hub without a required right does not start, instead of refusing all pushes later."""
    rights = " ".join(f"+{right}" for right in RIGHTS if right != missing)
    users = ("user default on nopass ~* +@all", f"user hub on >{PASSWORD} ~webmq:* {rights}")
    with running(acl=users) as server:
        if not first:
            async with Hub(port=0, backplane=server.url):
                pass
        said = await refused(caplog, backplane=f"redis://hub:{PASSWORD}@127.0.0.1:{server.port}")
        assert "permission" in said or "can't run" in said


async def test_tls(redis: None, run: Run, wire: HubClient, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The certificate is verified with the certificate authority that the URL names."""
    authority = trustme.CA()
    with running(authority=authority, password=PASSWORD) as server:
        url = f"rediss://:{PASSWORD}@127.0.0.1:{server.port}/0"
        said = await refused(caplog, backplane=url)
        assert "certificate verify failed" in said
        said = await refused(caplog, backplane=url.replace("rediss", "redis"))
        assert said.startswith(f"the backplane 127.0.0.1:{server.port} cannot be used: ")
        said = await refused(caplog, backplane=f"{url}?ssl_ca_certs={tmp_path}/none.pem")
        assert said.startswith(f"the backplane 127.0.0.1:{server.port} cannot be used: ")
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        hub = await run(Hub(port=0, backplane=f"{url}?ssl_ca_certs={tmp_path}/ca.pem"))
        peer = await page(wire, hub, TOPIC)
        publication = await accepted(wire, hub, 1, TOPIC)
        assert await peer.event() == (publication, [[1]])
        await hub.close()


async def test_a_replica(own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    with own_redis.client() as client:
        client.replicaof("127.0.0.1", str(free_port()))
    said = await refused(caplog, **backplane(own_redis))
    assert said.endswith(" cannot be used: it is a replica, which accepts no events")


async def test_keys_of_another_type(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """A hub does not start if another application uses its prefix for keys of other types."""
    for name, fill in (("events", "lpush"), ("history", "lpush")):
        prefix = new_prefix()
        with redis_server.client() as client:
            getattr(client, fill)(f"{prefix}:{name}", "x")
        said = await refused(caplog, **backplane(redis_server, prefix))
        assert "should not happen" not in said


# The command line


def test_command_line_and_a_password() -> None:
    ended = invoke_here("hub", "--backplane", f"redis://:{PASSWORD}@h:1")
    assert ended.status == 2
    assert PASSWORD not in ended.stdout + ended.stderr
    words = " ".join(ended.stderr.replace("│", " ").split())
    assert "--backplane has a password, which ps shows to everybody: set WEBMQ_HUB_BACKPLANE, or give" in words
    assert "--backplane-file" in words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--backplane", "http://h"), "--backplane must be redis://HOST:PORT/DATABASE or rediss://USER:PASSWORD@HOST"),
        (("--backplane", "redis://h", "--backplane-prefix", "a b"), "--backplane-prefix must be 1 to 100 letters,"),
        (("--backplane", "redis://h", "--backplane-file", __file__), "--backplane is given twice"),
        (("--backplane-file", "/nonexistent"), "'--backplane-file': File '/nonexistent' does not exist."),
        (("--backplane-file", "/dev/null"), "--backplane-file: the secret in /dev/null is empty"),
    ],
)
def test_options_that_are_refused(arguments: tuple[str, ...], said: str) -> None:
    ended = invoke_here("hub", *arguments)
    assert ended.status == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


@pytest.mark.parametrize("place", ["argument", "variable", "file", "variable's file"])
def test_command_line_without_a_server(place: str, tmp_path: Path) -> None:
    """The command exits with 1 and says which server cannot be used, without the password."""
    port = free_port()
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    (tmp_path / "url").write_text(f"{url}\n")
    arguments, env = {
        "argument": (("--backplane", f"redis://127.0.0.1:{port}"), {}),
        "variable": ((), {"WEBMQ_HUB_BACKPLANE": url}),
        "file": (("--backplane-file", f"{tmp_path}/url"), {}),
        "variable's file": ((), {"WEBMQ_HUB_BACKPLANE_FILE": f"{tmp_path}/url"}),
    }[place]
    ended = invoke_here("hub", "--port", "0", *arguments, env=env)
    assert (ended.status, ended.stdout) == (1, "")
    assert f"the backplane 127.0.0.1:{port} cannot be used: " in " ".join(ended.stderr.split())
    assert PASSWORD not in ended.stderr


# The entries of the stream


async def test_a_hub_that_starts_later(run: Run, shared: Shared, wire: HubClient) -> None:
    """A hub that starts later has the history of earlier hubs, even if none of them is running any more."""
    first = await run(Hub(port=0, **shared))
    before = await page(wire, first, TOPIC)
    ids = [await accepted(wire, first, number, TOPIC) for number in range(250)]
    await first.close()
    later = await run(Hub(port=0, **shared))
    peer = await page(wire, later)
    assert (peer.history, peer.newest) == (before.history, ids[-1])
    missed = await peer.recover(TOPIC, ids[-100])
    assert missed == [(publication, [[number]]) for number, publication in enumerate(ids)][-99:]
    with pytest.raises(LookupError, match=r"^events are no longer in the history$"):
        await peer.recover(TOPIC, before.newest)
    assert await peer.recover("another", before.newest) == []


async def test_a_hub_that_starts_with_a_trimmed_stream(
    run: Run, redis_server: RedisServer, shared: Shared, wire: HubClient
) -> None:
    """The hub can recover the events that are left. A page that needs an earlier one is notified of the loss."""
    first = await run(Hub(port=0, **shared))
    before = await page(wire, first)
    ids = [await accepted(wire, first, number, TOPIC) for number in range(6)]
    with redis_server.client() as client:
        client.xtrim(f"{shared['backplane_prefix']}:events", 3, approximate=False)
    peer = await page(wire, await run(Hub(port=0, **shared)))
    assert peer.history == before.history
    assert await peer.recover(TOPIC, ids[2]) == [(ids[number], [[number]]) for number in (3, 4, 5)]
    with pytest.raises(LookupError, match=r"^the hub has restarted$"):
        await peer.recover(TOPIC, ids[1])


async def test_old_events(run: Run, shared: Shared, wire: HubClient) -> None:
    """Events older than `history_seconds` are not read, but a page that has the last of them misses nothing."""
    now = [1_700_000_000.0]
    first = await run(Hub(port=0, clock=lambda: now[0], **shared))
    old = [await accepted(wire, first, number, TOPIC) for number in range(3)]
    now[0] += 1000
    new = [await accepted(wire, first, number, TOPIC) for number in range(3, 6)]
    later = await run(Hub(port=0, clock=lambda: now[0], history_seconds=300, **shared))
    peer = await page(wire, later)
    assert await peer.recover(TOPIC, old[-1]) == [(new[number], [[number + 3]]) for number in range(3)]
    with pytest.raises(LookupError):
        await peer.recover(TOPIC, old[0])


async def test_a_stream_with_an_entry_of_another_application(
    run: Run, redis_server: RedisServer, shared: Shared, wire: HubClient
) -> None:
    """The hub has a complete history from the entry of the other application on."""
    first = await run(Hub(port=0, **shared))
    await accepted(wire, first, 1, TOPIC)
    await first.close()
    with redis_server.client() as client:
        client.xadd(f"{shared['backplane_prefix']}:events", {"a": "b", "c": "d"})
    second = await run(Hub(port=0, **shared))
    before = (await page(wire, second)).newest
    publication = await accepted(wire, second, 2, TOPIC)
    third = await run(Hub(port=0, **shared))
    for hub in (second, third):
        peer = await page(wire, hub)
        assert await peer.recover(TOPIC, before) == [(publication, [[2]])]
        with pytest.raises(LookupError, match=r"^the hub has restarted$"):
            await peer.recover(TOPIC, before - 1)


async def test_large_events(run: Run, shared: Shared, wire: HubClient) -> None:
    start = partial(Hub, port=0, max_body=1 << 20, history_bytes=1 << 26, max_queue=1 << 24, **shared)
    first = await run(start())
    floor = (await page(wire, first)).newest
    texts = [letter * ((1 << 20) - 2) for letter in "abcde"]
    for text in texts:
        await wire.push(first, f"topicuri={TOPIC}", f'"{text}"'.encode()[: 1 << 20])
    missed = await (await page(wire, await run(start()))).recover(TOPIC, floor)
    assert [values for _, values in missed] == [[[text]] for text in texts]


@pytest.mark.parametrize("max_body", [4096, 1 << 20])
async def test_a_hub_that_starts_while_another_pushes(run: Run, shared: Shared, wire: HubClient, max_body: int) -> None:
    """A hub starts while another one accepts pushes at full speed."""
    first = await run(Hub(port=0, history=100_000, **shared))
    floor = (await page(wire, first)).newest
    engine = engine_of(first)
    publishing: list[int] = []
    stopped = False

    async def push() -> None:
        from webmqconnect_async.hub._publication import Publication

        while not stopped:
            published = engine.publish(Publication(TOPIC, str(len(publishing))))
            assert isinstance(published, asyncio.Future)
            publication = await published
            assert isinstance(publication, int)
            publishing.append(publication)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(push())
        await until(lambda: len(publishing) > 2000)
        try:
            async with asyncio.timeout(20 if max_body == 4096 else 2):  # the pusher does not end by itself
                later = await run(Hub(port=0, max_body=max_body, max_queue=1 << 24, history=100_000, **shared))
            peer = await page(wire, later)
            missed = await peer.recover(TOPIC, floor)
            assert len(missed) > 2000
        finally:
            stopped = True
    publishing.sort()
    got = [number for number, _ in missed]
    while got[-1] < publishing[-1]:
        got.append((await peer.event())[0])
    assert got == publishing


# Pages that are ahead of their hub


async def test_a_page_that_is_ahead_of_its_hub(
    run: Run, redis_server: RedisServer, shared: Shared, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's subscription waits until the hub has read the stream as far as the page; then nothing is missed."""
    async with TcpProxy(redis_server.port) as proxy:
        behind = await run(Hub(port=0, **backplane(proxy, shared["backplane_prefix"])))
        ahead = await run(Hub(port=0, **shared))
        watching = await page(wire, behind, TOPIC)
        proxy.stall()
        ids = [await accepted(wire, ahead, number, TOPIC) for number in range(3)]
        peer = await page(wire, behind)
        assert peer.newest < ids[0]
        recovering = asyncio.create_task(peer.recover(TOPIC, ids[1]))
        await until(lambda: len(engine_of(behind)._waiting) == 1)
        proxy.mend()
        assert await recovering == [(ids[2], [[2]])]
        assert [(await watching.event())[0] for _ in ids] == ids
        later = await accepted(wire, ahead, 3, TOPIC)
        assert await peer.event() == (later, [[3]])
        await behind.close()


async def test_a_page_that_is_ahead_of_the_stream(
    run: Run, shared: Shared, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while the page is notified that something may be missing, and its further messages are processed."""
    monkeypatch.setattr(stream, "_REACH", 0.1)
    hub = await run(Hub(port=0, **shared))
    peer = await page(wire, hub)
    with pytest.raises(LookupError, match=r"^the hub has not reached this position$"):
        await peer.recover(TOPIC, peer.newest + (1 << 30))
    await peer.heard()
    assert not engine_of(hub)._waiting


async def test_many_topics_of_a_page_that_is_ahead_of_the_stream(
    run: Run, shared: Shared, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The topics of such a page wait at the same time, not one after another."""
    monkeypatch.setattr(stream, "_REACH", 0.2)
    peer = await page(wire, await run(Hub(port=0, **shared)))
    for number in range(20):
        await peer.send(32, number, {"_after": peer.newest + (1 << 30)}, f"{TOPIC}.t{number}")
    async with asyncio.timeout(2):
        for _ in range(20):
            assert (await peer.receive())[4] == "webmq.error.history_unavailable"


async def test_a_page_that_disconnects_while_it_waits(run: Run, shared: Shared, wire: HubClient) -> None:
    hub = await run(Hub(port=0, **shared))
    peer = await page(wire, hub)
    await peer.send(32, 1, {"_after": peer.newest + (1 << 30)}, TOPIC)
    await until(lambda: len(engine_of(hub)._waiting) == 1)
    await hub.close()
    assert (await peer.receive())[2] == "wamp.close.system_shutdown"
