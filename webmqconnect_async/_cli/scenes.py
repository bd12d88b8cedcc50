"""The scenes of `webmqconnect demo`: each is a push, shown with the events that two subscribers receive."""

from __future__ import annotations

import asyncio
import secrets
import shlex
from dataclasses import dataclass

from rich.console import Console
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
    output = terminal.console()
    count, wrong = 0, list[str]()
    with subscriber_failures():
        async with (
            Hub(port=0, keys={_KEY: secret}) as hub,
            Subscriber(hub.ws_url, reconnect=False) as alice,
            Subscriber(hub.ws_url, reconnect=False) as bob,
            alice.subscribe(_TOPIC, _MARKER) as of_alice,
            bob.subscribe(_TOPIC, _MARKER) as of_bob,
            AsyncClient(hub.url, _KEY, secret) as client,
        ):
            output.print(
                "A hub listens on", Text(hub.url, "bold cyan"), f"and accepts pushes signed with the key {_KEY!r}."
            )
            ids = {"alice": str(alice.session_id), "bob": str(bob.session_id)}
            for name, session_id in ids.items():
                output.print(Text(name, "bold"), f"subscribes to {_TOPIC} as session {session_id}.")
            for number, scene in enumerate(_SCENES, 1):
                output.print(f"\n{number}.", Text(scene.title, "bold"))
                output.print("  ", terminal.coloured_python(scene.python))
                eligible, exclude = (
                    names and [ids[name] for name in names] for names in (scene.eligible, scene.exclude)
                )
                await client.push(_TOPIC, scene.event, eligible, exclude)
                # Events arrive in the order of their pushes, so no event of this scene can arrive after the marker.
                await client.push(_MARKER, number)
                for name, got in (await _received(output, number, {"alice": of_alice, "bob": of_bob})).items():
                    count += len(got)
                    expected = [scene.event] if name in scene.receivers else []
                    if got != expected:
                        wrong.append(f"push {number}: {name} received {_listed(got)} instead of {_listed(expected)}")
                        _show(output, name, Text(f"{_listed(got)}, which is wrong", "red"))
                    elif not expected:
                        _show(output, name, Text("nothing, which is correct", "dim"))
    if wrong:
        raise Failure("; ".join(wrong))
    conclusion = (
        f"{len(_SCENES)} pushes, {count} events, each received by the subscribers it was for, and by nobody else."
    )
    output.print(Text(f"\n{conclusion}", "green"))
    command = f"WEBMQ_AUTH_SECRET=s3cret {terminal.visible(shlex.join(terminal.program()))} hub --key app"
    output.print("\nNext, start a hub that keeps running:", Text(command, "bold cyan"))


async def _received(output: Console, number: int, events: dict[str, Subscription]) -> dict[str, list[object]]:
    """Return what each subscriber received up to the marker. Each event is printed as it arrives."""
    received: dict[str, list[object]] = {}

    async def watch(name: str) -> None:
        got = []
        while (event := await anext(events[name])).topic != _MARKER or event.value != number:
            got.append(event.value)
            _show(output, name, terminal.coloured_json(event.value))
        received[name] = got

    try:
        async with asyncio.timeout(_TIMEOUT):
            await asyncio.gather(*map(watch, events))
    except TimeoutError:
        late = " and ".join(sorted(events.keys() - received))
        raise Failure(f"push {number}: no event arrived in time at {late}") from None
    return received


def _show(output: Console, name: str, text: Text) -> None:
    output.print(Text.assemble("   → ", (f"{name:<6}", "bold"), text))


def _listed(events: list[object]) -> str:
    return ", ".join(map(terminal.json_line, events)) or "nothing"
