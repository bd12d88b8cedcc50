"""`push --failed`: each failure is a line that can be pushed again, and in the end every event is delivered once."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from pathlib import Path

from webmqconnect_async.hub import Hub

from ..hostile import (
    ACCEPTED,
    Hostile,
    Recorded,
    answer,
    bodies,
    drop_after_body,
    held,
    hostile,
    refusing,
    reply,
    stall,
)
from ..processes import MODULE, python
from .conftest import SECRET, TOPIC, Join, invoke, invoke_here, nothing_but, received


def write_events(path: Path, *events: object) -> None:
    path.write_text("".join(json.dumps({"topic": TOPIC, "event": event}) + "\n" for event in events))


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def events_of(requests: list[Recorded]) -> list[object]:
    return [json.loads(request.body) for request in requests]


KINDS = [
    (answer(reply(401, b"no\n")), "AuthRejected", True),
    (answer(reply(400, b"timestamp expired (delta 302 seconds)\n")), "ClockRejected", True),
    (answer(reply(413)), "TooLarge", True),
    (answer(reply(503, b"", "Retry-After: 3600")), "Overloaded", True),
    (answer(reply(404)), "Rejected", True),
    (answer(reply(500)), "BadReply", False),
    (drop_after_body, "ConnectionLost", False),
    (stall, "ReplyTimeout", False),
]


async def test_pushed_again_until_all_is_delivered(tmp_path: Path) -> None:
    """Failures that are safe to push again are pushed again by default, unconfirmed ones only on request.

    No event that was accepted is pushed twice.
    """
    first, second, third, last = (tmp_path / name for name in ("events", "failed", "failed-again", "failed-at-last"))
    events = [{"n": number, "text": "ż"} for number in range(len(KINDS) + 2)]
    write_events(first, *events)
    with hostile(answer(ACCEPTED), *(step for step, _, _ in KINDS)) as server:
        call = ("push", server.url, "--concurrency", "1", "--timeout", "0.5")
        result = await invoke(*call, "--jsonl", str(first), "--failed", str(second))
        assert result.status == 1
        assert "2 pushed, 8 failed in " in result.stderr
        said = [(each["line"], each["error"], each["safe"]) for each in records(second)]
        assert said == [(line, name, safe) for line, (_, name, safe) in enumerate(KINDS, 2)]
        assert [each["event"] for each in records(second)] == events[1:-1]
        assert all(isinstance(each["reason"], str) and each["reason"] for each in records(second))

        before = len(server.requests)
        result = await invoke(*call, "--jsonl", str(second), "--failed", str(third))
        assert result.status == 1
        assert result.stderr.startswith("5 pushed, 0 failed, 3 skipped in ")
        assert result.stderr.endswith("\n3 unconfirmed lines skipped; --include-unconfirmed pushes them, too\n")
        assert events_of(server.requests[before:]) == events[1:6]
        assert third.read_text().splitlines() == second.read_text().splitlines()[-3:]

        before = len(server.requests)
        arguments = ("--jsonl", str(third), "--failed", str(last), "--include-unconfirmed")
        result = await invoke(*call, *arguments)
        assert result.status == 0
        assert result.stderr.startswith("3 pushed, 0 failed in ")
        assert events_of(server.requests[before:]) == events[6:9]
    assert records(last) == []


async def test_every_event_arrives_once_after_the_hub_was_down(join: Join, tmp_path: Path) -> None:
    """No event arrives while the hub is down, and each arrives once when the file of failures is pushed later."""
    lines, failed, again = tmp_path / "events", tmp_path / "failed", tmp_path / "again"
    lines.write_text("".join(f'{{"n": {number}}}\n' for number in range(60)))
    async with Hub(port=0) as hub:
        port = int(hub.url.rpartition(":")[2])
    url = f"http://127.0.0.1:{port}"
    result = await invoke("push", url, "--jsonl", str(lines), "--topic", TOPIC, "--failed", str(failed))
    assert (result.status, {each["error"] for each in records(failed)}) == (1, {"ConnectFailed"})
    assert all(each["safe"] for each in records(failed))
    async with Hub(port=port) as hub:
        session = await join(hub)
        result = await invoke("push", url, "--jsonl", str(failed), "--failed", str(again))
        assert (result.status, again.read_text()) == (0, "")
        got = await received(session, 60)
        assert sorted(got, key=str) == sorted(({"n": number} for number in range(60)), key=str)
        await nothing_but(session, hub)


async def test_a_line_that_is_not_a_push(server: Hostile, tmp_path: Path) -> None:
    """A line that is not a push is kept as text, and fails again for the same reason."""
    lines, failed, again = tmp_path / "lines", tmp_path / "failed", tmp_path / "again"
    surrogate = '{"topic": "t", "event": "\\ud800"}'
    huge = '{"topic": "t", "event": 1e400}'
    twice = '{"topic": "t", "event": 1, "eligible": ["1"], "\\u0065ligible": null}'
    text = "\n".join(["nonsense", "", '{"topic": "t"}', surrogate, huge, twice, "zażółć"])
    lines.write_bytes(text.encode() + b"\xff")
    result = await invoke("push", server.url, "--jsonl", str(lines), "--failed", str(failed))
    assert (result.status, server.requests) == (1, [])
    expected: dict[int, dict[str, object]] = {
        1: {"text": "nonsense", "reason": "not JSON: Expecting value at character 1"},
        3: {"text": '{"topic": "t"}', "reason": "event: missing"},
        4: {"text": surrogate, "reason": "event: a lone surrogate is not UTF-8"},
        5: {"text": huge, "reason": "not JSON: a number out of range"},
        6: {"text": twice, "reason": "eligible: given twice"},
        7: {"text": "zażółć\\xff", "reason": "not UTF-8 at byte 11"},
    }
    notes = {"error": "InvalidPush", "safe": True, "retryable": False}
    by_line = sorted(records(failed), key=lambda each: str(each["line"]))
    assert by_line == [{**what, "line": line, **notes} for line, what in expected.items()]
    result = await invoke("push", server.url, "--jsonl", str(failed), "--failed", str(again))
    assert (result.status, server.requests) == (1, [])
    assert "0 pushed, 6 failed in " in result.stderr
    for what in expected.values():
        assert f"not a push: {what['reason']}" in result.stderr
    assert set(again.read_text().splitlines()) >= {each for each in failed.read_text().splitlines() if "text" in each}


async def test_a_line_that_is_too_long(server: Hostile, tmp_path: Path) -> None:
    """A line that is too long fails, its record holds its beginning, and the following lines are pushed."""
    lines, failed, again = tmp_path / "lines", tmp_path / "failed", tmp_path / "again"
    with lines.open("w") as file:
        file.write("1\n" + "[" + "2, " * 5_000_000 + "2]\n3\n")
    call = ("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, "--concurrency", "1")
    result = await invoke(*call, "--failed", str(failed))
    assert result.status == 1
    assert result.stderr.startswith("error: line 2: longer than 10,000,000 bytes; only its beginning is kept\n2 pushed")
    assert bodies(server) == [b"1", b"3"]
    [record] = records(failed)
    assert (record["text"], record["line"], record["safe"]) == ("[" + "2, " * 332 + "2,", 2, True)
    result = await invoke("push", server.url, "--jsonl", str(failed), "--failed", str(again))
    assert "error: line 1: not a push: longer than 10,000,000 bytes; only its beginning is kept\n" in result.stderr
    assert again.read_text() == failed.read_text()


async def test_no_secret_is_written(tmp_path: Path) -> None:
    """The file contains neither the secret nor a signature, although the hub's response quotes them."""
    lines, failed = tmp_path / "lines", tmp_path / "failed"
    write_events(lines, 1)
    async with Hub(port=0, keys={"app": SECRET}) as hub:
        arguments = ("--jsonl", str(lines), "--failed", str(failed), "--key", "app")
        result = await invoke("push", hub.url, *arguments, env={"WEBMQ_AUTH_SECRET": "wrong-secret"})
    assert result.status == 1
    [record] = records(failed)
    assert record["error"] == "AuthRejected"
    assert "signature" in str(record["reason"])
    assert "=" not in failed.read_text()
    assert "wrong-secret" not in failed.read_text()


async def test_a_killed_run_has_written_every_failure_that_it_printed(tmp_path: Path) -> None:
    """Each failure is in the file before it is printed, so a killed run loses none."""
    failed = tmp_path / "failed"
    with refusing() as url:
        arguments = ("--jsonl", "-", "--topic", TOPIC, "--failed", str(failed), "--timeout", "0.2")
        async with python(*MODULE, "push", url, *arguments) as process:
            await process.type('"first"\n')
            await process.complained("line 1")
            process.signal(signal.SIGKILL)
            await process.ended()
    assert [each["event"] for each in records(failed)] == ["first"]


async def test_earlier_failures_stay(tmp_path: Path) -> None:
    """A resumed run appends to the file of failures."""
    lines, failed = tmp_path / "lines", tmp_path / "failed"
    write_events(lines, *range(4))
    refused = answer(reply(401))
    with hostile(refused, answer(ACCEPTED), refused, answer(ACCEPTED)) as server:
        call = ("push", server.url, "--concurrency", "1", "--jsonl", str(lines), "--failed", str(failed))
        assert "2 pushed, 2 failed" in (await invoke(*call)).stderr
        server.script(refused)
        assert "1 pushed, 1 failed" in (await invoke(*call, "--resume-from", "3")).stderr
        assert events_of(server.requests) == [0, 1, 2, 3, 2, 3]
    assert [each["line"] for each in records(failed)] == [1, 3, 3]


async def test_only_the_first_failures_are_shown(tmp_path: Path) -> None:
    """Only the first failures are printed. A line says how many more are in the file, which has all of them."""
    lines, failed = tmp_path / "lines", tmp_path / "failed"
    lines.write_text("nonsense\n" * 50)
    call = ("push", "http://127.0.0.1:1", "--jsonl", str(lines))
    result = await invoke(*call, "--failed", str(failed))
    *errors, rest, summary = result.stderr.splitlines()
    assert [error.split(":")[1] for error in errors] == [f" line {number}" for number in range(1, 21)]
    assert rest == f"further failures are only counted; all are in {failed}"
    assert summary.startswith("0 pushed, 50 failed in ")
    assert len(records(failed)) == 50
    result = await invoke(*call)
    assert result.stderr.splitlines()[20] == "further failures are only counted"


async def test_full_disk(tmp_path: Path) -> None:
    """On a full disk the run stops, prints every failure that is not in the file, and says where to resume.

    No event is pushed twice, and none is left out.
    """
    lines = tmp_path / "lines"
    write_events(lines, *range(40))
    with hostile(*[answer(ACCEPTED)] * 3, *[answer(reply(401))] * 2) as server:
        call = ("push", server.url, "--concurrency", "2", "--jsonl", str(lines))
        result = await invoke(*call, "--failed", "/dev/full")
        assert result.status == 1
        failures = [line for line in result.stderr.splitlines() if line.startswith("error: line ")]
        *_, summary, error = result.stderr.splitlines()
        assert 1 <= len(failures) <= 2
        assert f", {len(failures)} failed in " in summary
        why = f"{len(failures)} of the lines printed above are not in it; continue with --resume-from "
        assert error.startswith(f"error: cannot write to /dev/full: No space left on device; {why}")
        following = error.rpartition(" ")[2]
        server.forget()
        assert (await invoke(*call, "--resume-from", following)).status == 0
        assert sorted(map(int, bodies(server))) == list(range(40))


async def test_full_disk_for_a_line_that_is_not_a_push(server: Hostile, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("nonsense\n" * 40)
    result = await invoke("push", server.url, "--jsonl", str(lines), "--failed", "/dev/full")
    call = ("push", server.url, "--jsonl", str(lines), "--failed", "/dev/full", "--concurrency", "1")
    result = await invoke(*call)
    assert result.status == 1
    named = [line for line in result.stderr.splitlines() if line.startswith("error: line ")]
    assert 1 <= len(named) < 10
    assert named[-1] == f"error: line {len(named)}: not JSON: Expecting value at character 1"
    assert f"\n0 pushed, {len(named)} failed in " in result.stderr
    why = f"{len(named)} of the lines printed above are not in it; continue with --resume-from {len(named) + 1}\n"
    assert result.stderr.endswith(why)
    lines.write_text(f'{{"topic": "{TOPIC}", "event": 1, "safe": false}}\n' * 40)
    result = await invoke(*call)
    assert result.status == 1
    named = [line for line in result.stderr.splitlines() if line.endswith(": skipped")]
    assert named == [f"error: line {number}: skipped" for number in range(1, len(named) + 1)]
    assert f"\n0 pushed, 0 failed, {len(named)} skipped in " in result.stderr
    assert result.stderr.endswith(f"not in it; continue with --resume-from {len(named) + 1}\n")


async def test_disk_full_after_many_failures(tmp_path: Path) -> None:
    """A failure that cannot be written to the file is printed, even after others are only counted."""
    lines, failed = tmp_path / "lines", tmp_path / "failed"
    lines.write_text("nonsense\n" * 1000)
    # Python ignores SIGXFSZ: writing fails as on a full disk, in the middle of a line. coverage writes its own file at
    # exit.
    limited = (
        "import atexit, resource; unlimited = resource.getrlimit(resource.RLIMIT_FSIZE);"
        "atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, unlimited);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, unlimited[1]));"
    )
    code = f"{limited} from webmqconnect_async._cli import main; main()"
    async with python(
        "-B", "-c", code, "push", "http://127.0.0.1:1", "--jsonl", str(lines), "--failed", str(failed)
    ) as process:
        ended = await process.ended()
    assert ended.status == 1
    *whole, torn = failed.read_text().split("\n")
    assert torn
    assert len(whole) > 20
    said = ended.stderr.splitlines()
    named = [int(line.split()[2].rstrip(":")) for line in said if line.startswith("error: line ")]
    assert "further failures are only counted" in said[20]
    assert named == [*range(1, 21), *range(len(whole) + 1, named[-1] + 1)]
    missing = f"{len(named) - 20} of the lines printed above are not in it; continue with --resume-from {named[-1] + 1}"
    assert said[-1] == f"error: cannot write to {failed}: File too large; {missing}"


async def test_interrupted_after_the_disk_was_full(tmp_path: Path) -> None:
    """Pushes in flight are waited for, as after any first Ctrl-C."""
    lines = tmp_path / "lines"
    write_events(lines, *range(40))
    with hostile(answer(reply(401)), *[held()] * 5) as server:
        call = ("push", server.url, "--concurrency", "2", "--jsonl", str(lines), "--failed", "/dev/full")
        async with python(*MODULE, *call) as process:
            await process.complained("the broker answered 401")
            process.signal(signal.SIGINT)
            await process.complained("in flight; interrupt again")
            server.release()
            ended = await process.ended()
        following = len(server.requests) + 1
    assert ended.status == 130
    summary, error, where = ended.stderr.splitlines()
    assert summary.startswith(f"{following - 2} pushed, 1 failed in ")
    assert error.endswith(f"1 of the lines printed above are not in it; continue with --resume-from {following}")
    assert where == f"interrupted: continue with --resume-from {following}"


async def test_nobody_reads_the_failures(tmp_path: Path) -> None:
    """A run waits for the reader of a pipe until the second Ctrl-C. Every line is in the pipe or named."""
    lines, pipe = tmp_path / "lines", tmp_path / "pipe"
    write_events(lines, *[[number, "x" * 3000] for number in range(40)])
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    with hostile(*[answer(reply(401))] * 40) as server:
        call = ("push", server.url, "--concurrency", "2", "--jsonl", str(lines), "--failed", str(pipe))
        async with python(*MODULE, *call) as process:
            await process.complained("error: line ")
            # Two signals, because Python handles two pending ones of the same number as one.
            process.signal(signal.SIGTERM)
            ended = await process.stopped(signal.SIGINT)
    written = [json.loads(line)["line"] for line in os.read(reading, 1 << 16).split(b"\n")[:-1]]
    os.close(reading)
    assert ended.status == 130
    said = ended.stderr.splitlines()
    named = [int(line.split()[2].rstrip(":")) for line in said if line.startswith("error: line ")]
    following = int(said[-1].removeprefix("interrupted: continue with --resume-from "))
    assert len(written) == 1
    assert sorted({*written, *named}) == list(range(1, following))
    assert f"cannot write to {pipe}: nobody reads it; {following - 2} of the lines printed above" in ended.stderr


async def test_the_reader_of_the_failures_closes_its_pipe(tmp_path: Path) -> None:
    """A pipe that nobody reads ends the run like a full disk."""
    lines, pipe = tmp_path / "lines", tmp_path / "pipe"
    write_events(lines, *range(40))
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with hostile(held(reply(401))) as server:
        arguments = ("--jsonl", str(lines), "--failed", str(pipe), "--concurrency", "1")
        pushing = asyncio.create_task(invoke("push", server.url, *arguments))
        await asyncio.to_thread(server.until, lambda: bool(server.requests))
        os.close(reading)
        server.release()
        ended = await pushing
    assert ended.status == 1
    assert "error: line 1: the broker answered 401" in ended.stderr
    assert f"cannot write to {pipe}: Broken pipe; 1 of the lines" in ended.stderr


def test_a_wrong_file_of_failures_is_refused(tmp_path: Path) -> None:
    """`--failed` must be a file that can be created, and not the file of `--jsonl` under any of its names."""
    lines, link = tmp_path / "lines", tmp_path / "link"
    write_events(lines, 1)
    link.symlink_to(lines)
    before = lines.read_bytes()
    for path in (lines, link):
        ended = invoke_here("push", "http://127.0.0.1:1", "--jsonl", str(lines), "--failed", str(path))
        assert ended.status == 2
        assert "--failed is the file of --jsonl" in ended.stderr
    assert lines.read_bytes() == before
    nowhere = str(tmp_path / "nowhere" / "failed")
    ended = invoke_here("push", "http://127.0.0.1:1", "--jsonl", str(lines), "--failed", nowhere)
    assert ended.status == 2
    assert "No such file or directory" in " ".join(ended.stderr.replace("│", " ").split())
