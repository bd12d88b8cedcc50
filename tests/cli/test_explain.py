"""`webmqconnect explain` shows the request that a client sends, and finds the cause of a wrong signature."""

from __future__ import annotations

import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest

from webmqconnect_async import Client, WebMQError
from webmqconnect_async._cli.explain.command import unix_time
from webmqconnect_async._cli.explain.curl import curl_command
from webmqconnect_async._core.dialects import DialectName, Request
from webmqconnect_async._core.endpoint import Endpoint
from webmqconnect_async.explain._error_responses import advice_on
from webmqconnect_async.hub import Hub
from webmqconnect_async.signing import Credentials, sign

from ..hostile import Hostile
from ..processes import Ended, python
from ..running import in_thread
from .conftest import SECRET, TOPIC, invoke_here

ENV = {"WEBMQ_AUTH_KEY": "app", "WEBMQ_AUTH_SECRET": SECRET, "WEBMQ_ENDPOINT": "http://127.0.0.1:8080"}
AT = "2026-11-24T14:00:00Z"
DIALECTS: list[DialectName] = ["webmq", "crossbar"]


def explain(*arguments: str, env: dict[str, str] | None = None, stdin: str | None = None) -> str:
    """Run `explain` and return its output, which never contains the secret."""
    ended = invoke_here("explain", *arguments, env=ENV | (env or {}), stdin=stdin)
    assert (ended.status, ended.stderr) == (0, ""), ended
    assert SECRET not in ended.stdout
    return ended.stdout


def refused(*arguments: str) -> Ended:
    ended = invoke_here("explain", *arguments, env=ENV)
    assert ended.status != 0
    assert SECRET not in ended.stdout + ended.stderr
    return ended


def command_in(output: str) -> str:
    [line] = [line for line in output.splitlines() if re.match(r"curl |printf ", line)]
    return line


def send(command: str, home: Path, **environment: str) -> str:
    """Run a curl command in a shell and return the response."""
    return subprocess.run(
        ["/bin/sh"],
        input=command,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


# The output


def test_the_signed_parts() -> None:
    """The output shows the signed parts in order, with the input of the HMAC.

    The expected signature is from openssl.
    """
    shown = explain("http://127.0.0.1:8080", "http://example.com/a\x1b", '{"a": "&"}', "--at", AT)
    assert shown.splitlines()[:8] == [
        "Signed, in this order, with nothing between the parts:",
        r"  topic          21 bytes  http://example.com/a\u001b",
        "  key             3 bytes  app",
        "  timestamp      20 bytes  2026-11-24T14:00:00Z",
        r'  body           14 bytes  {"a":"\u0026"}',
        "",
        "HMAC-SHA256 of these 58 bytes with the secret, as URL-safe base64:",
        "  signature  UF46qgw9AgZLWbGIA5MV_jg_aU5vEMH9bv4Jw8nF3bo=",
    ]
    assert "300 seconds around its timestamp" in shown


def test_the_signed_parts_for_crossbar() -> None:
    options = ("--dialect", "crossbar", "--at", "2026-11-24T14:00:00.123Z", "--seq", "7", "--nonce", "9007199254740992")
    shown = explain("http://127.0.0.1:8080/publish", "com.example.a", "17", *options)
    assert [line.split()[0] for line in shown.splitlines()[1:6]] == ["key", "timestamp", "seq", "nonce", "body"]
    assert "  timestamp      24 bytes  2026-11-24T14:00:00.123Z\n" in shown
    assert "  seq             1 byte   7\n" in shown
    assert "  nonce          16 bytes  9007199254740992\n" in shown
    assert '{"topic":"com.example.a","args":[17]}' in shown


def test_an_unsigned_push() -> None:
    shown = explain(TOPIC, "1", env={"WEBMQ_AUTH_KEY": ""})
    assert shown.startswith("Nothing is signed: --key and its secret are not given.\n")
    assert "signature" not in shown


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_request_is_the_one_that_a_client_sends(dialect: DialectName, server: Hostile) -> None:
    """The shown request equals that of a client, line by line, with the time at which the client signed."""
    with Client(server.url, "app", SECRET, dialect=dialect) as client, suppress(WebMQError):
        client.push("com.example.a", {"name": "ż&"}, exclude=[5])
    [request] = server.requests
    options = ("--exclude", "5", "--dialect", dialect, "--query", request.line.split(" ")[1])
    shown = explain(server.url, "com.example.a", '{"name": "ż&"}', *options)
    sent = [f"  {line}" for line in request.head.decode().strip().split("\r\n")]
    lines = shown.splitlines()
    begin = lines.index("The request:") + 1
    assert lines[begin : begin + len(sent) + 2] == [*sent, "  ", f"  {request.body.decode()}"]


def test_explain_sends_nothing(server: Hostile) -> None:
    explain(server.url, TOPIC, "1")
    assert server.requests == []


@pytest.mark.parametrize(
    "at",
    ["1764000000", "1764000000.9", "2025-11-24T16:00:00Z", "2025-11-24T17:00:00+01:00", "2025-11-24T16:00:00"],
)
def test_times(at: str) -> None:
    """`--at` accepts Unix seconds, and ISO 8601 with an offset or in UTC."""
    assert "bytes  2025-11-24T16:00:00Z\n" in explain(TOPIC, "1", "--at", at)


def test_milliseconds_are_exact() -> None:
    """Milliseconds are exact, although some cannot be represented as a float and the dialects truncate."""
    times = [unix_time(f"2026-11-24T14:00:00.{milliseconds:03}Z") for milliseconds in range(1000)]
    assert [int(seconds * 1000) % 1000 for seconds in times] == list(range(1000))


# The curl command

EVENTS = [
    '{"id": 17}',
    'it\'s 100% \\ "so" $HOME `x`!',
    "ż\u202e\x1b\n",
    "@file",
    "-5",
    "[1, null]",
    '"' + "x" * 3000 + '"',
]


@pytest.mark.usefixtures("curl")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_hub_accepts_the_push_of_the_curl_command(dialect: DialectName, tmp_path: Path) -> None:
    """The hub accepts the curl command's push, even with characters that are special to a shell, a terminal or curl."""
    topic = "http://example.com/~a&b=ż+%" if dialect == "webmq" else "com.example.ż&"
    with in_thread(lambda: Hub(port=0, keys={"app": SECRET})) as hub:
        url = hub.url + ("/publish" if dialect == "crossbar" else "")
        for event in EVENTS:
            response = send(command_in(explain(url, "--dialect", dialect, "--", topic, event)), tmp_path)
            assert response.startswith("HTTP/1.1 202" if dialect == "webmq" else "HTTP/1.1 200"), (event, response)
            assert '"error"' not in response


@pytest.mark.usefixtures("curl")
@pytest.mark.parametrize("body", [b"1", b"@file", b"\0\xff%d\\n'\"\n", b"x" * 200_000, b""], ids=lambda body: body[:9])
def test_curl_sends_the_request_byte_for_byte(body: bytes, server: Hostile, tmp_path: Path) -> None:
    """The curl command sends exactly the shown headers, and does not normalize the path."""
    endpoint = Endpoint.parse(f"{server.url}/../{{b}}[1-2]")
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "x/1"}
    send(curl_command(endpoint, headers, Request("a=%3D", body)), tmp_path)
    [request] = server.requests
    assert request.line == "POST /push/../{b}[1-2]?a=%3D HTTP/1.1"
    assert request.body == body
    assert sorted(request.head.decode().strip().split("\r\n")[1:]) == sorted(
        [f"Content-Length: {len(body)}", f"Host: {endpoint.authority}", *(f"{n}: {v}" for n, v in headers.items())]
    )


@pytest.mark.usefixtures("curl")
def test_curl_uses_no_proxy(server: Hostile, tmp_path: Path) -> None:
    """The curl command uses no proxy, as the clients do not: a proxy would see the signature."""
    proxy = "http://127.0.0.1:1"
    send(command_in(explain(server.url, TOPIC, "1")), tmp_path, http_proxy=proxy, all_proxy=proxy)
    assert [request.body for request in server.requests] == [b"1"]


@pytest.mark.usefixtures("curl")
def test_the_error_responses_that_curl_shows_have_advice(tmp_path: Path) -> None:
    with in_thread(lambda: Hub(port=0, keys={"app": SECRET})) as hub:
        for dialect, url in (("webmq", hub.url), ("crossbar", f"{hub.url}/publish")):
            for options in (("--at", "0"), ("--key", "App")):
                command = command_in(explain(url, "com.example.a", "1", "--dialect", dialect, *options))
                response = send(command, tmp_path)
                assert response.startswith("HTTP/1.1 40"), response
                assert advice_on(response), response


# Error responses


def test_an_error_response_is_explained_last() -> None:
    shown = explain(TOPIC, "1", "--refusal", "unknown application key 'App\x1b'")
    assert shown.splitlines()[-2] == "The error response:"
    assert shown.splitlines()[-1].startswith("The broker does not have the key 'App\\x1b'.")


def test_an_unknown_error_response_has_no_explanation() -> None:
    assert explain(TOPIC, "1", "--refusal", "no idea").endswith("No known broker sends this response.\n")


def test_an_error_response_from_standard_input() -> None:
    shown = explain(TOPIC, "1", "--refusal", "-", stdin="timestamp expired (delta 412 seconds)\n")
    assert "412 seconds" in shown.splitlines()[-1]


def signature(*parts: bytes, secret: str = SECRET) -> str:
    return sign(Credentials("app", secret), *parts)


SIGNED = (TOPIC.encode(), b"app", AT.encode(), b'{"id":17}')
EVENT = '{"id": 17}'


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        (
            signature(*SIGNED),
            signature(*SIGNED, secret=f"{SECRET}\n"),
            "expected the signature above, and got one with a common mistake: a newline at the end of the secret.",
        ),
        (
            signature(*SIGNED),
            signature(*SIGNED, secret="other"),
            "expected the signature above, and got another one. It was made with another secret, or",
        ),
        (
            signature(*SIGNED, secret=f'"{SECRET}"'),
            signature(*SIGNED),
            "The broker makes a common mistake itself in the signature that it expected: quotes around the secret.",
        ),
        (signature(*SIGNED, secret="other"), signature(*SIGNED), "it has another secret, or received other bytes."),
        (
            signature(*SIGNED, secret="other"),
            signature(*SIGNED[:3], b'{"id": 17}'),
            "a signature with a common mistake: an event that was encoded again: json.dumps(event).",
        ),
        (signature(b"x"), signature(b"y"), "Give the request with --query, or its timestamp with --at"),
    ],
)
def test_an_error_response_that_quotes_signatures(expected: str, got: str, said: str) -> None:
    """The original WebMQ hub quotes the expected signature and the received one.

    Both are compared with the computed one.
    """
    response = f"invalid request signature (expected {expected}, got {got})\n"
    assert said in explain(TOPIC, EVENT, "--at", AT, "--refusal", response)


# Requests that were sent


def query(signed: tuple[bytes, ...] = SIGNED, secret: str = SECRET, **sent: str) -> str:
    """Return the target of a request that is signed for these parts, and sends them or others."""
    parameters = {"topicuri": TOPIC, "appkey": "app", "timestamp": AT, "signature": signature(*signed, secret=secret)}
    return f"/?{urlencode(parameters | sent)}"


def test_a_correct_request_is_found_to_be_correct() -> None:
    shown = explain(TOPIC, EVENT, "--query", query())
    assert "  topic      as expected\n" in shown
    assert "  body       not given with --body: assumed to be that of EVENT\n" in shown
    assert "The signature is correct for the request that was sent, if its body was the one above." in shown
    assert "If the broker refuses it, it has another secret for this key" in shown


def test_a_request_with_its_body(tmp_path: Path) -> None:
    """The body of a request is compared, and used to check the signature."""
    (tmp_path / "body").write_text('{"id":18}')
    signed = (*SIGNED[:3], b'{"id":18}')
    shown = explain(TOPIC, EVENT, "--query", query(signed), "--body", str(tmp_path / "body"))
    assert "body       differs from byte 8 on: sent '{\"id\":18}', expected '{\"id\":17}'" in shown
    assert "The signature is correct for the request that was sent. If the broker" in shown


def test_a_request_from_standard_input() -> None:
    """A request is read from standard input, where `ps` does not show its signature."""
    shown = explain(TOPIC, EVENT, "--query", "-", stdin=f'"POST {query()} HTTP/1.1" 401 25\n')
    assert "The signature is correct for the request that was sent" in shown


def test_a_common_mistake_is_named() -> None:
    shown = explain(TOPIC, EVENT, "--query", query(secret=f"{SECRET}\n"))
    assert "This is caused by a common mistake: a newline at the end of the secret." in shown


def test_a_change_after_signing_is_found() -> None:
    shown = explain(TOPIC, EVENT, "--query", query(topicuri=f"{TOPIC}/"))
    assert "topic      differs from byte 26 on: sent …'ttp://example.com/orders/', expected nothing more" in shown
    assert "what differs was changed after it was signed" in shown


def test_a_change_and_a_common_mistake_are_both_found() -> None:
    shown = explain(TOPIC, EVENT, "--query", query(secret=f"{SECRET}\n", topicuri="other"))
    assert "The signature was made for the expected request, with a common mistake: a newline at the end" in shown


def test_a_wrong_signature_without_a_common_mistake(tmp_path: Path) -> None:
    shown = explain(TOPIC, EVENT, "--query", query(secret="another"))
    assert "with another secret, or other parts were signed, such as another body: give the bytes" in shown
    (tmp_path / "body").write_text('{"id":17}')
    shown = explain(TOPIC, EVENT, "--query", query(secret="another"), "--body", str(tmp_path / "body"))
    assert shown.endswith("It was made with another secret, or other parts were signed.\n")


def test_the_default_time_is_that_of_the_request() -> None:
    assert f"bytes  {AT}\n" in explain(TOPIC, EVENT, "--query", query())
    shown = explain(TOPIC, EVENT, "--query", query(), "--at", "2026-11-24T14:00:01Z")
    assert "differs from byte 19 on: sent '2026-11-24T14:00:00Z', expected '2026-11-24T14:00:01Z'" in shown


def test_a_timestamp_in_a_wrong_format_is_named() -> None:
    stamp = "2026-11-24 14:00"
    signed = (TOPIC.encode(), b"app", stamp.encode(), SIGNED[3])
    shown = explain(TOPIC, EVENT, "--query", query(signed, timestamp=stamp))
    assert "timestamp  '2026-11-24 14:00' does not have the form 2011-10-14T16:59:51Z" in shown
    assert "The signature is correct" in shown


def test_a_request_to_crossbar() -> None:
    """For Crossbar.io, seq, nonce and the fraction of the second are taken from the request unless they are given."""
    body = b'{"topic":"com.example.a","args":[17]}'
    stamp = "2026-11-24T14:00:00.1Z"
    correct = signature(b"app", stamp.encode(), b"3", b"4", body)
    sent = urlencode({"key": "app", "timestamp": stamp, "seq": 3, "nonce": 4, "signature": correct})
    shown = explain("com.example.a", "17", "--dialect", "crossbar", "--query", sent)
    assert shown.count("as expected") == 4
    assert "The signature is correct" in shown
    shown = explain("com.example.a", "17", "--dialect", "crossbar", "--query", sent, "--seq", "5")
    assert "seq        differs from byte 1 on: sent '3', expected '5'" in shown


def test_quoted_signatures_are_compared_with_the_request_that_was_sent() -> None:
    """Quoted signatures are compared with the request that was sent. The broker has not seen the expected one."""
    wrong = query(topicuri=f"{TOPIC}/")
    expected = signature(f"{TOPIC}/".encode(), *SIGNED[1:])
    response = f"invalid request signature (expected {expected}, got {signature(*SIGNED)})"
    shown = explain(TOPIC, EVENT, "--query", wrong, "--refusal", response)
    assert "The broker expected the signature" in shown.splitlines()[-1]


# Errors


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([TOPIC], 2, "TOPIC and EVENT are needed."),
        (["a", "b", "c", "d"], 2, "Got unexpected extra argument (d)."),
        (["ftp://h", TOPIC, "1"], 2, "endpoint: must begin with http://"),
        ([TOPIC, "1", "--seq", "1"], 2, "--seq and --nonce are for --dialect crossbar."),
        ([TOPIC, "1", "--at", "noon"], 2, "'noon' is neither a Unix time nor a timestamp like 2011-10-14T16:59:51Z."),
        ([TOPIC, "1", "--at", "inf"], 2, "neither a Unix time"),
        ([TOPIC, "1", "--at", "1e12"], 2, "neither a Unix time"),
        ([TOPIC, "1", "--body", __file__], 2, "--body is for --query."),
        ([TOPIC, "1", "--query", "-", "--refusal", "-"], 2, "standard input is either --refusal or --query."),
        ([TOPIC, "1", "--query", "?topicuri=a"], 2, "--query has no 'appkey' (--dialect webmq)."),
        ([TOPIC, "1", "--query", query(), "--dialect", "crossbar"], 2, "--query has no 'key' (--dialect crossbar)."),
        ([TOPIC, "1", "--exclude", ","], 1, "error: exclude[0]: ',' is not a session ID"),
        (["a b", "1", "--dialect", "crossbar"], 1, "error: topic: 'a b' is not a valid WAMP URI"),
    ],
)
def test_invalid_arguments_are_refused(arguments: list[str], status: int, said: str) -> None:
    ended = refused(*arguments)
    assert (ended.status, ended.stdout) == (status, "")
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_a_query_needs_a_key() -> None:
    ended = invoke_here("explain", TOPIC, "1", "--query", query(), env=ENV | {"WEBMQ_AUTH_KEY": ""})
    assert ended.status == 2
    assert "--query needs --key and its secret." in ended.stderr


READING = """
import sys
from webmqconnect_async._cli import main, stdio
from webmqconnect_async._cli.explain import command
def reading(descriptor, size):
    print("reading", file=sys.stderr, flush=True)
    return stdio.read_some(descriptor, size)
command.read_some = reading
sys.exit(main())
"""


async def test_an_interrupt_while_it_reads_standard_input() -> None:
    """An interrupt while `explain` reads standard input has the same exit status as an interrupted push."""
    async with python("-c", READING, "explain", TOPIC, "1", "--query", "-", env=ENV) as process:
        await process.complained("reading")
        ended = await process.stopped(signal.SIGINT)
    assert ended.status == 130
    assert "Traceback" not in ended.stderr
