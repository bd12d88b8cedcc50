"""Complete conversations of a subscriber with the broker, without a socket between them."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._config import HubConfig
from webmqconnect_async.hub._publication import Publication
from webmqconnect_async.hub._session import DelayedReply, Session
from webmqconnect_async.hub._websocket import PROTOCOLS

from .engine import Target
from .messages import wamp1_texts, wamp2_texts
from .splices import TOO_DEEP, parsed

__all__ = ["SUBSCRIBERS"]

_SECRET = "s3cret"  # the secret of a test
_PROCEDURE = "http://api.wamp.ws/procedure#"
_MAX_TOPICS, _MAX_TOPIC = 3, 20

AUTHENTICATE, TELL, EVENT, READ = "authenticate", "tell", "event", "read"
"""Steps that are not messages: authenticate, send a delayed reply, push an event, let the subscriber read."""


@dataclass(frozen=True)
class Conversation:
    """A sequence of steps: those above, and messages."""

    subprotocol: str
    guarded: bool
    """Whether the hub has subscriber keys."""
    may_publish: bool
    moves: tuple[str, ...]


_HELLO = '[1,"realm",{"authmethods":["wampcra"],"authid":"page"}]'
_AUTHREQ, _AUTH = (f'[2,"c","{_PROCEDURE}{name}","page"]' for name in ("authreq", "auth"))
_OPENINGS: dict[str, list[tuple[str, ...]]] = {
    "wamp": [
        (),
        (AUTHENTICATE,),
        (AUTHENTICATE, '[5,"t"]'),
        (AUTHENTICATE, '[1,"x","http://e/"]', '[5,"x:t"]'),
        (AUTHENTICATE, AUTHENTICATE, _AUTHREQ, _AUTH),
        (_AUTHREQ, _AUTH),
        (_AUTHREQ, _AUTHREQ),
        (_AUTH, TELL),
    ],
    "wamp.2.json": [
        (),
        (AUTHENTICATE,),
        (AUTHENTICATE,),
        (AUTHENTICATE, '[32,1,{},"t"]', EVENT),
        (AUTHENTICATE, '[32,1,{},"t"]', "[34,2,1]"),
        (AUTHENTICATE, '[32,1,{},"t"]', '[16,1,{"acknowledge":true,"exclude_me":false},"t",[1],{"a":2}]'),
        (AUTHENTICATE, '[16,1,{"acknowledge":true},"a..b"]', '[16,1,{},"t",[1]]'),
        (AUTHENTICATE, '[48,1,{},"x"]', '[6,{},"x"]'),
        (_HELLO,),
        (_HELLO, _HELLO),
        (_HELLO, '[5,"wrong",{}]'),
        ('[1,"realm",{"authmethods":["ticket"]}]',),
    ],
}
"""Beginnings that authenticate, because few random ones do."""


def _conversations(subprotocol: str, texts: SearchStrategy[str]) -> SearchStrategy[Conversation]:
    moves = st.one_of(texts, texts, texts, st.sampled_from([AUTHENTICATE, TELL, EVENT, READ]))
    opening = st.sampled_from(_OPENINGS[subprotocol])
    return st.builds(
        lambda guarded, may_publish, first, rest: Conversation(subprotocol, guarded, may_publish, (*first, *rest)),
        st.booleans(),
        st.booleans(),
        opening,
        st.lists(moves, max_size=8),
    )


class _Peer:
    """A subscriber that stores what it reads."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.late: list[DelayedReply] = []
        self.heard: list[object] = []
        """The messages read since the last check."""

    def send(self, *fields: object) -> None:
        self.receive(json.dumps(fields))

    def receive(self, text: str) -> None:
        if self.session.ending is None:
            late = self.session.receive(text)
            if callable(late):
                assert not self.late, "two replies are delayed"
                self.late.append(late)

    def tell(self) -> None:
        while self.late:
            self.late.pop()()

    def read(self) -> list[object]:
        frames = self.session.take_nowait()
        while frames:
            size, start = frames[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(frames[2:start])
            assert frames[0] == 0x81
            self.heard.append(parsed(frames[start : start + size].decode("utf-8")))
            frames = frames[start + size :]
        return self.heard

    def authenticate(self) -> None:
        """Authenticate with the key, as far as the hub asks for it."""
        self.heard.clear()
        if self.session.subprotocol == "wamp":
            self.send(2, "a", _PROCEDURE + "authreq", "page")
            challenges = [each[2] for each in self.read() if isinstance(each, list) and each[:2] == [3, "a"]]
        else:
            self.send(1, "realm", {"authmethods": ["wampcra", "anonymous"], "authid": "page"})
            challenges = [each[2]["challenge"] for each in self.read() if isinstance(each, list) and each[0] == 4]
        for challenge in challenges:
            if isinstance(challenge, str):
                digest = hmac.digest(_SECRET.encode(), challenge.encode(), "sha256")
                answer = b64encode(digest).decode()
                fields: tuple[object, ...]
                fields = (
                    (2, "b", _PROCEDURE + "auth", answer) if self.session.subprotocol == "wamp" else (5, answer, {})
                )
                self.send(*fields)


def _check(conversation: Conversation) -> None:
    config = HubConfig(
        subscriber_keys={"page": _SECRET} if conversation.guarded else None,
        allow_publish=conversation.may_publish,
        max_subscriptions=_MAX_TOPICS,
        max_topic=_MAX_TOPIC,
        max_queue=100_000,
        clock=lambda: 1_700_000_000.0,
    )
    broker = Broker(config)
    dropped: list[bool] = []
    peer = _Peer(broker.open(PROTOCOLS[conversation.subprotocol], drop=lambda: dropped.append(True)))
    proved = not conversation.guarded
    for move in conversation.moves:
        match move:
            case "authenticate":
                peer.authenticate()
                proved = proved or peer.session.admitted
            case "tell":
                peer.tell()
            case "event":
                broker.deliver(Publication("t", '{"n": 1}'))
            case "read":
                _check_heard(peer, proved)
            case _:
                peer.receive(move)
        session = peer.session
        assert session.admitted <= proved, "accepted without authentication"
        assert not session.subscribed or session.admitted
        assert len(session.subscribed) <= _MAX_TOPICS
        assert all(len(topic) <= _MAX_TOPIC for topic in session.subscribed)
    peer.tell()
    _check_heard(peer, proved)
    broker.close(peer.session)
    assert len(broker) == 0
    assert broker.deliver(Publication("t", "1")) == 0, "a closed session is still subscribed"
    assert len(dropped) <= 1


def _check_heard(peer: _Peer, proved: bool) -> None:
    for message in peer.read():
        if message is not TOO_DEEP:
            assert isinstance(message, list)
            assert isinstance(message[0], int)
            assert proved or message[0] not in (8, 36) or (peer.session.subprotocol != "wamp" and message[0] == 8)
            assert _SECRET not in repr(message)
    peer.heard.clear()


SUBSCRIBERS = Target(
    "subscribers",
    st.one_of(_conversations("wamp", wamp1_texts), _conversations("wamp.2.json", wamp2_texts)),
    _check,
)
