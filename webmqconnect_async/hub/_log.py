"""The log of a hub: one line for each push, subscriber and refusal."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic, perf_counter

from .._core.escape import visible
from ._observer import Drop, Observer, Refusal
from ._publication import Publication
from ._pushes.verdicts import Accepted
from ._session import Session

_PER_SECOND = 200  # maximum number of lines per second, so that nobody can fill the disk

_SECOND = 1.0
_FOR_WARNINGS = 50  # how many of these lines are reserved for warnings, so that pushes do not displace them
_LONGEST = 300  # maximum number of characters of a text from outside

logger = logging.getLogger("webmqconnect_async.hub")


class Log(Observer):
    """Logs what happens to `webmqconnect_async.hub`. Each record also has the facts as attributes, for JSON logs.

    It writes at most 200 lines per second, and then one that says how many were left out.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_PER_SECOND)  # when the last lines were written
        self._left_out = 0
        self._left_out_level = logging.NOTSET
        self._traced = -_SECOND  # when the last traceback was written

    def published(self, publication: Publication, publication_id: int, receivers: int, began: float | None) -> None:
        if not self._may_write(logging.INFO):
            return
        line, facts = _described(publication, publication_id, receivers)
        key = milliseconds = None
        if began is None:
            event, line = "publication", f"publication by a subscriber {line}"
        else:
            milliseconds = round((perf_counter() - began) * 1000, 3)
            event, line = "push", f"push {line}, {milliseconds:.1f} ms"
        if isinstance(publication, Accepted) and publication.key is not None:
            key = visible(publication.key, _LONGEST)
            line = f"{line}, key '{key}'"
        _write(logging.INFO, event, line, **facts, milliseconds=milliseconds, key=key)

    def forwarded(self, publication: Publication, publication_id: int, receivers: int) -> None:
        if self._may_write(logging.INFO):
            line, facts = _described(publication, publication_id, receivers)
            _write(logging.INFO, "forwarded", f"event of another hub {line}", **facts)

    def repeated(self, publication: Publication, publication_id: int) -> None:
        if self._may_write(logging.INFO):
            topic = visible(publication.topic, _LONGEST)
            line = f"push to {topic} repeated: ID {publication_id}, not delivered again"
            _write(logging.INFO, "repeated", line, topic=topic, publication=publication_id)

    def joined(self, session: Session) -> None:
        if not self._may_write(logging.INFO):
            return
        protocol, key, authid = session.subprotocol, None, _user(session)
        line = f"subscriber {session.id} joined from {session.peer}: {protocol}"
        if session.authrole != "anonymous":
            key = visible(session.authid if session.ticket is None else session.ticket.key, _LONGEST)
            line = f"{line}, key '{key}'" if authid is None else f"{line}, ticket of '{authid}', key '{key}'"
        facts = {"session": session.id, "peer": session.peer, "protocol": protocol, "key": key, "authid": authid}
        _write(logging.INFO, "joined", line, **facts)

    def left(self, session: Session) -> None:
        if self._may_write(logging.INFO):
            seconds, topics = round(monotonic() - session.opened, 3), len(session.subscribed)
            who = f"{session.id}, '{authid}'," if (authid := _user(session)) is not None else session.id
            line = f"subscriber {who} left after {seconds:.1f} s, {_count(topics, 'topic')}"
            _write(logging.INFO, "left", line, session=session.id, seconds=seconds, topics=topics, authid=authid)

    def dropped(self, session: Session, why: Drop, details: str) -> None:
        if self._may_write(logging.WARNING):
            line = f"subscriber {session.id} at {session.peer} dropped: {details}"
            _write(logging.WARNING, "dropped", line, session=session.id, peer=session.peer, reason=why)

    def refused(self, refusal: Refusal) -> None:
        """Log a refusal. A failed authentication is a warning."""
        level = logging.WARNING if refusal.forged else logging.INFO
        if not self._may_write(level):
            return
        what, reason, remedy, peer, status, forged, session = refusal
        reason, remedy = visible(reason, _LONGEST), visible(remedy, _LONGEST)
        who = f"{what} from {peer}"
        if session:
            subscriber = f"subscriber {session} at {peer}"
            who = subscriber if what == "subscriber" else f"{what} of {subscriber}"
        outcome = "failed to authenticate" if forged else "refused"
        line = f"{who} {outcome}: {reason}{f'; hint: {remedy}' if remedy else ''}"
        facts = {"what": what, "reason": reason, "remedy": remedy or None, "peer": peer, "session": session or None}
        _write(level, "refused", line, **facts, status=status, forged=forged)

    def failed(self, problem: str, error: BaseException | None) -> None:
        """Log an error of the application, with at most one traceback per second, because tracebacks are long."""
        if self._may_write(logging.ERROR):
            if error is not None and monotonic() - self._traced >= _SECOND:
                self._traced = monotonic()
            else:
                error = None
            logger.error("%s", problem, exc_info=error, extra={"event": "failed"})

    def _may_write(self, level: int) -> bool:
        """Return whether the logger is enabled and the limit allows a line, which the caller then writes."""
        if not logger.isEnabledFor(level):
            return False
        now, times = monotonic(), self._times
        most = _PER_SECOND if level >= logging.WARNING else _PER_SECOND - _FOR_WARNINGS
        if len(times) < most or now - times[-most] >= _SECOND:
            times.append(now)
            return True
        if not self._left_out:
            asyncio.get_running_loop().call_later(_SECOND, self._write_left_out)
        self._left_out += 1
        self._left_out_level = max(level, self._left_out_level)
        return False

    def _write_left_out(self) -> None:
        count, level = self._left_out, self._left_out_level
        self._left_out, self._left_out_level = 0, logging.NOTSET
        self._times.append(monotonic())
        _write(level, "left_out", f"{_count(count, 'line')} left out", count=count)


def _write(level: int, event: str, line: str, **facts: object) -> None:
    """Write a line. The facts that are not `None` become attributes of its record."""
    logger.log(level, line, extra={"event": event} | {name: fact for name, fact in facts.items() if fact is not None})


def _described(publication: Publication, publication_id: int, receivers: int) -> tuple[str, dict[str, object]]:
    topic, size = visible(publication.topic, _LONGEST), len(publication.event.encode())
    line = f"to {topic}: {_count(size, 'byte')}, {_count(receivers, 'subscriber')}, ID {publication_id}"
    return line, {"topic": topic, "bytes": size, "receivers": receivers, "publication": publication_id}


def _user(session: Session) -> str | None:
    """Return the subject of a subscriber's ticket, if it has one."""
    return None if session.ticket is None else visible(session.authid, _LONGEST)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
