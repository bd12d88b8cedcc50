"""The command line as a whole: without its extra, its help, its exit statuses, and its error messages."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import rich_click as click

from webmqconnect_async import __version__, errors
from webmqconnect_async._cli import terminal
from webmqconnect_async._cli.app import app
from webmqconnect_async._cli.errors import Failure, described
from webmqconnect_async._cli.exit_status import MEANINGS, Exit
from webmqconnect_async._cli.main_loop import run
from webmqconnect_async.hub import Hub

from ..hostile import held, hostile
from ..processes import FORCED, MODULE, python, webmqconnect
from .conftest import COMMANDS, invoke, invoke_here


@pytest.mark.parametrize("module", ["rich_click", "click", "rich"])
async def test_without_the_extra(module: str) -> None:
    """Without the extra, the command prints which command installs it, and exits with 2."""
    code = f"import sys; sys.modules[{module!r}] = None; from webmqconnect_async._cli import main; sys.exit(main())"
    async with python("-c", code) as process:
        ended = await process.ended()
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr == "error: the command line is an extra: pip install 'webmqconnect-async[cli]'\n"


async def test_without_the_extra_and_standard_error() -> None:
    """Without the extra and without stderr, the error is not printed on stdout instead."""
    code = "import sys; sys.modules['click'] = None; from webmqconnect_async._cli import main; sys.exit(main())"
    async with python("-c", code, closed=(2,)) as process:
        ended = await process.ended()
    assert (ended.status, ended.stdout) == (2, "")


async def test_another_import_error_is_not_reported_as_a_missing_extra() -> None:
    code = "import sys; sys.modules['webmqconnect_async.hub'] = None; from webmqconnect_async._cli import main; main()"
    async with python("-c", code, "hub") as process:
        ended = await process.ended()
    assert ended.status == 1
    assert "ModuleNotFoundError" in ended.stderr


_MODULES = """
import sys
from webmqconnect_async._cli import main
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "completed", "imported"),
    [
        (["--version"], "", "webmqconnect_async._cli.app"),
        (["--help"], "", "webmqconnect_async._cli.app"),
        ([], "webmqconnect p", "webmqconnect_async._cli.app"),
        (["push", "--help"], "", "webmqconnect_async._cli.push.command"),
        ([], "webmqconnect push --di", "webmqconnect_async._cli.push.command"),
        ([], "webmqconnect hub --po", "webmqconnect_async._cli.hub"),
        ([], "webmqconnect listen --re", "webmqconnect_async._cli.listen"),
        (["js", "--help"], "", "webmqconnect_async._cli.js"),
    ],
)
async def test_help_and_completion_import_only_the_shown_command(
    arguments: list[str], completed: str, imported: str
) -> None:
    """Help and completion import neither clients nor hub nor aiohttp, and only the command whose options are shown."""
    env = {
        "_WEBMQCONNECT_COMPLETE": "bash_complete" if completed else "",
        "COMP_WORDS": completed.replace(" ", "\n"),
        "COMP_CWORD": str(completed.count(" ")),
    }
    async with python("-c", _MODULES, *arguments, env=env) as process:
        ended = await process.ended()
    assert ended.stdout
    modules = set(ended.stderr.split())
    assert imported in modules
    commands = {
        f"webmqconnect_async._cli.{name}" for name in ("demo", "hub", "js", "listen", "push.command", "explain.command")
    }
    assert modules & commands == commands & {imported}
    assert modules & {"aiohttp", "webmqconnect_async._aio", "webmqconnect_async._sync"} == set()
    assert "webmqconnect_async.hub" not in modules


async def test_python_m_runs_the_same_command_line() -> None:
    ended = await webmqconnect("--version")
    assert (ended.status, ended.stdout) == (0, f"webmqconnect, version {__version__}\n")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command(flag: str) -> None:
    result = invoke_here(flag)
    assert result.status == 0
    for command in app.commands:
        assert f"│ {command} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option(name: str) -> None:
    """The help of each command contains each option with a text of its own."""
    result = invoke_here(*name.split(), "--help")
    assert result.status == 0
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert parameter.opts[0] in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_no_argument_takes_a_secret(name: str) -> None:
    """No option takes a secret, because `ps` shows arguments to every user."""
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    secret = {option for option in options if "secret" in option or "password" in option}
    assert secret <= {"--secret-file", "--subscriber-secret-file", "--ticket-secret-file"}


@pytest.mark.parametrize("arguments", [["nonsense"], ["push", "--secret", "s", "http://127.0.0.1", "t", "e"]])
def test_usage_error(arguments: list[str]) -> None:
    assert invoke_here(*arguments).status == 2


VALUES = {"FILE": __file__, "HOST": "localhost"}
"""Values by metavar; "1" for all others."""


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (name, parameter)
        for name, command in COMMANDS.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.multiple and not parameter.is_flag
    ],
    ids=lambda value: value.opts[0] if isinstance(value, click.Option) else value,
)
def test_option_given_twice(command: str, option: click.Option) -> None:
    """An option that is given twice is an error that names it, unless it is a flag or may be repeated."""
    choices = option.type.choices if isinstance(option.type, click.Choice) else None
    value, name = choices[0] if choices else VALUES.get(option.metavar or "", "1"), option.opts[0]
    # The arguments can be parsed, but are invalid, so that the command ends even if the option were accepted.
    arguments = {
        "listen": ["ws://127.0.0.1:1", "t"],
        "hub": ["--allow-origin", "nowhere"],
        "ticket": ["--ticket-key", "k", "--sub", "1", "t"],
    }.get(command, [])
    result = invoke_here(*command.split(), name, value, f"{name}={value}", *arguments)
    assert (result.status, result.stdout) == (2, "")
    assert f"{name} is given twice." in result.stderr


def test_flag_given_twice() -> None:
    result = invoke_here("push", "http://127.0.0.1:1", "t", "e", "--order-by-topic", "--order-by-topic")
    assert "--order-by-topic is for the lines of --jsonl" in result.stderr


def test_a_usage_error_names_the_help() -> None:
    assert invoke_here("push", "--topic", "a", "--topic", "b", "--help").status == 0


def test_bare_command_shows_help() -> None:
    result = invoke_here()
    assert result.status == 2
    assert "Commands" in result.stdout + result.stderr


# Exit statuses


def test_help_lists_the_exit_statuses() -> None:
    shown = " ".join(invoke_here("--help").stdout.split())
    for status, meaning in MEANINGS.items():
        assert f"{status.value}: {meaning}" in shown
    assert list(MEANINGS) == list(Exit)
    assert [status.value for status in Exit] == [0, 1, 2, 130]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--version"], Exit.DONE),
        (["push", "--help"], Exit.DONE),
        (["demo"], Exit.DONE),
        (["explain", "http://127.0.0.1:1", "t", "1"], Exit.DONE),
        (["completion", "fish"], Exit.DONE),
        (["js", "--out", "static"], Exit.DONE),
        (["push", "http://127.0.0.1:1", "t", "1"], Exit.FAILED),
        (["push", "http://127.0.0.1:1", "t", "1", "--exclude", ","], Exit.FAILED),
        (["explain", "http://127.0.0.1:1", "t", "1", "--exclude", ","], Exit.FAILED),
        (["push", "http://127.0.0.1:1", "--jsonl", "lines", "--topic", "t"], Exit.FAILED),
        (["listen", "ws://127.0.0.1:1", "t"], Exit.FAILED),
        (["js", "--out", "lines/static"], Exit.FAILED),
        (["hub", "--host", "192.0.2.1", "--key", "app"], Exit.FAILED),
        ([], Exit.USAGE),
        (["nonsense"], Exit.USAGE),
        (["push", "http://127.0.0.1:1", "t"], Exit.USAGE),
        (["explain", "t"], Exit.USAGE),
        (["hub", "--port", "-1"], Exit.USAGE),
        (["listen", "http://127.0.0.1:1"], Exit.USAGE),
        (["completion", "csh"], Exit.USAGE),
        (["js"], Exit.USAGE),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value.name,
)
async def test_exit_status(arguments: list[str], status: Exit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lines").write_text("1\n")
    monkeypatch.chdir(tmp_path)
    ended = await invoke(*arguments, env={"WEBMQ_AUTH_SECRET": "s"})
    assert ended.status == status, ended
    assert ended.stderr or status != Exit.FAILED


async def test_exit_status_after_a_signal() -> None:
    """A signal is the normal end of `hub` and `listen`, which exit with 0.

    `push` was interrupted, and exits with an error.
    """
    with hostile(held(), held()) as stalling:
        push = (*MODULE, "push", stalling.url, "http://example.com/orders")
        async with (
            Hub(port=0) as running,
            python(*push, "1") as one,
            python(*MODULE, "hub", "--port", "0") as hub,
            python(*MODULE, "listen", running.ws_url, "t") as listener,
        ):
            await hub.said("Ctrl-C stops")
            await listener.complained("subscribed to")
            await asyncio.to_thread(stalling.until, lambda: bool(stalling.requests))
            assert (await one.stopped(signal.SIGTERM)).status == Exit.INTERRUPTED
            assert (await hub.stopped(signal.SIGHUP)).status == Exit.DONE
            listened = await listener.stopped(signal.SIGINT)
            assert (listened.status, listened.stdout, listened.stderr) == (Exit.DONE, "", "")
        stalling.release()


_INTERRUPTED = """
from webmqconnect_async._cli import main
from webmqconnect_async._cli.app import app
def interrupted(context):
    raise KeyboardInterrupt
app.invoke = interrupted
main()
"""


@pytest.mark.parametrize("closed", [(), (0, 1, 2)], ids=["open", "closed"])
async def test_ctrl_c_at_any_moment(closed: tuple[int, ...]) -> None:
    """Ctrl-C exits cleanly at any moment, even outside the event loop, in every command, without standard streams."""
    async with python("-c", _INTERRUPTED, "completion", "bash", closed=closed) as process:
        ended = await process.ended()
    assert ended.status == Exit.INTERRUPTED
    assert "Traceback" not in ended.stderr


def loop_module() -> str:
    async def module() -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    return run(module())


@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="needs uvloop, of the extra speedups")
def test_uvloop_is_used_where_it_is_installed() -> None:
    assert loop_module() == "uvloop"


def test_asyncio_is_used_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_module() == "asyncio"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Failure("the hub closed the connection"), "error: the hub closed the connection\n"),
        (Failure("[bold]\x1b[31m"), "error: [bold]\\u001b[31m\n"),
        (errors.ReplyTimeout("late"), "error: late; the broker may have accepted it: pushing again may duplicate it\n"),
    ],
)
def test_error_is_one_line_and_exits_1(error: Exception, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise error

    monkeypatch.setattr("webmqconnect_async._cli.demo.demo", click.Command("demo", callback=lambda: run(fail())))
    ended = invoke_here("demo")
    assert (ended.status, ended.stdout, ended.stderr) == (1, "", line)


@pytest.mark.parametrize("arguments", [("push", "--help"), ("push", "--nonsense")], ids=str)
async def test_help_in_a_pipe(arguments: tuple[str, ...]) -> None:
    """Help in a pipe has no colours, even if the environment forces them."""
    ended = await webmqconnect(*arguments, env=FORCED)
    assert "Usage: webmqconnect push" in ended.stdout + ended.stderr
    assert "\x1b" not in ended.stdout + ended.stderr


async def test_help_on_a_terminal_without_colours() -> None:
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "TTY_COMPATIBLE": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *MODULE, "js", "--help"), env=environment, stdout=theirs
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the reading end of the pipe is closed
        while chunk := await asyncio.to_thread(os.read, ours, 1 << 16):
            shown += chunk
    os.close(ours)
    assert await process.wait() == 0
    assert (b"Usage" in shown, b"\x1b" in shown) == (True, False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("status", [Exit.DONE, Exit.INTERRUPTED])
def test_signal_cancels_and_exits(number: signal.Signals, status: Exit) -> None:
    """A signal cancels the command, which closes its resources. The exit status is the one that the command defines."""
    steps = []

    async def command() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("closed")

    with pytest.raises(SystemExit) as caught:
        run(command(), interrupted=status)
    assert caught.value.code == status
    assert steps == ["closed"]


def test_signal_handlers_are_restored() -> None:
    """A program that runs a command gets its own signal handlers back."""

    async def main() -> object:
        return signal.getsignal(signal.SIGTERM)

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run(main()) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def clock_rejected(skew: float | None) -> errors.ClockRejected:
    error = errors.ClockRejected("the broker answered 400", status=400)
    error.skew = skew
    return error


SAFE = "; not accepted, safe to push again"
REFUSED = "; not accepted"
"""The end of messages about refused pushes, which are safe to push again but would be refused again."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.ConnectFailed("refused"), "refused; does a hub listen there?" + SAFE),
        (errors.ConnectFailed("no TLS; https?"), "no TLS; https?" + SAFE),
        (errors.ConnectFailed("certificate", transient=False), "certificate" + REFUSED),
        (errors.AuthRejected("401"), "401; check --key and its secret" + REFUSED),
        (
            errors.TooLarge("413", status=413),
            "413; push a shorter event, or start the hub with a larger --max-body" + REFUSED,
        ),
        (errors.TooLarge("eligible: 2000"), "eligible: 2000" + REFUSED),
        (errors.ClockRejected("out of range"), "out of range" + REFUSED),
        (errors.QueueTimeout("full"), "full" + SAFE),
        (
            clock_rejected(400.4),
            "the broker answered 400; this machine's clock is 400 s ahead of the broker's" + REFUSED,
        ),
        (clock_rejected(-9.0), "the broker answered 400; this machine's clock is 9 s behind the broker's" + REFUSED),
        (clock_rejected(None), "the broker answered 400; compare this machine's clock with the broker's" + REFUSED),
        (errors.Overloaded("429"), "429" + SAFE),
        (errors.ConnectionLost("lost"), "lost; the broker may have accepted it: pushing again may duplicate it"),
        (errors.InvalidPush("topic: no"), "topic: no; nothing was sent"),
    ],
)
def test_error_messages(error: errors.WebMQError, said: str) -> None:
    """The message of an error says what happened, what to do, and whether pushing again is safe."""
    assert described(error) == said


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("żółw", '"żółw"'),
        ("[bold]x[/bold] :smile:", '"[bold]x[/bold] :smile:"'),
        ("\x1b]0;title\x07", r'"\u001b]0;title\u0007"'),
        ("\x7f\x9b", r'"\u007f\u009b"'),
        ("a\nb\t", r'"a\nb\t"'),
        ("\u202egnp", r'"\u202egnp"'),
        ("\ud800", r'"\ud800"'),
        ("\U000e0001", r'"\udb40\udc01"'),
        ({"\u200b": [1.5, None, True]}, r'{"\u200b": [1.5, null, true]}'),
    ],
)
def test_json_is_printed_without_markup_and_control_characters(value: object, line: str) -> None:
    """Markup in JSON is printed as text, and control characters are printed as JSON escapes."""
    assert terminal.json_line(value) == line
    assert terminal.coloured_json(value).plain == line
