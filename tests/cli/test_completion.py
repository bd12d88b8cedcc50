"""Shell completion: the scripts, and the completions that a shell receives."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

import pytest

from ..processes import MODULE, PATIENCE, python
from .conftest import invoke_here

COMMANDS = ["completion", "demo", "explain", "hub", "js", "listen", "outbox", "push", "relay", "ticket"]


def completed(*words: str) -> list[str]:
    """Return the completions that bash receives for the last word, each with its kind."""
    env = {
        "_WEBMQCONNECT_COMPLETE": "bash_complete",
        "COMP_WORDS": "\n".join(["webmqconnect", *words]),
        "COMP_CWORD": str(len(words)),
    }
    ended = invoke_here(env=env)
    assert (ended.status, ended.stderr) == (0, "")
    return ended.stdout.split()


def test_commands() -> None:
    assert completed("") == [f"plain,{name}" for name in COMMANDS]
    assert completed("ex") == ["plain,explain"]


def test_options() -> None:
    assert completed("push", "--di") == ["plain,--dialect"]
    assert {"plain,--at", "plain,--query", "plain,--refusal"} <= set(completed("explain", "--"))


@pytest.mark.parametrize("command", ["push", "explain"])
def test_dialects(command: str) -> None:
    assert completed(command, "--dialect", "") == ["plain,webmq", "plain,crossbar"]


@pytest.mark.parametrize(
    "words",
    [("push", "--jsonl"), ("push", "--failed"), ("explain", "--body"), ("hub", "--secret-file")],
)
def test_files(words: tuple[str, ...]) -> None:
    """The shell itself completes the names of files."""
    assert completed(*words, "ev") == ["file,ev"]


@pytest.mark.parametrize("option", ["--refusal", "--query"])
async def test_completion_does_not_read_standard_input(option: str) -> None:
    """Completion does not read the secret from the terminal, where it would wait forever."""
    env = {
        "_WEBMQCONNECT_COMPLETE": "bash_complete",
        "COMP_WORDS": f"webmqconnect explain {option} - --di",
        "COMP_CWORD": "4",
    }
    async with python(*MODULE, env=env) as process:
        assert await process.said("plain,") == "plain,--dialect"  # stdin is still open
        assert (await process.ended()).status == 0


def test_shells() -> None:
    assert completed("completion", "") == ["plain,bash", "plain,zsh", "plain,fish"]


@pytest.mark.usefixtures("bash")  # click runs bash to ask for its version
@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nosort -F _webmqconnect_completion webmqconnect"),
        ("zsh", "compdef _webmqconnect_completion webmqconnect"),
        ("fish", "complete --no-files --command webmqconnect"),
    ],
)
def test_scripts(shell: str, line: str) -> None:
    ended = invoke_here("completion", shell)
    assert (ended.status, ended.stderr) == (0, "")
    assert line in ended.stdout
    assert "_WEBMQCONNECT_COMPLETE" in ended.stdout


def test_an_unknown_shell_is_refused() -> None:
    ended = invoke_here("completion", "csh")
    assert ended.status == 2
    assert "'csh' is not one of 'bash', 'zsh', 'fish'." in ended.stderr


@pytest.mark.usefixtures("bash")
async def test_in_bash(tmp_path: Path) -> None:
    """The printed script, sourced in bash, provides the completions, and bash completes the names of files."""
    command = tmp_path / "bin" / "webmqconnect"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.join(MODULE)} "$@"\n')
    command.chmod(0o755)
    (tmp_path / "events.jsonl").touch()
    script = """
        # Outside of a completion, bash does not have this builtin.
        compopt() { COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")); }
        complete_words() {
            COMPREPLY=() COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            _webmqconnect_completion webmqconnect
            echo "${COMPREPLY[@]}"
        }
        source <(webmqconnect completion bash)
        complete -p webmqconnect >&2
        complete_words webmqconnect pu
        complete_words webmqconnect push --dialect c
        complete_words webmqconnect explain --body ev
    """
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c", script),
        cwd=tmp_path,
        env={"PATH": f"{command.parent}:/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert stderr.decode() == "complete -o nosort -F _webmqconnect_completion webmqconnect\n"
    assert stdout.decode().split() == ["push", "crossbar", "events.jsonl"]
