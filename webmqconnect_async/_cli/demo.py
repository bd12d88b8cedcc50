"""`webmqconnect demo`: the whole way of an event, from a push to two subscribers, shown and checked."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import rich_click as click
from rich.text import Text

from .._aio import AsyncClient
from .._subscriber.connecting import Event, Subscriber, subscriber
from ..hub import Hub
from . import terminal
from .errors import Failure
from .main_loop import run

__all__ = ["demo"]

_TOPIC = "http://example.com/orders"
_MARKER = "http://example.com/marker"
_KEY = "demo"
_PATIENCE = 5.0
"""Seconds for a subscriber to get what was pushed."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """One push, and who is to get it. Sessions go by their subscribers' names."""

    title: str
    event: object
    receivers: tuple[str, ...] = ("alice", "bob")
    exclude: tuple[str, ...] | None = None
    eligible: tuple[str, ...] | None = None

    @property
    def python(self) -> str:
        """The line that does it."""
        lists = {"exclude": self.exclude, "eligible": self.eligible}
        more = "".join(f", {name}=[{', '.join(names)}]" for name, names in lists.items() if names is not None)
        return f"await client.push(topic, {self.event!r}{more})"


_SCENES = (
    _Scene("A string, for everybody", "Hello, browsers!"),
    _Scene("A nested object, for everybody", {"id": 17, "state": "paid", "items": [{"sku": "tea", "count": 2}]}),
    _Scene("For everybody but alice, who sent it", "alice is typing", ("bob",), exclude=("alice",)),
    _Scene("For alice alone", {"alice's balance": 99.5}, ("alice",), eligible=("alice",)),
)


@click.command()
def demo() -> None:
    """Start a hub and two subscribers, push to them, and check who gets what.

    Everything runs in this process, over real connections on a free port. Exits 1 if any event is missing, or reaches
    somebody it is not for.
    """
    run(_play())


async def _play() -> None:
    secret = secrets.token_urlsafe()
    async with (
        Hub(port=0, keys={_KEY: secret}) as hub,
        subscriber(hub.ws_url, _TOPIC, _MARKER) as alice,
        subscriber(hub.ws_url, _TOPIC, _MARKER) as bob,
        AsyncClient(hub.url, _KEY, secret) as client,
    ):
        stage = _Stage(client, {"alice": alice, "bob": bob})
        stage.introduce(hub)
        for number, scene in enumerate(_SCENES, 1):
            await stage.play(number, scene)
        stage.conclude()


class _Stage:
    """The subscribers and what they got.

    Args:
        client: pushes.
        subscribers: by name.
    """

    def __init__(self, client: AsyncClient, subscribers: Mapping[str, Subscriber]) -> None:
        self._client = client
        self._subscribers = subscribers
        self._output = terminal.console()
        self._received = 0
        self._wrong: list[str] = []

    def introduce(self, hub: Hub) -> None:
        """Show who is there."""
        say = self._output.print
        say(
            Text.assemble(
                "A hub listens on ", (hub.url, "bold cyan"), f" and takes pushes signed with the key {_KEY!r}."
            )
        )
        for name, session in self._subscribers.items():
            say(Text.assemble((name, "bold"), f" subscribes to {_TOPIC} as session {session.session_id}."))

    async def play(self, number: int, scene: _Scene) -> None:
        """Push, show each event as it arrives, and note what is missing or too much."""
        self._output.print(Text.assemble(f"\n{number}. ", (scene.title, "bold")))
        self._output.print(Text.assemble("   ", terminal.coloured_python(scene.python)))
        await self._client.push(_TOPIC, scene.event, self._ids(scene.eligible), self._ids(scene.exclude))
        # Events arrive in the order in which they were pushed: whoever has got this one gets no more of the one before.
        await self._client.push(_MARKER, number)
        late = set(self._subscribers)
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*(self._watch(name, number, scene, late) for name in self._subscribers))
        except TimeoutError:
            names = " and ".join(sorted(late))
            raise Failure(f"push {number}: neither it nor what came after it arrived at {names}") from None

    def conclude(self) -> None:
        """Say that all went well, or raise Failure."""
        if self._wrong:
            raise Failure("; ".join(self._wrong))
        said = f"{len(_SCENES)} pushes, {self._received} events, each received by whom it was for, and by nobody else."
        self._output.print(Text.assemble("\n", (said, "green")))

    async def _watch(self, name: str, number: int, scene: _Scene, late: set[str]) -> None:
        """Show what a subscriber gets of one push and compare it with what it should."""
        session, marker = self._subscribers[name], Event(_MARKER, number)
        got = []
        while (event := await session.next_event()) != marker:
            got.append(event)
            self._show(name, terminal.coloured_json(event.payload))
        late.discard(name)
        expected = [Event(_TOPIC, scene.event)] if name in scene.receivers else []
        self._received += len(got)
        if got != expected:
            self._wrong.append(f"push {number}: {name} got {_counted(got)} where {_counted(expected)} was due")
            self._show(name, Text(f"{_counted(got)}, and that is wrong", "red"))
        elif not expected:
            self._show(name, Text("nothing, as it should be", "dim"))

    def _show(self, name: str, what: Text) -> None:
        self._output.print(Text.assemble("   → ", (f"{name:<6}", "bold"), what))

    def _ids(self, names: tuple[str, ...] | None) -> list[str] | None:
        return None if names is None else [self._subscribers[name].session_id for name in names]


def _counted(events: list[Event]) -> str:
    return ", ".join(terminal.json_line(event.payload) for event in events) or "nothing"
