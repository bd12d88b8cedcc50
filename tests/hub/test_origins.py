"""The rules for `Host` and `Origin`, as one table each."""

from __future__ import annotations

import pytest

from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._host_and_origin import Denial, Gate, is_loopback

from .conftest import Run
from .raw import connected, handshake

LOCAL = Gate("127.0.0.1", (), ())
OPEN = Gate("0.0.0.0", (), ())  # noqa: S104  # nothing is bound here
NAMED = Gate(
    "hub.lan",
    ("Hub.Example.com", "10.0.0.9", "::5"),
    ("https://App.example.com", "http://other.example:8000", "http://port.example:80", "file://"),
)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.evil.example", "notlocalhost", "::", "10.0.0.1", "127.0.0.1.x"])
def test_other_addresses(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "local", "open_", "named"),
    [
        (None, True, True, True),
        ("localhost", True, True, True),
        ("LOCALHOST:8080", True, True, True),
        ("localhost.:8080", True, True, True),
        ("app.localhost:1", True, True, True),
        ("127.0.0.1:8080", True, True, True),
        ("127.1.2.3", True, True, True),
        ("[::1]:8080", True, True, True),
        ("10.0.0.1:8080", False, True, True),
        ("[fd00::1]:8080", False, True, True),
        ("hub.lan:8080", False, False, True),
        ("hub.example.com", False, False, True),
        ("HUB.example.com.:443", False, False, True),
        ("evil.example", False, False, False),
        ("evil.example:8080", False, False, False),
        ("localhost.evil.example", False, False, False),
        ("evil.example/localhost", False, False, False),
        ("localhost@evil.example", False, False, False),
        ("localhost:80:80", False, False, False),
        ("localhost:x", False, False, False),
        ("[::1", False, False, False),
        ("[evil.example]", False, False, False),
        ("", False, False, False),
        (":8080", False, False, False),
    ],
)
def test_which_hosts_are_accepted(host: str | None, local: bool, open_: bool, named: bool) -> None:
    assert [gate.host(host) is None for gate in (LOCAL, OPEN, NAMED)] == [local, open_, named]


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        (None, True),
        ("https://app.example.com", True),
        ("HTTPS://APP.EXAMPLE.COM", True),
        ("http://app.example.com", False),
        ("https://app.example.com:443", True),
        ("https://app.example.com.", True),
        ("wss://app.example.com", True),
        ("https://app.example.com:80", False),
        ("https://app.example.com:444", False),
        ("http://port.example", True),
        ("http://port.example:443", False),
        ("file://", True),
        ("file:///", False),
        ("http://other.example:8000", True),
        ("http://hub.lan", False),
        ("http://localhost", False),
        ("null", False),
        ("", False),
    ],
)
def test_the_origin_of_a_push(origin: str | None, named: bool) -> None:
    assert (NAMED.push(origin) is None) == named
    assert (LOCAL.push(origin) is None) == (origin is None)


@pytest.mark.parametrize(
    ("origin", "host", "local", "named"),
    [
        (None, "localhost:8080", True, True),
        ("http://localhost:8080", "localhost:8080", True, True),
        ("http://127.0.0.1:3000", "localhost:8080", True, False),
        ("https://[::1]:3000", "localhost:8080", True, False),
        ("http://app.localhost", "localhost:8080", True, False),
        ("https://hub.lan", "hub.lan", True, True),
        ("http://HUB.lan:8080", "hub.lan:8080", True, True),
        ("http://hub.lan:8081", "hub.lan:8080", False, False),
        ("https://hub.lan", "hub.lan:443", True, True),
        ("https://hub.lan:443", "HUB.lan.", True, True),
        ("http://hub.lan", "hub.lan:80", True, True),
        ("http://hub.lan", "hub.lan:443", False, False),
        ("ws://hub.lan:8080", "hub.lan:8080", True, True),
        ("wss://hub.lan", "hub.lan", True, True),
        ("ws://evil.example", "hub.lan", False, False),
        ("file://", "hub.lan", False, True),
        ("https://app.example.com", "hub.lan", False, True),
        ("http://evil.example", "localhost:8080", False, False),
        ("http://localhost.evil.example", "localhost:8080", False, False),
        ("http://evil.example", None, False, False),
        ("file://localhost", "localhost", False, False),
        ("chrome-extension://localhost", "localhost", False, False),
        ("http://localhost/path", "localhost", False, False),
        ("null", "localhost", False, False),
        ("", "localhost", False, False),
    ],
)
def test_the_origin_of_a_subscriber(origin: str | None, host: str | None, local: bool, named: bool) -> None:
    assert [gate.subscriber(origin, host) is None for gate in (LOCAL, NAMED)] == [local, named]


def test_a_refusal_names_the_option_and_quotes_the_header_printable() -> None:
    assert str(LOCAL.host("evil\x1b")) == "host 'evil\\u001b' not allowed (allow it with allow_hosts or --allow-host)"
    shown = "x" * 100 + "…"
    refused = f"origin '{shown}' may not push (allow it with allow_origins or --allow-origin)"
    assert str(LOCAL.push("x" * 200)) == refused
    assert "--allow-origin" in str(LOCAL.subscriber("null", None))


@pytest.mark.parametrize(
    ("denial", "remedy"),
    [
        (LOCAL.host("Hub.example.com:443"), "--allow-host hub.example.com"),
        (LOCAL.host("a;reboot"), ""),
        (LOCAL.host("$(reboot)"), ""),
        (LOCAL.host("x" * 200), ""),
        (LOCAL.host("[::1"), ""),
        (LOCAL.push("https://Shop.example.com:8443"), "--allow-origin https://shop.example.com:8443"),
        (LOCAL.push("file://"), "--allow-origin file://"),
        (LOCAL.push("https://x;$(reboot)"), ""),
        (LOCAL.subscriber("null", None), ""),
    ],
)
def test_a_remedy_is_safe_to_paste_into_a_shell(denial: Denial | None, remedy: str) -> None:
    assert denial is not None
    assert denial.remedy == remedy


@pytest.mark.parametrize("lines", [("graphql-ws", "wamp"), ("wamp", "graphql-ws"), ("a, b", "c", "wamp,d")])
async def test_subprotocols_on_several_lines_are_one_list(run: Run, lines: tuple[str, ...]) -> None:
    hub = await run(Hub(port=0))
    async with connected(hub) as raw:
        first, *others = lines
        answer = await handshake(raw, *(f"Sec-WebSocket-Protocol: {line}" for line in others), subprotocol=first)
    assert "\r\nSec-WebSocket-Protocol: wamp\r\n" in answer
