"""The interface through which the log, the metrics and the console of a hub are notified of what happens in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ._publication import Publication

if TYPE_CHECKING:
    from ._session import Session

Drop: TypeAlias = Literal["slow", "flood"]
"""Why the hub drops a subscriber: it reads too slowly, or it sends more than its share."""

RefusedPart: TypeAlias = Literal["request", "push", "subscriber", "subscription", "publication"]
"""What the hub refuses. A subscriber is refused before it has joined. A publication is an event of a subscriber."""


class Refusal(NamedTuple):
    """Something that the hub refuses."""

    what: RefusedPart
    reason: str
    """It may quote the request, with unprintable characters escaped."""
    remedy: str = ""
    """The option of `webmqconnect hub` that would allow it, such as `--allow-origin https://shop.example.com`, or other
    advice; empty if there is none."""
    peer: str = ""
    """The address of the client, or of the proxy in front of the hub."""
    status: int | None = None
    """The HTTP status of the response; `None` over a WebSocket."""
    forged: bool = False
    """Whether a key, secret or signature is wrong: somebody may be guessing."""
    session: str = ""
    """The ID of the subscriber's session; empty if it has none."""


class Observer:
    """Is notified of what happens in a hub.

    The methods do nothing here. An override must not block, raise an exception or take long.
    """

    __slots__ = ()

    def published(self, publication: Publication, publication_id: int, receivers: int, began: float | None) -> None:
        """Record an event, which is now in the queues of its receivers.

        Args:
            publication: The event; an `Accepted` if it was pushed, with the key.
            publication_id: Its ID.
            receivers: The number of subscribers that receive it.
            began: `time.perf_counter()` when its request arrived; `None` if a subscriber published it.
        """

    def forwarded(self, publication: Publication, publication_id: int, receivers: int) -> None:
        """Record an event that another hub has accepted. The arguments are those of `published`."""

    def repeated(self, publication: Publication, publication_id: int) -> None:
        """Record a push that was accepted before, under the same idempotency key. It is not delivered again.

        Args:
            publication: The event.
            publication_id: The ID that the first push got.
        """

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
