"""`webmqconnect push`: which events its arguments and lines produce at a subscriber, and how it reports failures."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import lzma
import re
from pathlib import Path

import pytest

from webmqconnect_async.hub import Hub

from ..hostile import ACCEPTED, Hostile, answer, bodies, held, hostile, reply
from ..processes import MODULE, Ended, python
from ..snippets import ROOT
from .conftest import SECRET, TOPIC, Join, invoke, invoke_here, nothing_but, received


@pytest.mark.parametrize(
    ("argument", "event"),
    [
        ('{"id": 17, "items": [{"sku": "tea"}]}', {"id": 17, "items": [{"sku": "tea"}]}),
        ("Hello, browsers!", "Hello, browsers!"),
        ("42", 42),
        ('"42"', "42"),
        ("null", None),
        ("", ""),
        ("-5", -5),
    ],
)
async def test_event_is_json_or_a_plain_string(argument: str, event: object, hub: Hub, join: Join) -> None:
    session = await join(hub)
    result = await invoke("push", hub.url, TOPIC, "--", argument)
    assert (result.status, result.stdout, result.stderr) == (0, "", "accepted\n")
    await nothing_but(session, hub, event)


@pytest.mark.parametrize("words", [["{id: 17}"], ["[bold]"], ["'{id:", "17}'"]], ids=str)
@pytest.mark.parametrize("command", ["push", "explain"])
def test_event_that_a_shell_has_changed(command: str, words: list[str]) -> None:
    """The error about an event whose quotes the shell removed shows how to quote it or use stdin. Nothing is pushed."""
    result = invoke_here(command, "http://127.0.0.1:1", TOPIC, *words)
    said = " ".join(result.stderr.replace("│", " ").split())
    assert (result.status, result.stdout) == (2, "")
    assert "Your shell may have changed its quotes: write '{\"id\": 17}'" in said
    assert "--topic TOPIC --jsonl - < event.json" in said
    assert ("--text pushes it as a string" in said) is (len(words) == 1)


INVALID = [
    ("2026-01-01", "not JSON: Extra data at character 5. --text pushes it as a string."),
    ("3rd", "not JSON: Extra data at character 2. --text pushes it as a string."),
    ("NaN", "not JSON: NaN."),
    ('{"a": Infinity}', "not JSON: Infinity."),
    ("1e400", "not JSON: a number out of range."),
    ("9" * 5000, "an integer of more than 4,300 digits."),
    ("[" * 100_000, "not JSON: nested too deeply."),
    ('"\udcff"', "event: a lone surrogate is not UTF-8."),
]


@pytest.mark.parametrize(("event", "reason"), INVALID, ids=range(len(INVALID)))
def test_an_event_that_is_invalid_json(event: str, reason: str) -> None:
    """The error about invalid JSON that the shell has not changed gives no advice on quoting."""
    result = invoke_here("push", "http://127.0.0.1:1", TOPIC, event)
    said = " ".join(result.stderr.replace("│", " ").split())
    assert (result.status, result.stdout) == (2, "")
    assert f"EVENT begins like JSON, but cannot be pushed: {reason} ╰" in said


async def test_text_with_braces_or_brackets_is_pushed_as_a_string(hub: Hub, join: Join) -> None:
    session = await join(hub)
    for text in ("42", "{id: 17}"):
        assert (await invoke("push", hub.url, TOPIC, "--text", text)).status == 0
    await nothing_but(session, hub, "42", "{id: 17}")


@pytest.mark.parametrize("event", ["1.10", '{"id":12345678901234567890,"price":1.10}'])
async def test_numbers_keep_their_text(event: str, server: Hostile, tmp_path: Path) -> None:
    """Numbers keep their text in an argument, in a line of events, in a record, and in a record of a failure."""
    lines, records, failed = (tmp_path / name for name in ("lines", "records", "failed"))
    lines.write_text(f"{event}\n")
    records.write_text(f'{{"topic": "{TOPIC}", "event": {event}}}\n')
    call = ("push", server.url)
    assert (await invoke(*call, TOPIC, event)).status == 0
    assert (await invoke(*call, "--topic", TOPIC, "--jsonl", str(lines))).status == 0
    server.script(answer(reply(401)))
    assert (await invoke(*call, "--jsonl", str(records), "--failed", str(failed))).status == 1
    assert (await invoke(*call, "--jsonl", str(failed))).status == 0
    assert bodies(server) == [event.encode()] * 4


README = ROOT / "examples" / "README.md"
RECORD = json.dumps({"topic": TOPIC, "event": 17}) + "\n"
ARRAY = ("one JSON document", "jq -c '.[]'")
OBJECT = ("one JSON document", "jq -c .")
FORMATS = [
    (gzip.compress(RECORD.encode()), "compressed by gzip", "gzip -dc"),
    (RECORD.encode("utf-16"), "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (RECORD.encode("utf-16-be"), "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (json.dumps([json.loads(RECORD)], indent=2).encode(), *ARRAY),
    (f"[{RECORD.strip()},\n{RECORD}]".encode(), *ARRAY),
    (b"\xef\xbb\xbf" + json.dumps(json.loads(RECORD), indent=2).encode(), *OBJECT),
    (b'\n[\n  1,\n  "a"\n]', *ARRAY),
    (b"[1\n,\n2\n]", *ARRAY),
    (b'\xef\xbb\xbf\r\n{"a":\n1\n}', *OBJECT),
    (b'{"data": "x"\n, "b":\n3\n}', *OBJECT),
]


@pytest.mark.parametrize(("content", "format", "remedy"), FORMATS, ids=range(len(FORMATS)))
def test_file_of_another_format(content: bytes, format: str, remedy: str, tmp_path: Path) -> None:
    """A file of another format is recognized by its beginning. Nothing is pushed or recorded as a failure."""
    lines, failed = tmp_path / "lines", tmp_path / "failed"
    lines.write_bytes(content)
    result = invoke_here("push", "http://127.0.0.1:1", "--jsonl", str(lines), "--failed", str(failed))
    assert (result.status, failed.read_text()) == (1, "")
    said = f"the input is {format}, not lines; nothing was pushed; push the output of: {remedy}"
    assert result.stderr.splitlines()[1:] == [f"error: {said}"]


NOT_TEXT = [
    *(RECORD.encode(encoding) for encoding in ("utf-32", "utf-32-le", "utf-32-be")),
    bz2.compress(RECORD.encode()),
    lzma.compress(RECORD.encode()),
    b"PK\3\4\n\0\0\0\n1\n2\n",
    b"PK\3\4\x14\0\0\0events.jsonl1\n2\n",
]


@pytest.mark.parametrize("content", NOT_TEXT, ids=range(len(NOT_TEXT)))
@pytest.mark.parametrize("topic", [(), ("--topic", TOPIC)], ids=["records", "events"])
def test_file_that_is_not_text(content: bytes, topic: tuple[str, ...], tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_bytes(content)
    result = invoke_here("push", "http://127.0.0.1:1", "--jsonl", str(lines), *topic)
    assert result.status == 1
    assert result.stderr.splitlines()[1:] == ["error: the input is not text in UTF-8; nothing was pushed"]


async def test_the_file_of_examples(server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command in the README of the examples pushes all lines of its file. Prices keep their digits."""
    monkeypatch.chdir(ROOT)
    (line,) = re.findall(r"`\.venv/bin/webmqconnect (push [^`]*)`", README.read_text("utf-8"))
    result = await invoke(*line.replace("http://127.0.0.1:8080", server.url).split())
    assert result.status == 0
    assert result.stderr.startswith("5 pushed, 0 failed in ")
    assert b'{"id": 18, "state": "open", "total": 8.00}' in bodies(server)


async def test_file_with_a_byte_order_mark(server: Hostile, tmp_path: Path) -> None:
    """A byte order mark, which Windows writes, is not part of the first line."""
    (tmp_path / "lines").write_bytes(b"\xef\xbb\xbf1.10\r\n2\r\n")
    arguments = ("--topic", TOPIC, "--jsonl", str(tmp_path / "lines"), "--concurrency", "1")
    assert (await invoke("push", server.url, *arguments)).status == 0
    assert bodies(server) == [b"1.10", b"2"]


HOW = ": set WEBMQ_ENDPOINT, or give ENDPOINT TOPIC EVENT."


@pytest.mark.parametrize(
    ("endpoint", "arguments", "said"),
    [
        ("", ("http://127.0.0.1:1", TOPIC), f"ENDPOINT or EVENT is missing{HOW}"),
        ("http://127.0.0.1:1/", ("http://127.0.0.1:1", TOPIC), "EVENT is missing: give ENDPOINT TOPIC EVENT."),
        ("http://127.0.0.1:1/", ("http://localhost:1", TOPIC), "EVENT is missing: give ENDPOINT TOPIC EVENT."),
        ("", (TOPIC.replace("http:", "urn:"), "1"), f"ENDPOINT is needed{HOW}"),
        ("", (TOPIC, '{"id": 17}'), f"ENDPOINT is needed{HOW}"),
    ],
)
def test_missing_argument(endpoint: str, arguments: tuple[str, ...], said: str) -> None:
    result = invoke_here("push", *arguments, env={"WEBMQ_ENDPOINT": endpoint})
    assert (result.status, result.stdout) == (2, "")
    assert said in result.stderr


async def test_topic_that_may_be_an_endpoint(server: Hostile) -> None:
    """If the last argument looks like JSON, the error suggests that ENDPOINT is missing."""
    result = await invoke("push", "http://example.com", '{"id":17}', env={"WEBMQ_ENDPOINT": server.url})
    assert (result.status, bodies(server)) == (0, [b'{"id":17}'])


async def test_secret_from_the_environment(signed_hub: Hub, join: Join) -> None:
    session = await join(signed_hub)
    env = {"WEBMQ_AUTH_SECRET": SECRET}
    result = await invoke("push", signed_hub.url, TOPIC, "signed", "--key", "app", env=env)
    assert result.status == 0
    await nothing_but(session, signed_hub, "signed")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
async def test_secret_from_a_file(end: str, signed_hub: Hub, join: Join, tmp_path: Path) -> None:
    """The newline at the end of the file is not part of the secret. The file takes precedence over the environment."""
    session = await join(signed_hub)
    file = tmp_path / "secret"
    file.write_bytes(f"{SECRET}{end}".encode())
    arguments = ("push", signed_hub.url, TOPIC, "signed", "--key", "app", "--secret-file", str(file))
    result = await invoke(*arguments, env={"WEBMQ_AUTH_SECRET": "another"})
    assert result.status == 0
    await nothing_but(session, signed_hub, "signed")


@pytest.mark.parametrize("lines", [False, True])
async def test_everything_from_the_environment(lines: bool, signed_hub: Hub, join: Join, tmp_path: Path) -> None:
    """`push` reads the endpoint, the key, the file of its secret and the dialect from the variables of `from_env`."""
    session = await join(signed_hub)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "lines").write_text('"event"\n')
    env = {
        "WEBMQ_ENDPOINT": f"{signed_hub.url}/publish",
        "WEBMQ_DIALECT": "crossbar",
        "WEBMQ_AUTH_KEY": "app",
        "WEBMQ_AUTH_SECRET_FILE": str(tmp_path / "secret"),
    }
    arguments = ("--jsonl", str(tmp_path / "lines"), "--topic", TOPIC) if lines else (TOPIC, "event")
    result = await invoke("push", *arguments, env=env)
    assert result.status == 0, result.stderr
    await nothing_but(session, signed_hub, "event")


async def test_arguments_and_options_take_precedence_over_variables(
    signed_hub: Hub, join: Join, tmp_path: Path
) -> None:
    session = await join(signed_hub)
    (tmp_path / "secret").write_text(SECRET)
    env = {f"WEBMQ_{name}": "wrong" for name in ("ENDPOINT", "DIALECT", "AUTH_KEY", "AUTH_SECRET", "AUTH_SECRET_FILE")}
    options = ("--key", "app", "--secret-file", str(tmp_path / "secret"), "--dialect", "webmq")
    result = await invoke("push", signed_hub.url, TOPIC, "event", *options, env=env)
    assert result.status == 0, result.stderr
    await nothing_but(session, signed_hub, "event")


async def test_a_secret_without_a_key_is_ignored(hub: Hub) -> None:
    """A secret without a key is ignored and not even read, because it may be meant for other commands."""
    env = {"WEBMQ_ENDPOINT": hub.url, "WEBMQ_AUTH_SECRET": SECRET, "WEBMQ_AUTH_SECRET_FILE": "/nowhere/at/all"}
    assert (await invoke("push", TOPIC, "event", env=env)).status == 0


WRONG_VARIABLES = [
    ({"ENDPOINT": "ftp://h"}, "WEBMQ_ENDPOINT: must begin with http:// or https://."),
    ({"ENDPOINT": ""}, "ENDPOINT is needed"),
    ({"DIALECT": "wamp"}, "(env var: 'WEBMQ_DIALECT'): 'wamp' is not one of"),
    ({"AUTH_KEY": "app"}, "--key needs its secret: set WEBMQ_AUTH_SECRET"),
    ({"AUTH_KEY": "app", "AUTH_SECRET_FILE": SECRET}, "WEBMQ_AUTH_SECRET_FILE: cannot read the file that it names: No"),
    ({"AUTH_KEY": "app", "AUTH_SECRET_FILE": "x", "AUTH_SECRET": SECRET}, "both are set"),
]


@pytest.mark.parametrize(("variables", "said"), WRONG_VARIABLES, ids=[said for _, said in WRONG_VARIABLES])
def test_wrong_variable(variables: dict[str, str], said: str) -> None:
    """An invalid variable exits with 2, and the error names it, as `from_env` does."""
    env = {"WEBMQ_ENDPOINT": "http://127.0.0.1:1"} | {f"WEBMQ_{name}": value for name, value in variables.items()}
    result = invoke_here("push", "t", "e", env=env)
    assert result.status == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert SECRET not in result.stderr


async def test_receivers(hub: Hub, join: Join) -> None:
    """The options `--eligible` and `--exclude` may be repeated."""
    alice, bob, carol = [await join(hub) for _ in range(3)]
    only = [argument for session in (alice, bob) for argument in ("--eligible", session.session_id)]
    never = ["--exclude", bob.session_id, "--exclude", carol.session_id]
    assert (await invoke("push", hub.url, TOPIC, "1", *only)).status == 0
    assert (await invoke("push", hub.url, TOPIC, "2", *never)).status == 0
    await nothing_but(alice, hub, 1, 2)
    await nothing_but(bob, hub, 1)
    await nothing_but(carol, hub)


async def test_an_unsigned_push_to_a_hub_with_a_key(signed_hub: Hub) -> None:
    result = await invoke("push", signed_hub.url, TOPIC, "event")
    assert result.status == 1
    assert result.stderr.startswith("error: the broker answered 401: not authorized")
    assert result.stderr.endswith("; check --key and its secret; not accepted\n")
    assert result.stderr.count("\n") == 1


async def test_a_wrong_secret_is_not_shown(signed_hub: Hub) -> None:
    result = await invoke(
        "push", signed_hub.url, TOPIC, "event", "--key", "app", env={"WEBMQ_AUTH_SECRET": "wrong-secret"}
    )
    assert result.status == 1
    assert "invalid request signature; webmqconnect explain helps to find the cause; check --key" in result.stderr
    assert "wrong-secret" not in result.stdout + result.stderr
    assert "=" not in result.stderr


async def test_a_refused_connection() -> None:
    """A refused connection is reported in one line, which says that it is safe to push again."""
    async with Hub(port=0) as hub:
        url = hub.url
    result = await invoke("push", url, TOPIC, "event")
    assert result.status == 1
    assert result.stderr.startswith("error: cannot connect to 127.0.0.1:")
    assert result.stderr.endswith("; does a hub listen there?; not accepted, safe to push again\n")
    assert result.stderr.count("\n") == 1


async def test_a_connection_that_is_closed_without_a_response() -> None:
    """If there is no response, the message says that the event may have been accepted."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await invoke("push", f"http://127.0.0.1:{port}", TOPIC, "event")
    assert result.status == 1
    assert "pushing again may duplicate it" in result.stderr


async def test_timeout() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await invoke("push", f"http://127.0.0.1:{port}", TOPIC, "event", "--timeout", "0.2")
    assert result.status == 1
    assert "deadline" in result.stderr


USAGE = [
    (["http://127.0.0.1:1"], "TOPIC and EVENT are needed"),
    (["http://127.0.0.1:1", "t"], "ENDPOINT or EVENT is missing: set WEBMQ_ENDPOINT"),
    (["http://127.0.0.1:1", "t", "e", "f"], "Got unexpected extra argument (f)"),
    (["--jsonl", "-"], "ENDPOINT is needed"),
    (["http://127.0.0.1:1", "t", "e", "--topic", "t"], "--topic is for the lines of --jsonl"),
    (["http://127.0.0.1:1", "t", "--jsonl", "-"], "omit TOPIC and EVENT"),
    (["http://127.0.0.1:1", "--jsonl", "-", "--eligible", "1"], "--eligible and --exclude need --topic"),
    (["http://127.0.0.1:1", "--jsonl", "/nowhere/at/all"], "does not exist"),
    (["http://127.0.0.1:1", "--jsonl", "/"], "is a directory"),
    (["127.0.0.1:1", "t", "e"], "http://"),
    (["http://u:hidden@127.0.0.1:1", "t", "e"], "user information is not supported"),
    (["http://127.0.0.1:1", "t", "e", "--key", "app"], "--key needs its secret: set WEBMQ_AUTH_SECRET"),
    (["http://127.0.0.1:1", "t", "e", "--secret-file", __file__], "--secret-file needs --key"),
    (["http://127.0.0.1:1", "t", "e", "--timeout", "0"], "--timeout"),
    (["http://127.0.0.1:1", "--jsonl", "-", "--concurrency", "0"], "--concurrency"),
    (["http://127.0.0.1:1", "--jsonl", "-", "--resume-from", "0"], "--resume-from"),
    (["http://127.0.0.1:1", "--jsonl", "-", "--rate", "0"], "--rate"),
    (["http://127.0.0.1:1", "--jsonl", "-", "--rate", "nan"], "--rate: must be greater than 0"),
    (["http://127.0.0.1:1", "--jsonl", "-", "--topic", "t", "--include-unconfirmed"], "--include-unconfirmed is for"),
    (["http://127.0.0.1:1", "t", "e", "--failed", "f"], "--failed is for the lines of --jsonl"),
    (["http://127.0.0.1:1", "t", "e", "--include-unconfirmed"], "--include-unconfirmed is for the lines of --jsonl"),
    (["http://127.0.0.1:1", "t", "e", "--resume-from", "1"], "--resume-from is for the lines of --jsonl"),
    (["http://127.0.0.1:1", "t", "e", "--concurrency", "50"], "--concurrency is for the lines of --jsonl"),
    (["http://127.0.0.1:1", "t", "e", "--rate", "5"], "--rate is for the lines of --jsonl"),
    (["http://127.0.0.1:1", "t", "e", "--order-by-topic"], "--order-by-topic is for the lines of --jsonl"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE, ids=[said for _, said in USAGE])
def test_usage_error(arguments: list[str], said: str) -> None:
    """A usage error exits with 2, gives a reason, and does not show the password of the URL."""
    result = invoke_here("push", *arguments)
    assert (result.status, result.stdout) == (2, "")
    assert said in result.stderr
    assert "hidden" not in result.stdout + result.stderr


def test_empty_secret_is_refused(tmp_path: Path) -> None:
    """An empty secret is refused, because its signature would protect nothing."""
    file = tmp_path / "secret"
    file.write_bytes(b"\n")
    call = ("push", "http://127.0.0.1:1", "t", "e", "--key", "app")
    for said, result in (
        ("--key needs its secret", invoke_here(*call, env={"WEBMQ_AUTH_SECRET": ""})),
        ("is empty", invoke_here(*call, "--secret-file", str(file), env={"WEBMQ_AUTH_SECRET": SECRET})),
    ):
        assert result.status == 2
        assert said in result.stderr
    result = invoke_here("push", "http://127.0.0.1:1", "t", "e", "--key", "", env={"WEBMQ_AUTH_SECRET": SECRET})
    assert result.status == 2
    assert "--key: must not be empty" in result.stderr


async def test_lines(hub: Hub, join: Join, tmp_path: Path) -> None:
    """Valid lines are pushed to their receivers. Each invalid line is reported by its number, and the run continues."""
    alice, bob = await join(hub), await join(hub)
    file = tmp_path / "events.jsonl"
    lines = [
        {"topic": TOPIC, "event": "for all"},
        {"topic": TOPIC, "event": "for alice", "eligible": [alice.session_id]},
        {"topic": TOPIC, "event": "for bob", "exclude": [int(alice.session_id)]},
        {"topic": TOPIC, "event": "for nobody", "eligible": []},
        {"topic": TOPIC, "event": "for all again", "eligible": None, "exclude": None},
        {"topic": TOPIC, "event": "x", "elegible": [alice.session_id]},
        {"topic": TOPIC, "event": "x" * 5000},
        {"topic": TOPIC, "event": "x", "eligible": alice.session_id},
        {"topic": 5, "event": "x"},
    ]
    text = "\ufeff" + "\r\n".join([*map(json.dumps, lines), "", "no json", '["list"]', '{"topic": "t"}']) + "\r\n\xff"
    file.write_bytes(text.encode("utf-8").replace("\xff".encode(), b"\xff"))
    result = await invoke("push", hub.url, "--jsonl", str(file), "--concurrency", "1")
    await nothing_but(alice, hub, "for all", "for alice", "for all again")
    await nothing_but(bob, hub, "for all", "for bob", "for all again")
    assert (result.status, result.stdout) == (1, "")
    *errors, summary = result.stderr.splitlines()
    assert summary.startswith("5 pushed, 8 failed in ")
    assert sorted(error.split(": ")[1] for error in errors) == sorted(
        f"line {number}" for number in (6, 7, 8, 9, 11, 12, 13, 14)
    )
    assert "error: line 6: elegible: no such field; there are topic, event, eligible and exclude" in errors
    assert "error: line 11: not JSON: Expecting value at character 1" in errors
    assert "error: line 12: a list of records; write each on a line, as jq -c '.[]' does" in errors
    assert "error: line 13: event: missing" in errors
    assert "error: line 14: not UTF-8 at byte 1" in errors
    assert any(error.startswith("error: line 7: ") and "exceeds maximum" in error for error in errors)
    assert any(error.startswith("error: line 8: eligible must be a list") for error in errors)
    assert any(error.startswith("error: line 9: topic must be a string") for error in errors)


async def test_lines_of_one_topic(hub: Hub, join: Join, tmp_path: Path) -> None:
    """With --topic, a line is only the event, and the options of the command select the receivers."""
    alice, bob = await join(hub), await join(hub)
    file = tmp_path / "events.jsonl"
    file.write_text('"one"\n{"two": 2}\nthree\n')
    arguments = ("--jsonl", str(file), "--topic", TOPIC, "--exclude", bob.session_id, "--concurrency", "1")
    result = await invoke("push", hub.url, *arguments)
    assert result.status == 1
    assert result.stderr.startswith("error: line 3: not JSON: Expecting value at character 1\n2 pushed, 1 failed in ")
    await nothing_but(alice, hub, "one", {"two": 2})
    await nothing_but(bob, hub)


async def test_a_run_without_failures_exits_with_0(signed_hub: Hub, join: Join, tmp_path: Path) -> None:
    session = await join(signed_hub)
    file = tmp_path / "events.jsonl"
    file.write_text("".join(f'{{"topic": "{TOPIC}", "event": {number}}}\n' for number in range(1005)))
    result = await invoke(
        "push", signed_hub.url, "--jsonl", str(file), "--key", "app", env={"WEBMQ_AUTH_SECRET": SECRET}
    )
    assert result.status == 0
    assert re.fullmatch(r"1,005 pushed, 0 failed in [0-9.]+ s \([0-9,.]+/s\)\n", result.stderr)
    assert sorted(await received(session, 1005), key=str) == sorted(range(1005), key=str)


async def test_lines_of_standard_input_are_pushed_as_they_arrive(hub: Hub, join: Join) -> None:
    """A line is pushed as soon as it arrives, not at the end of the input."""
    session = await join(hub)
    async with python(*MODULE, "push", hub.url, "--jsonl", "-", "--topic", TOPIC) as process:
        await process.type('"first"\n')
        assert await received(session) == ["first"]
        await process.type('"second"\n"la')
        assert await received(session) == ["second"]
        await process.type('st"')
        ended = await process.ended()
    assert await received(session) == ["last"]
    assert (ended.status, ended.stdout) == (0, "")
    assert ended.stderr.startswith("3 pushed, 0 failed in ")


async def test_a_run_resumed_from_a_line(hub: Hub, join: Join, tmp_path: Path) -> None:
    """Lines before the given one are not parsed, and line numbers are still those of the file."""
    session = await join(hub)
    file = tmp_path / "events.jsonl"
    file.write_text('"one"\nnonsense\n\n"four"\nnonsense\n"six"\n')
    call = ("push", hub.url, "--topic", TOPIC, "--concurrency", "1", "--resume-from", "4")
    result = await invoke(*call, "--jsonl", str(file))
    assert result.status == 1
    assert result.stderr.startswith("error: line 5: not JSON: Expecting value at character 1\n2 pushed, 1 failed in ")
    await nothing_but(session, hub, "four", "six")


async def test_a_run_resumed_after_the_last_line(server: Hostile, tmp_path: Path) -> None:
    """Nothing is pushed and nothing fails. A message says so, because the line number may be a mistake."""
    file = tmp_path / "events.jsonl"
    file.write_text("1\n2\n")
    call = ("push", server.url, "--jsonl", str(file), "--topic", TOPIC, "--resume-from")
    result = await invoke(*call, "1235")
    assert result.status == 0
    assert result.stderr.startswith("--resume-from 1235: there are only 2 lines\n0 pushed, 0 failed in ")
    assert (await invoke(*call, "2")).stderr.startswith("1 pushed, 0 failed in ")
    file.write_text("")
    assert (await invoke(*call, "1")).stderr.startswith("0 pushed, 0 failed in ")


def test_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "events.jsonl"
    file.touch()

    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "open", gone)
    result = invoke_here("push", "http://127.0.0.1:1", "--jsonl", str(file))
    assert result.status == 2
    assert "--jsonl: cannot read" in result.stderr


def test_an_interrupt_while_a_named_pipe_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a named pipe waits for its other end: Ctrl-C there exits like any other."""
    file, failed = tmp_path / "events.jsonl", tmp_path / "failed"
    file.touch()
    failed.write_text("earlier failures\n")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "open", interrupted)
    for arguments in (("--jsonl", str(file)), ("--jsonl", "-", "--failed", str(failed))):
        assert invoke_here("push", "http://127.0.0.1:1", *arguments) == Ended(130, "", "")


async def test_order_by_topic(tmp_path: Path) -> None:
    """A line waits for the previous one of its topic, and not for those of other topics."""
    file = tmp_path / "events.jsonl"
    file.write_text("".join(f'{{"topic": "{topic}", "event": {number}}}\n' for number, topic in enumerate("aab")))
    with hostile(held(), answer(ACCEPTED)) as server:
        server.release_at(2)
        result = await invoke("push", server.url, "--jsonl", str(file), "--order-by-topic", "--concurrency", "2")
        assert result.status == 0
        assert sorted(bodies(server)[:2]) == [b"0", b"2"]
        assert bodies(server)[2:] == [b"1"]


async def test_rate(server: Hostile, tmp_path: Path) -> None:
    """A run with `--rate` takes at least the time that the rate requires.

    There is no upper limit, because machines are busy.
    """
    file = tmp_path / "events.jsonl"
    file.write_text("1\n" * 21)
    result = await invoke("push", server.url, "--jsonl", str(file), "--topic", TOPIC, "--rate", "50")
    assert result.status == 0
    [seconds] = re.findall(r"21 pushed, 0 failed in ([0-9.]+) s", result.stderr)
    assert float(seconds) >= 0.3
