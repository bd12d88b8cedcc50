"""The interface through which the log, the metrics and the console of a hub are notified of what happens in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ._publication import Publication

if TYPE_CHECKING:
    from ._session import Session

# Why the hub drops a subscriber: it reads too slowly, or it sends more than its share.
Drop: TypeAlias = Literal["slow", "flood"]

# What the hub refuses. A subscriber is refused before it has joined. A publication is an event of a subscriber.
RefusedPart: TypeAlias = Literal["request", "push", "subscriber", "subscription", "publication"]


class Refusal(NamedTuple):
    """Something that the hub refuses."""

    what: RefusedPart
    reason: str  # may quote the request, with unprintable characters escaped
    remedy: str = ""  # the option that would allow it, such as `--allow-origin https://a.example`, or other advice
    peer: str = ""  # the address of the client, or of the proxy in front of the hub
    status: int | None = None  # the HTTP status of the response; `None` over a WebSocket
    forged: bool = False  # whether a key, secret or signature is wrong: somebody may be guessing
    session: str = ""  # the ID of the subscriber's session; empty if it has none


class Observer:
    """Is notified of what happens in a hub.

    The methods do nothing here. An override must not block, raise an exception or take long.
    """

    def published(self, publication: Publication, publication_id: int, receivers: int, began: float | None) -> None:
        """Record an event, which is now in the queues of its receivers. It is an `Accepted` if it was pushed.

        `began` is `time.perf_counter()` when its request arrived; `None` if a subscriber published it.
        """

    def forwarded(self, publication: Publication, publication_id: int, receivers: int) -> None:
        """Record an event that another hub has accepted."""

    def repeated(self, publication: Publication, publication_id: int) -> None:
        """Record a push whose idempotency key has been used for the same push, which got this ID."""

    def refused(self, refusal: Refusal) -> None:
        """Record a refusal."""

    def joined(self, session: Session) -> None:
        """Record a subscriber that may subscribe from now on: it has authenticated, or may be anonymous.

        In WAMP v1, an anonymous subscriber can authenticate later. It then joins a second time.
        """

    def left(self, session: Session) -> None:
        """Record that a subscriber has left, after it had joined. `session` still has its topics."""

    def dropped(self, session: Session, why: Drop, details: str) -> None:
        """Record a subscriber whose connection the hub closes. `left` follows if it had joined."""

    def failed(self, problem: str, error: BaseException | None) -> None:
        """Record that a hook of the application has failed, and the exception if it has raised one."""
