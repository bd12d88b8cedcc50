"""The Redis server of the tests behaves as the tests of hubs require."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
import trustme

from .redis_server import RedisServer, running

pytestmark = pytest.mark.usefixtures("redis")


def value(server: RedisServer) -> object:
    with server.client() as client:
        return client.get("key")


def put(server: RedisServer, text: str) -> None:
    with server.client() as client:
        client.set("key", text)


@pytest.mark.parametrize("end", [RedisServer.stop, RedisServer.kill])
@pytest.mark.parametrize(("appendonly", "kept"), [(True, b"1"), (False, None)])
def test_which_data_survive_a_restart(end: Callable[[RedisServer], None], appendonly: bool, kept: bytes | None) -> None:
    with running(appendonly=appendonly) as server:
        put(server, "1")
        end(server)
        server.start()
        assert value(server) == kept


@pytest.mark.parametrize("use", [RedisServer.replace, RedisServer.restore])
def test_a_copy_has_older_data(tmp_path: Path, use: Callable[[RedisServer, Path], None]) -> None:
    with running() as server:
        put(server, "1")
        copy = server.copy(tmp_path / "copy")
        put(server, "2")
        url = server.url
        use(server, copy)
        assert (value(server), server.url) == (b"1", url)


def test_a_suspended_server_continues() -> None:
    with running() as server:
        with (
            server.paused(),
            redis.Redis.from_url(server.url, socket_timeout=0.1) as client,
            pytest.raises(redis.TimeoutError),
        ):
            client.ping()
        put(server, "1")
        assert value(server) == b"1"


def test_passwords() -> None:
    with running(password="pa55") as server:
        put(server, "1")
        with redis.Redis.from_url(server.url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_users() -> None:
    acl = ["user default off", "user hub on >pa55 ~webmq:* +ping +get"]
    with running(acl=acl) as server, server.client("hub", "pa55") as client:
        assert client.ping() is True
        assert client.get("webmq:x") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("other")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("webmq:x", "1")


def test_tls() -> None:
    with running(authority=trustme.CA()) as server:
        put(server, "1")
        assert server.url.startswith("rediss://")
        with redis.Redis.from_url(server.url) as stranger, pytest.raises(redis.ConnectionError):
            stranger.ping()
