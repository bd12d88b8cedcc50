"""The session of a WAMP v2 subscriber."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from ..._core import strict_json
from ..._core.topics import is_reserved, is_uri
from .._engine.engine import Published
from .._frames import text_frame
from .._history import Kept, Unavailable
from .._publication import Publication
from .._pushes.verdicts import Refused
from .._session import DelayedReply, NotSubscribed, Pending, Session
from . import messages
from .auth import Challenged, Joined, Joining, Refusal
from .messages import Type

if TYPE_CHECKING:
    from .._broker import Broker

# Close codes (RFC 6455, 7.4.1)
_NORMAL_CLOSURE = 1000
_PROTOCOL_ERROR = 1002

_FEATURES = {"subscriber_blackwhite_listing": True, "publisher_exclusion": True, "event_retention": True}

_NO_ROOM = "the missed events do not fit into the send queue"

_MOST_FORMER = 16  # maximum number of former sessions that a subscriber may name


class Wamp2Session(Session):
    """A WAMP v2 session. It opens with HELLO and WELCOME, and a challenge in between if the client authenticates."""

    subprotocol: ClassVar[str] = messages.SUBPROTOCOL

    def __init__(self, session_id: str, broker: Broker, drop: Callable[[], None], peer: str = "?") -> None:
        super().__init__(session_id, broker, drop, peer)
        self._subscriptions: dict[int, str] = {}
        self._joining: Joining | None = Joining(session_id, self._config, secrets.token_urlsafe)
        """`None` once the client has joined or has been refused."""

    @classmethod
    def event(cls, publication: Publication, subscription: int, publication_id: int, details: str = "{}") -> str:
        """Return the message that delivers an event. A single value is the only positional argument."""
        args = f"[{publication.event}]" if publication.args is None else publication.args
        return messages.event(subscription, publication_id, args, publication.kwargs, details)

    def receive(self, text: str) -> DelayedReply | Pending | None:
        """Process a message. One that a client must not send ends the session."""
        joining = self._joining
        if joining is None and not self.admitted:
            return None  # refused: ignore further messages until the reply is sent
        try:
            message = messages.decode(text)
            if isinstance(message, messages.Abort):
                self.end(_NORMAL_CLOSURE)  # an ABORT has no reply
            elif message is not None:
                return self._process(message) if joining is None else self._join(joining, message)
        except messages.ProtocolViolation as violation:
            self.refuse("request", str(violation))
            self._abort("wamp.error.protocol_violation", str(violation), _PROTOCOL_ERROR)
        return None

    def _join(self, joining: Joining, message: messages.Message) -> DelayedReply | None:
        step = None
        match message:
            case messages.Hello():
                step = joining.hello(message)
            case messages.Authenticate(signature):
                step = joining.authenticate(signature)
        match step:
            case Joined():
                self._welcome(step)
            case Challenged(method, extra):
                self._send_message(Type.CHALLENGE, method, extra)
            case Refusal(reason, message_, remedy, forged):
                self._joining = None
                self.refuse("subscriber", message_, remedy, forged=forged)
                if forged:
                    return partial(self._abort, reason, message_)
                self._abort(reason, message_)
            case None:
                raise messages.ProtocolViolation("a client may not send this message before WELCOME")
        return None

    def leave(self, reason: str, message: str = "") -> None:
        if self.admitted:
            self._send_message(Type.GOODBYE, {"message": message} if message else {}, reason)

    def _welcome(self, joined: Joined) -> None:
        self._joining = None
        self.admit(joined.authid, joined.ticket)
        details: dict[str, object] = {
            "realm": joined.realm,
            "roles": {"broker": {"features": _FEATURES}},
            "authid": self.authid,
            "authrole": self.authrole,
            "authmethod": joined.method,
            # The names of extensions begin with an underscore (WAMP, section 3.1). This one: a topic need not be a URI.
            "_any_topic": True,
        }
        if self._broker.history_id is not None:
            details |= {"_newest": self._broker.ids.newest, "_history": self._broker.history_id}
        self._send_message(Type.WELCOME, int(self.id), details)

    def _abort(self, reason: str, message: str, code: int = _NORMAL_CLOSURE) -> None:
        self._send_message(Type.ABORT, {"message": message}, reason)
        self.end(code)

    def _send_message(self, kind: Type, *fields: object) -> None:
        self.send_text(strict_json.encode([kind, *fields]))

    def _process(self, message: messages.Message) -> Pending | None:
        match message:
            case messages.Subscribe(request, _, match) if match != "exact":
                refusal = "wamp.error.option_not_allowed", "this hub supports only exact matches of topics"
                self.refuse("subscription", refusal[1])
                self._send_error(Type.SUBSCRIBE, request, *refusal)
            case messages.Subscribe():
                subscribe = partial(self.when_readable, message.topic, partial(self._subscribe, message))
                reached = None if message.after is None else self._broker.engine.reach(message.after)
                return subscribe() if reached is None else Pending(reached, lambda _: subscribe())
            case messages.Unsubscribe(request, subscription):
                if (topic := self._subscriptions.pop(subscription, None)) is not None:
                    self._broker.unsubscribe(self, topic)
                    self._send_message(Type.UNSUBSCRIBED, request)
                else:
                    # Subscribers also send an unknown subscription to check the connection. All earlier events precede
                    # this in the queue, so a subscriber knows its position even if its topics are quiet.
                    details = {} if self._broker.history_id is None else {"_newest": self._broker.ids.newest}
                    error = "wamp.error.no_such_subscription", "no such subscription"
                    self._send_error(Type.UNSUBSCRIBE, request, *error, details)
            case messages.Publish():
                return self._publish(message)
            case messages.RPCRequest(kind, request):
                self.refuse("request", _NO_PROCEDURES)
                self._send_error(kind, request, _REFUSALS[kind], _NO_PROCEDURES)
            case messages.Goodbye():
                self._send_message(Type.GOODBYE, {}, "wamp.close.goodbye_and_out")
                self.end(_NORMAL_CLOSURE)
            case _:
                raise messages.ProtocolViolation("a client may not send this message after WELCOME")
        return None

    def _subscribe(self, subscribe: messages.Subscribe, refused: str) -> None:
        """Subscribe, and send the missed events, unless `refused` is a reason why the subscriber may not read it."""
        try:
            if refused:
                raise NotSubscribed(refused)
            self._confirm(subscribe, self._missed(subscribe))
        except Unavailable as unavailable:
            self._send_error(Type.SUBSCRIBE, subscribe.request, "webmq.error.history_unavailable", str(unavailable))
        except NotSubscribed as reason:  # the observers have been notified
            self._send_error(Type.SUBSCRIBE, subscribe.request, "wamp.error.not_authorized", str(reason))

    def _missed(self, subscribe: messages.Subscribe) -> Sequence[Kept]:
        if subscribe.after is None:
            return ()
        if len(subscribe.former) > _MOST_FORMER:
            raise Unavailable(f"there were more than {_MOST_FORMER} former sessions")
        missed = self._broker.missed(self, subscribe.topic, subscribe.after, subscribe.former)
        # The frames are even larger. Without this check, a client could make the hub encode them again and again.
        if sum(len(kept.publication.event) for kept in missed) > self._max_queue - self.queued:
            raise Unavailable(_NO_ROOM)
        return missed

    def _confirm(self, subscribe: messages.Subscribe, missed: Sequence[Kept]) -> None:
        """Subscribe, confirm it, and send the missed events before any later event of the topic."""
        request, topic = subscribe.request, subscribe.topic
        subscribed = topic in self.subscribed
        subscription = self._broker.subscribe(self, topic)
        extra: dict[str, int] = {}
        if subscribe.after is not None:
            extra["_missed"] = len(missed)
        if subscribe.newest:
            extra["_newest"] = self._broker.ids.newest
        # WAMP has no fourth element here: only subscribers that ask for it get it.
        message = [Type.SUBSCRIBED, request, subscription, *([extra] if extra else [])]
        confirmed = text_frame(strict_json.encode(message))
        frames: list[bytes] | None = [confirmed]
        if missed:
            frames = self.fitting(chain([confirmed], (self._frame(kept, subscription) for kept in missed)))
        if frames is None:
            if not subscribed:
                self._broker.unsubscribe(self, topic)
            raise Unavailable(_NO_ROOM)
        self._subscriptions[subscription] = topic
        if subscribe.get_retained and (kept := self._broker.retained(self, topic)) is not None:
            retained = self.event(kept.publication, subscription, kept.id, '{"retained":true}')
            frames = self.fitting([*frames, text_frame(retained)]) or frames
        for frame in frames:
            self.send(frame)

    def _frame(self, kept: Kept, subscription: int) -> bytes:
        """Return the frame that delivers a missed event. All subscribers share it."""
        if kept.frame is None or kept.frame[0] != subscription:
            kept.frame = subscription, text_frame(self.event(kept.publication, subscription, kept.id))
        return kept.frame[1]

    def _send_error(
        self, kind: Type, request: int, uri: str, message: str, details: Mapping[str, int] | None = None
    ) -> None:
        self._send_message(Type.ERROR, kind, request, details or {}, uri, [message])

    def _publish(self, publish: messages.Publish) -> Pending | None:
        publication, refusal = publish.publication, None
        if reason := self.why_not_publish(publication.topic):
            refusal = "wamp.error.not_authorized", reason
        elif not is_uri(publication.topic) or is_reserved(publication.topic):
            refusal = "wamp.error.invalid_uri", "the topic is not a URI, or is reserved for the router"
            self.refuse("publication", refusal[1])
        if refusal is not None:
            if publish.acknowledge:
                self._send_error(Type.PUBLISH, publish.request, *refusal)
            return None
        if publish.exclude_me:
            publication = replace(publication, exclude=publication.exclude | {self.id})
        return self.publish(publication, partial(self._published, publish))

    def _published(self, publish: messages.Publish, published: Published) -> None:
        if isinstance(published, int):
            if publish.acknowledge:
                self._send_message(Type.PUBLISHED, publish.request, published)
        elif isinstance(published, Refused):
            self.refuse("publication", published.reason)
            if publish.acknowledge:
                uri = "webmq.error.unconfirmed" if published.status == 502 else "webmq.error.not_published"
                self._send_error(Type.PUBLISH, publish.request, uri, published.reason)


_NO_PROCEDURES = "this hub has no procedures"
_REFUSALS = {
    Type.CALL: "wamp.error.no_such_procedure",
    Type.REGISTER: "wamp.error.not_authorized",
    Type.UNREGISTER: "wamp.error.no_such_registration",
}
