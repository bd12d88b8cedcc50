"""The arguments of a client: which endpoints and headers are accepted or refused, and that no error shows a secret."""

from __future__ import annotations

import ssl as ssl_module
import traceback
from collections.abc import Callable
from typing import TypedDict, Unpack

import pytest

from webmqconnect_async import __version__
from webmqconnect_async._core.dialects import DialectName
from webmqconnect_async._core.endpoint import Endpoint
from webmqconnect_async._core.flow import Retry
from webmqconnect_async._core.settings import Settings


class _Given(TypedDict, total=False):
    endpoint: str
    auth_key: str | None
    auth_secret: str | bytes | None
    timeout: float | None
    dialect: DialectName
    concurrency: int
    retry: Retry
    connect_timeout: float | None
    keepalive: float | None
    ssl: ssl_module.SSLContext | None
    headers: dict[str, str] | None
    dumps: Callable[[object], str | bytes] | None


def _settings(**given: Unpack[_Given]) -> Settings:
    usual: _Given = {
        "endpoint": "http://127.0.0.1:8080",
        "auth_key": None,
        "auth_secret": None,
        "timeout": 5.0,
        "dialect": "webmq",
        "concurrency": 50,
        "retry": Retry(),
        "connect_timeout": None,
        "keepalive": 4.0,
        "ssl": None,
        "headers": None,
        "dumps": None,
    }
    return Settings(**(usual | given))


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path", "authority"),
    [
        ("http://127.0.0.1:8080", "http", "127.0.0.1", 8080, "/", "127.0.0.1:8080"),
        ("http://example.com", "http", "example.com", 80, "/", "example.com"),
        ("https://example.com/", "https", "example.com", 443, "/", "example.com"),
        ("http://example.com:443/", "http", "example.com", 443, "/", "example.com:443"),
        ("https://example.com:80/", "https", "example.com", 80, "/", "example.com:80"),
        ("HTTP://Example.COM:0080/Push", "http", "example.com", 80, "/Push", "example.com"),
        ("http://example.com:/push", "http", "example.com", 80, "/push", "example.com"),
        ("http://[::1]:8080/", "http", "::1", 8080, "/", "[::1]:8080"),
        ("http://[2001:DB8::1]", "http", "2001:db8::1", 80, "/", "[2001:db8::1]"),
        ("http://bücher.example/", "http", "xn--bcher-kva.example", 80, "/", "xn--bcher-kva.example"),
        ("http://hub_1/", "http", "hub_1", 80, "/", "hub_1"),
        ("http://example.com./", "http", "example.com.", 80, "/", "example.com."),
        ("http://h/a%2Fb;v=1//c/../@d", "http", "h", 80, "/a%2Fb;v=1//c/../@d", "h"),
    ],
)
def test_an_endpoint_is_parsed(url: str, scheme: str, host: str, port: int, path: str, authority: str) -> None:
    """The path is unchanged: it is not decoded, and no parameter or dot segment is dropped."""
    endpoint = Endpoint.parse(url)
    assert (endpoint.scheme, endpoint.host, endpoint.port, endpoint.path) == (scheme, host, port, path)
    assert endpoint.authority == authority
    assert str(endpoint) == f"{scheme}://{authority}{path}"
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "/push",
        "ftp://example.com/",
        "ws://example.com/",
        "unix:///run/hub.sock",
        "http:example.com",
        "http://",
        "http:///push",
        "http://:8080/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:port/",
        "http://example.com:٨٠/",
        "http://a:b:80/",
        "http://::1/",
        "http://[::1/",
        "http://[zz]/",
        "http://user@example.com/",
        "http://@example.com/",
        "http://example.com/?",
        "http://example.com/?a=b",
        "http://example.com?a=b",
        "http://example.com/#",
        "http://example.com/#there",
        "http://example.com/ä",
        "http://example.com/\ud800",
        "http://\ud800/",
        " http://example.com/",
        "http://example.com/ ",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "http://exam\tple.com/",
        "http://example.com/\0",
        "http://example.com/\x7f",
        "http://exa\u3000mple.com/",
        "http://exa\u00a0mple.com/",
        "http://exa<mple.com/",
        "http://exa\\mple.com/",
        "http://exa%0ample.com/",
        "http://a..b/",
        "http://.example.com/",
        f"http://{'a' * 64}.example/",
        f"http://{'ä' * 64}.example/",
    ],
    ids=ascii,
)
def test_an_invalid_endpoint_is_refused_with_its_name(url: str) -> None:
    """Even hosts for which a resolver would raise a bare UnicodeError at the first push are refused early."""
    with pytest.raises(ValueError, match=r"^endpoint: "):
        Endpoint.parse(url)


@pytest.mark.parametrize("url", [None, 80, b"http://example.com/", ["http://example.com/"]])
def test_an_endpoint_must_be_text(url: str) -> None:
    with pytest.raises(TypeError, match=f"endpoint must be a string, not {type(url).__name__}"):
        Endpoint.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:p4ssw0rd@example.com/",
        "http:user:p4ssw0rd@example.com/",
        "user:p4ssw0rd@example.com",
        "ftp://user:p4ssw0rd@example.com/",
        "http://user:p4ssw0rd/x@example.com/",
        "http://user:80/p4ssw0rdä@example.com/",
        "http://user:p4ssw0rd\u2100@example.com/",
        "http://user:p4ssw0rd@[zz]/",
        "http://user:p4ssw0rd@example.com:99999/",
        "http://user:p4ssw0rd@example.com/?x",
        "http://p4ssw0rd\\@example.com/",
        "http://user:p4ssw0rd @example.com/",
    ],
    ids=ascii,
)
def test_no_refusal_repeats_a_password(url: str) -> None:
    """A password anywhere in the URL is not repeated, because the messages of parsers are not used."""
    with pytest.raises(ValueError, match=r"^endpoint: ") as caught:
        Endpoint.parse(url)
    said = "".join(traceback.format_exception_only(caught.value))
    assert "p4ssw0rd" not in said
    assert "p4ssw0rd" not in repr(caught.value.args)


def test_default_settings() -> None:
    settings = _settings()
    assert str(settings.endpoint) == "http://127.0.0.1:8080/"
    assert (settings.timeout, settings.connect_timeout, settings.keepalive) == (5.0, None, 4.0)
    assert (settings.concurrency, settings.retry, settings.ssl) == (50, Retry(), None)
    assert settings.auth_key is None
    assert settings.headers == {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept-Encoding": "identity",
        "User-Agent": f"webmqconnect_async/{__version__}",
    }


def test_none_means_no_limit_and_zero_no_keepalive() -> None:
    settings = _settings(timeout=None, keepalive=0, connect_timeout=0.5)
    assert (settings.timeout, settings.keepalive, settings.connect_timeout) == (None, 0.0, 0.5)
    assert _settings(keepalive=None).keepalive is None


def test_the_secret_shows_in_no_repr() -> None:
    settings = _settings(auth_key="app", auth_secret="s3cret")
    assert settings.auth_key == "app"
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in repr(vars(settings.dialect))


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"auth_key": "app"}, ValueError, "auth_key and auth_secret"),
        ({"auth_secret": "s3cret"}, ValueError, "auth_key and auth_secret"),
        ({"auth_key": "", "auth_secret": "s3cret"}, ValueError, "auth_key: "),
        ({"auth_key": "app", "auth_secret": ""}, ValueError, "auth_secret: "),
        ({"auth_key": "app", "auth_secret": 5}, TypeError, "auth_secret must be a string or bytes, not int"),
        ({"dialect": "wamp"}, ValueError, "dialect"),
        ({"dialect": None}, ValueError, "dialect"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": "5"}, TypeError, "timeout"),
        ({"connect_timeout": 0}, ValueError, "connect_timeout"),
        ({"keepalive": -1}, ValueError, "keepalive"),
        ({"concurrency": 0}, ValueError, "concurrency"),
        ({"concurrency": -1}, ValueError, "concurrency"),
        ({"concurrency": 1.5}, TypeError, "concurrency"),
        ({"concurrency": None}, TypeError, "concurrency"),
        ({"retry": 3}, TypeError, "retry"),
        ({"retry": None}, TypeError, "retry"),
        ({"retry": Retry}, TypeError, "retry"),
        ({"ssl": True}, TypeError, "ssl"),
        ({"ssl": False}, TypeError, "ssl"),
        ({"dumps": "json"}, TypeError, "dumps"),
        ({"headers": [("X-A", "b")]}, TypeError, "headers"),
        ({"headers": "X-A: b"}, TypeError, "headers"),
        ({"headers": {"X-A": 1}}, TypeError, "headers"),
        ({"headers": {b"X-A": "b"}}, TypeError, "headers"),
        ({"headers": {"X-A": None}}, TypeError, "headers"),
        ({"headers": {"": "b"}}, ValueError, "headers"),
        ({"headers": {"X A": "b"}}, ValueError, "headers"),
        ({"headers": {"X-A:": "b"}}, ValueError, "headers"),
        ({"headers": {"X-A\n": "b"}}, ValueError, "headers"),
        ({"headers": {"X-Ä": "b"}}, ValueError, "headers"),
        ({"headers": {"X-A": "b\r\nHost: evil"}}, ValueError, "headers: the value of X-A"),
        ({"headers": {"X-A": "b\0"}}, ValueError, "headers: the value of X-A"),
        ({"headers": {"X-A": "b\x7f"}}, ValueError, "headers: the value of X-A"),
        ({"headers": {"X-A": "b\ud800"}}, ValueError, "headers: the value of X-A"),
        *(
            ({"headers": {name: "x"}}, ValueError, f"headers: the client sets {name} itself")
            for name in (
                "Content-Type",
                "content-length",
                "TRANSFER-ENCODING",
                "Connection",
                "Expect",
                "Idempotency-Key",
            )
        ),
    ],
    ids=repr,
)
def test_the_error_of_a_wrong_argument_names_it(given: _Given, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=f"^{said}") as caught:
        _settings(**given)
    assert "s3cret" not in repr(caught.value)


def test_headers_of_the_caller_replace_those_of_the_client_in_any_case() -> None:
    headers = _settings(headers={"user-agent": "shop/1", "X-Trace": "größe"}).headers
    assert headers == {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept-Encoding": "identity",
        "user-agent": "shop/1",
        "X-Trace": "größe",
    }


def test_later_changes_to_the_headers_have_no_effect() -> None:
    given = {"X-Trace": "1"}
    settings = _settings(headers=given)
    given["X-Trace"] = "2"
    assert settings.headers["X-Trace"] == "1"


def test_a_context_and_an_encoder_are_accepted() -> None:
    context = ssl_module.create_default_context()
    settings = _settings(ssl=context, dumps=lambda event: b"1")
    assert settings.ssl is context
