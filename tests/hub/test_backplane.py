"""The URL of a backplane, and the Redis servers that hubs refuse. No test needs a Redis server."""

from __future__ import annotations

import re

import pytest

from webmqconnect_async.hub import Hub, HubConfig, create_app
from webmqconnect_async.hub._backplane import Backplane, parse_backplane
from webmqconnect_async.hub._engine.connection import Unreachable
from webmqconnect_async.hub._engine.server import Server, server_of

from ..walker import walked

FORM = "backplane must be redis://HOST:PORT/DATABASE or rediss://USER:PASSWORD@HOST:PORT"
PASSWORD = "qK7-Zx93_pL0sVb7m"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1", Backplane("127.0.0.1", 6379, "p")),
        ("redis://Redis.example:1/", Backplane("redis.example", 1, "p")),
        ("redis://[::1]:6380/15", Backplane("::1", 6380, "p", database=15)),
        ("redis://:p%40%3A%2Fss@h/2", Backplane("h", 6379, "p", database=2, password="p@:/ss")),
        ("redis://us%3Aer@h", Backplane("h", 6379, "p", user="us:er")),
        ("rediss://u:p@h:1", Backplane("h", 1, "p", tls=True, user="u", password="p")),
        ("rediss://h?ssl_ca_certs=/etc/ca%20.pem", Backplane("h", 6379, "p", tls=True, authority_file="/etc/ca .pem")),
    ],
)
def test_urls(url: str, expected: Backplane) -> None:
    assert parse_backplane(url, "p") == expected


@pytest.mark.parametrize(
    ("url", "more"),
    [
        *((url, "") for url in ("", "127.0.0.1:6379", "redis:", "redis://", "redis:///0", "http://h", "unix:///s")),
        *((url, "") for url in ("redis://h:x", "redis://h:65536", "redis://h:-1", "redis://h/x", "redis://h/-1")),
        *((url, "") for url in ("redis://h/0/1", "redis://h#f", "redis://[::1", "redis://:a/b@h", "redis://u:1/2@h")),
        ("redis-sentinel://h", ": Redis Sentinel may lose what a hub has accepted when it fails over"),
        ("redis+sentinel://h:26379/mymaster", ": Redis Sentinel may lose what a hub has accepted when it fails over"),
        ("redis-cluster://h", ": a stream is on one server, so a Redis Cluster cannot be used"),
        ("redis://a:1,b:2", ": a stream is on one server, so a Redis Cluster cannot be used"),
        ("redis://h?db=1", ", and the only parameter is ssl_ca_certs, for rediss"),
        ("rediss://h?ssl_cert_reqs=none", ", and the only parameter is ssl_ca_certs, for rediss"),
        ("redis://h?ssl_ca_certs=ca.pem", ", and the only parameter is ssl_ca_certs, for rediss"),
    ],
)
def test_urls_that_are_refused(url: str, more: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(FORM + more)}$"):
        HubConfig(backplane=url)


@pytest.mark.parametrize(
    "url", ["redis://h/1_0", "redis://h/\N{ARABIC-INDIC DIGIT THREE}", "redis://h/ 1", "redis://h:0"]
)
def test_database_numbers_that_are_invalid(url: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(FORM)}$"):
        HubConfig(backplane=url)


@pytest.mark.parametrize("url", [b"redis://h", 1, ["redis://h"]])
def test_a_url_of_another_type(url: object) -> None:
    with pytest.raises(TypeError, match=f"^backplane must be a string or None, not {type(url).__name__}$"):
        HubConfig(backplane=url)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["", "a b", "ä", "a\n", "{a}", "a*", "x" * 101])
def test_prefixes_that_are_refused(prefix: str) -> None:
    said = f"backplane_prefix must be 1 to 100 letters, digits or any of . : / - _, not {prefix[:100]!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        create_app(backplane="redis://h", backplane_prefix=prefix)


def test_a_prefix_of_another_type() -> None:
    with pytest.raises(TypeError, match=r"^backplane_prefix must be a string, not bytes$"):
        HubConfig(backplane="redis://h", backplane_prefix=b"p")  # type: ignore[arg-type]


def test_prefixes() -> None:
    for prefix in ("a", "shop:eu/1.2-b_C", "x" * 100):
        HubConfig(backplane="redis://h", backplane_prefix=prefix)


# The password


def test_no_repr_shows_the_password() -> None:
    config = HubConfig(backplane=f"redis://user:{PASSWORD}@h", backplane_prefix="p")
    shown = f"{config!r} {config._backplane!r} {config._backplane} {Hub(backplane=config.backplane)!r}"
    assert PASSWORD not in shown
    assert str(config._backplane) == "h:6379"


@pytest.mark.parametrize("url", ["redis://u:{}@h/x", "redis://:{}@h?db=1", "sentinel://:{}@h", "redis://:{}/@h", "{}"])
def test_no_message_has_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        parse_backplane(url.format(PASSWORD), "p")
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in "".join(walked(caught.value))


# The reply to INFO

INFO = """\
# Server\r
redis_version:7.0.15\r
redis_mode:standalone\r
run_id:f00\r
tcp_port:6379\r
config_file:/etc/redis/redis conf\r
# Persistence\r
aof_enabled:1\r
# Replication\r
role:master\r
master_replid2:0000000000000000000000000000000000000000\r
"""


def info(**facts: str) -> bytes:
    """Return a reply to INFO with some facts changed; one without a value is left out."""
    text = INFO
    for name, value in facts.items():
        text = re.sub(rf"{name}:.*\r\n", f"{name}:{value}\r\n" if value else "", text)
    return text.encode()


def test_a_server_that_can_be_used() -> None:
    server = server_of(info())
    assert server == Server("f00", "6379 /etc/redis/redis conf", durable=True)
    assert str(server) == "f00 6379 /etc/redis/redis conf"


@pytest.mark.parametrize("version", ["6.2.0", "6.10.1", "7.4", "8.0.0", "255.255.255"])
def test_versions(version: str) -> None:
    server_of(info(redis_version=version))


def test_valkey() -> None:
    """Valkey reports `server_mode`, and the version of Redis with which it is compatible."""
    valkey = info(redis_mode="", redis_version="7.2.4") + b"server_name:valkey\r\nvalkey_version:8.1.0\r\nserver_mode:"
    server_of(valkey + b"standalone\r\n")
    with pytest.raises(Unreachable, match="Sentinel"):
        server_of(valkey + b"sentinel\r\n")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"redis_mode": "sentinel"}, "it is a Redis Sentinel: give the address of the server itself"),
        ({"redis_mode": "cluster"}, "it belongs to a Redis Cluster: hubs need a single server"),
        ({"role": "slave"}, "it is a replica, which accepts no events"),
        ({"redis_version": "6.0.16"}, "it is Redis 6.0.16, and hubs need 6.2 or later, or Valkey"),
        ({"redis_version": "2.8"}, "it is Redis 2.8, and hubs need 6.2 or later, or Valkey"),
    ],
)
def test_servers_that_are_refused(facts: dict[str, str], said: str) -> None:
    with pytest.raises(Unreachable, match=f"^{re.escape(said)}$"):
        server_of(info(**facts))


def test_a_server_that_is_loading() -> None:
    """While it loads, Redis 7 reports `aof_enabled:0`, whatever its configuration."""
    with pytest.raises(Unreachable, match=r"^it is still loading its data$"):
        server_of(info() + b"loading:1\r\n")
    assert server_of(info() + b"loading:0\r\n").durable


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ({}, True),  # the connection was lost
        ({"run_id": "bar"}, True),  # the server was restarted with its file
        ({"run_id": "bar", "aof_enabled": "0"}, False),
        ({"aof_enabled": "0"}, True),
        ({"run_id": "bar", "tcp_port": "6380"}, False),
        ({"run_id": "bar", "config_file": "/etc/other.conf"}, False),
        ({"run_id": "bar", "master_replid2": "f00"}, False),  # the server was a replica
    ],
)
def test_whether_a_server_may_have_lost_data(facts: dict[str, str], kept: bool) -> None:
    assert server_of(info(**facts)).kept_all(str(server_of(info()))) is kept
