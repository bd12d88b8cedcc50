"""The options of a hub, checked. Knows what they mean, not who obeys them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from .._core.checks import checked_count
from ..signing import Credentials
from ._gate import Gate, is_loopback
from ._pushes.verdicts import Accepted, Refused

__all__ = ["HubConfig", "HubOptions"]


class HubOptions(TypedDict, total=False):
    """The keyword arguments of `Hub` and `create_app`; `HubConfig` says what they mean and their defaults."""

    keys: Mapping[str, str | bytes] | None
    subscriber_keys: Mapping[str, str | bytes] | None
    allow_origins: Collection[str]
    allow_hosts: Collection[str]
    allow_publish: bool
    max_body: int
    max_queue: int
    max_connections: int
    max_subscriptions: int
    max_topic: int
    clock: Callable[[], float]
    admit: Callable[[Accepted], Refused | None] | None


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """What a hub is told.

    Args:
        host: the name or address it is bound to. Other than loopback needs `keys`.
        keys: secrets by application key, text (taken as UTF-8) or bytes; with any, only signed pushes are taken.
            None or empty: only unsigned ones; of Crossbar.io's dialect all, their signatures not being looked at.
        subscriber_keys: secrets by subscribers' key, in the same way; with any, only who has authenticated by one of
            them (WAMP-CRA) may subscribe, and that to every topic. None or empty: whoever reaches the hub, and is no
            page of a foreign origin, may read everything, on a hub with `keys` too. Secrets of either kind should be
            long and random: a wrong answer comes late only to the connection that asked, and whoever guesses opens
            more; wrong signatures of pushes are answered at once. Each failure is logged with the peer's address.
        allow_origins: web pages, as `https://app.example.com`, whose scripts may push and subscribe. The hub's own
            page may subscribe, and so may any page of this machine while the hub is bound to loopback.
        allow_hosts: further names, without port, that the hub is reached under: behind a proxy, say.
        allow_publish: whether subscribers may PUBLISH, to any topic and unsigned.
        max_body: bytes of a push's body: an event's JSON text, or all that Crossbar.io's dialect says.
        max_queue: bytes kept for a subscriber that reads slower than events come; with more it is dropped. A single
            event always fits.
        max_connections: subscribers at one time; 200 further connections may push or load the page.
        max_subscriptions: topics, and again prefixes, a subscriber; all of them together may take 256 bytes for each
            that there may be.
        max_topic: characters of a topic.
        clock: Unix time in seconds, which timestamps of signed pushes are compared with.
        admit: called with each push that passed all checks, before it is forwarded: None lets it pass, a `Refused` is
            answered instead, and should it raise, 500. It runs in the hub's loop and must not block. It is not asked
            about what subscribers PUBLISH. None: every push passes.

    Raises:
        ValueError, TypeError: naming the argument.
    """

    host: str = "127.0.0.1"
    keys: Mapping[str, str | bytes] | None = field(default=None, repr=False)
    subscriber_keys: Mapping[str, str | bytes] | None = field(default=None, repr=False)
    allow_origins: Collection[str] = ()
    allow_hosts: Collection[str] = ()
    allow_publish: bool = False
    max_body: int = 4096
    max_queue: int = 1 << 20
    max_connections: int = 800
    max_subscriptions: int = 256
    max_topic: int = 1024
    clock: Callable[[], float] = field(default=time.time, repr=False)
    admit: Callable[[Accepted], Refused | None] | None = field(default=None, repr=False)

    credentials: Mapping[str, Credentials] = field(init=False, repr=False)
    """`keys`, ready to verify with."""
    subscriber_credentials: Mapping[str, Credentials] = field(init=False, repr=False)
    """`subscriber_keys`, likewise."""
    gate: Gate = field(init=False, repr=False)
    """The rules for Host and Origin."""

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not self.host:
            raise ValueError(f"host: {self.host!r} is not a host name or address")
        for name in ("max_body", "max_queue", "max_connections", "max_subscriptions", "max_topic"):
            checked_count(name, getattr(self, name))
        for name in ("allow_origins", "allow_hosts"):
            _check_texts(name, getattr(self, name))
        if not callable(self.clock):
            raise TypeError(f"clock: {self.clock!r} is not callable")
        if self.admit is not None and not callable(self.admit):
            raise TypeError(f"admit: {self.admit!r} is not callable")
        credentials = _credentials("keys", self.keys)
        if not credentials and not is_loopback(self.host):
            raise ValueError(
                f"keys: a hub on {self.host!r} is open to other machines, and without keys any of them could push; "
                "give it keys, or bind it to 127.0.0.1"
            )
        object.__setattr__(self, "credentials", credentials)
        object.__setattr__(self, "subscriber_credentials", _credentials("subscriber_keys", self.subscriber_keys))
        object.__setattr__(self, "gate", Gate(self.host, self.allow_hosts, self.allow_origins))

    @property
    def max_names(self) -> int:
        """Bytes of all topics and prefixes of a subscriber: 256 for each that there may be, and room for any one."""
        return 256 * self.max_subscriptions + 4 * self.max_topic

    @property
    def max_message(self) -> int:
        """Bytes of a message from a subscriber: an event, its topic in JSON escapes, and some sessions."""
        return self.max_body + 12 * self.max_topic + 4096


def _check_texts(name: str, values: object) -> None:
    if isinstance(values, str) or not isinstance(values, Collection):
        raise TypeError(f"{name}: {values!r} is not a list of texts")
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{name}: {value!r} is not a text")


def _credentials(name: str, keys: object) -> dict[str, Credentials]:
    if keys is None:
        return {}
    # Nothing is shown of a wrong value here: it may be the secret.
    if not isinstance(keys, Mapping):
        raise TypeError(f"{name}: not a mapping of key to secret")
    credentials = {}
    for key, secret in keys.items():
        if not isinstance(key, str) or not isinstance(secret, (str, bytes)):
            raise TypeError(f"{name}: a key is text, its secret text or bytes")
        if not key or not secret:
            raise ValueError(f"{name}: a key or its secret is empty")
        credentials[key] = Credentials(key, secret)
    return credentials
