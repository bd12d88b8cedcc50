"""The options of a hub: a wrong one is refused early. The error names the argument and shows no secret."""

from __future__ import annotations

import re
import sys

import pytest

from webmqconnect_async.hub import Hub, HubConfig, HubOptions, create_app

ORIGIN = "allow_origins must contain origins like 'https://app.example.com', not "
LONG = "s3cret-of-at-least-thirty-two-bytes"
TICKETS = {"users": LONG}
PEM = f"-----BEGIN PUBLIC KEY-----\n{LONG}\n-----END PUBLIC KEY-----\n"
HOST = "allow_hosts must contain names without port like 'hub.example.com', not "


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": ""}, "host must not be empty"),
        ({"host": None}, "host must be a string, not NoneType"),
        ({"max_body": 0}, "max_body must be at least 1"),
        ({"max_queue": -1}, "max_queue must be at least 1"),
        ({"max_queue": 4095}, "max_queue must be at least max_body: 4095 bytes cannot hold an event of 4096"),
        ({"keepalive": 0}, "keepalive must be greater than 0 and at most 2147483 seconds"),
        ({"keepalive": None}, "keepalive must be a number of seconds, not NoneType"),
        ({"max_topic": 1.5}, "max_topic must be an integer, not float"),
        ({"max_connections": True}, "max_connections must be an integer, not bool"),
        ({"max_subscriptions": None}, "max_subscriptions must be an integer, not NoneType"),
        ({"allow_origins": "https://a.example"}, "allow_origins must be a list of strings, not str"),
        ({"allow_origins": ["*"]}, ORIGIN + "'*'"),
        (
            {"allow_origins": ["null"]},
            ORIGIN + "'null'",
        ),
        (
            {"allow_origins": ["https://a.example/"]},
            ORIGIN + "'https://a.example/'",
        ),
        ({"allow_hosts": [1]}, "allow_hosts must contain strings, not int"),
        (
            {"allow_hosts": ["a.example:80"]},
            HOST + "'a.example:80'",
        ),
        (
            {"allow_hosts": ["http://a.example"]},
            HOST + "'http://a.example'",
        ),
        ({"keys": ["s3cret"]}, "keys must be a mapping of keys to secrets, not list"),
        ({"keys": {"app": 7}}, "keys must map strings to strings or bytes"),
        ({"keys": {b"app": "s3cret"}}, "keys must map strings to strings or bytes"),
        ({"keys": {"": "s3cret"}}, "keys must not contain an empty key or secret"),
        ({"keys": {"app": ""}}, "keys must not contain an empty key or secret"),
        ({"subscriber_keys": "s3cret"}, "subscriber_keys must be a mapping of keys to secrets, not str"),
        ({"subscriber_keys": {"page": None}}, "subscriber_keys must map strings to strings or bytes"),
        ({"subscriber_keys": {"page": b""}}, "subscriber_keys must not contain an empty key or secret"),
        ({"ticket_keys": ["s3cret"]}, "ticket_keys must be a mapping of keys to secrets, not list"),
        ({"ticket_keys": {"users": "s3cret"}}, "ticket_keys has a secret that must have at least 32 bytes"),
        (
            {"ticket_keys": {"users": PEM}},
            "ticket_keys has a secret that must be random bytes, not a key in PEM or SSH",
        ),
        (
            {"ticket_keys": TICKETS, "keys": {"app": LONG.encode()}},
            "ticket_keys contains a secret that another key uses, too",
        ),
        (
            {"ticket_keys": TICKETS, "subscriber_keys": TICKETS},
            "ticket_keys contains a secret that another key uses, too",
        ),
        ({"public": ["t"]}, "public must not be given without ticket_keys, subscriber_keys or may_subscribe"),
        ({"public": "t"}, "public must be a list of strings, not str"),
        ({"public": [1]}, "public must contain strings, not int"),
        ({"public": ["http://a*"], "ticket_keys": TICKETS}, "public must contain topics with a * only at the end"),
        ({"may_subscribe": True}, "may_subscribe must be callable or None, not bool"),
        ({"grace": 0}, "grace must be greater than 0"),
        ({"grace": None}, "grace must be a number of seconds, not NoneType"),
        ({"metrics": 9100}, "metrics must be a string or None, not int"),
        ({"metrics": "9100"}, "metrics must be HOST:PORT like '127.0.0.1:9100', not '9100'"),
        ({"metrics": ":9100"}, "metrics must be HOST:PORT like '127.0.0.1:9100', not ':9100'"),
        ({"metrics": "127.0.0.1:65536"}, "metrics must be HOST:PORT like '127.0.0.1:9100', not '127.0.0.1:65536'"),
        ({"clock": 7}, "clock must be callable, not int"),
        ({"admit": True}, "admit must be callable or None, not bool"),
        ({"host": "0.0.0.0"}, "keys must be given for a hub on '0.0.0.0'"),  # noqa: S104
        ({"host": "hub.example.com", "keys": {}}, "keys must be given for a hub on 'hub.example.com'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: dict[str, object], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(said)) as caught:
        HubConfig(**options)  # type: ignore[arg-type]  # wrong on purpose
    assert "s3cret" not in str(caught.value)
    assert LONG not in str(caught.value)


def test_tickets_need_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option `ticket_keys` needs an extra. Public topics and the hook for rights do not."""
    monkeypatch.setitem(sys.modules, "jwt.api_jws", None)
    monkeypatch.delitem(sys.modules, "webmqconnect_async._core.tickets", raising=False)
    HubConfig(public=["t"], may_subscribe=lambda identity, topic: True)
    with pytest.raises(ImportError, match="tickets need PyJWT: pip install"):
        HubConfig(ticket_keys={"users": LONG})


def test_a_hub_open_to_other_machines_needs_keys() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com"):  # noqa: S104
        with pytest.raises(ValueError, match="give it keys, or bind it to"):
            Hub(host)
        with pytest.raises(ValueError, match="give it keys, or bind it to"):
            create_app(host)
        with pytest.raises(ValueError, match="give it keys, or bind it to"):
            HubConfig(host=host, subscriber_keys={"page": "s3cret"})
        assert HubConfig(host=host, keys={"app": "s3cret"}).host == host


@pytest.mark.parametrize("port", [-1, 65536, "8080", None, True])
def test_a_wrong_port_is_refused(port: object) -> None:
    with pytest.raises((ValueError, TypeError), match="port must be "):
        Hub(port=port)  # type: ignore[arg-type]  # wrong on purpose


def test_no_secret_is_shown() -> None:
    keys: dict[str, str | bytes] = {"app": "s3cret", "other": b"s3cret"}
    hub = Hub(port=0, keys=keys, subscriber_keys=keys, ticket_keys={"users": LONG})
    config = hub.config
    kinds = (config._credentials, config._subscriber_credentials, config._ticket_credentials)
    for shown in (hub, vars(hub), config, *kinds):
        assert "s3cret" not in repr(shown)


async def test_the_repr_says_where_the_hub_listens() -> None:
    hub = Hub(port=0, keys={"app": "s3cret"})
    assert repr(hub) == "<Hub not running>"
    async with hub:
        assert repr(hub) == f"<Hub {hub.url}>"
    assert repr(hub) == "<Hub not running>"


def test_the_options_of_hub_and_create_app_are_the_fields_of_the_config() -> None:
    """`Hub`, `create_app` and the config have the same options. They are repeated for type checkers."""
    fields = {name: field for name, field in HubConfig.__dataclass_fields__.items() if field.init and name != "host"}
    assert {name: field.type for name, field in fields.items()} == {
        name: value.__forward_arg__ for name, value in HubOptions.__annotations__.items()
    }
