"""The scenes of `webmqconnect demo`: each is a push, shown with the events that two subscribers receive."""

from __future__ import annotations

import asyncio
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from rich.text import Text

from .._aio import AsyncClient
from ..hub import Hub
from ..subscriber import Subscriber, Subscription
from . import terminal
from .errors import Failure
from .subscribing import subscriber_failures

_TOPIC = "http://example.com/orders"
_MARKER = "http://example.com/marker"
"""The topic of the event that follows each push."""
_KEY = "demo"
_TIMEOUT = 5.0
"""Seconds for the subscribers to receive an event."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """A push, and the names of the subscribers that should receive it."""

    title: str
    event: object
    receivers: tuple[str, ...] = ("alice", "bob")
    exclude: tuple[str, ...] | None = None
    eligible: tuple[str, ...] | None = None

    @property
    def python(self) -> str:
        """The push as a line of Python, with names instead of session IDs."""
        lists = {"exclude": self.exclude, "eligible": self.eligible}
        more = "".join(f", {name}=[{', '.join(names)}]" for name, names in lists.items() if names is not None)
        return f"await client.push(topic, {self.event!r}{more})"


_SCENES = (
    _Scene("A string, for everybody", "Hello, browsers!"),
    _Scene("A nested object, for everybody", {"id": 17, "state": "paid", "items": [{"sku": "tea", "count": 2}]}),
    _Scene("For everybody but alice, who sent it", "alice is typing", ("bob",), exclude=("alice",)),
    _Scene("For alice alone", {"alice's balance": 99.5}, ("alice",), eligible=("alice",)),
)


async def play() -> None:
    """Play all scenes; raise `Failure` if a subscriber received other events than it should have."""
    secret = secrets.token_urlsafe()
    with subscriber_failures():
        async with (
            Hub(port=0, keys={_KEY: secret}) as hub,
            Subscriber(hub.ws_url, reconnect=False) as alice,
            Subscriber(hub.ws_url, reconnect=False) as bob,
            alice.subscribe(_TOPIC, _MARKER) as of_alice,
            bob.subscribe(_TOPIC, _MARKER) as of_bob,
            AsyncClient(hub.url, _KEY, secret) as client,
        ):
            ids = {"alice": str(alice.session_id), "bob": str(bob.session_id)}
            stage = _Stage(client, ids, {"alice": of_alice, "bob": of_bob})
            stage.introduce(hub)
            for number, scene in enumerate(_SCENES, 1):
                await stage.play(number, scene)
            stage.conclude()


class _Stage:
    """Plays scenes, and compares the events that the subscribers receive with those that they should receive."""

    def __init__(self, client: AsyncClient, ids: Mapping[str, str], events: Mapping[str, Subscription]) -> None:
        self._client = client
        self._session_ids = ids
        self._events = events
        self._output = terminal.console()
        self._received = 0
        self._wrong: list[str] = []

    def introduce(self, hub: Hub) -> None:
        show = self._output.print
        show(
            Text.assemble(
                "A hub listens on ", (hub.url, "bold cyan"), f" and accepts pushes signed with the key {_KEY!r}."
            )
        )
        for name, session_id in self._session_ids.items():
            show(Text.assemble((name, "bold"), f" subscribes to {_TOPIC} as session {session_id}."))

    async def play(self, number: int, scene: _Scene) -> None:
        """Push, and print each event as it arrives; raise `Failure` if the marker does not arrive in time."""
        self._output.print(Text.assemble(f"\n{number}. ", (scene.title, "bold")))
        self._output.print(Text.assemble("   ", terminal.coloured_python(scene.python)))
        await self._client.push(_TOPIC, scene.event, self._ids(scene.eligible), self._ids(scene.exclude))
        # Events arrive in the order of their pushes, so no event of this scene can arrive after the marker.
        await self._client.push(_MARKER, number)
        late = set(self._events)
        try:
            async with asyncio.timeout(_TIMEOUT):
                await asyncio.gather(*(self._watch(name, number, scene, late) for name in self._events))
        except TimeoutError:
            names = " and ".join(sorted(late))
            raise Failure(f"push {number}: no event arrived in time at {names}") from None

    def conclude(self) -> None:
        """Print that all events were received correctly, and what to do next; raise `Failure` if they were not."""
        if self._wrong:
            raise Failure("; ".join(self._wrong))
        counts = f"{len(_SCENES)} pushes, {self._received} events"
        conclusion = f"{counts}, each received by the subscribers it was for, and by nobody else."
        self._output.print(Text.assemble("\n", (conclusion, "green")))
        program = terminal.visible(shlex.join(terminal.program()))
        command = f"WEBMQ_AUTH_SECRET=s3cret {program} hub --key app"
        self._output.print(Text.assemble("\nNext, start a hub that keeps running: ", (command, "bold cyan")))

    async def _watch(self, name: str, number: int, scene: _Scene, late: set[str]) -> None:
        """Print the events that a subscriber receives up to the marker, and compare them with the scene."""
        got: list[object] = []
        while (event := await anext(self._events[name])).topic != _MARKER or event.value != number:
            got.append(event.value)
            self._show(name, terminal.coloured_json(event.value))
        late.discard(name)
        expected = [scene.event] if name in scene.receivers else []
        self._received += len(got)
        if got != expected:
            self._wrong.append(f"push {number}: {name} received {_listed(got)} instead of {_listed(expected)}")
            self._show(name, Text(f"{_listed(got)}, which is wrong", "red"))
        elif not expected:
            self._show(name, Text("nothing, which is correct", "dim"))

    def _show(self, name: str, text: Text) -> None:
        self._output.print(Text.assemble("   → ", (f"{name:<6}", "bold"), text))

    def _ids(self, names: tuple[str, ...] | None) -> list[str] | None:
        return None if names is None else [self._session_ids[name] for name in names]


def _listed(events: list[object]) -> str:
    return ", ".join(map(terminal.json_line, events)) or "nothing"
