"""Subscribe for a command: print events, and raise errors that name the option to change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from rich.text import Text

from ..signing import Credentials
from ..subscriber import (
    CannotConnect,
    Event,
    HandshakeRefused,
    KeyRefused,
    KeyRequired,
    NoSuchRealm,
    Subscriber,
    SubscriberError,
    TicketRefused,
)
from . import terminal
from .errors import Failure
from .keys import SUBSCRIBER

_ADVICE: dict[type[SubscriberError], str] = {
    CannotConnect: "; does a hub listen there?",
    HandshakeRefused: "; the WebSocket of a hub is at /ws",
    KeyRequired: f": give {SUBSCRIBER.key} or --ticket-file",
    KeyRefused: f"; check {SUBSCRIBER.key} and its secret",
    TicketRefused: "; webmqconnect explain --ticket-file shows what is in it",
    NoSuchRealm: "; check --realm",
}


@contextmanager
def subscriber_failures() -> Iterator[None]:
    """Raise the errors of a subscriber as `Failure`."""
    try:
        yield
    except SubscriberError as error:
        raise Failure(f"{error}{_ADVICE.get(type(error), '')}") from None


async def print_events(
    url: str,
    topics: tuple[str, ...],
    count: int | None,
    credentials: Credentials | None,
    realm: str,
    reconnect: bool,
    ticket: Callable[[], Awaitable[str]] | None,
) -> None:
    """Subscribe and print events until `count` are printed. `None`: until cancelled."""
    # Each failed attempt to reconnect changes the state, too. Only the first change is printed.
    connected = False

    def changed(state: str, detail: str) -> None:
        nonlocal connected
        if state == "closed" and connected and reconnect:
            terminal.note(f"{detail}; reconnecting")
        connected = state == "open"

    def lost(topic: str, why: str) -> None:
        terminal.note(f"missed events of {topic}: {why}")

    subscriber = Subscriber(url, credentials, realm, on_lost=lost, on_state=changed, reconnect=reconnect, ticket=ticket)
    with subscriber_failures():
        async with subscriber, subscriber.subscribe(*topics) as events:
            subscription = topics[0] if len(topics) == 1 else f"{len(topics)} topics"
            terminal.note(f"session {subscriber.session_id}, subscribed to {subscription} at {url}; Ctrl-C ends")
            printed = 0
            async for event in events:
                print_event(event)
                printed += 1
                if printed == count:
                    return


def print_event(event: Event) -> None:
    """Print an event: coloured on a terminal, elsewhere as topic, tab and JSON."""
    output = terminal.console()
    topic = terminal.visible(event.topic)
    if output.is_terminal:
        output.print(Text.assemble((topic, "cyan"), "  ", terminal.coloured_json(event.value)))
    else:
        # rich would replace the tab with spaces.
        print(f"{topic}\t{terminal.json_line(event.value)}", flush=True)
