"""The options that name a file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import rich_click as click

from .stdio import closed_stream


def not_closed(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Return the path. This callback of an option refuses a path such as /dev/stdin if that stream is closed."""
    if path is not None and (stream := closed_stream(str(path))):
        raise click.BadParameter(f"{stream} is closed.")
    return path


existing_file = partial(click.Path, exists=True, dir_okay=False, readable=True, path_type=Path)
file_option = partial(click.option, metavar="FILE", type=existing_file(), callback=not_closed)
"""The option for a file that is read. With `type=existing_file(allow_dash=True)`, - is standard input."""
