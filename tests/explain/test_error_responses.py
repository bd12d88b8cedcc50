"""Advice on the error responses of brokers: WebMQ hubs, Crossbar.io, and each one that this hub can send."""

from __future__ import annotations

import ast
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import webmqconnect_async.hub
from webmqconnect_async.explain._error_responses import advice_on, quoted_signatures
from webmqconnect_async.hub import Hub

from ..processes import PATIENCE
from ..running import in_thread

RESPONSES = [
    ("timestamp expired (delta 412 seconds)", "412 seconds before or after its timestamp"),
    ("the broker answered 400: timestamp expired (delta 302 seconds)", "302 seconds"),
    ("Request expired, too old timestamp.", "more than 300 seconds off"),
    ("unknown application key 'App'", "does not have the key 'App'. Keys are compared exactly"),
    ("unknown application key 'o'brien's'", """does not have the key "o'brien's"."""),
    ("REST bridge signature key not valid.", "does not have the key. Keys are compared exactly"),
    ("either all or none of parameters 'appkey', 'signature' and 'timestamp' must be present", "none for an unsigned"),
    ("bad or missing content type ('application/json')", "The Content-Type was 'application/json'."),
    ("content length (4097) exceeds maximum (4096)", "4097 bytes; the hub accepts at most 4096"),
    ("topic length (257) exceeds maximum (256)", "257 characters; the hub accepts at most 256"),
    ("missing query parameter 'topicuri'", "--dialect crossbar"),
    ("missing query parameter 'topic'", "a WebMQ hub of November 2013 or later"),
    ("invalid request signature", "another secret for this key"),
    ("invalid timestamp '2026' (must be i.e. '2011-10-14T16:59:51Z'", "The timestamp '2026' does not"),
    ("invalid timestamp 'o'clock' (must be i.e. '2011-10-14T16:59:51Z'", """The timestamp "o'clock" does not"""),
    ("not authorized (denied by post rule 1: {})", "no rule of the hub allows"),
    ("not authorized (this hub takes signed pushes only)", "Use a key and its secret"),
    ("invalid JSON in request body", "not JSON"),
    ("HTTP/GET not allowed", "must be a POST"),
    ('{"error":"REST bridge signature secret not valid.","args":[],"kwargs":{}}', "another secret for this key"),
    ("REST bridge signature was invalid (missing mandatory field - 'key' field missing).", "The query has no key."),
    (
        "REST bridge signature was invalid (missing mandatory field - signed request required, but mandatory "
        "'timestamp' field missing).",
        "The query has no timestamp.",
    ),
    ("REST bridge signature was invalid (invalid timestamp '2026Z' (must be UTC/ISO-8601)).", "timestamp '2026Z'"),
    ("REST bridge signature was invalid (invalid seq 'x').", "not an integer"),
    ("Non-accepted content type. (must be one of …)", "application/json"),
    ("Request too long. (229 is longer than accepted 100)", "229 bytes; the publisher accepts at most 100"),
    ("Request body was invalid JSON.", "--dialect webmq"),
    ('{"error":"wamp.error.not_authorized"}', "may not publish"),
    ("Unhandled exception in Crossbar.", "The bridge failed"),
    ("<!DOCTYPE html>\n<HTML><body>502", "Brokers do not send HTML"),
    ("<html><head><title>404 Not Found</title>", "Brokers do not send HTML"),
    ("host 'broker:8080' not allowed (allow it with allow_hosts or --allow-host)", "--allow-host HOST"),
    ("origin 'https://a.example' may not push (allow it with …)", "from 'https://a.example' may not push. To allow"),
    ("the body did not arrive in time", "10 seconds"),
    ("the request is incomplete or malformed", "its body is incomplete"),
    (
        "the request target is longer than 16384 bytes: name fewer session IDs in eligible and exclude",
        "Use fewer session IDs",
    ),
    ("a header is longer than 8190 bytes", "fewer or shorter headers"),
    ("the headers are longer than 49152 bytes", "fewer or shorter headers"),
    ("the request has more than 64 headers", "fewer or shorter headers"),
    ("Got more than 8190 bytes when reading: b'/?signature=...'.", "fewer or shorter headers"),
    ("Too many headers received", "fewer or shorter headers"),
    ("HTTP/1.0 or HTTP/1.1 is expected here", "HTTP/1.1"),
    ("header Idempotency-Key is malformed", 'Idempotency-Key: "order-17"'),
    ("header Idempotency-Key given twice", "Send the header once"),
    ("Idempotency-Key was used with another event or other receivers", "a new key for each event"),
    ("HTTP/1.1 500 Internal Server Error\n\ninternal server error", "log has the reason"),
    ("404: Not Found", "A hub accepts them at /"),
    ('{"error": "the topic is not a URI", "args": [], "kwargs": {}}', "not a valid WAMP URI"),
    ('{"error": "kwargs is not an object", "args": [], "kwargs": {}}', "args must be a list, kwargs"),
]
"""Responses, with a part of the advice on each."""


@pytest.mark.parametrize(("response", "advice"), RESPONSES, ids=[response for response, _ in RESPONSES])
def test_a_known_response_has_advice(response: str, advice: str) -> None:
    assert advice in (advice_on(response) or "")


@pytest.mark.parametrize("response", ["", "no idea", "order 7 was not found"])
def test_an_unknown_response_has_no_advice(response: str) -> None:
    assert advice_on(response) is None


def test_quoted_signatures() -> None:
    assert quoted_signatures("400: invalid request signature (expected a=, got b=)\n") == ("a=", "b=")
    assert quoted_signatures("invalid request signature") is None


REASONS = {
    "invalid JSON in request body",
    "the topic is not a URI",
    "option '7' must be true or false",
    "host '7' not allowed",
    "the body did not arrive in time",
    "the request has more than 7 headers",
}
"""Some reasons of the hub to refuse a push, with "7" in place of each value."""

OTHERS = {"subscriber", "_subscribe", "_watch", "_readiness"}
"""Functions of the hub that refuse requests other than pushes."""


def reasons_of_the_hub() -> Iterator[str]:
    """Yield the reasons with which the hub refuses pushes, from its source code."""
    for module in Path(webmqconnect_async.hub.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name not in OTHERS:
                yield from reasons_in(function, module.name)


def reasons_in(function: ast.AST, module: str) -> Iterator[str]:
    variables: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=value):
                variables[name] = value
            case (
                ast.Call(args=[ast.Constant(value=int(status)), reason, *_])
                | ast.Call(args=[_, ast.Constant(value=str()), ast.Constant(value=int(status)), reason, *_])
            ) if 400 <= status < 600:
                yield from texts(variables.get(reason.id) if isinstance(reason, ast.Name) else reason)
            case ast.Raise(exc=ast.Call(func=ast.Name("_Broken"), args=[reason])):
                yield from texts(reason)
            case ast.Raise(exc=ast.Call(func=ast.Name("ValueError"), args=[reason])) if module == "_publish_options.py":
                yield from texts(reason)
            case ast.Call(func=ast.Name("Denial"), args=[reason, ast.Constant("--allow-host"), *_]):
                yield from texts(reason)


def texts(reason: ast.expr | None) -> Iterator[str]:
    match reason:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "7" for each in values)


def test_every_reason_of_the_hub_has_advice() -> None:
    found = set(reasons_of_the_hub())
    assert found >= REASONS
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


def test_requests_that_the_hub_refuses_before_it_reads_the_push() -> None:
    """The complete responses of the hub, or of its HTTP server, to unparsed pushes have advice."""
    with in_thread(lambda: Hub(port=0)) as hub:
        for name, lines in REFUSED_REQUESTS.items():
            with socket.create_connection(("127.0.0.1", urlsplit(hub.url).port or 0), PATIENCE) as connection:
                connection.sendall("\r\n".join([*lines, "Content-Length: 0", "Connection: close", "", ""]).encode())
                response = connection.makefile("rb").read().decode()
            assert re.match(r"HTTP/\d\.\d [45]", response), name
            assert advice_on(response), name
