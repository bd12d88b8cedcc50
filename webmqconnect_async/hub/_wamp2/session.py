"""A WAMP v2 subscriber: what it does with each message, and what it is told."""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from .._config import HubConfig
from .._publication import Publication
from .._session import Later, Session, Topics
from . import messages as wamp2
from .auth import Challenged, Joined, Joining, Turned

__all__ = ["Wamp2Session", "new_id"]

_NORMAL_CLOSURE = 1000
_PROTOCOL_ERROR = 1002

logger = logging.getLogger("webmqconnect_async.hub")


def new_id() -> int:
    """Return an ID as WAMP v2 wants it for publications: random, from 1 to 2^53."""
    return 1 + random.getrandbits(53)  # it names an event and opens nothing: no call of the system for it


class Wamp2Session(Session):
    """A session that opens by HELLO and WELCOME, after a challenge where the hub has subscriber keys."""

    subprotocol: ClassVar[str] = wamp2.SUBPROTOCOL

    __slots__ = ("_failing", "_joined", "_joining", "_subscriptions")

    def __init__(
        self, session_id: str, config: HubConfig, topics: Topics, drop: Callable[[], None], peer: str = "?"
    ) -> None:
        super().__init__(session_id, config, topics, drop, peer)
        self._subscriptions: dict[int, str] = {}
        self._joined = False
        self._failing = False  # a failure's answer is held back
        self._joining: Joining | None = Joining(
            session_id, keys=config.subscriber_credentials, nonce=secrets.token_urlsafe, clock=config.clock
        )

    @property
    def admitted(self) -> bool:
        """Whether it has been welcomed."""
        return self._joined

    @classmethod
    def event(cls, publication: Publication, subscription: int, publication_id: int) -> str:
        """Return an event: of a single value, where nobody said more, as the one positional argument."""
        args = f"[{publication.event}]" if publication.args is None else publication.args
        return wamp2.event(subscription, publication_id, args, publication.kwargs)

    def receive(self, text: str) -> Later | None:
        """Do what a message says; what no client may say ends the connection."""
        try:
            message = None if self._failing else wamp2.decode(text)
            if isinstance(message, wamp2.Abort):
                self.end(_NORMAL_CLOSURE)  # nothing answers it
            elif message is not None and self._joined:
                self._obey(message)
            elif message is not None:
                return self._join(message)
        except wamp2.ProtocolViolation as violation:
            self._abort("wamp.error.protocol_violation", str(violation), _PROTOCOL_ERROR)
        return None

    def _join(self, message: wamp2.Message) -> Later | None:
        joining, answer = self._joining, None
        match message:
            case wamp2.Hello() if joining is not None:
                answer = joining.hello(message)
            case wamp2.Authenticate(signature) if joining is not None:
                answer = joining.authenticate(signature)
        match answer:
            case Joined(realm, key):
                self._welcome(realm, key)
            case Challenged(challenge):
                self.say(wamp2.challenge(challenge))
            case Turned(reason, said, late):
                self._joining = None
                if late:
                    logger.warning("subscriber %s at %s failed to authenticate: %s", self.id, self.peer, said)
                    self._failing = True  # nothing brings the answer forward
                    return partial(self._abort, reason, said)
                self._abort(reason, said)
            case None:
                raise wamp2.ProtocolViolation("no message for a client that has not been welcomed")
        return None

    def leave(self) -> None:
        """Say that the hub goes."""
        if self._joined:
            self.say(wamp2.goodbye("wamp.close.system_shutdown"))

    def _welcome(self, realm: str, key: str | None) -> None:
        self._joined, self._joining = True, None
        if key is not None:
            self.admit(key)
        method = "anonymous" if key is None else "wampcra"
        self.say(wamp2.welcome(self.id, realm, self.authid, self.authrole, method))

    def _abort(self, reason: str, said: str, code: int = _NORMAL_CLOSURE) -> None:
        self.say(wamp2.abort(reason, said))
        self.end(code)

    def _obey(self, message: wamp2.Message) -> None:
        match message:
            case wamp2.Subscribe():
                self._subscribe(message)
            case wamp2.Unsubscribe(request, subscription):
                topic = self._subscriptions.pop(subscription, None)
                if topic is None:
                    said = "not subscribed to that"
                    self.say(wamp2.error(wamp2.Type.UNSUBSCRIBE, request, "wamp.error.no_such_subscription", said))
                else:
                    self._topics.unsubscribe(self, topic)
                    self.say(wamp2.unsubscribed(request))
            case wamp2.Publish():
                self._publish(message)
            case wamp2.Request(kind, request):
                self.say(wamp2.error(kind, request, *_REFUSALS[kind]))
            case wamp2.Goodbye():
                self.say(wamp2.goodbye("wamp.close.goodbye_and_out"))
                self.end(_NORMAL_CLOSURE)
            case _:
                raise wamp2.ProtocolViolation("no message for a client that has been welcomed")

    def _subscribe(self, subscribe: wamp2.Subscribe) -> None:
        request, topic = subscribe.request, subscribe.topic
        refuse = partial(wamp2.error, wamp2.Type.SUBSCRIBE, request)
        if subscribe.match != "exact":
            self.say(refuse("wamp.error.option_not_allowed", "this hub compares topics exactly"))
        elif not wamp2.is_uri(topic):
            self.say(refuse("wamp.error.invalid_uri", "the topic is no URI"))
        elif (subscription := self._topics.subscribe(self, topic)) is None:
            self.say(refuse("wamp.error.not_authorized", "a topic too long, or one too many"))
        else:
            self._subscriptions[subscription] = topic
            self.say(wamp2.subscribed(request, subscription))

    def _publish(self, publish: wamp2.Publish) -> None:
        refusal = None
        if not self._config.allow_publish:
            refusal = "wamp.error.not_authorized", "subscribers of this hub do not publish"
        elif not wamp2.is_uri(publish.topic) or wamp2.is_reserved(publish.topic):
            refusal = "wamp.error.invalid_uri", "the topic is no URI, or the router's own"
        if refusal is not None:
            if publish.acknowledge:
                self.say(wamp2.error(wamp2.Type.PUBLISH, publish.request, *refusal))
            return
        eligible, exclude, authid, authrole = publish.audience
        if publish.exclude_me:
            exclude |= {self.id}
        publication_id = new_id()
        publication = Publication(
            publish.topic, publish.event, eligible, exclude, publish.args, publish.kwargs, authid, authrole
        )
        self._topics.deliver(publication, publication_id)
        if publish.acknowledge:
            self.say(wamp2.published(publish.request, publication_id))


_REFUSALS = {
    wamp2.Type.CALL: ("wamp.error.no_such_procedure", "nobody registers procedures at this hub"),
    wamp2.Type.REGISTER: ("wamp.error.not_authorized", "nobody registers procedures at this hub"),
    wamp2.Type.UNREGISTER: ("wamp.error.no_such_registration", "nobody registers procedures at this hub"),
}
