"""Runs Crossbar.io and the hub with the same set of endpoints, so that tests can run with both brokers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from brokers import crossbar
from webmqconnect_async.hub import Hub

from ..running import in_thread

KEY, SECRET = "app", "s3cret"


@dataclass(frozen=True, slots=True)
class Door:
    """The URL of an endpoint for pushes, and the URL of the WebSocket where its events arrive."""

    endpoint: str
    ws_url: str


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker, and its doors by name. Both have `open` and `signed`, which accepts pushes signed with `KEY`.

    At the door `salted` of Crossbar.io, subscribers must authenticate by salted WAMP-CRA.
    """

    name: str
    doors: Mapping[str, Door]

    @property
    def open(self) -> Door:
        return self.doors["open"]

    @property
    def signed(self) -> Door:
        return self.doors["signed"]


_HUBS: Mapping[str, Mapping[str, Any]] = {"open": {}, "signed": {"keys": {KEY: SECRET}}, "small": {"max_body": 100}}
"""The options of the hub behind each door."""

_PATHS = {"open": "publish-unsigned", "signed": "publish"}
_MORE_PATHS: Mapping[str, Mapping[str, object]] = {
    "small": {"options": {"post_body_limit": 100}},
    "mute": {"role": "mute"},
    "nobody": {"role": "nobody"},
    "disclosed": {"role": "disclosed"},
    "fenced": {"options": {"require_ip": ["192.0.2.0/24"]}},
    "tls": {"options": {"require_tls": True}},
}
"""Paths that are added to the example's configuration of Crossbar.io, by the names of their doors."""
_MORE_ROLES = (
    {"name": "mute", "permissions": []},
    {
        "name": "disclosed",
        "permissions": [
            {"uri": "", "match": "prefix", "allow": {"publish": True}, "disclose": {"publisher": True}},
        ],
    },
)


@contextmanager
def hubs() -> Iterator[Broker]:
    """Run a hub in a thread for each door, because a hub cannot accept signed and unsigned pushes at once."""
    with ExitStack() as stack:
        doors = {}
        for name, options in _HUBS.items():
            hub = stack.enter_context(in_thread(partial(Hub, port=0, **options)))
            doors[name] = Door(f"{hub.url}/publish", hub.ws_url)
        yield Broker("hub", doors)


@contextmanager
def crossbar_io() -> Iterator[Broker]:
    """Run Crossbar.io with the example's configuration, and an additional path for each door that it lacks."""
    with crossbar.node(_config()) as node:
        authority = f"127.0.0.1:{node.port}"
        paths = _PATHS | {name: name for name in _MORE_PATHS}
        doors = {name: Door(f"http://{authority}/{path}", f"ws://{authority}/ws") for name, path in paths.items()}
        doors["salted"] = Door(doors["open"].endpoint, f"ws://{authority}/salted")
        yield Broker("Crossbar.io", doors)


def _config() -> dict[str, object]:
    config: dict[str, Any] = json.loads(crossbar.EXAMPLE.read_text())
    (worker,) = config["workers"]
    (realm,) = worker["realms"]
    (transport,) = worker["transports"]
    realm["roles"] += _MORE_ROLES
    for path, more in _MORE_PATHS.items():
        transport["paths"][path] = {"type": "publisher", "realm": "realm1", "role": "publisher", **more}
    users = {KEY: {"secret": SECRET, "role": "anonymous", "salt": "sält", "iterations": 100, "keylen": 32}}
    transport["paths"]["salted"] = {"type": "websocket", "auth": {"wampcra": {"type": "static", "users": users}}}
    return config
