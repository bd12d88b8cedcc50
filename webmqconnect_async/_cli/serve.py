"""Serve for `webmqconnect hub`, and print the URLs and a first push."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shlex
import signal
import sys
from pathlib import Path

from rich.text import Text

from .._core.environment import variable
from ..hub import Hub
from . import terminal
from .errors import Failure
from .keys import PUSHER
from .main_loop import handle

_TOPIC = "http://example.com/orders"


async def serve(
    server: Hub, port: int, secret_file: Path | None, console_token_file: Path | None, drain: float
) -> None:
    """Serve until SIGTERM and for `drain` seconds after it, or until cancelled.

    `port` is that which was asked for. `secret_file` has the secret of the application key; `None`: it is in the
    environment. `console_token_file` has the token of the console; `None`: the token is new.
    """
    host = server.config.host
    try:
        await server.start()
    except (ImportError, ConnectionError) as error:
        raise Failure(str(error)) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        if error.filename is not None:
            raise Failure(f"cannot serve metrics at {error.filename}: {reason}") from None
        if error.errno == errno.EADDRINUSE:
            raise Failure(f"port {port} of {host} is in use; --port 0 chooses a free one") from None
        raise Failure(f"cannot listen on {host}, port {port}: {reason}") from None
    try:
        _show(server, secret_file, console_token_file)
        terminated = asyncio.Event()
        handle(signal.SIGTERM, terminated.set)
        await terminated.wait()
        await server.drain(drain)
    finally:
        await server.close()


def _show(server: Hub, secret_file: Path | None, console_token_file: Path | None) -> None:
    config = server.config
    key = next(iter(config.keys or ()), None)
    signed = "unsigned" if key is None else f"signed with the key {key!r}"
    keys = [f"the key {key!r}" for key in config.subscriber_keys or ()]
    keys += [f"a ticket of the key {key!r}" for key in config.ticket_keys or ()]
    authenticated = f", with {' or '.join(keys)}{'; public topics without' if config.public else ''}" if keys else ""
    output = terminal.console()
    addresses = [
        ("push to", server.url, signed),
        ("subscribe at", server.ws_url, f"WAMP v1 or v2{authenticated}"),
        ("see events at", f"{server.url}/", "a page for your browser"),
    ]
    if token := config.console_token:
        # A token from a file is not printed, so that it does not get into a journal.
        shown, remark = token, "a secret link: it shows and pushes all"
        if console_token_file is not None:
            shown, remark = "…", f"with the token in {console_token_file}"
        addresses.append(("console at", f"{server.url}/#console={shown}", remark))
    if server.metrics_url is not None:
        addresses.append(("metrics at", server.metrics_url, "for Prometheus"))
    for name, address, remark in addresses:
        output.print(Text.assemble(f"{name:14} ", (address, "bold cyan"), (f"  {terminal.visible(remark)}", "dim")))
    # A variable may name the file, relative to this directory.
    named = secret_file or variable(f"{PUSHER.variable}_FILE")
    secret_file = Path(named).absolute() if named else None
    needed = "" if key is None or secret_file else f" where {PUSHER.variable} has the same value"
    output.print(f"\nPush from another terminal{needed}, by this command or from Python:")
    for line in _pushes(server.url, key, secret_file):
        output.print(Text(terminal.visible(line), "bold cyan"))
    output.print("\nCtrl-C stops the hub.")


def _pushes(url: str, key: str | None, secret_file: Path | None) -> tuple[str, str]:
    """Return a command that pushes, and a line of Python. They refer to the secret and do not contain it."""
    options, imports, signing = [], "", ""
    if key:
        options = [PUSHER.key, key]
        imports, secret = "import os; ", f'os.environ["{PUSHER.variable}"]'
        if secret_file:
            options += [PUSHER.file, str(secret_file)]
            imports = "from pathlib import Path; "
            secret = f'Path({_quoted(str(secret_file))}).read_bytes().rstrip(b"\\r\\n")'
        signing = f", auth_key={_quoted(key)}, auth_secret={secret}"
    push = f'Client("{url}"{signing}).push("{_TOPIC}", {{"id": 17}})'
    return (
        shlex.join([*terminal.program(), "push", *options, url, _TOPIC, '{"id": 17}']),
        shlex.join([sys.executable, "-c", f"{imports}from webmqconnect_async import Client; {push}"]),
    )


def _quoted(text: str) -> str:
    """Return a literal of Python in double quotes, because a shell quotes the whole line in single quotes."""
    return json.dumps(text, ensure_ascii=False)
