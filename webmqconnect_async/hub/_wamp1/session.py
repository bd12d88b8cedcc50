"""The session of a WAMP v1 subscriber.

SUBSCRIBE and PUBLISH have no replies in WAMP v1, so the hub ignores those that are not allowed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ..._version import __version__
from .. import _remedies as remedies
from .._engine.engine import Published
from .._observer import RefusedPart
from .._publication import Publication
from .._pushes.verdicts import Refused
from .._session import DelayedReply, NotSubscribed, Pending, Session
from . import messages
from .auth import CallFailed, Procedures

if TYPE_CHECKING:
    from .._broker import Broker

_IDENT = f"webmqconnect_async/{__version__}"
_PROTOCOL_ERROR = 1002  # a close code (RFC 6455, 7.4.1)


class Wamp1Session(Session):
    """A WAMP v1 session. It is open from the start, with a WELCOME in its queue."""

    subprotocol: ClassVar[str] = messages.SUBPROTOCOL

    def __init__(self, session_id: str, broker: Broker, drop: Callable[[], None], peer: str = "?") -> None:
        super().__init__(session_id, broker, drop, peer)
        self._prefixes: dict[str, str] = {}
        self._procedures = Procedures(session_id, self._config, secrets.token_urlsafe)
        self.send_text(messages.welcome(session_id, _IDENT))
        if self._procedures.admitted:
            self.admit()

    @classmethod
    def event(cls, publication: Publication, subscription: int, publication_id: int) -> str:
        """Return the message that delivers an event. It does not have the two IDs in WAMP v1."""
        return messages.event(publication.topic, publication.event)

    def receive(self, text: str) -> DelayedReply | Pending | None:
        """Process a message. An invalid one is ignored, except for a CALL without a valid ID: it ends the session."""
        try:
            message = messages.decode(text)
        except messages.ProtocolError:
            self.end(_PROTOCOL_ERROR)
            return None
        match message:
            case messages.Prefix(prefix, uri):
                self._define_prefix(prefix, uri)
            case messages.Call() as call:
                return self._call(call)
            case messages.Subscribe() | messages.Unsubscribe() | messages.Publish() if not self.admitted:
                if self._config.subscriber_keys:
                    self.refuse("subscription", "it has not authenticated", remedies.AUTHENTICATE)
                else:
                    reason = "WAMP v1 has no tickets, and this hub has no public topics"
                    self.refuse("subscription", reason, remedies.PUBLIC)
            case messages.Subscribe(topic):
                topic = self._resolve(topic)
                return self.when_readable(topic, partial(self._subscribe, topic))
            case messages.Unsubscribe(topic):
                self._broker.unsubscribe(self, self._resolve(topic))
            case messages.Publish(topic, event, exclude, eligible):
                topic = self._resolve(topic)
                if not self.why_not_publish(topic):
                    excluded = frozenset({self.id}) if exclude is None else exclude
                    publication = Publication(topic, event, eligible, excluded)
                    return self.publish(publication, self._published)
        return None

    def _published(self, published: Published) -> None:
        if isinstance(published, Refused):  # PUBLISH has no reply
            self.refuse("publication", published.reason)

    def _subscribe(self, topic: str, refused: str) -> None:
        if not refused:
            with suppress(NotSubscribed):  # SUBSCRIBE has no reply
                self._broker.subscribe(self, topic)

    def _define_prefix(self, prefix: str, uri: str) -> None:
        config, known = self._config, self._prefixes.get(prefix)
        length, longest, most = len(prefix) + len(uri), config.max_topic, config.max_subscriptions
        if not prefix:
            self.refuse("subscription", "a prefix is empty")
        elif length > longest:
            reason = f"length of prefix and URI ({length}) exceeds maximum ({longest})"
            self.refuse("subscription", reason, remedies.longer_topic(length))
        elif (known is None and len(self._prefixes) >= most) or not self.has_room(prefix, uri):
            reason = f"number or size of its prefixes exceeds maximum ({most} prefixes, {256 * most} bytes)"
            self.refuse("subscription", reason, remedies.more_subscriptions(most))
        else:
            if known is not None:
                self.release(prefix, known)
            self.reserve(prefix, uri)
            self._prefixes[prefix] = uri

    def _resolve(self, uri: str) -> str:
        """Expand a CURIE to a URI. A text without a prefix of this session is returned unchanged."""
        prefix, colon, rest = uri.partition(":")
        if colon and prefix in self._prefixes:
            return self._prefixes[prefix] + rest
        return uri

    def _call(self, call: messages.Call) -> DelayedReply | None:
        """Reply to a CALL, or return a reply that is to be delayed."""
        try:
            result = self._procedures.call(self._resolve(call.procedure), call.arguments)
        except CallFailed as failure:
            reply = messages.call_error(call.id, failure.uri, failure.description)
            what: RefusedPart = "subscriber" if failure.delayed else "request"
            self.refuse(what, failure.description, forged=failure.delayed)
            if failure.delayed:
                return partial(self._send_failure, reply)
        else:
            reply = messages.call_result(call.id, result)
            if (key := self._procedures.authenticated_as) is not None and self.authrole == "anonymous":
                self.admit(key)
        self.send_text(reply)
        return None

    def _send_failure(self, reply: str) -> None:
        self.send_text(reply)
        self._procedures.failure_sent()
