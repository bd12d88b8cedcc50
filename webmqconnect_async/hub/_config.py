"""The configuration of a hub, and its checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from .._core.checks import checked_count, checked_integer, checked_seconds, wrong_type
from .._core.clock import unix_time
from .._core.topics import check_topics
from ..signing import Credentials
from ._backplane import Backplane, parse_backplane
from ._host_and_origin import Gate, is_loopback
from ._pushes.verdicts import Accepted, Refused
from ._rights import Identity, Rights

_MIN_TOKEN = 16  # minimum length of the token of the console, in characters


class HubOptions(TypedDict, total=False):
    """The keyword arguments of `Hub` and `create_app`. `HubConfig` explains them and has the defaults."""

    keys: Mapping[str, str | bytes] | None
    subscriber_keys: Mapping[str, str | bytes] | None
    ticket_keys: Mapping[str, str | bytes] | None
    public: Collection[str]
    may_subscribe: Callable[[Identity, str], bool | Awaitable[bool]] | None
    allow_origins: Collection[str]
    allow_hosts: Collection[str]
    allow_publish: bool
    max_body: int
    max_queue: int
    max_connections: int
    max_subscriptions: int
    max_topic: int
    history: int
    history_seconds: float
    history_bytes: int
    grace: float
    metrics: str | None
    keepalive: float
    clock: Callable[[], float]
    admit: Callable[[Accepted], Refused | None] | None
    console_token: str | None
    backplane: str | None
    backplane_prefix: str


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """The configuration of a hub.

    Args:
        host: The name or address that the hub is bound to. Any other than loopback requires `keys`.
        keys: Secrets by application key, as bytes or as a string, which is encoded as UTF-8. With keys, the hub accepts
            only signed pushes. `None` or empty: it accepts unsigned WebMQ pushes only, and all pushes of the Crossbar
            dialect without verifying their signatures.
        subscriber_keys: Secrets by subscriber key, likewise. A subscriber that authenticates with one (WAMP-CRA) may
            read every topic. With these keys or `ticket_keys`, anonymous subscribers may read only the `public` topics.
            Without both, every client that can reach the hub may read every topic, even if the hub has `keys`, except
            for web pages of other origins. Make secrets long and random: the response to a failed authentication is
            delayed, but only on its own connection, and a push with a wrong signature is refused immediately. Each
            failure is logged with the address of the peer.
        ticket_keys: Secrets by key, likewise, of at least 32 bytes, with which your application makes tickets:
            `webmqconnect_async.tickets.ticket`. A subscriber with a ticket (WAMP v2) may read the topics that the
            ticket covers, until it expires. Anybody who has such a secret can make any ticket, so it must not be one
            of `keys` or `subscriber_keys`. The `eligible_authid` of a push selects users of tickets and subscriber keys
            alike: do not give a key the name of a user. Needs the extra `tickets`.
        public: Topics that everybody may read without a key or a ticket, exact or with a trailing `*` after `/`, `.` or
            `:`, such as `http://example.com/news/*`.
        may_subscribe: Called with the `Identity` of a subscriber and a topic that it subscribes to and may read by the
            rules above. Return `True` to allow the subscription, and `False` to refuse it. An exception is a refusal,
            and is logged. It runs in the event loop of the hub and must not block. It is not called for public topics,
            and it cannot end a subscription. `None` allows all.

            The function may be asynchronous. Meanwhile the subscriber's further messages wait, and those of others do
            not. After 5 seconds, the subscription is refused and the coroutine is cancelled; a future or a task that
            the function returns is not. Other subscriptions of this subscriber are refused until it has ended.
        allow_origins: Origins of web pages that may push and subscribe, such as `https://app.example.com`; `file://`
            for pages that are opened from files. The hub's own page may always subscribe, and so may every page served
            from this machine if the hub is bound to loopback.
        allow_hosts: Additional host names, without port, that requests may be sent to, such as the name of a proxy in
            front of the hub.
        allow_publish: Whether subscribers may publish events, without a signature. Subscribers with a ticket may
            publish to the topics that it covers, others to any topic. With `ticket_keys` or `subscriber_keys`,
            anonymous subscribers may not publish.
        max_body: Maximum size of a push's body in bytes: the event as JSON, or the whole object of the Crossbar
            dialect.
        max_queue: Maximum size of a subscriber's send queue in bytes, at least `max_body`. A subscriber that exceeds it
            is disconnected.
        max_connections: Maximum number of subscribers. In addition, 200 connections may push or load the page.
        max_subscriptions: Maximum number of topics, and separately of prefixes, per subscriber. Together they may use
            256 * `max_subscriptions` bytes.
        max_topic: Maximum length of a topic in characters.
        history: Maximum number of events per topic that the hub keeps for subscribers that were away (WAMP v2). Every
            client that may subscribe to a topic may read them. 0: none. A subscriber may then have missed events
            whenever it reconnects.
        history_seconds: Maximum seconds that the hub keeps an event.
        history_bytes: Maximum memory for the events of all topics. The oldest event is dropped first. Retained events
            may use a quarter of it; they do not expire.
        grace: Maximum seconds for the hub to close: to send subscribers what is queued for them, and to finish requests
            in progress.
        metrics: Where the hub serves metrics for Prometheus, as `HOST:PORT`, such as `127.0.0.1:9100`; port 0 chooses a
            free one. They are at `/metrics`, without authentication. Needs the extra `metrics`. `None`: nowhere.
        keepalive: Seconds to keep an idle connection of a client that has pushed. One that has not is closed after 75
            seconds. When there are too many connections, the hub closes an idle one for a new one.
        clock: Returns the Unix time in seconds. Timestamps of signed pushes are compared with it.
        admit: Called with every push that has passed all checks, before it is delivered. Return `None` to accept the
            push, or a `Refused` to respond with that. If it raises an exception, the response is 500. It runs in the
            event loop of the hub and must not block. It is not called for events that subscribers publish, or for a
            push that is repeated with its idempotency key. `None` accepts every push.
        console_token: The token that opens the console on the page of the hub, at least 16 characters. The console
            shows every topic, event, subscriber and refusal, and pushes without a signature: make the token random, by
            `secrets.token_urlsafe()`, and keep it secret. `None`: there is no console.
        backplane: The URL of a Redis or Valkey server over which several hubs share all events, such as
            `redis://127.0.0.1:6379/0`, or `rediss://USER:PASSWORD@HOST:PORT` with TLS. A subscriber may reconnect to
            any of them. While the server cannot be used, pushes are refused. Give all hubs the same keys and the same
            `history`; otherwise one hub refuses or forgets what another one accepts or keeps. With a backplane, `admit`
            is called for repeated pushes, too. Needs the extra `redis`. `None`: the hub does not share its events.
        backplane_prefix: The beginning of the names of all keys in Redis. Hubs with different prefixes share nothing.

    Raises:
        ValueError, TypeError: An argument is invalid; the message names it.
    """

    host: str = "127.0.0.1"
    keys: Mapping[str, str | bytes] | None = field(default=None, repr=False)
    subscriber_keys: Mapping[str, str | bytes] | None = field(default=None, repr=False)
    ticket_keys: Mapping[str, str | bytes] | None = field(default=None, repr=False)
    public: Collection[str] = ()
    may_subscribe: Callable[[Identity, str], bool | Awaitable[bool]] | None = field(default=None, repr=False)
    allow_origins: Collection[str] = ()
    allow_hosts: Collection[str] = ()
    allow_publish: bool = False
    max_body: int = 4096
    max_queue: int = 1 << 20
    max_connections: int = 800
    max_subscriptions: int = 256
    max_topic: int = 1024
    history: int = 100
    history_seconds: float = 300.0
    history_bytes: int = 16 << 20
    grace: float = 3.0
    metrics: str | None = None
    keepalive: float = 6 * 3600.0
    clock: Callable[[], float] = field(default=unix_time, repr=False)
    admit: Callable[[Accepted], Refused | None] | None = field(default=None, repr=False)
    console_token: str | None = field(default=None, repr=False)
    backplane: str | None = field(default=None, repr=False)
    backplane_prefix: str = "webmq"

    _credentials: Mapping[str, Credentials] = field(init=False, repr=False, compare=False)
    _subscriber_credentials: Mapping[str, Credentials] = field(init=False, repr=False, compare=False)
    _ticket_credentials: Mapping[str, Credentials] = field(init=False, repr=False, compare=False)
    _rights: Rights = field(init=False, repr=False, compare=False)
    _gate: Gate = field(init=False, repr=False, compare=False)
    _metrics_address: tuple[str, int] | None = field(init=False, repr=False, compare=False)
    _backplane: Backplane | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.host, str):
            raise TypeError(wrong_type("host", "a string", self.host))
        if not self.host:
            raise ValueError("host must not be empty")
        for name in ("max_body", "max_queue", "max_connections", "max_subscriptions", "max_topic"):
            checked_count(name, getattr(self, name))
        if self.max_queue < self.max_body:
            raise ValueError(
                f"max_queue must be at least max_body: {self.max_queue} bytes cannot hold an event of {self.max_body}"
            )
        for name in ("history", "history_bytes"):
            checked_integer(name, getattr(self, name), 0)
        for name in ("keepalive", "history_seconds", "grace"):
            if checked_seconds(name, getattr(self, name)) is None:
                raise TypeError(wrong_type(name, "a number of seconds", None))
        for name in ("public", "allow_origins", "allow_hosts"):
            _check_strings(name, getattr(self, name))
        if not callable(self.clock):
            raise TypeError(wrong_type("clock", "callable", self.clock))
        for name in ("admit", "may_subscribe"):
            if (hook := getattr(self, name)) is not None and not callable(hook):
                raise TypeError(wrong_type(name, "callable or None", hook))
        if self.console_token is not None:
            _check_console_token(self.console_token)
        credentials = _credentials("keys", self.keys)
        if not credentials and not is_loopback(self.host):
            raise ValueError(
                f"keys must be given for a hub on {self.host!r}: without keys, every machine that can reach it could "
                "push; give it keys, or bind it to 127.0.0.1"
            )
        subscriber = _credentials("subscriber_keys", self.subscriber_keys)
        tickets = _credentials("ticket_keys", self.ticket_keys)
        _check_ticket_keys(tickets, (*credentials.values(), *subscriber.values()))
        restricted = bool(subscriber or tickets)
        if self.public and not restricted and self.may_subscribe is None:
            names = "ticket_keys, subscriber_keys or may_subscribe"
            raise ValueError(f"public must not be given without {names}: every topic is public then")
        self.__dict__.update(  # not by assignment, because the class is frozen
            _credentials=credentials,
            _subscriber_credentials=subscriber,
            _ticket_credentials=tickets,
            _rights=Rights(check_topics("public", self.public) if self.public else (), restricted),
            _gate=Gate(self.host, self.allow_hosts, self.allow_origins),
            _metrics_address=None if self.metrics is None else metrics_address(self.metrics),
            _backplane=None if self.backplane is None else parse_backplane(self.backplane, self.backplane_prefix),
        )


def metrics_address(text: object) -> tuple[str, int]:
    """Return the host and the port of `HOST:PORT`; raise TypeError or ValueError for anything else."""
    if not isinstance(text, str):
        raise TypeError(wrong_type("metrics", "a string or None", text))
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"metrics must be HOST:PORT like '127.0.0.1:9100', not {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _check_strings(name: str, values: object) -> None:
    if isinstance(values, str) or not isinstance(values, Collection):
        raise TypeError(wrong_type(name, "a list of strings", values))
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{name} must contain strings, not {type(value).__name__}")


def _check_console_token(token: object) -> None:
    # The messages must not contain the token.
    if not isinstance(token, str):
        raise TypeError(wrong_type("console_token", "a string or None", token))
    if len(token) < _MIN_TOKEN:
        raise ValueError(f"console_token must have at least {_MIN_TOKEN} characters")


def _check_ticket_keys(tickets: Mapping[str, Credentials], others: Iterable[Credentials]) -> None:
    if not tickets:
        return
    from .._core.tickets import check_secret  # needs PyJWT

    for credentials in tickets.values():
        if problem := check_secret(credentials.secret):
            raise ValueError(f"ticket_keys has a secret that {problem}")
        if any(credentials.secret == other.secret for other in others):
            problem = "contains a secret that another key uses, too: a ticket key needs its own secret"
            raise ValueError(f"ticket_keys {problem}")


def _credentials(name: str, keys: object) -> dict[str, Credentials]:
    if keys is None:
        return {}
    # The messages show no values: one may be a secret.
    if not isinstance(keys, Mapping):
        raise TypeError(wrong_type(name, "a mapping of keys to secrets", keys))
    credentials = {}
    for key, secret in keys.items():
        if not isinstance(key, str) or not isinstance(secret, (str, bytes)):
            raise TypeError(f"{name} must map strings to strings or bytes")
        if not key or not secret:
            raise ValueError(f"{name} must not contain an empty key or secret")
        credentials[key] = Credentials(key, secret)
    return credentials
