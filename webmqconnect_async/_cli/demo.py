"""`webmqconnect demo`: push events to two subscribers of a hub, and check which events they receive."""

from __future__ import annotations

import rich_click as click


@click.command()
def demo() -> None:
    """Start a hub and two subscribers, push to them, and check who gets what.

    Everything runs in this process, over real connections on a free port. The exit status is 1 if an event is missing,
    or reaches a subscriber that it is not for.
    """
    from .main_loop import run
    from .scenes import play

    run(play())
