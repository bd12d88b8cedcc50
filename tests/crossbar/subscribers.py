"""A WAMP v2 subscriber in a process of its own. Tests wait for its output, never for time to pass."""

from __future__ import annotations

import json
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any

from brokers.crossbar import PYTHON

PATIENCE = 60.0
_PROGRAM = Path(__file__).with_name("autobahn_subscriber.py")


@dataclass(frozen=True, slots=True)
class Event:
    """An event that the subscriber received."""

    topic: str
    args: list[object]
    kwargs: dict[str, object] = field(default_factory=dict)
    publication: int | None = field(default=None, compare=False)
    publisher: int | None = field(default=None, compare=False)
    retained: bool = False


class Gone(Exception):
    """The subscriber's session or its process has ended."""


class Subscriber:
    """A subscriber that subscribes to one topic at a time."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin = stdin
        self._said: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._early: deque[Event] = deque()
        self._topic = ""
        self._reading = Thread(target=self._read, args=(stdout,), name="subscriber", daemon=True)
        self._reading.start()
        joined = self._next()
        self.session_id: int = joined["joined"]
        self.authid: str = joined["authid"]
        self.authrole: str = joined["authrole"]

    def _read(self, stdout: IO[str]) -> None:
        with stdout:
            for line in stdout:
                self._said.put(json.loads(line))
        self._said.put({"left": "the process has ended"})

    def _next(self, patience: float = PATIENCE) -> dict[str, Any]:
        said = self._said.get(timeout=patience)
        if "left" in said:
            raise Gone(said["left"])
        return said

    def subscribe(self, topic: str, match: str = "exact") -> None:
        """Subscribe to a topic, and ignore the events of the previous one.

        Args:
            topic: a topic or a pattern.
            match: `exact`, `prefix` or `wildcard`.
        """
        self._topic = topic
        self._early.clear()
        self._stdin.write(json.dumps([topic, match]) + "\n")
        self._stdin.flush()
        # A retained event may arrive before the reply to SUBSCRIBE.
        while (said := self._next()) != {"subscribed": topic}:
            if said.pop("heard") == topic:
                self._early.append(Event(**said))

    def event(self) -> Event:
        """Return the next event of the topic.

        Raises:
            Gone: the session has ended.
        """
        if self._early:
            return self._early.popleft()
        while (said := self._next()).pop("heard", None) != self._topic:
            pass
        return Event(**said)

    def receives(self, seconds: float) -> bool:
        """Return whether an event of the topic arrives within this number of seconds.

        Call it after each push until it does.
        """
        try:
            return bool(self._next(seconds).pop("heard", None) == self._topic)
        except Empty:
            return False

    def events_until(self, last: object) -> list[Event]:
        """Return the events before the one whose only argument is `last`."""
        events = []
        while (event := self.event()).args != [last]:
            events.append(event)
        return events

    def close(self) -> None:
        """End the session and the process."""
        self._stdin.close()
        self._reading.join(PATIENCE)


@contextmanager
def subscriber(ws_url: str, serializer: str = "json") -> Iterator[Subscriber]:
    """Run a subscriber until the end of the block.

    Args:
        ws_url: the WebSocket of the broker.
        serializer: `json`, `msgpack` or `cbor`.
    """
    command = (PYTHON, _PROGRAM, ws_url, serializer)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  # ours
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        listening = Subscriber(process.stdin, process.stdout)
        yield listening
        listening.close()
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
