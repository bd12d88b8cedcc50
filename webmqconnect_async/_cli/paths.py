"""A check of the options that name a file."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from .stdio import closed_stream

__all__ = ["not_closed"]


def not_closed(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Return the path, as the callback of an option; refuse /dev/stdin and the like where that stream is closed."""
    if path is not None and (stream := closed_stream(str(path))):
        raise click.BadParameter(f"{stream} is closed.")
    return path
