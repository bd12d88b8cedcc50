"""Print the events of `webmqconnect listen`, one per line."""

from __future__ import annotations

from rich.text import Text

from .._subscriber import Event
from ..signing import Credentials
from . import terminal
from .subscribing import subscribed

__all__ = ["print_event", "print_events"]


async def print_events(
    url: str, topics: tuple[str, ...], count: int | None, credentials: Credentials | None, realm: str
) -> None:
    """Subscribe and print events until `count` are printed. `None`: until cancelled."""
    async with subscribed(url, *topics, credentials=credentials, realm=realm) as session:
        subscription = topics[0] if len(topics) == 1 else f"{len(topics)} topics"
        terminal.note(f"session {session.session_id}, subscribed to {subscription} at {url}; Ctrl-C ends")
        printed = 0
        while count is None or printed < count:
            print_event(await session.next_event())
            printed += 1


def print_event(event: Event) -> None:
    """Print an event: with colours on a terminal, elsewhere as topic, tab, JSON."""
    output = terminal.console()
    topic = terminal.visible(event.topic)
    if output.is_terminal:
        output.print(Text.assemble((topic, "cyan"), "  ", terminal.coloured_json(event.payload)))
    else:
        # rich would replace the tab with spaces.
        print(f"{topic}\t{terminal.json_line(event.payload)}", flush=True)
