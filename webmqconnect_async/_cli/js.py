"""`webmqconnect js`: write the subscriber for browsers to a folder that a website serves."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import rich_click as click

from . import terminal
from .errors import Failure
from .options import Command, not_closed

_EXAMPLES = """\
Into the static files of a website, or of Crossbar.io, and then into a page:

$ webmqconnect js --out static/

<script src="/static/webmq.min.js"></script>

<script>const mq = new WebMQ("https://hub.example.com");</script>
"""


@click.command(cls=Command, no_args_is_help=True, epilog=_EXAMPLES)
@click.option(
    "--out",
    "folder",
    metavar="FOLDER",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    callback=not_closed,
    help="Write to FOLDER, which is created if it does not exist. Files of the same names are replaced.",
)
def js(folder: Path) -> None:
    """Write the JavaScript with which pages subscribe, webmq.js, to FOLDER.

    A hub serves the same files. Each of webmq.js (a script), webmq.mjs (a module) and webmq.cjs (for require) is the
    whole subscriber; so are the minified webmq.min.js and webmq.min.mjs. The rest are types and source maps.
    """
    from ..hub._browser import FILES

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in FILES.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from None
    for name in FILES:
        click.echo(terminal.visible(str(folder / name)))
    digest = base64.b64encode(hashlib.sha384(FILES["webmq.min.js"]).digest()).decode()
    click.echo(f'webmq.min.js: integrity="sha384-{digest}"')
