"""A WAMP v1 subscriber: what it does with each message, and what it is told. What it may not do is ignored."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from ..._version import __version__
from .._config import HubConfig
from .._publication import Publication
from .._session import Later, Session, Topics
from . import messages as wamp1
from .auth import CallFailed, Procedures

__all__ = ["Wamp1Session"]

_IDENT = f"webmqconnect_async/{__version__}"
_PROTOCOL_ERROR = 1002

logger = logging.getLogger("webmqconnect_async.hub")


class Wamp1Session(Session):
    """A session that is open from the first moment; its WELCOME waits to be read."""

    subprotocol: ClassVar[str] = wamp1.SUBPROTOCOL

    __slots__ = ("_prefixes", "_procedures")

    def __init__(
        self, session_id: str, config: HubConfig, topics: Topics, drop: Callable[[], None], peer: str = "?"
    ) -> None:
        super().__init__(session_id, config, topics, drop, peer)
        self._prefixes: dict[str, str] = {}
        self._procedures = Procedures(
            session_id,
            keys=config.subscriber_credentials,
            may_publish=config.allow_publish,
            nonce=secrets.token_urlsafe,
            clock=config.clock,
        )
        self.say(wamp1.welcome(session_id, _IDENT))

    @property
    def admitted(self) -> bool:
        """Whether it may subscribe and publish."""
        return self._procedures.admitted

    @classmethod
    def event(cls, publication: Publication, subscription: int, publication_id: int) -> str:
        """Return an event; WAMP v1 knows neither ID."""
        return wamp1.event(publication.topic, publication.event)

    def receive(self, text: str) -> Later | None:
        """Do what a message says; what makes no sense is ignored, and what no answer could name ends the connection."""
        try:
            message = wamp1.decode(text)
        except wamp1.ProtocolError:
            self.end(_PROTOCOL_ERROR)
            return None
        match message:
            case wamp1.Prefix(prefix, uri):
                self._name(prefix, uri)
            case wamp1.Call() as call:
                return self._call(call)
            case _ if not self.admitted:
                pass  # nothing answers the other messages, so nothing tells that they are not obeyed either
            case wamp1.Subscribe(topic):
                self._topics.subscribe(self, self._resolve(topic))
            case wamp1.Unsubscribe(topic):
                self._topics.unsubscribe(self, self._resolve(topic))
            case wamp1.Publish(topic, event, exclude, eligible) if self._config.allow_publish:
                excluded = frozenset({self.id}) if exclude is None else exclude
                self._topics.deliver(Publication(self._resolve(topic), event, eligible, excluded))
        return None

    def _name(self, prefix: str, uri: str) -> None:
        config, known = self._config, self._prefixes.get(prefix)
        if not prefix or len(prefix) + len(uri) > config.max_topic:
            return
        if known is None and len(self._prefixes) >= config.max_subscriptions:
            return
        if not self.hold(prefix, uri):
            return
        if known is not None:
            self.release(prefix, known)
        self._prefixes[prefix] = uri

    def _resolve(self, uri: str) -> str:
        """Return the whole URI of a CURIE; what begins with no prefix this session has named stays as it is."""
        prefix, colon, rest = uri.partition(":")
        if colon and prefix in self._prefixes:
            return self._prefixes[prefix] + rest
        return uri

    def _call(self, call: wamp1.Call) -> Later | None:
        """Answer a CALL, or return what will."""
        try:
            result = self._procedures.call(self._resolve(call.procedure), call.arguments)
        except CallFailed as failure:
            answer = wamp1.call_error(call.id, failure.uri, failure.description)
            if failure.late:
                logger.warning(
                    "subscriber %s at %s failed to authenticate: %s", self.id, self.peer, failure.description
                )
                return partial(self._tell_failure, answer)
        else:
            answer = wamp1.call_result(call.id, result)
            if (key := self._procedures.authenticated_as) is not None:
                self.admit(key)
        self.say(answer)
        return None

    def _tell_failure(self, answer: str) -> None:
        self.say(answer)
        self._procedures.failure_told()
