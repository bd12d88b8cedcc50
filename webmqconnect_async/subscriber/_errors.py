"""Exceptions of a subscriber, with a class for each cause that a user can remove."""

from __future__ import annotations

from typing import Self


class SubscriberError(Exception):
    """A subscriber cannot connect, join or subscribe, or its connection has ended. The message says which and why.

    It is not a `WebMQError`. Those are about a push, and say whether it can be repeated.
    """

    def _copy(self) -> Self:
        """Return the same error without the frames that it was raised in."""
        return type(self)(*self.args)


class CannotConnect(SubscriberError):
    """No TCP connection could be established."""


class HandshakeRefused(SubscriberError):
    """The server does not accept a WebSocket at this URL."""


class KeyRequired(SubscriberError):
    """The broker accepts only subscribers that authenticate."""


class KeyRefused(SubscriberError):
    """The broker does not have this key, or the signature is wrong."""


class TicketRefused(SubscriberError):
    """The broker does not accept the ticket: its key or signature is wrong, it cannot be used, or it has expired."""


class NoSuchRealm(SubscriberError):
    """The broker does not have this realm."""


class TopicRefused(SubscriberError):
    """The broker does not accept a subscription: not allowed, too long a topic, or too many topics."""
