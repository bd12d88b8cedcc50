"""What a case is: something that goes wrong between a client and a broker, and how a push must end then.

The tables are in `answers` and `faults`. `test_parity` runs each case through both clients, by every method and demands
the same end; `test_secrets` looks for secrets in what they leave behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from webmqconnect_async import Receipt, Retry, WebMQError
from webmqconnect_async._core.dialects import DialectName

from .clients import Both
from .hostile import ACCEPTED, PATIENCE, Hostile, Step, hostile, reply, trusting

TOPIC = "com.example.orders"
"""A topic to both brokers."""

SHORT = 0.4
"""A timeout where the deadline is the subject."""

MEGABYTES = "x" * 8_000_000
"""An event that no kernel buffers whole."""

QUICK = Retry(wait=0.0)

PUBLISHED = reply(200, b'{"id":6220044819318603}', "Content-Type: application/json")


class Place(NamedTuple):
    """Where a case happens."""

    url: str
    server: Hostile | None
    """None where nothing can be counted, for nobody serves there."""


Staging: TypeAlias = Callable[["Case"], AbstractContextManager[Place]]


@contextmanager
def in_clear(case: Case) -> Iterator[Place]:
    """Run the case's script without TLS."""
    with hostile(*case.script, accepted=case.accepted) as server:
        yield Place(server.url, server)


@dataclass(frozen=True, slots=True)
class Case:
    """One script and the end of a push under it.

    Args:
        name: unique.
        script: what the server does to the requests.
        error: the class the push must end in; None where it must succeed.
        attempts: as the receipt or the error says.
        requests: that reach the server; None for as many as attempts.
        says: attributes that the receipt or the error must have.
        dialect: the client's.
        event: what is pushed.
        timeout: the client's, where it is the subject; None for a long one.
        connect_timeout: the client's.
        retry: the client's.
        warm: a push goes before, which must succeed, and leaves its connection to this one.
        lasting: the next push does not succeed, either.
        staging: where it happens.
    """

    name: str
    script: tuple[Step, ...] = ()
    error: type[WebMQError] | None = None
    attempts: int = 1
    requests: int | None = None
    says: Mapping[str, object] = field(default_factory=dict)
    dialect: DialectName = "webmq"
    event: object = field(default_factory=lambda: {"id": 1})
    timeout: float | None = None
    connect_timeout: float | None = None
    retry: Retry = QUICK
    warm: bool = False
    lasting: bool = False
    staging: Staging = in_clear

    @property
    def accepted(self) -> bytes:
        """What a broker of the dialect answers when all is well."""
        return ACCEPTED if self.dialect == "webmq" else PUBLISHED

    @property
    def end(self) -> End:
        return End(self.error, self.attempts, self.attempts if self.requests is None else self.requests, self.says)

    @contextmanager
    def client(self, driver: str, url: str, secret: str) -> Iterator[Both]:
        """Make the client of the case; it trusts the authority of the tests."""
        with Both(
            driver,
            url,
            "app",
            secret,
            self.timeout or PATIENCE,
            dialect=self.dialect,
            connect_timeout=self.connect_timeout,
            retry=self.retry,
            ssl=trusting() if url.startswith("https:") else None,
        ) as client:
            yield client


@dataclass(frozen=True, slots=True)
class End:
    """How a push ended: its error's class, its attempts, the requests that were counted at the server."""

    error: type[WebMQError] | None
    attempts: int
    requests: int
    says: Mapping[str, object]


def end_of(case: Case, driver: str, method: str) -> End:
    """Run a case, check that the client goes on working, and return how the push ended.

    On a busy machine a short deadline may pass before what should happen first, so such a case gets another try.
    """
    end = _end_of(case, driver, method)
    if case.timeout and end != case.end:
        end = _end_of(replace(case, timeout=5 * case.timeout), driver, method)
    return end


def _end_of(case: Case, driver: str, method: str) -> End:
    with case.staging(case) as (url, server), case.client(driver, url, "s3cret") as client:
        if case.warm:
            client.push(TOPIC, 0)
        before = len(server.requests) if server else 0
        result = client.ended(method, TOPIC, case.event)
        requests = len(server.requests) - before if server else 0
        error = None if isinstance(result, Receipt) else type(result)
        end = End(error, result.attempts, requests, {name: getattr(result, name, None) for name in case.says})
        if server and not case.lasting and end == case.end:
            # What belongs to this push, and comes late, never answers the next.
            server.release()
            client.push(TOPIC, "next", timeout=PATIENCE)
            assert b'"next"' in server.requests[-1].body
    return end
