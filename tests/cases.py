"""A case: what a server does to a push, and the outcome that the push must have.

The tables are in `answers` and `faults`. `test_parity` runs each case with both clients and every
method, and expects the same outcome; `test_secrets` searches for secrets in everything that a push leaves.
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
"""A topic that both kinds of broker accept."""

SHORT = 0.4
"""The timeout of cases that test a deadline."""

MEGABYTES = "x" * 8_000_000
"""An event that is too large for the kernel's send buffer."""

QUICK = Retry(wait=0.0)

PUBLISHED = reply(200, b'{"id":6220044819318603}', "Content-Type: application/json")


class Place(NamedTuple):
    """The URL and the server of a case."""

    url: str
    server: Hostile | None
    """`None` where no server runs, so that requests cannot be counted."""


Staging: TypeAlias = Callable[["Case"], AbstractContextManager[Place]]


@contextmanager
def in_clear(case: Case) -> Iterator[Place]:
    """Run the case's script without TLS."""
    with hostile(*case.script, accepted=case.accepted) as server:
        yield Place(server.url, server)


@dataclass(frozen=True, slots=True)
class Case:
    """A script of the server, and the expected outcome of a push.

    Args:
        name: unique.
        script: what the server does with each request.
        error: the class of the error; `None` if the push must succeed.
        attempts: those of the receipt or the error.
        requests: how many reach the server; `None`: as many as attempts.
        says: expected attributes of the receipt or the error.
        dialect: the client's.
        event: the event to push.
        timeout: the client's, in cases that test it; `None`: a long one.
        connect_timeout: the client's.
        retry: the client's.
        warm: whether another push comes first, which must succeed and leaves its connection to this one.
        lasting: whether the next push fails, too.
        staging: creates the place.
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
        """The response of a broker of this dialect that accepts a push."""
        return ACCEPTED if self.dialect == "webmq" else PUBLISHED

    @property
    def end(self) -> End:
        return End(self.error, self.attempts, self.attempts if self.requests is None else self.requests, self.says)

    @contextmanager
    def client(self, driver: str, url: str, secret: str) -> Iterator[Both]:
        """Return the client of the case, which trusts the tests' certificate authority."""
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
    """The outcome of a push: the class of its error, its attempts, and the number of requests at the server."""

    error: type[WebMQError] | None
    attempts: int
    requests: int
    says: Mapping[str, object]


def end_of(case: Case, driver: str, method: str) -> End:
    """Run a case, check that the client still works, and return the outcome of the push.

    On a busy machine, a short deadline may pass too early, so such a case is tried again with a longer one.
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
            # A late response to this push must not be taken for that of the next one.
            server.release()
            client.push(TOPIC, "next", timeout=PATIENCE)
            assert b'"next"' in server.requests[-1].body
    return end
