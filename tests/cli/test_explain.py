"""`webmqconnect explain`: what it shows is what a client sends, its curl works, and it finds what was done wrong."""

from __future__ import annotations

import ast
import http.client
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

import webmqconnect_async.hub
from webmqconnect_async import Client, WebMQError
from webmqconnect_async._cli.explain.curl import curl_command
from webmqconnect_async._core.dialects import DialectName, Request
from webmqconnect_async._core.endpoint import Endpoint
from webmqconnect_async.explain._responses import advice_on
from webmqconnect_async.explain._timestamps import unix_time
from webmqconnect_async.hub import Hub
from webmqconnect_async.signing import Credentials, sign

from ..hostile import Hostile
from ..processes import MODULE, PATIENCE, Ended, python
from ..running import in_thread
from .conftest import SECRET, TOPIC, invoke_here

ENV = {"WEBMQ_AUTH_KEY": "app", "WEBMQ_AUTH_SECRET": SECRET, "WEBMQ_ENDPOINT": "http://127.0.0.1:8080"}
AT = "2026-11-24T14:00:00Z"
DIALECTS: list[DialectName] = ["webmq", "crossbar"]


def explain(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Return what it shows; the secret is never in it."""
    ended = invoke_here("explain", *arguments, env=ENV | (env or {}))
    assert (ended.status, ended.stderr) == (0, ""), ended
    assert SECRET not in ended.stdout
    return ended.stdout


def refused(*arguments: str) -> Ended:
    ended = invoke_here("explain", *arguments, env=ENV)
    assert ended.status != 0
    assert SECRET not in ended.stdout + ended.stderr
    return ended


def command_in(shown: str) -> str:
    [line] = [line for line in shown.splitlines() if re.match(r"curl |printf ", line)]
    return line


def send(command: str, home: Path, **environment: str) -> str:
    """Run a command of curl, or do what it says where there is none; return the answer."""
    if shutil.which("curl"):
        return subprocess.run(
            ["/bin/sh"],
            input=command,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home), **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    words = shlex.split(command)
    url = urlsplit(words[-1])
    body = words[words.index("--data-binary") + 1].encode()
    if body == b"@-":
        octal = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), words[1])
        body = octal.encode("latin-1")
    headers = [words[place + 1].partition(":") for place, word in enumerate(words) if word == "--header"]
    connection = http.client.HTTPConnection(url.netloc)
    given = {name: value.strip() for name, _, value in headers if value}
    connection.request("POST", f"{url.path}?{url.query}", body, given)
    answer = connection.getresponse()
    connection.close()
    return f"HTTP/1.1 {answer.status}"


# What it shows


def test_every_part_in_order() -> None:
    """Their names, lengths and bytes; what the HMAC is made of; a signature that openssl has made."""
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


def test_the_parts_of_crossbar() -> None:
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
def test_it_shows_what_a_client_sends(dialect: DialectName, server: Hostile) -> None:
    """The head and the body, line by line, of the very time that the client has signed at."""
    with Client(server.url, "app", SECRET, dialect=dialect) as client, suppress(WebMQError):
        client.push("com.example.a", {"name": "ż&"}, exclude=[5])
    [request] = server.requests
    query = request.line.split(" ")[1]
    shown = explain(
        server.url, "com.example.a", '{"name": "ż&"}', "--exclude", "5", "--dialect", dialect, "--query", query
    )
    sent = [f"  {line}" for line in request.head.decode().strip().split("\r\n")]
    lines = shown.splitlines()
    begin = lines.index("The request:") + 1
    assert lines[begin : begin + len(sent) + 2] == [*sent, "  ", f"  {request.body.decode()}"]


EVENTS = [
    '{"id": 17}',
    'it\'s 100% \\ "so" $HOME `x`!',
    "ż\u202e\x00\x1b\n",
    "@file",
    "-5",
    "[1, null]",
    '"' + "x" * 3000 + '"',
]


@pytest.mark.parametrize("event", EVENTS, ids=ascii)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_command_of_curl_works(dialect: DialectName, event: str, tmp_path: Path) -> None:
    """The hub accepts it, signature and all; whatever a shell makes of quotes, blanks and other characters."""
    topic = "http://example.com/~a&b=ż+%" if dialect == "webmq" else "com.example.ż&"
    with in_thread(lambda: Hub(port=0, keys={"app": SECRET})) as hub:
        url = hub.url + ("/publish" if dialect == "crossbar" else "")
        shown = explain(url, "--dialect", dialect, "--", topic, event.replace("\x00", ""))
        answer = send(command_in(shown), tmp_path)
    assert answer.startswith("HTTP/1.1 202" if dialect == "webmq" else "HTTP/1.1 200"), answer
    assert '"error"' not in answer


@pytest.mark.usefixtures("curl")
@pytest.mark.parametrize("body", [b"1", b"@file", b"\0\xff%d\\n'\"\n", b"x" * 200_000, b""], ids=lambda body: body[:9])
def test_curl_sends_it_byte_for_byte(body: bytes, server: Hostile, tmp_path: Path) -> None:
    """Its headers and no other; any bytes; and a path as it is written."""
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
def test_curl_passes_by_a_proxy(server: Hostile, tmp_path: Path) -> None:
    """As the clients do, and the request is no proxy's to see."""
    proxy = "http://127.0.0.1:1"
    send(command_in(explain(server.url, TOPIC, "1")), tmp_path, http_proxy=proxy, all_proxy=proxy)
    assert [request.body for request in server.requests] == [b"1"]


def test_it_sends_nothing(server: Hostile) -> None:
    explain(server.url, TOPIC, "1")
    assert server.requests == []


@pytest.mark.parametrize("at", ["1764000000", "1764000000.9", "2025-11-24T16:00:00Z", "2025-11-24T17:00:00+01:00"])
def test_times(at: str) -> None:
    """Unix seconds and ISO 8601, with an offset or UTC."""
    assert "bytes  2025-11-24T16:00:00Z\n" in explain(TOPIC, "1", "--at", at)
    assert "bytes  2025-11-24T16:00:00Z\n" in explain(TOPIC, "1", "--at", "2025-11-24T16:00:00")


def test_a_fraction_is_not_cut_short() -> None:
    """Some a float cannot hold, and milliseconds are cut off from what it holds."""
    times = [unix_time(f"2026-11-24T14:00:00.{milliseconds:03}Z") for milliseconds in range(1000)]
    assert [int(seconds * 1000) % 1000 for seconds in times] == list(range(1000))


# What a refusal means

REFUSALS = [
    ("timestamp expired (delta 412 seconds)", "412 seconds before or after its timestamp"),
    ("the broker answered 400: timestamp expired (delta 302 seconds)", "302 seconds"),
    ("Request expired, too old timestamp.", "more than 300 seconds off"),
    ("unknown application key 'App'", "does not know the key 'App'. Case counts"),
    ("REST bridge signature key not valid.", "does not know the key. Case counts"),
    ("either all or none of parameters 'appkey', 'signature' and 'timestamp' must be present", "none for an unsigned"),
    ("bad or missing content type ('application/json')", "The Content-Type was 'application/json'."),
    ("content length (4097) exceeds maximum (4096)", "4097 bytes, and the hub takes 4096"),
    ("missing query parameter 'topicuri'", "--dialect crossbar"),
    ("missing query parameter 'topic'", "a hub of November 2013 or later"),
    ("invalid request signature", "another secret for this key"),
    ("invalid timestamp '2026' (must be i.e. '2011-10-14T16:59:51Z'", "The timestamp '2026' is not"),
    ("not authorized (denied by post rule 1: {})", "no rule of the hub allows"),
    ("not authorized (this hub takes signed pushes only)", "Give a key and its secret"),
    ("invalid JSON in request body", "not JSON"),
    ("HTTP/GET not allowed", "The request was a GET"),
    ('{"error":"REST bridge signature secret not valid.","args":[],"kwargs":{}}', "another secret for this key"),
    ("REST bridge signature was invalid (missing mandatory field - 'key' field missing).", "The query has no key."),
    (
        "REST bridge signature was invalid (missing mandatory field - signed request required, but mandatory "
        "'timestamp' field missing).",
        "The query has no timestamp.",
    ),
    ("REST bridge signature was invalid (invalid timestamp '2026Z' (must be UTC/ISO-8601)).", "timestamp '2026Z'"),
    ("REST bridge signature was invalid (invalid seq 'x').", "no integer"),
    ("Non-accepted content type. (must be one of …)", "application/json"),
    ("Request too long. (229 is longer than accepted 100)", "229 bytes, and the publisher takes 100"),
    ("Request body was invalid JSON.", "--dialect webmq"),
    ('{"error":"wamp.error.not_authorized"}', "may not publish"),
    ("Unhandled exception in Crossbar.", "The bridge broke"),
    ("<!DOCTYPE html>\n<HTML><body>502", "no answer of a broker"),
    ("<html><head><title>404 Not Found</title>", "no answer of a broker"),
    ("unknown application key 'o'brien's'", """does not know the key "o'brien's"."""),
    ("invalid timestamp 'o'clock' (must be i.e. '2011-10-14T16:59:51Z'", """The timestamp "o'clock" is not"""),
    ("host 'broker:8080' not allowed (allow it with allow_hosts or --allow-host)", "--allow-host HOST"),
    ("origin 'https://a.example' may not push (allow it with …)", "'https://a.example' may not push. Start the hub"),
    ("the body came too slowly", "10 seconds"),
    ("the request broke off or is malformed", "did not arrive whole"),
    ("the request target is longer than 16384 bytes: name fewer session IDs in eligible and exclude", "16384 bytes"),
    ("a header is longer than 8190 bytes", "8190 bytes"),
    ("the request has more than 64 headers", "64 headers"),
    ("Got more than 8190 bytes when reading: b'/?signature=...'.", "8190 bytes that this server takes"),
    ("Too many headers received", "more headers than this server takes"),
    ("HTTP/1.0 or HTTP/1.1 is expected here", "HTTP/1.1"),
    ("HTTP/1.1 500 Internal Server Error\n\ninternal server error", "The log of the hub says why"),
    ("404: Not Found", "another path"),
    ("topic length (257) exceeds maximum (256)", "257 characters, and the hub takes 256"),
    ('{"error": "the topic is no URI", "args": [], "kwargs": {}}', "no URI"),
    ('{"error": "kwargs is not an object", "args": [], "kwargs": {}}', "args must be a list, and kwargs"),
]


@pytest.mark.parametrize(("refusal", "said"), REFUSALS, ids=[refusal for refusal, _ in REFUSALS])
def test_what_a_refusal_means(refusal: str, said: str) -> None:
    assert said in (advice_on(refusal) or "")


def test_the_refusals_of_a_real_hub(tmp_path: Path) -> None:
    """What the hub answers is known, in both dialects."""
    with in_thread(lambda: Hub(port=0, keys={"app": SECRET})) as hub:
        for dialect, url in (("webmq", hub.url), ("crossbar", f"{hub.url}/publish")):
            for options in (("--at", "0"), ("--key", "App")):
                shown = explain(url, "com.example.a", "1", "--dialect", dialect, *options)
                answer = send(command_in(shown), tmp_path)
                assert answer.startswith("HTTP/1.1 40"), answer
                if "\n\n" in answer:
                    assert advice_on(answer), answer


REASONS = {
    "_pushes/webmq.py": "invalid JSON in request body",
    "_pushes/crossbar.py": "the topic is no URI",
    "_publish_options.py": "option '7' is neither true nor false",
    "_gate.py": "host '7' not allowed (allow it with allow_hosts or --allow-host)",
    "_handlers.py": "the body came too slowly",
}
"""The modules of the hub that refuse pushes, and a reason of each."""


def reasons_of(module: str) -> Iterator[str]:
    """Yield what a module refuses pushes with, "7" in each blank."""
    tree = ast.parse((Path(webmqconnect_async.hub.__file__).parent / module).read_text("utf-8"))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name not in _OF_SUBSCRIBERS:
            yield from _reasons_in(function)


_OF_SUBSCRIBERS = {"subscriber", "_subscribe"}


def _reasons_in(function: ast.AST) -> Iterator[str]:
    variables: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=value):
                variables[name] = value
            case ast.Call(func=ast.Name("Refused" | "_text"), args=[_, ast.Name(name), *_]):
                yield from _texts(variables.get(name))
            case ast.Call(func=ast.Name("Refused" | "_text"), args=[_, reason, *_]):
                yield from _texts(reason)
            case ast.Raise(exc=ast.Call(func=ast.Name("_Broken" | "ValueError"), args=[reason])):
                if "allow_" not in ast.unparse(reason):  # of an argument of the hub
                    yield from _texts(reason)
            case ast.Return(value=ast.JoinedStr() as reason):  # of the Gate
                yield from _texts(reason)


def _texts(reason: ast.expr | None) -> Iterator[str]:
    match reason:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "7" for each in values)


@pytest.mark.parametrize(("module", "known"), REASONS.items())
def test_every_refusal_of_the_hub_is_known(module: str, known: str) -> None:
    """Whoever gives the hub a new one is to say in `explain/_responses.py` what it means."""
    found = set(reasons_of(module))
    assert known in found
    assert {reason for reason in found if advice_on(reason) is None} == set()


REFUSED_REQUESTS = {
    "Host": ("POST / HTTP/1.1", "Host: broker.example"),
    "Origin": ("POST / HTTP/1.1", "Host: 127.0.0.1", "Origin: https://a.example"),
    "path": ("POST /nowhere HTTP/1.1", "Host: 127.0.0.1"),
    "version": ("POST / HTTP/2.0", "Host: 127.0.0.1"),
    "method": ("DELETE /publish HTTP/1.1", "Host: 127.0.0.1"),
    "request line": (f"POST /{'x' * 20_000} HTTP/1.1", "Host: 127.0.0.1"),
    "header": ("POST / HTTP/1.1", "Host: 127.0.0.1", f"X: {'x' * 9_000}"),
    "headers": ("POST / HTTP/1.1", "Host: 127.0.0.1", *[f"X-{number}: x" for number in range(100)]),
}


@pytest.mark.parametrize("lines", REFUSED_REQUESTS.values(), ids=REFUSED_REQUESTS)
def test_what_is_refused_before_it_is_read(lines: tuple[str, ...]) -> None:
    """By the hub, and by the HTTP server below it: the answer as it comes over the wire."""
    with (
        in_thread(lambda: Hub(port=0)) as hub,
        socket.create_connection(("127.0.0.1", urlsplit(hub.url).port or 0), PATIENCE) as connection,
    ):
        connection.sendall("\r\n".join([*lines, "Content-Length: 0", "Connection: close", "", ""]).encode())
        answer = connection.makefile("rb").read().decode()
    assert re.match(r"HTTP/\d\.\d [45]", answer)
    assert advice_on(answer), answer


def test_a_refusal_is_shown_last() -> None:
    shown = explain(TOPIC, "1", "--refusal", "unknown application key 'App\x1b'")
    assert shown.splitlines()[-2] == "The refusal:"
    assert shown.splitlines()[-1].startswith("The broker does not know the key 'App\\x1b'.")
    for unknown in ("no idea", "order 7 was not found"):
        assert explain(TOPIC, "1", "--refusal", unknown).endswith("No broker that is known here says that.\n")


def signature(*parts: bytes, secret: str = SECRET) -> str:
    return sign(Credentials("app", secret), *parts)


_SIGNED = (TOPIC.encode(), b"app", AT.encode(), b'{"id":17}')
_EVENT = '{"id": 17}'


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        (
            signature(*_SIGNED),
            signature(*_SIGNED, secret=f"{SECRET}\n"),
            "What it got comes of a usual mistake: the secret with a newline at its end.",
        ),
        (
            signature(*_SIGNED),
            signature(*_SIGNED, secret="other"),
            "What it got comes of another secret, or of something else that was signed.",
        ),
        (
            signature(*_SIGNED, secret=f'"{SECRET}"'),
            signature(*_SIGNED),
            "What the broker expected comes of a usual mistake, on its side: the secret with quotes around it.",
        ),
        (signature(*_SIGNED, secret="other"), signature(*_SIGNED), "it has another secret, or got other bytes."),
        (
            signature(*_SIGNED, secret="other"),
            signature(*_SIGNED[:3], b'{"id": 17}'),
            "What the broker got comes of a usual mistake: a body other than the one that was sent: json.dumps(event).",
        ),
        (signature(b"x"), signature(b"y"), "Give the request's --query, or its timestamp with --at"),
    ],
)
def test_an_expected_signature_that_a_refusal_tells(expected: str, got: str, said: str) -> None:
    refusal = f"invalid request signature (expected {expected}, got {got})\n"
    assert said in explain(TOPIC, _EVENT, "--at", AT, "--refusal", refusal)


async def test_a_refusal_from_standard_input() -> None:
    async with python(*MODULE, "explain", TOPIC, "1", "--refusal", "-", env=ENV) as process:
        await process.type("timestamp expired (delta 412 seconds)\n")
        ended = await process.ended()
    assert (ended.status, ended.stderr) == (0, "")
    assert "412 seconds" in ended.stdout.splitlines()[-1]


async def test_a_query_from_standard_input() -> None:
    """Its signature is none of what `ps` shows then."""
    async with python(*MODULE, "explain", TOPIC, _EVENT, "--query", "-", env=ENV) as process:
        await process.type(f'"POST {query()} HTTP/1.1" 401 25\n')
        ended = await process.ended()
    assert (ended.status, ended.stderr) == (0, "")
    assert "The signature is right for the request as it was sent" in ended.stdout


_READING = """
import sys
from types import SimpleNamespace
from webmqconnect_async._cli import main
terminal = sys.stdin.buffer
def read():
    print("reading", file=sys.stderr, flush=True)
    return terminal.read()
sys.stdin = SimpleNamespace(buffer=SimpleNamespace(read=read))
sys.exit(main())
"""


@pytest.mark.parametrize("option", ["--refusal", "--query"])
async def test_interrupted_while_it_reads(option: str) -> None:
    """Ctrl-C ends it as it ends a push: with the status of what was interrupted."""
    async with python("-c", _READING, "explain", TOPIC, "1", option, "-", env=ENV) as process:
        await process.complained("reading")
        ended = await process.stopped(signal.SIGINT)
    assert ended.status == 130
    assert "Traceback" not in ended.stderr


# What differs in a request that was sent


def query(signed: tuple[bytes, ...] = _SIGNED, secret: str = SECRET, **sent: str) -> str:
    """Return the query of a request that signs these parts and sends them, or others."""
    parameters = {"topicuri": TOPIC, "appkey": "app", "timestamp": AT, "signature": signature(*signed, secret=secret)}
    return f"/?{urlencode(parameters | sent)}"


def test_a_request_that_is_right() -> None:
    shown = explain(TOPIC, _EVENT, "--query", query())
    assert "  topic      as it should be\n" in shown
    assert "  body       not given with --body: taken for that of EVENT\n" in shown
    assert "The signature is right for the request as it was sent, if its body was the one shown here." in shown
    assert "A broker that refuses it has another secret for this key" in shown


def test_a_request_whose_body_is_given(tmp_path: Path) -> None:
    """Its bytes are compared, and the signature is held against them."""
    (tmp_path / "body").write_text('{"id":18}')
    signed = (*_SIGNED[:3], b'{"id":18}')
    shown = explain(TOPIC, _EVENT, "--query", query(signed), "--body", str(tmp_path / "body"))
    assert "body       differs from byte 8 on: sent '{\"id\":18}', expected '{\"id\":17}'" in shown
    assert "The signature is right for the request as it was sent. A broker" in shown


def test_a_usual_mistake() -> None:
    shown = explain(TOPIC, _EVENT, "--query", query(secret=f"{SECRET}\n"))
    assert "It comes of a usual mistake: the secret with a newline at its end." in shown


def test_what_was_changed_after_it_was_signed() -> None:
    shown = explain(TOPIC, _EVENT, "--query", query(topicuri=f"{TOPIC}/"))
    assert "topic      differs from byte 26 on: sent …'ttp://example.com/orders/', expected nothing more" in shown
    assert "what differs was changed after it had been signed" in shown


def test_two_things_wrong() -> None:
    """The topic was changed, and the secret was not that of the file."""
    shown = explain(TOPIC, _EVENT, "--query", query(secret=f"{SECRET}\n", topicuri="other"))
    assert "The signature comes of the push as it should be, and of a usual mistake: the secret with a newline" in shown


def test_nothing_usual(tmp_path: Path) -> None:
    shown = explain(TOPIC, _EVENT, "--query", query(secret="another"))
    assert "with another secret, or of something else that was signed, such as another body: give the bytes" in shown
    (tmp_path / "body").write_text('{"id":17}')
    shown = explain(TOPIC, _EVENT, "--query", query(secret="another"), "--body", str(tmp_path / "body"))
    assert shown.endswith("It was made with another secret, or of something else that was signed.\n")


def test_the_time_of_the_request_unless_another_is_said() -> None:
    assert f"bytes  {AT}\n" in explain(TOPIC, _EVENT, "--query", query())
    shown = explain(TOPIC, _EVENT, "--query", query(), "--at", "2026-11-24T14:00:01Z")
    assert "differs from byte 19 on: sent '2026-11-24T14:00:00Z', expected '2026-11-24T14:00:01Z'" in shown


def test_a_timestamp_of_another_form() -> None:
    stamp = "2026-11-24 14:00"
    shown = explain(
        TOPIC, _EVENT, "--query", query((TOPIC.encode(), b"app", stamp.encode(), _SIGNED[3]), timestamp=stamp)
    )
    assert "timestamp  '2026-11-24 14:00' is not of the form 2011-10-14T16:59:51Z" in shown
    assert "The signature is right" in shown


def test_a_request_of_crossbar() -> None:
    """Its seq and nonce are its own, and so is the number of digits of its fraction."""
    body = b'{"topic":"com.example.a","args":[17]}'
    stamp = "2026-11-24T14:00:00.1Z"
    right = signature(b"app", stamp.encode(), b"3", b"4", body)
    sent = urlencode({"key": "app", "timestamp": stamp, "seq": 3, "nonce": 4, "signature": right})
    shown = explain("com.example.a", "17", "--dialect", "crossbar", "--query", sent)
    assert shown.count("as it should be") == 4
    assert "The signature is right" in shown
    shown = explain("com.example.a", "17", "--dialect", "crossbar", "--query", sent, "--seq", "5")
    assert "seq        differs from byte 1 on: sent '3', expected '5'" in shown


def test_a_refusal_is_held_against_the_request_that_was_sent() -> None:
    """Not against the one that should have been sent: the broker has seen the former alone."""
    wrong = query(topicuri=f"{TOPIC}/")
    expected = signature(f"{TOPIC}/".encode(), *_SIGNED[1:])
    refusal = f"invalid request signature (expected {expected}, got {signature(*_SIGNED)})"
    shown = explain(TOPIC, _EVENT, "--query", wrong, "--refusal", refusal)
    assert "The broker expected the signature" in shown.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([TOPIC], 2, "TOPIC and EVENT are needed."),
        (["a", "b", "c", "d"], 2, "Got unexpected extra argument (d)."),
        (["ftp://h", TOPIC, "1"], 2, "endpoint: it must begin with http://"),
        ([TOPIC, "1", "--seq", "1"], 2, "--seq and --nonce are for --dialect crossbar."),
        ([TOPIC, "1", "--at", "noon"], 2, "'noon' is neither a Unix time nor one like 2011-10-14T16:59:51Z."),
        ([TOPIC, "1", "--at", "inf"], 2, "neither a Unix time"),
        ([TOPIC, "1", "--at", "1e12"], 2, "neither a Unix time"),
        ([TOPIC, "1", "--body", __file__], 2, "--body is for --query."),
        ([TOPIC, "1", "--query", "-", "--refusal", "-"], 2, "standard input is either --refusal or --query."),
        ([TOPIC, "1", "--query", "?topicuri=a"], 2, "--query: it has no 'appkey', which --dialect webmq needs."),
        ([TOPIC, "1", "--query", query(), "--dialect", "crossbar"], 2, "it has no 'key', which --dialect crossbar"),
        ([TOPIC, "1", "--exclude", ","], 1, "error: exclude[0]: ',' is not a session ID"),
        (["a b", "1", "--dialect", "crossbar"], 1, "error: topic: 'a b' is not a valid WAMP URI"),
    ],
)
def test_what_cannot_be_explained(arguments: list[str], status: int, said: str) -> None:
    ended = refused(*arguments)
    assert (ended.status, ended.stdout) == (status, "")
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_a_query_needs_a_key() -> None:
    ended = invoke_here("explain", TOPIC, "1", "--query", query(), env=ENV | {"WEBMQ_AUTH_KEY": ""})
    assert ended.status == 2
    assert "--query needs --key and its secret." in ended.stderr
