"""`Host` and `Origin` headers of requests, compared with the verdict of the standard library's URL parser."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from webmqconnect_async.hub._host_and_origin import Gate

from .engine import Target
from .texts import broken, maybe, rarely

__all__ = ["GATE"]

_NAMED, _ORIGIN = "hub.example.com", "https://app.example.com"
_names = st.sampled_from(
    [
        *(
            "localhost",
            "LocalHost",
            "x.localhost",
            "127.0.0.1",
            "127.255.0.9",
            "[::1]",
            "hub.example.com",
            "HUB.example.com.",
        ),
        *(
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example@localhost",
            "localhost@evil.example",
        ),
        *(
            "127.1",
            "2130706433",
            "0x7f000001",
            "0.0.0.0",  # noqa: S104  # nothing is bound
            "[::ffff:127.0.0.1]",
            "[::1%25lo]",
            "[::ffff:127.]",
            "[127.0.0.1]",
            "10.0.0.7",
            "[2001:db8::1]",
        ),
        *(
            "localhost\u3002",
            "lo\u200bcalhost",
            "\uff4cocalhost",
            "127\u30020.0.1",
            "\u0661\u0662\u0667.0.0.1",
            "",
            "[]",
            "xn--a",
        ),
        *("hub.example.com.evil.example", "hub-example.com", "\u212aelvin", "localhost,evil.example", "localhost\x00"),
    ]
)
_ports = st.sampled_from(["", "", ":8080", ":80", ":", ":x", ":99999", ":8080:80", ":٨"])
_authorities = st.builds("{}{}".format, _names, _ports)
_hosts: SearchStrategy[str] = rarely(st.one_of(broken(_authorities), st.text(max_size=12)), _authorities)
_origins = st.one_of(
    st.builds(
        "{}{}".format,
        st.sampled_from(
            ["http://", "https://", "HTTP://", "ws://", "wss://", "file://", "chrome-extension://", "//", ""]
        ),
        _hosts,
    ),
    st.sampled_from(
        ["null", "", _ORIGIN, _ORIGIN.upper(), _ORIGIN + "/", _ORIGIN + ":443", _ORIGIN + ".evil.example", "file://"]
    ),
)


@dataclass(frozen=True)
class Claim:
    """The `Host` and `Origin` headers of a request."""

    host: str | None
    origin: str | None
    local: bool
    """Whether the hub is bound to loopback."""


_GATES = {
    True: Gate("127.0.0.1", [_NAMED], [_ORIGIN]),
    False: Gate("0.0.0.0", [_NAMED], [_ORIGIN]),  # noqa: S104  # nothing is bound
}


def _host_in(authority: str, scheme: str = "") -> tuple[str, int | None]:
    """Return the host and port that a client would connect to. A search for a prefix would be misled by a user name."""
    try:
        parts = urlsplit(f"//{authority}")
        port = parts.port
    except ValueError:  # not an address in brackets, or no valid port; the hub compares it as text
        return authority, None
    assert parts.username is None
    assert not parts.path
    default = {"http": 80, "https": 443}.get(scheme)
    return (parts.hostname or "").removesuffix("."), default if port is None else port


def _is_of_this_machine(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or (_is_address(name) and ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _check(claim: Claim) -> None:
    gate = _GATES[claim.local]
    refusals = gate.host(claim.host), gate.push(claim.origin), gate.subscriber(claim.origin, claim.host)
    assert refusals == (gate.host(claim.host), gate.push(claim.origin), gate.subscriber(claim.origin, claim.host))
    for refusal in refusals:
        assert refusal is None or (str(refusal).isprintable() and len(str(refusal)) < 300)
    host, push, subscriber = refusals
    if host is None and claim.host is not None:
        name, _ = _host_in(claim.host.lower())
        assert name == _NAMED or name == "0.0.0.0" or _is_of_this_machine(name) or not claim.local  # noqa: S104
        assert name == _NAMED or _is_of_this_machine(name) or _is_address(name)
    if claim.origin is None or (push is not None and subscriber is not None):
        return
    scheme, _, authority = claim.origin.lower().partition("://")
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    assert scheme in ("http", "https")
    listed = scheme == "https" and _host_in(authority, scheme) == ("app.example.com", 443)
    assert listed == (push is None)
    if not listed:
        own = claim.host is not None and _host_in(authority, scheme) == _host_in(claim.host.lower(), scheme)
        assert own or (claim.local and _is_of_this_machine(_host_in(authority)[0]))


GATE = Target("gate", st.builds(Claim, maybe(_hosts), maybe(_origins), st.booleans()), _check, share=4)
