"""What happens in a hub, for those who watch it: its log, its metrics and its console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ._publication import Publication

if TYPE_CHECKING:
    from ._session import Session

Drop: TypeAlias = Literal["slow", "flood"]
"""Why the hub drops a subscriber: it reads too slowly, or it sends more than its share."""


RefusedPart: TypeAlias = Literal["request", "push", "subscriber", "subscription", "publication"]
"""What the hub refuses. A subscriber is refused before it has joined; a publication is one of a subscriber."""


class Refusal(NamedTuple):
    """Something that the hub refuses."""

    what: RefusedPart
    reason: str
    """May quote what a stranger has sent, with unprintable characters escaped."""
    remedy: str = ""
    """The option of `webmqconnect hub` that would allow it, such as `--allow-origin https://shop.example.com`, or other
    advice; empty if there is none."""
    peer: str = ""
    """The address that it came from, or that of the proxy in front of it."""
    status: int | None = None
    """The HTTP status of the response; `None` over a WebSocket."""
    forged: bool = False
    """Whether a key, secret or signature is wrong: somebody may be guessing."""
    session: str = ""
    """The ID of the subscriber's session; empty if it has none."""


class Observer:
    """Is told what happens in a hub. Each method does nothing here; none may block, raise, or take long."""

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
            publication_id: That of the first push.
        """

    def refused(self, refusal: Refusal) -> None:
        """Record a refusal."""

    def joined(self, session: Session) -> None:
        """Record a subscriber that may subscribe from now on: it is anonymous, or has authenticated.

        One that was anonymous joins again when it authenticates, which WAMP v1 allows.
        """

    def left(self, session: Session) -> None:
        """Record that a subscriber, which had joined, is gone. It still has the topics that it was subscribed to."""

    def dropped(self, session: Session, why: Drop, details: str) -> None:
        """Record a subscriber whose connection the hub closes. `left` follows if it had joined."""

    def failed(self, problem: str, error: BaseException | None) -> None:
        """Record that a hook of the application has failed, and the exception if it has raised one."""
