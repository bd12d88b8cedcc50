"""`webmqconnect completion`: print the script that makes a shell complete commands, options and files."""

from __future__ import annotations

import rich_click as click
from click.shell_completion import shell_complete

from . import terminal

_EXAMPLES = """\
For the current shell, and for later ones:

$ source <(webmqconnect completion bash)

$ mkdir -p ~/.local/share/bash-completion/completions

$ webmqconnect completion bash > ~/.local/share/bash-completion/completions/webmqconnect

For zsh, in a directory of its fpath, and for fish:

$ webmqconnect completion zsh > ~/.zfunc/_webmqconnect

$ webmqconnect completion fish > ~/.config/fish/completions/webmqconnect.fish
"""


@click.command(no_args_is_help=True, epilog=_EXAMPLES)
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete what you type after webmqconnect."""
    terminal.need_output()
    shell_complete(context.find_root().command, {}, "webmqconnect", "_WEBMQCONNECT_COMPLETE", f"{shell}_source")
