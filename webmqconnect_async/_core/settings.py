"""The arguments of both clients, checked. Errors name the argument."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from functools import partial
from itertools import count, repeat
from ssl import SSLContext
from typing import TypedDict

from .._version import __version__
from ..signing import Credentials
from .backlog import Background
from .checks import checked_count, checked_seconds, wrong_type
from .dialects import Dialect, DialectName, checked_dialect
from .dialects.crossbar import Crossbar
from .dialects.events import Dumps
from .dialects.webmq import WebMQ
from .endpoint import Endpoint
from .flow import Retry
from .http1 import RequestHead

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "expect", "idempotency-key"})


class ClientOptions(TypedDict, total=False):
    """The keyword arguments that both clients have in common; their docstrings explain them."""

    concurrency: int
    retry: Retry
    connect_timeout: float | None
    keepalive: float | None
    ssl: SSLContext | None
    headers: Mapping[str, str] | None
    dumps: Dumps | None
    max_request_head: int | None
    background: Background


class Settings:
    """A client's arguments, checked. The secret is in the dialect only."""

    def __init__(
        self,
        endpoint: str,
        auth_key: str | None,
        auth_secret: str | bytes | None,
        timeout: float | None,
        dialect: DialectName,
        *,
        concurrency: int = 50,
        retry: Retry = Retry(),  # noqa: B008  # frozen
        connect_timeout: float | None = None,
        keepalive: float | None = 4.0,
        ssl: SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        dumps: Dumps | None = None,
        max_request_head: int | None = 16384,
        background: Background = Background(),  # noqa: B008  # frozen
    ) -> None:
        if (auth_key is None) != (auth_secret is None):
            raise ValueError("auth_key and auth_secret must be given together")
        credentials = None
        if auth_key is not None and auth_secret is not None:
            try:
                credentials = Credentials(auth_key, auth_secret)
            except (TypeError, ValueError) as error:
                raise type(error)(f"auth_{error}") from None
        if dumps is not None and not callable(dumps):
            raise TypeError(wrong_type("dumps", "callable or None", dumps))
        if not isinstance(retry, Retry):
            raise TypeError(wrong_type("retry", "a Retry", retry))
        if not isinstance(background, Background):
            raise TypeError(wrong_type("background", "a Background", background))
        if ssl is not None and not isinstance(ssl, SSLContext):
            raise TypeError(wrong_type("ssl", "an ssl.SSLContext or None", ssl))
        self.endpoint = Endpoint.parse(endpoint)
        self.auth_key = auth_key
        self.timeout = checked_seconds("timeout", timeout)
        self.dialect = new_dialect(dialect, credentials, dumps)
        self.concurrency = checked_count("concurrency", concurrency)
        self.retry = retry
        self.background = background
        self.connect_timeout = checked_seconds("connect_timeout", connect_timeout)
        self.keepalive = checked_seconds("keepalive", keepalive, zero=True)
        self.ssl = ssl
        self.headers = request_headers(headers or {}, self.dialect.content_type)
        self.request_head = RequestHead(self.endpoint, self.headers)
        if max_request_head is not None:
            checked_count("max_request_head", max_request_head)
            # Crossbar.io's dialect has the topic and the receivers in the body.
            if isinstance(self.dialect, WebMQ):
                self.dialect.limit_head(max_request_head, self.request_head.length)


def new_dialect(
    name: DialectName,
    credentials: Credentials | None,
    dumps: Dumps | None = None,
    *,
    seq: int | None = None,
    nonce: int | None = None,
) -> Dialect:
    """Return a dialect. In Crossbar's, each push has the same `seq` and `nonce`. `None`: 1, 2, 3 …, and random ones."""
    match checked_dialect("dialect", name):
        case "webmq":
            return WebMQ(credentials, dumps)
        case "crossbar":
            sequence = count(1) if seq is None else repeat(seq)
            nonces = partial(secrets.randbits, 53) if nonce is None else repeat(nonce).__next__
            return Crossbar(credentials, dumps, sequence=sequence.__next__, nonce=nonces)


def request_headers(extra: Mapping[str, str], content_type: str) -> dict[str, str]:
    """Return the headers of each push, without Host and Content-Length; check those of the argument `headers`."""
    if not isinstance(extra, Mapping):
        raise TypeError(wrong_type("headers", "a mapping of names to values", extra))
    names = {name.lower() for name in extra if isinstance(name, str)}
    for name, value in extra.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("headers: names and values must be strings")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"headers: {name!r} is not a header name")
        if name.lower() in _OURS:
            raise ValueError(f"headers: the client sets {name} itself")
        # A line break would start another header or request. A lone surrogate would make each push raise a
        # UnicodeEncodeError, which holds the whole head and so the signature.
        if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in value):
            raise ValueError(f"headers: the value of {name} contains a control character or a lone surrogate")
    # "identity" (RFC 9110, section 12.5.3), because neither client decompresses responses.
    own = {
        "Content-Type": content_type,
        "Accept-Encoding": "identity",
        "User-Agent": f"webmqconnect_async/{__version__}",
    }
    return {name: value for name, value in own.items() if name.lower() not in names} | dict(extra)
