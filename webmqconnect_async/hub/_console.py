"""The console: shows what happens in a hub, and pushes events. It requires a token.

The page connects a WebSocket to `/console`. The first message that it sends is the token. Each further one is a push:
the query of an unsigned WebMQ push, a newline, and the body. The hub sends JSON objects, whose members are optional:

- `events`, `skipped`: a list of events, each as `_event` returns it, and how many others were left out
- `refusals`: a list of refusals, each with the time in milliseconds and the fields of a `Refusal`
- `topics`, `subscribers`, `totals`: the current state, every second
- `pushed`: the result of a push
"""

from __future__ import annotations

import asyncio
import heapq
import hmac
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from typing import cast

from .._core import strict_json
from .._core.escape import shortened
from ._broker import Broker
from ._engine.engine import Published
from ._frames import text_frame
from ._observer import Drop, Observer, Refusal
from ._publication import Publication
from ._pushes import webmq
from ._pushes.verdicts import Accepted, Refused, Rules
from ._session import DelayedReply, Pending, Session

_TRY_AGAIN_LATER = 1013  # a close code of the IANA registry for WebSocket
_MAX_WATCHERS = 8  # open consoles
_MAX_STRANGERS = 64  # connections without the token: as refusals are delayed, they can make 80 guesses a second
_TICK = 0.1  # seconds between two messages to a console, each with the events since the last one
_TICKS_PER_STATE = 10  # messages for each one with the current state
_MAX_EVENTS = 50  # in a message: nobody can read more, and the browser may not be able to show more in time
_MAX_CHARACTERS = 30_000  # of the events in a message, or the topics in a state, after which no more are added
_MAX_TEXT = 1000  # characters of an event that are shown
_MAX_ROWS = 200  # topics, and subscribers, in a state
_MAX_REFUSALS = 50  # the latest ones are kept, for consoles that are opened later
_MAX_NAME = 100  # characters of a detail: the last event of a topic, or a topic of a subscriber


class Watcher(Session):
    """The session of a page that has sent the token, or is expected to. It has no subscriptions."""

    subprotocol = "webmq.console"

    def __init__(self, console: Console, broker: Broker, drop: Callable[[], None], peer: str) -> None:
        super().__init__("of the console", broker, drop, peer)
        self._console = console
        self.guessed = False  # whether it has sent a token

    def receive(self, text: str) -> DelayedReply | Pending | None:
        if self.admitted:
            return self._console.push(text, self)
        if not self.guessed:
            self.guessed = True
            if not self._console.accepts(text, self.peer):
                return partial(self.end, 4401, "wrong token")  # 4000 to 4999 are for private use (RFC 6455, 7.4.2)
            self._console.welcome(self)
        return None

    @classmethod
    def event(cls, publication: Publication, subscription: int, publication_id: int) -> str:
        """Raise an error: nothing is delivered to a session without subscriptions."""
        raise NotImplementedError


class Console(Observer):
    """The console of one hub. While no page has it open, it only keeps the latest refusals.

    `admit` asks the application whether to accept a push.
    """

    def __init__(self, broker: Broker, admit: Callable[[Accepted], Accepted | Refused]) -> None:
        self._config = config = broker.config
        self._broker = broker
        self._admit = admit
        self._rules = Rules({}, config.max_body, config.max_topic)  # no keys: the token replaces the signature
        self._strangers: dict[Session, Watcher] = {}  # the oldest first
        self._watchers: set[Session] = set()
        self._recent: deque[list[object]] = deque(maxlen=_MAX_REFUSALS)
        self._refused = 0  # refusals since the start of the hub
        self._fresh = 0  # those that have not been sent to the watchers
        self._timer: asyncio.TimerHandle | None = None
        self._forget()

    def _forget(self) -> None:
        self._events: list[list[object]] = []
        self._characters = 0
        self._skipped = 0
        # The number of events of each topic, and time and text of the last one. The latest topic is the last.
        self._activity: dict[str, tuple[int, float, str]] = {}
        self._ticks = 0

    # For the connections

    @property
    def full(self) -> bool:
        """Whether too many connections wait for the response to a wrong token."""
        return len(self._strangers) >= _MAX_STRANGERS and all(each.guessed for each in self._strangers.values())

    def open(self, drop: Callable[[], None], peer: str) -> Session:
        """Return a new session. If too many have sent no token, end the oldest of them."""
        if len(self._strangers) >= _MAX_STRANGERS:
            silent = next(each for each in self._strangers.values() if not each.guessed)
            del self._strangers[silent]
            silent.end(_TRY_AGAIN_LATER, "too many connections without the token")
        watcher = Watcher(self, self._broker, drop, peer)
        self._strangers[watcher] = watcher
        return watcher

    def close(self, session: Session) -> None:
        """Remove a session. After the last one, stop collecting events."""
        self._strangers.pop(session, None)
        self._watchers.discard(session)
        if not self._watchers and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._forget()

    def accepts(self, token: str, peer: str) -> bool:
        """Return whether this is the token. If it is not, notify the observers."""
        expected = self._config.console_token
        # As bytes, because compare_digest raises an exception for text that is not ASCII.
        if expected is not None and hmac.compare_digest(_bytes(token), _bytes(expected)):
            return True
        remedy = "open the link that the hub printed when it started"
        self._broker.refused(Refusal("request", "wrong token of the console", remedy, peer, forged=True))
        return False

    def welcome(self, session: Session) -> None:
        """Start to send messages to a session that has sent the token, if there is room for it."""
        self._strangers.pop(session, None)
        if len(self._watchers) >= _MAX_WATCHERS:
            session.end(_TRY_AGAIN_LATER, f"{_MAX_WATCHERS} consoles are open")
            return
        if self._watchers:
            self._tick()  # so that the next one has nothing that the new watcher gets now
        self._fresh = 0
        self._watchers.add(session)
        session.admitted = True
        session.send_text(strict_json.encode({"refusals": list(self._recent), **self._state()}))
        self._schedule()

    def push(self, text: str, watcher: Session) -> Pending | None:
        """Push what a watcher has sent, unless the hub refuses it, and send it the result."""
        began = time.perf_counter()
        query, _, body = text.partition("\n")
        verdict = webmq.judge(query, webmq.CONTENT_TYPE, body.encode(), self._config.clock(), self._rules)
        if isinstance(verdict, Accepted):
            verdict = self._admit(verdict)
        published = verdict if isinstance(verdict, Refused) else self._broker.engine.publish(verdict, None, began)
        if isinstance(published, asyncio.Future):
            return Pending(published, lambda result: self._pushed(verdict, cast(Published, result), watcher))
        self._pushed(verdict, published, watcher)
        return None

    def _pushed(self, push: Accepted | Refused, published: Published, watcher: Session) -> None:
        result: dict[str, object]
        if isinstance(published, Refused):
            status, reason, remedy = published.status, published.reason, published._remedy
            self._broker.refused(Refusal("push", reason, remedy, watcher.peer, status, published._forged))
            result = {"status": status, "reason": reason, "remedy": remedy}
        else:
            # With a backplane, the event may not have been delivered yet, so count the subscribers of this moment.
            accepted = cast(Accepted, push)
            result = {"topic": accepted.topic, "receivers": self._broker.receivers(accepted)}
        watcher.send_text(strict_json.encode({"pushed": result}))

    # As an observer

    def forwarded(self, publication: Publication, publication_id: int, receivers: int) -> None:
        self.published(publication, publication_id, receivers, None)

    def published(self, publication: Publication, publication_id: int, receivers: int, began: float | None) -> None:
        if not self._watchers:
            return
        topic, now = publication.topic, time.time()
        count, _, _ = self._activity.pop(topic, (0, 0, ""))
        self._activity[topic] = count + 1, now, shortened(publication.event, _MAX_NAME)
        if len(self._activity) > _MAX_ROWS:
            del self._activity[next(iter(self._activity))]
        if len(self._events) >= _MAX_EVENTS or self._characters >= _MAX_CHARACTERS:
            self._skipped += 1
            return
        event = _event(publication, receivers, now)
        self._characters += len(topic) + len(str(event[2]))
        self._events.append(event)

    def refused(self, refusal: Refusal) -> None:
        self._refused += 1
        self._fresh += 1
        self._recent.append([_milliseconds(time.time()), *refusal])

    def dropped(self, session: Session, why: Drop, details: str) -> None:
        self.refused(Refusal("subscriber", f"dropped: {details}", peer=session.peer))

    # The messages

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _tick(self) -> None:
        self._ticks += 1
        message: dict[str, object] = {}
        if self._events:
            message |= {"events": self._events, "skipped": self._skipped}
            self._events, self._characters, self._skipped = [], 0, 0
        if self._fresh:
            message["refusals"] = list(self._recent)[-self._fresh :]
            self._fresh = 0
        if self._ticks % _TICKS_PER_STATE == 0:
            message |= self._state()
        if message:
            frame = text_frame(strict_json.encode(message))
            for watcher in list(self._watchers):
                watcher.send(frame)
        self._schedule()

    def _state(self) -> dict[str, object]:
        sessions = [session for session in self._broker.sessions if session.admitted]
        return {
            "topics": self._topics(),
            "subscribers": [_subscriber(each) for each in heapq.nlargest(_MAX_ROWS, sessions, attrgetter("queued"))],
            "totals": {"topics": len(self._broker.topics), "subscribers": len(sessions), "refusals": self._refused},
        }

    def _topics(self) -> list[list[object]]:
        """Return the topics of the latest events, then others that have subscribers."""
        latest, others = reversed(self._activity), islice(self._broker.topics, _MAX_ROWS)
        rows: list[list[object]] = []
        characters = 0
        for name in islice(dict.fromkeys(chain(latest, others)), _MAX_ROWS):
            characters += len(name)
            if characters > _MAX_CHARACTERS:
                break
            count, at, text = self._activity.get(name, (0, 0.0, ""))
            rows.append([name, self._broker.subscribers(name), count, _milliseconds(at), text])
        return rows


def _event(publication: Publication, receivers: int, now: float) -> list[object]:
    """Return time, topic, text, how many characters are left out of it, number of receivers, and the push's key."""
    text = publication.event
    key = publication.key if isinstance(publication, Accepted) else None
    left_out = max(len(text) - _MAX_TEXT, 0)
    return [_milliseconds(now), publication.topic, text[:_MAX_TEXT], left_out, receivers, key]


def _subscriber(session: Session) -> list[object]:
    """Return ID, key, protocol, address, time of connecting, queued bytes, number of topics, and a few of them."""
    topics = [shortened(topic, _MAX_NAME) for topic in islice(session.subscribed, 3)]
    key = session.authid if session.authid != session.id else None
    since = _milliseconds(time.time() - time.monotonic() + session.opened)
    return [session.id, key, session.subprotocol, session.peer, since, session.queued, len(session.subscribed), topics]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
