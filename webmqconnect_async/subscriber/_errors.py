"""Exceptions of a subscriber, with a class for each cause that a user can fix."""

from __future__ import annotations

from typing import Self


class SubscriberError(Exception):
    """A subscriber cannot connect, authenticate or subscribe, or its connection has ended. The message says why.

    It is not a `WebMQError`: those are about pushes, and say whether a push can be repeated.
    """

    def _copy(self) -> Self:
        """Return an equal error without a traceback."""
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
    """The broker does not accept the ticket: its key, signature or claims are wrong, or it has expired."""


class NoSuchRealm(SubscriberError):
    """The broker does not have this realm."""


class TopicRefused(SubscriberError):
    """The broker does not accept a subscription: it is not allowed, the topic is too long, or there are too many."""
