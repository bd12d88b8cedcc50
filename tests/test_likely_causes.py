"""Errors name a likely cause: another dialect, another path, another scheme, or another secret."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from webmqconnect_async import AuthRejected, ConnectFailed, Rejected
from webmqconnect_async._core import transport_failures
from webmqconnect_async.testing import Hub

from .clients import DRIVERS, Both
from .hostile import Peer, answer, hostile, reply

TOPIC = "com.example.t"
both_drivers = pytest.mark.parametrize("driver", DRIVERS)


def ended(driver: str, url: str, **options: Any) -> Exception:
    """Push once and return the error."""
    with Both(driver, url, **options) as client:
        return client.failure(topic=TOPIC)


@both_drivers
@pytest.mark.parametrize(
    ("path", "dialect", "cause"),
    [
        ("/publish", "webmq", 'this looks like Crossbar.io: use the dialect "crossbar"'),
        (
            "/",
            "crossbar",
            'this looks like a WebMQ hub: use the dialect "webmq", or the path of a publisher',
        ),
        ("/orders", "webmq", "check the path of the endpoint, and the dialect"),
        ("/orders", "crossbar", "check the path of the endpoint, and the dialect"),
        ("/hub.json", "webmq", "check the path of the endpoint, and the dialect"),
    ],
)
def test_wrong_dialect_or_path(driver: str, path: str, dialect: str, cause: str) -> None:
    with Hub() as hub:
        error = ended(driver, hub.url.rstrip("/") + path, dialect=dialect)
    assert type(error) is Rejected
    assert str(error).startswith("the broker answered 4")
    assert str(error).endswith(f"; {cause}")


@both_drivers
@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
@pytest.mark.parametrize(
    ("secret", "cause"),
    [
        ("s3cret-0\n", "the secret begins or ends with whitespace, such as the newline at the end of a file"),
        (b"s3cret-0\r\n", "the secret begins or ends with whitespace, such as the newline at the end of a file"),
        (" s3cret-0", "the secret begins or ends with whitespace, such as the newline at the end of a file"),
        ("s3cret-0 1", "webmqconnect explain helps to find the cause"),
    ],
)
def test_wrong_secret(driver: str, dialect: str, secret: str | bytes, cause: str) -> None:
    """The error suggests a wrong secret, and does not show the secret itself."""
    with Hub(keys={"app": "s3cret-0"}) as hub:
        url = hub.url.rstrip("/") + ("/" if dialect == "webmq" else "/publish")
        error = ended(driver, url, auth_key="app", auth_secret=secret, dialect=dialect)
    assert type(error) is AuthRejected
    assert str(error).endswith(f"; {cause}")
    assert "s3cret-0" not in repr(error)


@both_drivers
def test_an_unsigned_push(driver: str) -> None:
    """Without a signature there is nothing to explain, because the response says what is missing."""
    with Hub(keys={"app": "s3cret"}) as hub:
        error = ended(driver, hub.url)
    assert str(error) == "the broker answered 401: not authorized (this hub takes signed pushes only)"


@both_drivers
def test_other_responses_have_no_cause(driver: str) -> None:
    with hostile(answer(reply(400, b"invalid JSON in request body"))) as server:
        assert str(ended(driver, server.url)) == "the broker answered 400: invalid JSON in request body"


async def in_clear(peer: Peer) -> None:
    """Respond to a TLS handshake as an HTTP server does."""
    await peer.reader.read(65536)
    await peer.send(reply(400))
    peer.close()


@both_drivers
def test_https_to_a_port_of_http(driver: str) -> None:
    with hostile(*[in_clear] * 3) as server:
        error = ended(driver, server.url.replace("http:", "https:"), ssl=ssl.create_default_context())
    assert type(error) is ConnectFailed
    assert error.retryable
    assert str(error).startswith(f"cannot connect to 127.0.0.1:{server.port}: [SSL")
    assert str(error).endswith("; does the broker speak https on this port?")


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", True),
        ("[SSL] record layer failure (_ssl.c:1028)", True),
        ("[SSL: RECORD_LAYER_FAILURE] record layer failure (_ssl.c:1028)", True),
        ("[SSL: PACKET_LENGTH_TOO_LONG] packet length too long (_ssl.c:1006)", True),
        ("[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version (_ssl.c:1006)", False),
        ("Connection refused", False),
    ],
)
def test_the_openssl_error_for_a_server_without_tls(said: str, asked: bool) -> None:
    """The text of the error depends on the version of OpenSSL."""
    reason = transport_failures.unreachable("127.0.0.1:80", said).reason
    assert reason.endswith("does the broker speak https on this port?") is asked
