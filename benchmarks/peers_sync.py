"""Other blocking clients. Each imports its own package, so that the others work without it."""

# mypy: disable-error-code="import-not-found, import-untyped"
# Only the benchmarks' own venv has all peers.

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

from .load import HEADERS, KEY, SECRET, TOPIC, BlockingRun, Load, check, signed_params, signed_query, timestamp


def _again(push: Callable[[], None]) -> BlockingRun:
    def run(events: int) -> None:
        for _ in range(events):
            push()

    return run


def _by_http_client(
    load: Load, query: Callable[[bytes], str], encode: Callable[[object], str]
) -> Iterator[BlockingRun]:
    event = load.event
    with closing(HTTPConnection(urlsplit(load.url).netloc, timeout=5)) as connection:

        def push() -> None:
            body = encode(event).encode()
            connection.request("POST", f"/?{query(body)}", body, HEADERS)
            reply = connection.getresponse()
            reply.read()
            check(reply.status)

        yield _again(push)


@contextmanager
def http_client(load: Load) -> Iterator[BlockingRun]:
    """Push with a bare http.client connection and the leanest signing."""
    yield from _by_http_client(load, signed_query, json.JSONEncoder(separators=(",", ":")).encode)


@contextmanager
def http_client_2012(load: Load) -> Iterator[BlockingRun]:
    """Push with a bare http.client connection, signing step by step as clients did in 2012."""
    yield from _by_http_client(load, _query_of_2012, json.dumps)


def _query_of_2012(body: bytes) -> str:
    params = {"topicuri": TOPIC, "appkey": KEY, "timestamp": timestamp()}
    signing = hmac.new(SECRET.encode(), digestmod=hashlib.sha256)
    signing.update(params["topicuri"].encode())
    signing.update(params["appkey"].encode())
    signing.update(params["timestamp"].encode())
    signing.update(body)
    params["signature"] = urlsafe_b64encode(signing.digest()).decode()
    return urlencode(params)


@contextmanager
def requests(load: Load) -> Iterator[BlockingRun]:
    """Push with a requests session."""
    from requests import Session

    event = load.event
    with Session() as session:
        session.headers.update(HEADERS)

        def push() -> None:
            body = json.dumps(event).encode()
            check(session.post(load.url, params=signed_params(body), data=body, timeout=5).status_code)

        yield _again(push)


@contextmanager
def urllib3(load: Load) -> Iterator[BlockingRun]:
    """Push with a urllib3 pool and the leanest signing."""
    from urllib3 import PoolManager

    event = load.event
    encode = json.JSONEncoder(separators=(",", ":")).encode
    with PoolManager(headers=HEADERS, timeout=5.0) as pool:

        def push() -> None:
            body = encode(event).encode()
            check(pool.request("POST", f"{load.url}/?{signed_query(body)}", body=body, redirect=False).status)

        yield _again(push)
