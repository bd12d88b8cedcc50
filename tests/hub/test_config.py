"""The options of a hub: what is wrong is refused early, naming the argument and showing no secret."""

from __future__ import annotations

import re

import pytest

from webmqconnect_async.hub import Hub, HubConfig, HubOptions, create_app


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": ""}, "host: '' is not a host name or address"),
        ({"host": None}, "host: None is not"),
        ({"max_body": 0}, "max_body: 1 or more is needed"),
        ({"max_queue": -1}, "max_queue: 1 or more is needed"),
        ({"max_topic": 1.5}, "max_topic: an integer is needed, not float"),
        ({"max_connections": True}, "max_connections: an integer is needed, not bool"),
        ({"max_subscriptions": None}, "max_subscriptions: an integer is needed, not NoneType"),
        ({"allow_origins": "https://a.example"}, "allow_origins: 'https://a.example' is not a list of texts"),
        ({"allow_origins": ["*"]}, "allow_origins: '*' is not an origin"),
        ({"allow_origins": ["null"]}, "allow_origins: 'null' is not an origin"),
        ({"allow_origins": ["https://a.example/"]}, "allow_origins: 'https://a.example/' is not an origin"),
        ({"allow_hosts": [1]}, "allow_hosts: 1 is not a text"),
        ({"allow_hosts": ["a.example:80"]}, "allow_hosts: 'a.example:80' is not a host name without port"),
        ({"allow_hosts": ["http://a.example"]}, "allow_hosts: 'http://a.example' is not a host name without port"),
        ({"keys": ["s3cret"]}, "keys: not a mapping"),
        ({"keys": {"app": 7}}, "keys: a key is text"),
        ({"keys": {b"app": "s3cret"}}, "keys: a key is text"),
        ({"keys": {"": "s3cret"}}, "keys: a key or its secret is empty"),
        ({"keys": {"app": ""}}, "keys: a key or its secret is empty"),
        ({"subscriber_keys": "s3cret"}, "subscriber_keys: not a mapping"),
        ({"subscriber_keys": {"page": None}}, "subscriber_keys: a key is text"),
        ({"subscriber_keys": {"page": b""}}, "subscriber_keys: a key or its secret is empty"),
        ({"clock": 7}, "clock: 7 is not callable"),
        ({"admit": True}, "admit: True is not callable"),
        ({"host": "0.0.0.0"}, "keys: a hub on '0.0.0.0' is open to other machines"),  # noqa: S104
        ({"host": "hub.example.com", "keys": {}}, "keys: a hub on 'hub.example.com' is open to other machines"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: dict[str, object], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(said)) as caught:
        HubConfig(**options)  # type: ignore[arg-type]  # wrong on purpose
    assert "s3cret" not in str(caught.value)


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
    with pytest.raises(ValueError, match="port: "):
        Hub(port=port)  # type: ignore[arg-type]  # wrong on purpose


def test_no_secret_is_shown() -> None:
    keys: dict[str, str | bytes] = {"app": "s3cret", "other": b"s3cret"}
    hub = Hub(port=0, keys=keys, subscriber_keys=keys)
    for shown in (hub, vars(hub), hub.config, hub.config.credentials, hub.config.subscriber_credentials):
        assert "s3cret" not in repr(shown)


def test_the_options_of_hub_and_create_app_are_the_fields_of_the_config() -> None:
    """The two lists stand side by side for the type checker's sake."""
    fields = {name: field for name, field in HubConfig.__dataclass_fields__.items() if field.init and name != "host"}
    assert {name: field.type for name, field in fields.items()} == {
        name: value.__forward_arg__ for name, value in HubOptions.__annotations__.items()
    }
